//! What leaves the door: `{"data": ..}` or `{"error": .., "code", "message"}`, always JSON.

mod kst;
mod problem;
mod refusal;
mod table;
#[cfg(test)]
mod tests;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;

pub use kst::Kst;
pub use problem::Shown;
pub use refusal::Refusal;

use super::reading::Language;
use crate::actors::TraceId;
use problem::{ErrorEnvelope, Problem};

#[derive(Serialize)]
struct Envelope<T> {
    data: T,
}

/// The code of a refusal, for its log line; it travels with the answer.
#[derive(Clone, Copy, Debug)]
pub struct Noted(pub &'static str);

/// `{"data": ..}` with this status.
pub fn data<T: Serialize>(status: StatusCode, data: T) -> Result<HttpResponse, Refusal> {
    let body = serde_json::to_vec(&Envelope { data }).map_err(|fault| {
        tracing::error!(%fault, "an answer could not be written as JSON");
        Refusal::Broken
    })?;
    Ok(json(status, body))
}

/// The answer to a request: what was said, or the refusal in the caller's language.
pub fn answer(req: &HttpRequest, said: Result<HttpResponse, Refusal>) -> HttpResponse {
    said.unwrap_or_else(|refusal| refuse(req, &refusal))
}

pub fn refuse(req: &HttpRequest, refusal: &Refusal) -> HttpResponse {
    let trace = req.extensions().get().copied().unwrap_or_default();
    refusal_in(refusal, Language::of(req.headers()), trace)
}

/// The same without a request at hand: after a panic there is none.
pub fn refusal_in(refusal: &Refusal, language: Language, trace: TraceId) -> HttpResponse {
    let row = refusal.code();
    let message = match language {
        Language::Korean => row.korean,
        Language::English => row.english,
    };
    let error = Problem {
        code: row.code,
        message,
        next: refusal.next().name(),
        trace_id: Shown(trace),
        ..refusal.fields()
    };
    let envelope = ErrorEnvelope {
        error,
        code: row.code,
        message,
    };
    // A struct of strings and numbers: writing it cannot fail, and an empty body would still bear the status.
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    let mut res = json(refusal.status(), body);
    if let Some((name, value)) = refusal.header() {
        res.headers_mut().insert(name, value);
    }
    res.extensions_mut().insert(Noted(row.code));
    res
}

fn json(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ))
        .body(body)
}
