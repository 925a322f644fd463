//! What every handler finds on its desk: the terms of the door, and the one whom it may ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpMessage, HttpRequest};

use super::access::{Access, Caller};
use super::answers::Refusal;
use super::layers::Slot;
use super::reading::{self, BodyLimits};
use crate::actors::{Directory, TraceId};

/// The terms of the door; one for all workers.
pub struct Terms {
    pub access: Access,
    pub bodies: BodyLimits,
    pub patience: Duration,
    pub draining: AtomicBool,
}

impl Terms {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
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
        let body = reading::read(self.req.headers(), payload, &self.terms.bodies).await?;
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
