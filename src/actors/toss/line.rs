//! The line to Toss: every call goes through the breaker, and the breaker hears what every call came to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::breaker::{Breaker, BreakerRules, Cause, Leave, News, Ticket};
use super::{Busy, Lane, Subject};
use crate::domain::{Finding, Outcome, Reply};
use crate::gateway::{ConfirmCall, Health, Told, Toss};
use crate::metrics::{Breaker as Standing, BreakerState, CallEnd, Metrics, Operation};

/// The breaker as everybody may see it.
#[derive(Clone, Debug)]
pub struct BreakerWatch(Arc<Mutex<Breaker>>);

impl BreakerWatch {
    pub fn new(rules: BreakerRules) -> BreakerWatch {
        BreakerWatch(Arc::new(Mutex::new(Breaker::new(rules, Instant::now()))))
    }

    /// Held for a few instructions, never across an await.
    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// What a buyer hears who would only be turned away; `None` while it is closed.
    pub fn turns_away(&self) -> Option<Busy> {
        let breaker = self.lock();
        match breaker.standing().state {
            BreakerState::Closed => None,
            BreakerState::Open | BreakerState::HalfOpen => {
                Some(busy(breaker.retry_after(Instant::now())))
            }
        }
    }

    /// How many unfinished payments may ask now: all, one as a probe, or none.
    pub fn questions(&self) -> usize {
        let breaker = self.lock();
        match breaker.standing().state {
            BreakerState::Closed => usize::MAX,
            BreakerState::Open | BreakerState::HalfOpen => {
                usize::from(breaker.probe_due(Instant::now()).is_some())
            }
        }
    }
}

/// A probe's ticket while somebody holds it. Dropped unused, the next may have one.
#[derive(Debug)]
pub struct Probe {
    watch: BreakerWatch,
    pub ticket: Ticket,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.watch.lock().give_back(self.ticket);
    }
}

/// Not sent: the breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsOpen;

#[derive(Clone, Debug)]
pub struct Line {
    toss: Toss,
    watch: BreakerWatch,
    metrics: Metrics,
    /// How long a probe may take.
    probe: Duration,
}

impl Line {
    pub fn new(toss: Toss, watch: BreakerWatch, metrics: Metrics, probe: Duration) -> Line {
        Line {
            toss,
            watch,
            metrics,
            probe,
        }
    }

    pub async fn confirm(&self, call: &ConfirmCall) -> Result<Reply, IsOpen> {
        let leave = self.watch.lock().confirm().ok_or(IsOpen)?;
        let began = Instant::now();
        let told = self.toss.confirm(call).await;
        let end = end_of(&told.said.outcome);
        self.metrics
            .called(Operation::Confirm, end, began.elapsed());
        self.hear(leave, told.health);
        Ok(told.said)
    }

    pub async fn look_up(&self, subject: Subject, held: Option<Ticket>) -> Result<Finding, IsOpen> {
        let leave = self.watch.lock().question(held, Instant::now());
        let leave = leave.ok_or(IsOpen)?;
        // Until the breaker has heard: a look-up that breaks off gives its ticket back.
        let _probe = match leave {
            Leave::Probe(ticket) => Some(self.guard(ticket)),
            Leave::Confirm { .. } | Leave::Question { .. } => None,
        };
        let operation = match subject {
            Subject::PaymentKey(_) => Operation::LookUp,
            Subject::Order(_) => Operation::LookUpByOrder,
        };
        let began = Instant::now();
        let asked = async {
            match subject {
                Subject::PaymentKey(key) => self.toss.look_up(&key).await,
                Subject::Order(order) => self.toss.look_up_order(order).await,
            }
        };
        let told = match leave {
            Leave::Probe(_) => {
                // A probe that hangs for the whole of a call's timeout would keep a healed Toss shut out.
                timeout(self.probe, asked).await.unwrap_or_else(|_| Told {
                    said: Finding::NoAnswer("timeout of a probe".into()),
                    health: Health::Faulty,
                })
            }
            Leave::Confirm { .. } | Leave::Question { .. } => asked.await,
        };
        let end = match &told.said {
            Finding::Found(_) | Finding::PaidUnder(_) => CallEnd::Found,
            Finding::NotFound => CallEnd::NotFound,
            Finding::Undecided(_) => CallEnd::Undecided,
            Finding::NoAnswer(_) => CallEnd::NoAnswer,
        };
        self.metrics.called(operation, end, began.elapsed());
        self.hear(leave, told.health);
        Ok(told.said)
    }

    /// Whether a flight of this lane could be let in.
    pub fn invites(&self, lane: Lane) -> Result<(), Busy> {
        let breaker = self.watch.lock();
        match (breaker.standing().state, lane) {
            (BreakerState::Closed, Lane::Live | Lane::Recovery) => Ok(()),
            (BreakerState::Open | BreakerState::HalfOpen, Lane::Recovery)
                if breaker.probe_due(Instant::now()).is_some() =>
            {
                Ok(())
            }
            (BreakerState::Open | BreakerState::HalfOpen, Lane::Live | Lane::Recovery) => {
                Err(busy(breaker.retry_after(Instant::now())))
            }
        }
    }

    /// Lets a flight in: while closed, or a question of recovery as the probe that is due.
    pub fn enter(&self, lane: Lane) -> Result<Option<Probe>, Busy> {
        let mut breaker = self.watch.lock();
        if breaker.standing().state == BreakerState::Closed {
            return Ok(None);
        }
        let now = Instant::now();
        let ticket = match lane {
            Lane::Live => None,
            Lane::Recovery => breaker.probe(now),
        };
        let refusal = busy(breaker.retry_after(now));
        drop(breaker);
        ticket.map(|ticket| Some(self.guard(ticket))).ok_or(refusal)
    }

    pub fn is_on_trial(&self) -> bool {
        self.watch.lock().is_on_trial()
    }

    /// For how long a probe has been due without anybody making it.
    pub fn probe_due(&self) -> Option<Duration> {
        self.watch.lock().probe_due(Instant::now())
    }

    fn guard(&self, ticket: Ticket) -> Probe {
        let watch = self.watch.clone();
        Probe { watch, ticket }
    }

    fn hear(&self, leave: Leave, health: Health) {
        let dice = rand::random();
        let mut breaker = self.watch.lock();
        let news = breaker.heard(leave, health, Instant::now(), dice);
        drop(breaker);
        match news {
            Some(News::Opened(Cause::Faults, wait)) => tracing::error!(
                probe_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "Toss does not answer: the breaker opens; new confirms are refused, unfinished ones wait"
            ),
            Some(News::Opened(Cause::KeyRefused, _) | News::KeyRefused) => tracing::error!(
                "Toss refuses our secret key: set toss.secret_key; the breaker is open until Toss accepts it, and no order is failed"
            ),
            Some(News::Closed) => {
                tracing::warn!("Toss answers again: the breaker closes");
            }
            None => {}
        }
    }
}

const fn end_of(outcome: &Outcome) -> CallEnd {
    match outcome {
        Outcome::Approved(_) => CallEnd::Approved,
        Outcome::Declined(_) => CallEnd::Declined,
        Outcome::NotAttempted(_) => CallEnd::NotAttempted,
        Outcome::InProgress(_) => CallEnd::InProgress,
        Outcome::Temporary(_) => CallEnd::Temporary,
        Outcome::Unknown(_) => CallEnd::Unknown,
    }
}

fn busy(wait: Duration) -> Busy {
    let seconds = wait.as_millis().div_ceil(1_000);
    let retry_after_s = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
    Busy { retry_after_s }
}
