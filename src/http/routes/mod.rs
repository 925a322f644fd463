//! Which path leads to which handler, and what is said where none does.

mod checkout;
mod confirm;
mod health;
mod metrics;
mod patience;
mod products;
mod status;

use actix_web::guard::{Any, Get, Guard, Head, Post, Put};
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route};

use super::answers::{Refusal, refuse};
use crate::domain::{OrderId, ProductId};

pub const CHECKOUT: &str = "/api/v1/payments/checkout";
pub const CONFIRM: &str = "/api/v1/payments/confirm";
const STATUS: &str = "/api/v1/payments/{order_id}";
const PRODUCTS: &str = "/api/v1/products";
const PRODUCT: &str = "/api/v1/products/{id}";
const STOCK: &str = "/api/v1/products/{id}/stock";
const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";
pub const METRICS: &str = "/metrics";

/// The longest that a caller may ask us to wait; proxies give up on a silent connection soon after.
const MOST_WAIT_S: u64 = 60;

/// Where the status of an order is found. Relative: only a proxy in front of us knows our name.
pub fn status_url(order: OrderId) -> String {
    format!("/api/v1/payments/{order}")
}

pub fn product_url(product: ProductId) -> String {
    format!("/api/v1/products/{product}")
}

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(only(CHECKOUT, "POST").route(on(Post()).to(checkout::checkout)))
        .service(only(CONFIRM, "POST").route(on(Post()).to(confirm::confirm)))
        .service(only(STATUS, "GET, HEAD").route(on(look()).to(status::status)))
        .service(only(PRODUCTS, "GET, HEAD").route(on(look()).to(products::all)))
        .service(
            only(PRODUCT, "GET, HEAD, PUT")
                .route(on(look()).to(products::one))
                .route(on(Put()).to(products::put)),
        )
        .service(only(STOCK, "POST").route(on(Post()).to(products::stock)))
        .service(only(LIVE, "GET, HEAD").route(on(look()).to(health::live)))
        .service(only(READY, "GET, HEAD").route(on(look()).to(health::ready)))
        .service(only(METRICS, "GET, HEAD").route(on(look()).to(metrics::metrics)))
        .default_service(web::to(nowhere));
}

/// A path that says which methods it takes, when it is asked with another.
fn only(path: &'static str, allow: &'static str) -> Resource {
    let refused =
        move |req: HttpRequest| async move { refuse(&req, &Refusal::MethodNotAllowed { allow }) };
    web::resource(path).default_service(web::to(refused))
}

fn on(method: impl Guard + 'static) -> Route {
    web::route().guard(method)
}

fn look() -> impl Guard {
    Any(Get()).or(Head())
}

async fn nowhere(req: HttpRequest) -> HttpResponse {
    refuse(&req, &Refusal::NotFound)
}

/// A path of ours as a header's value.
fn location(path: String) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_maybe_shared(path).map_err(|_| Refusal::Broken)
}
