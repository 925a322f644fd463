//! The outermost layer: it gives every request its place in a trace, every answer the headers that all of them bear,
//! and the log one line. Bodies, tokens and paymentKeys never reach that line.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::ConnectionType;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};

use super::traffic::Connected;
use crate::actors::TraceId;
use crate::domain::OrderId;
use crate::http::answers::{Noted, Refusal, refuse};
use crate::http::connections::{Asking, Watched};
use crate::http::desk::Terms;
use crate::http::reading::{Cause, TRACEPARENT};
use crate::http::routes::{CHECKOUT, CONFIRM};

const PAYONCE_GATEWAY: HeaderName = HeaderName::from_static("payonce-gateway");

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

#[derive(Clone)]
pub struct Frame {
    gateway: HeaderValue,
    terms: Arc<Terms>,
}

impl Frame {
    /// `gateway`: what stands behind the door, `sandbox`, `test` or `live`.
    pub fn new(gateway: &'static str, terms: Arc<Terms>) -> Frame {
        let gateway = HeaderValue::from_static(gateway);
        Frame { gateway, terms }
    }

    /// A closing door tells everybody with their answer that this connection has had its last one: a client that knows
    /// sends nothing into a connection that is about to end.
    fn farewell<B>(&self, res: &mut HttpResponse<B>) {
        if self.terms.closing.has_begun() {
            res.head_mut().set_connection_type(ConnectionType::Close);
        }
    }

    fn dress(&self, headers: &mut HeaderMap, cause: Cause) {
        headers.insert(PAYONCE_GATEWAY, self.gateway.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(parent) = cause.header() {
            headers.insert(TRACEPARENT, parent);
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Frame
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type InitError = ();
    type Transform = Framed<S>;
    type Future = Ready<Result<Framed<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let frame = self.clone();
        ready(Ok(Framed { frame, service }))
    }
}

pub struct Framed<S> {
    frame: Frame,
    service: S,
}

impl<S, B> Service<ServiceRequest> for Framed<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pending<Self::Response>;

    forward_ready!(service);

    fn call(&self, req: ServiceRequest) -> Self::Future {
        let began = Instant::now();
        if let Some(line) = req.request().conn_data::<Connected>() {
            line.heard();
        }
        let cause = Cause::of(req.headers());
        req.extensions_mut().insert(cause.trace);
        let frame = self.frame.clone();
        let asking = Asking::on(req.conn_data::<Watched>());
        let answering = self.service.call(req);
        Box::pin(async move {
            let _asking = asking;
            match answering.await {
                Ok(res) => {
                    let mut res = in_json(res);
                    frame.dress(res.headers_mut(), cause);
                    frame.farewell(res.response_mut());
                    log(&res, cause.trace, began);
                    Ok(res)
                }
                // Only the guard ends this way, after a panic that it has logged.
                Err(mut broken) => {
                    broken.add_response_mapper(move |mut res| {
                        frame.dress(res.headers_mut(), cause);
                        frame.farewell(&mut res);
                        res
                    });
                    Err(broken)
                }
            }
        })
    }
}

/// What the framework or CORS refused in plain text is said again in our words; our own answers pass untouched.
fn in_json<B: MessageBody>(res: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let Some(error) = res.response().error() else {
        return res.map_into_left_body();
    };
    let refusal = if error.as_error::<actix_cors::CorsError>().is_some() {
        Refusal::Forbidden
    } else if error.as_response_error().status_code().is_client_error() {
        Refusal::invalid("request", "well-formed HTTP")
    } else {
        tracing::error!(%error, "the framework failed");
        Refusal::Broken
    };
    let said = refuse(res.request(), &refusal);
    res.into_response(said).map_into_right_body()
}

/// One line for what matters: money, and whatever broke. The rest speaks only when asked to.
fn log<B>(res: &ServiceResponse<B>, trace: TraceId, began: Instant) {
    let req: &HttpRequest = res.request();
    let status = res.status().as_u16();
    let elapsed_ms = began.elapsed().as_secs_f64() * 1_000.0;
    let noted = res.response().extensions().get::<Noted>().copied();
    let order = req.extensions().get::<OrderId>().copied();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                method = req.method().as_str(),
                route = req.match_pattern().as_deref().unwrap_or("-"),
                status,
                elapsed_ms,
                trace_id = %trace,
                order_id = order.map(tracing::field::display),
                code = noted.map(|Noted(code)| code),
                "answered"
            )
        };
    }
    match status {
        500 => line!(error),
        501.. => line!(warn),
        0..500 if matches!(req.path(), CONFIRM | CHECKOUT) => line!(info),
        0..500 => line!(debug),
    }
}
