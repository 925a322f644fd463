//! TossActor: the only way out to the gateway. It admits flights (breaker, slots, rate tokens), repeats calls that
//! were not answered, never lets a call leave after its flight's deadline, and probes a Toss that was given up.

mod breaker;
mod gate;
mod line;
mod series;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use uuid::Uuid;

pub use breaker::BreakerRules;

use super::api::TraceId;
use super::membership::Warrant;
use breaker::Ticket;
use gate::{BUSY, Gate, Room};
use line::{BreakerWatch, IsOpen, Line, Probe};
use series::{confirm, unanswered};

use crate::domain::{Finding, OrderId, Outcome, PaymentKey, Reply};
use crate::gateway::{ConfirmCall, Toss};
use crate::metrics::Metrics;

/// Who wants to call: live buyers come first, recovery has a share of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Live,
    Recovery,
}

/// Let a flight in: a slot, and the rate token of its first call, taken last.
#[derive(Message, Debug)]
#[rtype(result = "Result<Permit, Busy>")]
pub struct Admit {
    pub lane: Lane,
}

/// Not now; nothing was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub retry_after_s: u32,
}

/// The right to call Toss while it is held. Dropping it frees the slot.
#[derive(Debug)]
pub struct Permit {
    _slots: Vec<OwnedSemaphorePermit>,
    lane: Lane,
    token: bool,
    /// Let in by an open breaker, for a question and nothing else.
    probe: Option<Probe>,
}

impl Permit {
    fn new(slots: Vec<OwnedSemaphorePermit>, lane: Lane, probe: Option<Probe>) -> Permit {
        Permit {
            _slots: slots,
            lane,
            token: true,
            probe,
        }
    }

    /// A permit that bounds nothing.
    #[cfg(test)]
    pub fn unbounded(lane: Lane) -> Permit {
        Permit::new(Vec::new(), lane, None)
    }

    /// What the next call needs: the lane, and whether its token was taken at admission.
    pub fn pass(&mut self) -> Pass {
        Pass {
            lane: self.lane,
            token: std::mem::take(&mut self.token),
            probe: self.probe.as_ref().map(|probe| probe.ticket),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Pass {
    lane: Lane,
    token: bool,
    probe: Option<Ticket>,
}

impl Pass {
    /// The same lane, with its token gone: the next call takes one of its own.
    pub const fn spent(self) -> Pass {
        Pass {
            token: false,
            ..self
        }
    }
}

/// Confirm, repeating what was not answered with the same key.
#[derive(Message, Debug)]
#[rtype(result = "Reply")]
pub struct SendConfirm {
    pub call: ConfirmCall,
    pub pass: Pass,
    /// Looked at before every try: the attempt's hard deadline, and whether we still own it.
    pub warrant: Warrant,
    pub trace: TraceId,
}

/// Look the payment up by its paymentKey, or by its order.
#[derive(Message, Debug)]
#[rtype(result = "Finding")]
pub struct LookUp {
    pub subject: Subject,
    pub pass: Pass,
    pub trace: TraceId,
}

#[derive(Clone, Debug)]
pub enum Subject {
    PaymentKey(PaymentKey),
    Order(OrderId),
}

/// The bounds on our side of the line.
#[derive(Clone, Copy, Debug)]
pub struct TossLimits {
    /// Flights that may be out at once.
    pub concurrency: usize,
    pub calls_per_minute: Option<NonZeroU32>,
    /// How long a flight may wait to be let in.
    pub admission_wait: Duration,
    /// Buyers' flights that may wait so; one more hears "busy" at once.
    pub waiting: usize,
    pub breaker: BreakerRules,
    /// How long a due probe is left to recovery's questions before the actor asks one of its own.
    pub probe_patience: Duration,
    /// Of slots and rate, in percent: the most that recovery may use.
    pub recovery_share_percent: u32,
    /// Tries of one confirm call with one key.
    pub tries: usize,
    /// How long after its first send a call may still be repeated.
    pub repeat_within: Duration,
}

/// What everybody may see of the way to Toss, without asking its actor.
#[derive(Clone, Debug)]
pub struct Front {
    pub breaker: BreakerWatch,
    pub room: Room,
}

impl Front {
    pub fn new(limits: &TossLimits) -> Front {
        Front {
            breaker: BreakerWatch::new(limits.breaker),
            room: Room::new(limits),
        }
    }

    /// What a buyer hears who would only be turned away, after having cost everybody else something.
    pub fn turns_away(&self) -> Option<Busy> {
        let full = self.room.is_full().then_some(BUSY);
        self.breaker.turns_away().or(full)
    }
}

#[derive(Debug)]
pub struct TossActor {
    line: Line,
    gate: Gate,
    limits: TossLimits,
}

/// How often the actor looks whether a probe of its own is due.
const PROBE_LOOK: Duration = Duration::from_millis(50);

impl TossActor {
    pub fn new(toss: Toss, limits: TossLimits, front: &Front, metrics: Metrics) -> TossActor {
        let line = Line::new(toss, front.breaker.clone(), metrics, limits.breaker.probe);
        let gate = Gate::new(&limits, line.clone(), front.room.clone());
        TossActor { line, gate, limits }
    }

    /// Nobody has anything to ask, and somebody must. An order that does not exist harms nobody: "not found", in
    /// Toss's own words, is a healthy answer.
    fn probe(&self) {
        let due = self.line.probe_due();
        if due.is_none_or(|due| due < self.limits.probe_patience) {
            return;
        }
        let (line, gate) = (self.line.clone(), self.gate.clone());
        tokio::spawn(async move {
            if gate.spare_token().await {
                let nobody = Subject::Order(OrderId::new(Uuid::now_v7()));
                let probed = line.look_up(nobody, None).await;
                tracing::debug!(?probed, "a probe");
            }
        });
    }
}

impl Actor for TossActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Flights are admitted before they call; what may wait here is bounded by what may be admitted.
        ctx.set_mailbox_capacity(65_536);
        ctx.run_interval(PROBE_LOOK, |toss, _| toss.probe());
    }
}

impl Handler<Admit> for TossActor {
    type Result = ResponseFuture<Result<Permit, Busy>>;

    fn handle(&mut self, order: Admit, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.gate.clone().admit(order.lane))
    }
}

impl Handler<SendConfirm> for TossActor {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        let span = tracing::info_span!("toss", trace = %order.trace);
        let series = confirm(self.line.clone(), self.gate.clone(), self.limits, order);
        // On the shared runtime: sockets are served by all of its threads, not by this arbiter's.
        let call = tokio::spawn(series.instrument(span));
        Box::pin(async move {
            call.await.unwrap_or_else(|fault| {
                tracing::error!(%fault, "a confirm call broke off");
                unanswered(Outcome::Unknown("the call broke off".into()))
            })
        })
    }
}

impl Handler<LookUp> for TossActor {
    type Result = ResponseFuture<Finding>;

    fn handle(&mut self, order: LookUp, _: &mut Self::Context) -> Self::Result {
        let (line, gate) = (self.line.clone(), self.gate.clone());
        let span = tracing::info_span!("toss", trace = %order.trace);
        let look = async move {
            if gate.pass(order.pass).await.is_err() {
                return Finding::NoAnswer("not asked: the rate limit is reached".into());
            }
            let looked = line.look_up(order.subject, order.pass.probe).await;
            looked
                .unwrap_or_else(|IsOpen| Finding::NoAnswer("not asked: the breaker is open".into()))
        };
        let call = tokio::spawn(look.instrument(span));
        Box::pin(async move {
            call.await.unwrap_or_else(|fault| {
                tracing::error!(%fault, "a look-up broke off");
                Finding::NoAnswer("the look-up broke off".into())
            })
        })
    }
}
