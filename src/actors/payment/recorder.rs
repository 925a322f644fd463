//! What a flight writes with: the payment as last committed, and the way to the journal. An outcome is written
//! again and again until the database takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use tokio::time::Instant;

use super::actor::{Advanced, PaymentActor};
use super::advance::{Flight, Landing, Purpose};
use super::hands::{Hands, SharedHands};
use super::pauses::Pauses;
use super::sight::{Sight, reload};
use crate::actors::api::TraceId;
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::toss::Lane;
use crate::domain::{Event, Moment, OrderId, Payment, Status, TransitionId, after};
use crate::metrics::{Metrics, Present};
use crate::store::{self, Change, Verdict};

/// Whether a flight holds news of an approval that is not written yet.
#[derive(Clone, Debug, Default)]
pub struct Unwritten(Arc<AtomicBool>);

impl Unwritten {
    pub fn is_evidence(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn hold(&self, evidence: bool) {
        self.0.store(evidence, Ordering::Relaxed);
    }
}

/// What writes: the payment as last committed, and the way to the journal.
#[derive(Debug)]
pub struct Recorder {
    pub hands: SharedHands,
    pub payment: Payment,
    /// The payment is not older than this.
    pub as_of: Instant,
    pub actor: Addr<PaymentActor>,
    pub trace: TraceId,
    unwritten: Unwritten,
    /// Whether a caller's polling led to this flight.
    pub polled: bool,
}

impl Recorder {
    pub fn of(flight: &Flight) -> Recorder {
        Recorder {
            hands: flight.hands.clone(),
            payment: flight.sight.payment.clone(),
            as_of: flight.sight.as_of,
            actor: flight.actor.clone(),
            trace: flight.trace,
            unwritten: flight.unwritten.clone(),
            polled: matches!(flight.purpose, Purpose::Recover(Lane::Live)),
        }
    }

    pub fn report(&self) {
        let (sight, written) = (self.sight(), true);
        self.actor.do_send(Advanced { sight, written });
    }

    pub fn sight(&self) -> Sight {
        Sight {
            payment: self.payment.clone(),
            as_of: self.as_of,
            is_anothers: false,
        }
    }

    /// Writes what happened. An outcome is written again and again until the database takes it; evidence of
    /// an approval survives even a stale copy, because the reloaded payment is judged again with it.
    pub async fn record(&mut self, event: Event) -> Result<(), Box<Landing>> {
        self.unwritten.hold(is_evidence(&event));
        let recorded = self.write_down(event).await;
        self.unwritten.hold(false);
        recorded
    }

    async fn write_down(&mut self, event: Event) -> Result<(), Box<Landing>> {
        let mut tries = Tries::of(&event);
        loop {
            let moment = Moment {
                polled: self.polled,
                ..self.hands.clock.moment()
            };
            let Ok(transition) = after(&self.payment, event.clone(), &moment) else {
                return Err(Box::new(Landing::Stale));
            };
            let mut next = transition.next.clone();
            let (id, replaces) = (transition.id, transition.replaces);
            let sent = Instant::now();
            let write = Write::new(Change::Advance(transition)).traced(self.trace);
            let written = self.hands.journal.send(write).await;
            match written.unwrap_or(Err(NoVerdict::Doubtful)) {
                Ok(Verdict::Committed { held }) => {
                    next.stock_held = held;
                    self.as_of = sent;
                    self.moved(next, &event);
                    return Ok(());
                }
                Ok(Verdict::Stale { .. } | Verdict::NotFound) if is_evidence(&event) => {
                    // A reader that lags behind would show the same again and again.
                    tries.pause(&self.hands.metrics).await;
                    self.refresh().await?;
                }
                Ok(Verdict::Stale { .. } | Verdict::NotFound) => {
                    return Err(Box::new(Landing::Stale));
                }
                // A quarantined payment without goods becomes DONE only by taking them.
                Ok(Verdict::OutOfStock(_)) => {
                    let order = self.payment.order.id;
                    tracing::error!(%order, event = event.name(), "paid, and its goods are gone");
                    return Err(Box::new(Landing::Rested));
                }
                Err(NoVerdict::Busy | NoVerdict::Fault) if event.attempt().is_none() => {
                    return Err(Box::new(Landing::Postponed));
                }
                Err(NoVerdict::Busy | NoVerdict::Fault) => {
                    tries.pause(&self.hands.metrics).await;
                }
                Err(NoVerdict::Doubtful) if event.attempt().is_some() => {
                    tries.pause(&self.hands.metrics).await;
                    if let Some(next) = self.look_for(id, replaces, &event).await? {
                        self.moved(next, &event);
                        return Ok(());
                    }
                }
                Err(NoVerdict::Doubtful)
                | Ok(Verdict::Duplicate { .. } | Verdict::NotEnoughStock { .. }) => {
                    return Err(Box::new(Landing::Doubtful));
                }
            }
        }
    }

    /// The payment that a write of unknown fate has made, if it has landed. If not, our copy is a fresh one, read
    /// before the write was missed: a finding that is judged by a copy which has it already would count twice.
    async fn look_for(
        &mut self,
        id: TransitionId,
        replaces: i64,
        event: &Event,
    ) -> Result<Option<Payment>, Box<Landing>> {
        let before = self.payment.clone();
        self.refresh().await?;
        if !has_landed(&self.hands, self.payment.order.id, id, replaces).await {
            // Somebody else has moved it meanwhile, and what was said about a call of ours says nothing about theirs.
            return match self.payment.version == replaces || is_evidence(event) {
                true => Ok(None),
                false => Err(Box::new(Landing::Stale)),
            };
        }
        self.refresh().await?;
        if self.payment.version != replaces + 1 {
            return Err(Box::new(Landing::Stale));
        }
        let next = std::mem::replace(&mut self.payment, before);
        // The journal counts what it could read back itself.
        let from = Some(self.payment.status);
        self.hands.metrics.moved(from, next.status);
        Ok(Some(next))
    }

    async fn refresh(&mut self) -> Result<(), Box<Landing>> {
        let reloaded = reload(&self.hands, self.payment.order.id).await;
        let sight = reloaded.ok_or_else(|| Box::new(Landing::Gone))?;
        (self.payment, self.as_of) = (sight.payment, sight.as_of);
        Ok(())
    }

    fn moved(&mut self, next: Payment, event: &Event) {
        fault_point!(Recorded);
        let (from, to) = (self.payment.status.name(), next.status.name());
        let order = next.order.id;
        let (trace, version, event) = (self.trace, next.version, event.name());
        if next.status == Status::Quarantined && self.payment.status != Status::Quarantined {
            let reason = next.quarantine.map(|reason| reason.name());
            tracing::error!(%trace, %order, version, from, to, event, reason, "a human must look");
        } else {
            tracing::info!(%trace, %order, version, from, to, event, "payment moved");
        }
        self.payment = next;
        self.report();
        fault_point!(Reported);
    }
}

/// A write that is tried again, after longer and longer pauses.
struct Tries {
    pauses: Pauses,
    is_evidence: bool,
    /// Shown to whoever watches: all that knows of the approval is this process's memory, and Toss.
    shown: Option<Present>,
}

impl Tries {
    fn of(event: &Event) -> Tries {
        Tries {
            pauses: Pauses::new(),
            is_evidence: is_evidence(event),
            shown: None,
        }
    }

    async fn pause(&mut self, metrics: &Metrics) {
        if self.is_evidence && self.shown.is_none() {
            self.shown = Some(metrics.unwritten_approval());
        }
        self.pauses.pause().await;
    }
}

/// News of an approval: never discarded, whatever became of the payment meanwhile.
const fn is_evidence(event: &Event) -> bool {
    match event {
        Event::Approved { .. } | Event::AmountMismatched { .. } | Event::FoundCanceled { .. } => {
            true
        }
        Event::AttemptStarted { .. }
        | Event::OwnerLost { .. }
        | Event::RetryClaimed { .. }
        | Event::DeadlinePassed
        | Event::Declined { .. }
        | Event::NotAttempted { .. }
        | Event::MixedUp { .. }
        | Event::Undecided { .. }
        | Event::FoundUnconfirmed { .. }
        | Event::FoundEnded { .. }
        | Event::FoundWaitingForDeposit { .. }
        | Event::FoundForeign { .. }
        | Event::FoundNothing { .. }
        | Event::FoundUndecided { .. }
        | Event::QuestionLost { .. }
        | Event::Resolved(_) => false,
    }
}

/// Whether this very write is there, asked until the store answers. One that is not there yet may still come; then it
/// finds another version than its own, or we do.
async fn has_landed(hands: &Hands, order: OrderId, id: TransitionId, replaces: i64) -> bool {
    let mut pauses = Pauses::new();
    loop {
        match hands.store.read_back(order, id, replaces).await {
            Ok(store::WriteFate::Landed { .. }) => return true,
            Ok(store::WriteFate::Absent | store::WriteFate::Undecided) => return false,
            Err(fault) => {
                tracing::warn!(%order, %fault, "could not look for a write; trying again");
                pauses.pause().await;
            }
        }
    }
}
