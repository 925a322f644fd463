//! PaymentActor: keeps the last committed snapshot of one payment, at most one flight, and the callers who wait.
//! It decides nothing about payments: `check`, `advance` and the domain do. Where other nodes write the same record,
//! its memory is a hint: what rests on it alone is read again before anybody is told.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::advance::{Flight, Landing, Purpose, advance};
use super::callers::{Caller, Callers, Stay};
use super::check::{Admission, Request, check};
use super::hands::{Counted, SharedHands};
use super::recorder::Unwritten;
use super::sight::{Sight, may_be_outdated, reload};
use super::{Ended, Idle, Landed, Waiter};
use crate::actors::api::{Heard, TraceId};
use crate::actors::toss::{Busy, Lane};
use crate::domain::{Answer, Payment, PaymentKey, Rejection, Status};
use crate::metrics::{Present, Shed};

mod landing;
mod mailbox;

#[cfg(test)]
pub use mailbox::Explode;

/// A flight read or committed something: this is the payment now.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Advanced {
    pub sight: Sight,
    /// It was written by this flight.
    pub written: bool,
}

/// Where an actor reports to; shared by all actors of a shard.
#[derive(Debug)]
pub struct ShardPort {
    pub idle: Recipient<Idle>,
    pub ended: Recipient<Ended>,
}

#[derive(Debug)]
enum Aloft {
    /// An attempt with this paymentKey, journaled or about to be.
    Confirming(PaymentKey),
    /// `claimed`: a write of this flight made it ours.
    Recovering {
        claimed: bool,
    },
    Expiring,
    Refreshing,
}

#[derive(Debug)]
pub struct PaymentActor {
    hands: SharedHands,
    shard: Arc<ShardPort>,
    payment: Payment,
    /// The snapshot is not older than this. Where nobody else writes, its age says nothing.
    as_of: Instant,
    /// At that time, another living node had made the last claim.
    is_anothers: bool,
    aloft: Option<Aloft>,
    callers: Callers,
    landed: Vec<oneshot::Sender<()>>,
    last_question: Option<Instant>,
    last_refresh: Option<Instant>,
    nudged: bool,
    /// The next reading for those who wait is on its way, and so far apart they are.
    watching: bool,
    watch_pause: Duration,
    /// The order itself is being written down; whoever wants it waits for that.
    opening: bool,
    /// Messages of the shard so far; the shard counts what it sends.
    seen: u64,
    _present: Present,
}

/// A resting UNKNOWN is asked about, and a quarantined record read afresh, for its callers at most this often.
const NUDGE_INTERVAL: Duration = Duration::from_secs(1);

/// Pauses between two readings of a record that another node is at, while callers wait for it here.
const WATCH_MIN: Duration = Duration::from_millis(20);
const WATCH_MAX: Duration = Duration::from_millis(500);

impl PaymentActor {
    /// The payment as it was read, or made, not before `as_of`.
    pub fn new(
        hands: SharedHands,
        shard: Arc<ShardPort>,
        payment: Payment,
        as_of: Instant,
    ) -> PaymentActor {
        PaymentActor {
            _present: hands.metrics.actor(),
            hands,
            shard,
            payment,
            as_of,
            is_anothers: false,
            aloft: None,
            callers: Callers::default(),
            landed: Vec::new(),
            last_question: None,
            last_refresh: None,
            nudged: false,
            watching: false,
            watch_pause: WATCH_MIN,
            opening: false,
            seen: 0,
        }
    }

    fn receive(
        &mut self,
        request: &Request,
        since: Instant,
        trace: TraceId,
        waiter: Waiter,
        ctx: &mut Context<Self>,
    ) {
        let opening = match &self.aloft {
            Some(Aloft::Confirming(key)) => Some(key),
            Some(Aloft::Recovering { .. } | Aloft::Expiring | Aloft::Refreshing) | None => None,
        };
        let flying = self.aloft.is_some();
        let now = self.hands.clock.now();
        let verdict = check(&self.payment, opening, flying, request, now);
        let key = &request.payment_key;
        if self.needs_a_look(&verdict, since) {
            if self.join(key, since, Stay::Again, waiter, &verdict) && !flying {
                self.take_off(Purpose::Refresh, since, trace, ctx);
            }
            return;
        }
        let patient = match verdict {
            Admission::Answer(Answer::UnderReview { .. })
                if !self.is_shared() && self.may_be_resolved() =>
            {
                false
            }
            Admission::Answer(answer) => return waiter.tell(Heard::Answer(answer)),
            Admission::Reject(rejection) => return waiter.tell(Heard::Rejected(rejection)),
            Admission::Join => opening.is_none(),
            Admission::Nudge => true,
            Admission::Start => false,
        };
        let opens = verdict == Admission::Start && !flying;
        if opens && let Some(Busy { retry_after_s }) = self.hands.turns_away() {
            self.hands.shed_before_toss();
            return waiter.tell(Heard::Rejected(Rejection::Busy { retry_after_s }));
        }
        let stay = match patient {
            true => Stay::Patient,
            false => Stay::ForThisFlight,
        };
        if !self.join(key, since, stay, waiter, &verdict) {
            return;
        }
        match verdict {
            Admission::Nudge if self.is_left_to_another() => self.watch(ctx),
            Admission::Nudge => self.nudge(trace, ctx),
            // While an expiry is being written, the caller waits for it and is then looked at again.
            Admission::Start if !flying => {
                self.take_off(Purpose::Confirm(key.clone()), since, trace, ctx);
            }
            Admission::Answer(Answer::UnderReview { .. }) if !flying => {
                self.take_off(Purpose::Refresh, since, trace, ctx);
            }
            Admission::Start | Admission::Join | Admission::Answer(_) | Admission::Reject(_) => {}
        }
    }

    /// False if too many wait already: then the caller has been told.
    fn join(
        &mut self,
        key: &PaymentKey,
        since: Instant,
        stay: Stay,
        mut waiter: Waiter,
        verdict: &Admission,
    ) -> bool {
        if self.callers.is_full(self.hands.most_waiters) {
            self.hands.metrics.shed(Shed::Waiters);
            waiter.tell(match (verdict, stay) {
                (Admission::Answer(answer), Stay::Patient | Stay::ForThisFlight) => {
                    Heard::Answer(answer.clone())
                }
                (
                    Admission::Answer(_)
                    | Admission::Reject(_)
                    | Admission::Join
                    | Admission::Nudge
                    | Admission::Start,
                    Stay::Patient | Stay::ForThisFlight | Stay::Again,
                ) => Heard::Rejected(Rejection::Busy { retry_after_s: 1 }),
            });
            return false;
        }
        if self.payment.attempt_with(key).is_some() {
            waiter.tell_begun();
        }
        self.callers.join(Caller {
            key: key.clone(),
            waiter,
            stay,
            since,
            _present: self.hands.metrics.waiter(),
        });
        true
    }

    fn is_shared(&self) -> bool {
        self.hands.store.is_shared()
    }

    /// Whether the snapshot may be older than a caller who came then.
    fn may_be_old(&self, since: Instant) -> bool {
        self.is_shared() && self.as_of < since
    }

    /// Whether this would be said on the word of a snapshot that another node may have outdated. While an attempt or
    /// a claim of our own is under way, the snapshot is ours.
    fn needs_a_look(&self, verdict: &Admission, since: Instant) -> bool {
        let doubtful = match &self.aloft {
            Some(Aloft::Confirming(_) | Aloft::Recovering { claimed: true }) => return false,
            Some(Aloft::Refreshing) => *verdict == Admission::Join,
            Some(Aloft::Recovering { claimed: false } | Aloft::Expiring) | None => false,
        };
        self.may_be_old(since) && (doubtful || may_be_outdated(&self.payment, verdict))
    }

    /// Another living node is at it, or has just been and will be again.
    fn is_left_to_another(&self) -> bool {
        self.is_anothers && !self.hands.may_take_over(&self.payment, Lane::Live)
    }

    fn see(&mut self, sight: Sight) {
        if sight.payment.version != self.payment.version {
            self.watch_pause = WATCH_MIN;
        }
        self.payment = sight.payment;
        self.as_of = self.as_of.max(sight.as_of);
        self.is_anothers = sight.is_anothers;
    }

    fn take_off(
        &mut self,
        purpose: Purpose,
        since: Instant,
        trace: TraceId,
        ctx: &mut Context<Self>,
    ) {
        // Counted from here, not from its first poll: in between, a closing house would not see it.
        let Some(counted) = self.hands.flights.take_off() else {
            return self.turn_away();
        };
        self.aloft = Some(match &purpose {
            Purpose::Confirm(key) => Aloft::Confirming(key.clone()),
            Purpose::Recover(_) => Aloft::Recovering { claimed: false },
            Purpose::Expire => Aloft::Expiring,
            Purpose::Refresh => Aloft::Refreshing,
        });
        match purpose {
            Purpose::Recover(_) => self.last_question = Some(Instant::now()),
            Purpose::Refresh => self.last_refresh = Some(Instant::now()),
            Purpose::Confirm(_) | Purpose::Expire => {}
        }
        let sight = Sight {
            payment: self.payment.clone(),
            as_of: self.as_of,
            is_anothers: self.is_anothers,
        };
        let flight = Flight {
            hands: self.hands.clone(),
            sight,
            since,
            purpose,
            actor: ctx.address(),
            trace,
            unwritten: Unwritten::default(),
        };
        let flight = fly(flight, counted).into_actor(self);
        ctx.spawn(flight.map(move |(landing, sight), actor, ctx| {
            fault_point!(Landing);
            actor.land(landing, sight, trace, ctx);
            fault_point!(Answered);
        }));
    }

    /// One question: now, or when the last one is a second old. Paced, because what made it necessary (a full
    /// disk, a stale write) may make the next one necessary too.
    fn nudge(&mut self, trace: TraceId, ctx: &mut Context<Self>) {
        if self.nudged {
            return;
        }
        let elapsed = self
            .last_question
            .map_or(NUDGE_INTERVAL, |asked| asked.elapsed());
        self.nudged = true;
        ctx.run_later(NUDGE_INTERVAL.saturating_sub(elapsed), move |actor, ctx| {
            actor.nudged = false;
            let unfinished = matches!(actor.payment.status, Status::Unknown | Status::InProgress);
            if actor.aloft.is_none() && unfinished {
                let gone = actor.callers.are_gone();
                let lane = if gone { Lane::Recovery } else { Lane::Live };
                actor.take_off(Purpose::Recover(lane), Instant::now(), trace, ctx);
            }
        });
    }

    /// A quarantine may have been ended by an operator's command, which writes beside this server: a caller who would
    /// hear "under review" waits for a fresh reading.
    fn may_be_resolved(&self) -> bool {
        match self.aloft {
            Some(Aloft::Refreshing) => true,
            Some(Aloft::Confirming(_) | Aloft::Recovering { .. } | Aloft::Expiring) => false,
            None => self
                .last_refresh
                .is_none_or(|read| read.elapsed() >= NUDGE_INTERVAL),
        }
    }

    /// A confirm may be out, and nobody who lives waits for it.
    fn is_abandoned(&self) -> bool {
        self.aloft.is_none() && self.payment.status == Status::InProgress && !self.is_anothers
    }

    fn is_due(&self) -> bool {
        self.payment
            .due_at()
            .is_some_and(|due| due <= self.hands.clock.now())
    }

    /// Keeps the sender until the flight lands; with nobody aloft it is dropped, and the timer hears at once.
    fn remember(&mut self, reply: Landed) {
        if self.aloft.is_some() {
            self.landed.extend(reply);
        }
    }

    fn end(&mut self, ask: bool, ctx: &mut Context<Self>) {
        let (order, actor) = (self.payment.order.id, ctx.address());
        self.shard.ended.do_send(Ended { order, actor, ask });
        ctx.stop();
    }
}

/// A flight that always comes down: a panic is caught, an endless one is stopped - not while it has an approval in hand,
/// which only waits for the database - and where its copy can no longer be trusted the payment is read afresh.
async fn fly(flight: Flight, _counted: Counted) -> (Landing, Option<Sight>) {
    let (hands, order) = (flight.hands.clone(), flight.sight.payment.order.id);
    let (most, unwritten) = (hands.limits.flight(), flight.unwritten.clone());
    let flown = {
        // Gone when it is stopped: what it holds may be wanted for the reload.
        let mut flight = pin!(AssertUnwindSafe(advance(flight)).catch_unwind());
        loop {
            let flown = timeout(most, &mut flight).await;
            if flown.is_ok() || !unwritten.is_evidence() {
                break flown;
            }
            tracing::warn!(%order, "an approval still waits for the database");
        }
    };
    let (landing, sight) = match flown {
        Ok(Ok((landing, sight))) => (landing, Some(sight)),
        Ok(Err(_)) => (Landing::Panicked, None),
        Err(_) => (Landing::Overdue, None),
    };
    if landing.needs_reload() {
        return match reload(&hands, order).await {
            Some(sight) => (landing, Some(sight)),
            None => (Landing::Gone, None),
        };
    }
    (landing, sight)
}
