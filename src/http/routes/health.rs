//! For those who run us: alive (the process answers) and ready (send buyers here). Nobody has to show a key.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::http::answers::{Refusal, answer, data};
use crate::http::desk::Desk;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

pub async fn live(req: HttpRequest) -> HttpResponse {
    answer(&req, data(StatusCode::OK, Health { status: "live" }))
}

pub async fn ready(req: HttpRequest) -> HttpResponse {
    answer(&req, is_ready(&req).await)
}

async fn is_ready(req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    if desk.terms.closing.has_begun() {
        return Err(Refusal::NotReady(vec!["draining"]));
    }
    let missing = desk.directory()?.not_ready().await;
    if !missing.is_empty() {
        return Err(Refusal::NotReady(missing));
    }
    data(StatusCode::OK, Health { status: "ready" })
}
