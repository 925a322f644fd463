//! `/metrics`: what the process does, for Prometheus. The figures are the shop's own: where there are API keys, one of
//! them is wanted. The one answer that is not JSON.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::answers::{Refusal, answer};
use crate::http::desk::Desk;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn metrics(req: HttpRequest) -> HttpResponse {
    answer(&req, look(&req).await)
}

async fn look(req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_manage(desk.caller()?)?;
    let text = desk.directory()?.metrics().await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, TEXT_FORMAT))
        .body(text))
}
