//! The innermost layer: only so many requests at once, and a panic in one of them is its own caller's 500 and nobody
//! else's. It sits inside of CORS, so that a browser may read these answers too.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::actors::TraceId;
use crate::http::answers::{Refusal, refusal_in, refuse};
use crate::http::reading::Language;
use crate::http::routes::METRICS;
use crate::metrics::{Metrics, Shed};

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

#[derive(Clone)]
pub struct Guard {
    slots: Arc<Semaphore>,
    metrics: Metrics,
}

impl Guard {
    /// One bound for all workers together.
    pub fn new(max_in_flight: usize, metrics: Metrics) -> Guard {
        let slots = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Guard {
            slots: Arc::new(Semaphore::new(slots)),
            metrics,
        }
    }
}

/// The place of one request among those in hand. It may be given back for a while, as when the client is slow.
#[derive(Clone)]
pub struct Slot {
    slots: Arc<Semaphore>,
    held: Rc<RefCell<Option<OwnedSemaphorePermit>>>,
}

impl Slot {
    fn take(slots: &Arc<Semaphore>) -> Option<Slot> {
        let held = Arc::clone(slots).try_acquire_owned().ok()?;
        Some(Slot {
            slots: Arc::clone(slots),
            held: Rc::new(RefCell::new(Some(held))),
        })
    }

    pub fn release(&self) {
        self.held.take();
    }

    /// False where the house has filled up meanwhile.
    pub fn retake(&self) -> bool {
        let again = Arc::clone(&self.slots).try_acquire_owned().ok();
        let has = again.is_some();
        self.held.replace(again);
        has
    }
}

/// Gives the slot back at the end, whoever else still knows of it.
struct Held(Option<Slot>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            slot.release();
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Guard
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type InitError = ();
    type Transform = Guarded<S>;
    type Future = Ready<Result<Guarded<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Guarded {
            slots: Arc::clone(&self.slots),
            metrics: self.metrics.clone(),
            service: Rc::new(service),
        }))
    }
}

pub struct Guarded<S> {
    slots: Arc<Semaphore>,
    metrics: Metrics,
    service: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for Guarded<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pending<Self::Response>;

    actix_web::dev::forward_ready!(service);

    fn call(&self, req: ServiceRequest) -> Self::Future {
        // Who watches asks how the house is, most of all when it is full.
        let exempt = req.path().starts_with("/health/") || req.path() == METRICS;
        let slot = Slot::take(&self.slots);
        if slot.is_none() && !exempt {
            self.metrics.shed(Shed::Door);
            let busy = refuse(req.request(), &Refusal::BUSY);
            let res = req.into_response(busy).map_into_right_body();
            return Box::pin(ready(Ok(res)));
        }
        let trace: TraceId = req.extensions().get().copied().unwrap_or_default();
        if let Some(slot) = &slot {
            req.extensions_mut().insert(slot.clone());
        }
        let language = Language::of(req.headers());
        let (method, uri) = (req.method().clone(), req.uri().clone());
        let service = Rc::clone(&self.service);
        Box::pin(async move {
            let _held = Held(slot);
            // Called within, so that what panics before the first await is caught as well. What a handler leaves
            // half done is its own: it shares nothing with others but messages.
            let handling = AssertUnwindSafe(async move { service.call(req).await });
            match handling.catch_unwind().await {
                Ok(answered) => answered.map(ServiceResponse::map_into_left_body),
                Err(panic) => {
                    let (said, path) = (message(&*panic), uri.path());
                    tracing::error!(%method, path, trace_id = %trace, panic = said, "a handler panicked");
                    Err(Panicked { language, trace }.into())
                }
            }
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not a text")
}

/// The request is lost in the panic; this is what its answer still needs.
#[derive(Debug)]
struct Panicked {
    language: Language,
    trace: TraceId,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a handler panicked (trace {})", self.trace)
    }
}

impl ResponseError for Panicked {
    fn status_code(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    fn error_response(&self) -> HttpResponse {
        refusal_in(&Refusal::Broken, self.language, self.trace)
    }
}
