//! What a flight may use: the gates, the journal, the record, and a clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::Recipient;
use tokio::time::Instant;

use crate::actors::clock::Clock;
use crate::actors::journal::Write;
use crate::actors::membership::{Membership, Warrant};
use crate::actors::pacing::Pacing;
use crate::actors::product::Products;
use crate::actors::toss::{Admit, Busy, Front, Lane, LookUp, SendConfirm};
use crate::actors::versions::VersionOf;
use crate::domain::{Attempt, Claim, GatewayIdentity, Payment, Rules, Status, Timestamp};
use crate::metrics::{BreakerState, Metrics, Shed};
use crate::store::{Store, StoreFault};

/// How long a flight may take.
#[derive(Clone, Copy, Debug)]
pub struct FlightLimits {
    /// From its first send on: how long new questions may start before the callers hear "pending".
    pub budget: Duration,
    /// The longest that one call may take from its start: connect and read timeouts.
    pub call: Duration,
}

impl FlightLimits {
    /// From a claim to its hard deadline: waiting in, repeats or questions within the budget, and one last call.
    pub fn claim(&self) -> Duration {
        self.budget + self.call + Duration::from_secs(5)
    }

    /// The longest that a flight may last before it is stopped from outside, unless it holds an approval that only
    /// waits for the database: its claim, and as much again for the claim of a last send. Every single wait inside it is
    /// bounded well below.
    pub fn flight(&self) -> Duration {
        self.claim() * 2
    }
}

#[derive(Debug)]
pub struct Hands {
    pub membership: Membership,
    /// The gateway that this node speaks to.
    pub gateway: GatewayIdentity,
    pub clock: Clock,
    pub limits: FlightLimits,
    pub admit: Recipient<Admit>,
    pub confirm: Recipient<SendConfirm>,
    pub look_up: Recipient<LookUp>,
    pub journal: Recipient<Write>,
    pub products: Products,
    pub versions: Recipient<VersionOf>,
    /// For reading; and for two writes that decide nothing: the housekeeper prunes, the timer makes orphans due.
    pub store: Store,
    /// Callers that may wait for one order.
    pub most_waiters: usize,
    pub flights: Flights,
    /// Flights that may be out; a buyer's confirm that would be one more is refused before it costs anything.
    pub most_flights: usize,
    pub front: Front,
    /// What the journals of all nodes know of each other.
    pub pacing: Pacing,
    pub metrics: Metrics,
    #[cfg(test)]
    pub sabotage: Sabotage,
}

#[cfg(test)]
#[derive(Debug, Default)]
pub struct Sabotage {
    /// The next flight panics between its reservation and its journal entry.
    pub next: std::sync::atomic::AtomicBool,
    /// While set, every flight panics at once; and how many have.
    pub poison: std::sync::atomic::AtomicBool,
    pub stumbles: AtomicUsize,
}

/// How many flights are out, and whether more may take off: one number, so that nobody takes off between
/// the last look at it and the end.
#[derive(Clone, Debug, Default)]
pub struct Flights(Arc<AtomicUsize>);

const CLOSED: usize = 1 << (usize::BITS - 1);

impl Flights {
    /// `None` once the house closes.
    pub fn take_off(&self) -> Option<Counted> {
        let one_more = |out| (out & CLOSED == 0).then_some(out + 1);
        let counted = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        counted.ok().map(|_| Counted(self.clone()))
    }

    /// From here on the number only falls.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    pub fn are_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    pub fn out(&self) -> usize {
        self.0.load(Ordering::Acquire) & !CLOSED
    }
}

/// One flight, counted until it is dropped.
#[derive(Debug)]
pub struct Counted(Flights);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A claim, and the instant on the monotonic clock after which nothing is sent under it.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    pub claim: Claim,
    pub send_by: Instant,
}

impl Hands {
    #[cfg(test)]
    pub fn stumble(&self) {
        if self.sabotage.poison.load(Ordering::SeqCst) {
            self.sabotage.stumbles.fetch_add(1, Ordering::SeqCst);
            panic!("poisoned");
        }
    }

    /// Counts a confirm that has no place before Toss, or that stands before an open breaker.
    pub fn shed_before_toss(&self) {
        let place = match self.front.breaker.standing().state {
            // No heartbeat could be written.
            BreakerState::Closed if self.membership.current().is_none() => Shed::Journal,
            BreakerState::Closed => Shed::Gateway,
            BreakerState::Open | BreakerState::HalfOpen => Shed::Breaker,
        };
        self.metrics.shed(place);
    }

    /// What the caller of a confirm hears that need not even take off.
    pub fn turns_away(&self) -> Option<Busy> {
        let nobody = self.membership.current().is_none();
        let full = (nobody || self.is_full()).then_some(Busy { retry_after_s: 1 });
        self.front.turns_away().or(full)
    }

    pub fn is_full(&self) -> bool {
        self.flights.out() >= self.most_flights
    }

    /// A fresh term; none for a node that could not say in time that it lives. The monotonic deadline is taken first, so
    /// it never lies after the journaled one.
    pub fn term(&self) -> Option<Term> {
        let length = self.limits.claim();
        let send_by = Instant::now() + length;
        let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let claim = Claim {
            owner: self.membership.current()?,
            deadline: self.clock.latest().plus_ms(ms),
        };
        Some(Term { claim, send_by })
    }

    pub fn warrant(&self, term: Term, flight: Weak<()>) -> Warrant {
        Warrant {
            send_by: term.send_by,
            owner: term.claim.owner,
            membership: self.membership.clone(),
            flight,
        }
    }

    /// Whether a payment of another living node may be taken in hand here. What it has in progress, not before it has
    /// long been over: its age says nothing. What is unknown it goes on asking within its flight's budget; then it is
    /// anybody's. For a buyer who waits, it is from the last instant on at which that node may send.
    pub fn may_take_over(&self, payment: &Payment, lane: Lane) -> bool {
        let budget = i64::try_from(self.limits.budget.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        let over = |due: Timestamp| due.plus_ms(budget) <= now;
        let silent = |attempt: &Attempt| attempt.may_send_until <= now;
        match payment.status {
            Status::InProgress => {
                let due = payment.due_at();
                due.is_some_and(|due| due.plus_ms(Rules::LONG_OVER_MS) <= now)
            }
            Status::Unknown => {
                let silent = payment.current_attempt().is_none_or(silent);
                payment.due_at().is_none_or(over) || (lane == Lane::Live && silent)
            }
            Status::Ready
            | Status::Done
            | Status::Failed
            | Status::Expired
            | Status::Quarantined => true,
        }
    }

    /// Whether another node lives that made the last claim on this payment.
    pub async fn is_anothers(&self, payment: &Payment) -> Result<bool, StoreFault> {
        let mine = Some(self.membership.latest());
        match payment.owner.filter(|_| payment.owner != mine) {
            Some(owner) => self.store.lives(owner, self.membership.dead_after()).await,
            None => Ok(false),
        }
    }
}

pub type SharedHands = Arc<Hands>;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn after_the_close_nobody_takes_off_and_the_count_only_falls() {
        let flights = Flights::default();
        let (first, second) = (flights.take_off().unwrap(), flights.take_off().unwrap());
        assert_eq!((flights.out(), flights.are_closed()), (2, false));
        flights.close();
        flights.close();
        assert!(flights.take_off().is_none());
        assert_eq!((flights.out(), flights.are_closed()), (2, true));
        drop(first);
        drop(second);
        assert_eq!(flights.out(), 0);
        assert!(flights.take_off().is_none());
    }
}
