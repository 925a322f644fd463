//! The routes of Toss's API, and its answers as HTTP.

use std::collections::HashMap;
use std::io;

use actix_web::body::BodyStream;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::call::{Call, IDEMPOTENCY_KEY};
use super::codes::Code;
use super::ids::Language;
use super::toss::{Said, Toss};

const TRACE_ID: &str = "x-tosspayments-trace-id";
/// Toss's requests are a few hundred bytes long.
const LARGEST_BODY: usize = 64 * 1024;

pub fn routes(config: &mut ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(LARGEST_BODY))
        .service(only(
            web::resource("/v1/payments/confirm"),
            web::post().to(confirm),
        ))
        .service(only(
            web::resource("/v1/payments/orders/{orderId}"),
            web::get().to(lookup_by_order),
        ))
        .service(only(
            web::resource("/v1/payments/{paymentKey}/cancel"),
            web::post().to(cancel),
        ))
        .service(only(
            web::resource("/v1/payments/{paymentKey}"),
            web::get().to(lookup_by_key),
        ))
        .service(only(
            web::resource("/v1/transactions"),
            web::get().to(transactions),
        ));
}

fn only(resource: actix_web::Resource, route: actix_web::Route) -> actix_web::Resource {
    resource.route(route).default_service(web::to(wrong_method))
}

/// A body that is too long or breaks off reads as empty, which is nonsense for every request that has one.
type Body = Result<Bytes, actix_web::Error>;

async fn confirm(toss: Data<Toss>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::confirm(&request, &body.unwrap_or_default());
    answer(Toss::serve(toss, call).await)
}

async fn lookup_by_key(toss: Data<Toss>, request: HttpRequest, key: Path<String>) -> HttpResponse {
    let call = Call::lookup_by_key(&request, key.into_inner());
    answer(Toss::serve(toss, call).await)
}

async fn lookup_by_order(
    toss: Data<Toss>,
    request: HttpRequest,
    order_id: Path<String>,
) -> HttpResponse {
    let call = Call::lookup_by_order(&request, order_id.into_inner());
    answer(Toss::serve(toss, call).await)
}

async fn cancel(
    toss: Data<Toss>,
    request: HttpRequest,
    key: Path<String>,
    body: Body,
) -> HttpResponse {
    let call = Call::cancel(&request, key.into_inner(), &body.unwrap_or_default());
    answer(Toss::serve(toss, call).await)
}

async fn transactions(
    toss: Data<Toss>,
    request: HttpRequest,
    query: Query<HashMap<String, String>>,
) -> HttpResponse {
    let call = Call::transactions(&request, &query);
    answer(Toss::serve(toss, call).await)
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    refusal(&request, Code::NOT_FOUND_HTTP_METHOD)
}

pub async fn not_found(request: HttpRequest) -> HttpResponse {
    refusal(&request, Code::NOT_FOUND)
}

fn refusal(request: &HttpRequest, code: Code) -> HttpResponse {
    let header = request
        .headers()
        .get(actix_web::http::header::ACCEPT_LANGUAGE);
    let language = Language::of(header.and_then(|value| value.to_str().ok()));
    answer(Said::refusal(code, language))
}

fn answer(said: Said) -> HttpResponse {
    let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match said {
        Said::Json {
            status: number,
            body,
            stamp,
        } => {
            let trace = match stamp.original {
                Some(original) => format!("{},{original}", stamp.trace),
                None => stamp.trace.to_string(),
            };
            let mut response = HttpResponse::build(status(number));
            response
                .content_type(ContentType::json())
                .insert_header((TRACE_ID, trace));
            if let Some(key) = stamp.idempotency_key {
                response.insert_header((IDEMPOTENCY_KEY, key));
            }
            response.body(body)
        }
        Said::Raw {
            status: number,
            body: Value::String(text),
        } => {
            let is_json = serde_json::from_str::<Value>(&text).is_ok();
            let content_type = if is_json {
                ContentType::json()
            } else {
                ContentType::html()
            };
            HttpResponse::build(status(number))
                .content_type(content_type)
                .body(text)
        }
        Said::Raw {
            status: number,
            body,
        } => HttpResponse::build(status(number)).json(body),
        Said::Nothing => nothing(),
    }
}

/// Ends the connection before any byte of an answer has left: actix writes the head and the first piece of the body
/// together, and a body that fails at its first piece makes it drop the connection with both unwritten.
fn nothing() -> HttpResponse {
    let reset = io::Error::new(
        io::ErrorKind::ConnectionReset,
        "a fault of the sandbox, as ordered",
    );
    HttpResponse::Ok().body(BodyStream::new(futures_util::stream::iter([
        Err::<Bytes, _>(reset),
    ])))
}
