//! What every handler finds on its desk: the terms of the door, and the one whom it may ask.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpMessage, HttpRequest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::access::{Access, Caller};
use super::answers::Refusal;
use super::connections::Listening;
use super::layers::Slot;
use super::reading::{self, BodyLimits};
use crate::actors::{Directory, TraceId};

/// The terms of the door; one for all workers.
pub struct Terms {
    pub access: Access,
    pub bodies: BodyLimits,
    pub patience: Duration,
    pub closing: Closing,
}

/// Whether the door closes, and until when those who still wait must have an answer.
#[derive(Debug, Default)]
pub struct Closing(watch::Sender<Option<Instant>>);

impl Closing {
    /// The first word counts.
    pub fn begin(&self, answer_by: Instant) {
        self.0.send_if_modified(|by| {
            let first = by.is_none();
            by.get_or_insert(answer_by);
            first
        });
    }

    pub fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Never over while the door is open.
    pub async fn begun(&self) {
        self.answer_by().await;
    }

    /// Never over while the door is open; then, when waiting must end.
    pub async fn end_of_waiting(&self) {
        sleep_until(self.answer_by().await).await;
    }

    async fn answer_by(&self) -> Instant {
        let mut told = self.0.subscribe();
        match told.wait_for(Option::is_some).await.map(|by| *by) {
            Ok(Some(by)) => by,
            // The sender is our own: it is there as long as we are.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// A request, and what its handler may want of its surroundings.
pub struct Desk<'a> {
    pub req: &'a HttpRequest,
    pub terms: &'a Terms,
}

impl<'a> Desk<'a> {
    pub fn of(req: &'a HttpRequest) -> Result<Desk<'a>, Refusal> {
        let terms = req.app_data::<Data<Terms>>().ok_or(Refusal::Broken)?;
        Ok(Desk { req, terms })
    }

    pub fn directory(&self) -> Result<&'a Directory, Refusal> {
        let directory = self.req.app_data::<Data<Directory>>();
        directory.map(Data::get_ref).ok_or(Refusal::Broken)
    }

    pub fn trace(&self) -> TraceId {
        self.req.extensions().get().copied().unwrap_or_default()
    }

    pub fn caller(&self) -> Result<Caller, Refusal> {
        self.terms.access.caller(self.req.headers())
    }

    /// A client that is still sending holds no slot of those who are served: a thousand that drip stop nobody.
    pub async fn body(&self, payload: Payload) -> Result<Bytes, Refusal> {
        let slot = self.req.extensions().get::<Slot>().cloned();
        if let Some(slot) = &slot {
            slot.release();
        }
        let listening = Listening::to(self.req.conn_data());
        let body = reading::read(self.req.headers(), payload, &self.terms.bodies).await?;
        drop(listening);
        match slot {
            Some(slot) if !slot.retake() => Err(Refusal::BUSY),
            Some(_) | None => Ok(body),
        }
    }

    /// A part of the path, as the client sent it.
    pub fn part(&self, name: &str) -> &'a str {
        self.req.match_info().get(name).unwrap_or_default()
    }
}
