//! PaymentActor: keeps the last committed snapshot of one payment, at most one flight, and the callers who wait.
//! It decides nothing about payments: `check`, `advance` and the domain do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::advance::{Flight, Landing, Purpose, advance};
use super::callers::{Caller, Callers, pending};
use super::check::{Request, Verdict, check};
use super::hands::{Counted, SharedHands};
use super::recorder::reload;
use super::{AreYouIdle, Checkout, Confirm, Ended, Idle, Landed, Retry, Stop, Timeout, Waiter};
use crate::actors::api::{Heard, TraceId};
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::toss::{Busy, Lane};
use crate::domain::{Answer, Payment, PaymentKey, Rejection, Status, Transition};
use crate::metrics::{Present, Shed};
use crate::store::{self, Change, CheckoutKey};

/// A flight committed something: this is the payment now.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Advanced {
    pub payment: Payment,
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
    Recovering,
    Expiring,
    Refreshing,
}

#[derive(Debug)]
pub struct PaymentActor {
    hands: SharedHands,
    shard: Arc<ShardPort>,
    payment: Payment,
    aloft: Option<Aloft>,
    callers: Callers,
    landed: Vec<oneshot::Sender<()>>,
    last_question: Option<Instant>,
    last_refresh: Option<Instant>,
    nudged: bool,
    /// The order itself is being written down; whoever wants it waits for that.
    opening: bool,
    /// Messages of the shard so far; the shard counts what it sends.
    seen: u64,
    _present: Present,
}

/// A resting UNKNOWN is asked about, and a quarantined record read afresh, for its callers at most this often.
const NUDGE_INTERVAL: Duration = Duration::from_secs(1);

impl PaymentActor {
    pub fn new(hands: SharedHands, shard: Arc<ShardPort>, payment: Payment) -> PaymentActor {
        PaymentActor {
            _present: hands.metrics.actor(),
            hands,
            shard,
            payment,
            aloft: None,
            callers: Callers::default(),
            landed: Vec::new(),
            last_question: None,
            last_refresh: None,
            nudged: false,
            opening: false,
            seen: 0,
        }
    }

    fn receive(
        &mut self,
        request: &Request,
        trace: TraceId,
        mut waiter: Waiter,
        ctx: &mut Context<Self>,
    ) {
        let opening = match &self.aloft {
            Some(Aloft::Confirming(key)) => Some(key),
            Some(Aloft::Recovering | Aloft::Expiring | Aloft::Refreshing) | None => None,
        };
        let flying = self.aloft.is_some();
        let now = self.hands.clock.now();
        let verdict = check(&self.payment, opening, flying, request, now);
        let patient = match verdict {
            Verdict::Answer(Answer::UnderReview { .. }) if self.may_be_resolved() => false,
            Verdict::Answer(answer) => return waiter.tell(Heard::Answer(answer)),
            Verdict::Reject(rejection) => return waiter.tell(Heard::Rejected(rejection)),
            Verdict::Join => opening.is_none(),
            Verdict::Nudge => true,
            Verdict::Start => false,
        };
        let opens = verdict == Verdict::Start && !flying;
        if opens && let Some(Busy { retry_after_s }) = self.hands.turns_away() {
            self.hands.shed_before_toss();
            return waiter.tell(Heard::Rejected(Rejection::Busy { retry_after_s }));
        }
        if self.callers.is_full(self.hands.most_waiters) {
            self.hands.metrics.shed(Shed::Waiters);
            return waiter.tell(match verdict {
                Verdict::Answer(answer) => Heard::Answer(answer),
                Verdict::Reject(_) | Verdict::Join | Verdict::Nudge | Verdict::Start => {
                    Heard::Rejected(Rejection::Busy { retry_after_s: 1 })
                }
            });
        }
        let key = request.payment_key.clone();
        if self.payment.attempt_with(&key).is_some() {
            waiter.tell_begun();
        }
        self.callers.join(Caller {
            key: key.clone(),
            waiter,
            patient,
            _present: self.hands.metrics.waiter(),
        });
        match verdict {
            Verdict::Nudge => self.nudge(trace, ctx),
            // While an expiry is being written, the caller waits for it and is then looked at again.
            Verdict::Start if !flying => self.take_off(Purpose::Confirm(key), trace, ctx),
            Verdict::Answer(Answer::UnderReview { .. }) if !flying => {
                self.take_off(Purpose::Refresh, trace, ctx);
            }
            Verdict::Start | Verdict::Join | Verdict::Answer(_) | Verdict::Reject(_) => {}
        }
    }

    fn take_off(&mut self, purpose: Purpose, trace: TraceId, ctx: &mut Context<Self>) {
        // Counted from here, not from its first poll: in between, a closing house would not see it.
        let Some(counted) = self.hands.flights.take_off() else {
            return self.turn_away();
        };
        self.aloft = Some(match &purpose {
            Purpose::Confirm(key) => Aloft::Confirming(key.clone()),
            Purpose::Recover(_) => Aloft::Recovering,
            Purpose::Expire => Aloft::Expiring,
            Purpose::Refresh => Aloft::Refreshing,
        });
        match purpose {
            Purpose::Recover(_) => self.last_question = Some(Instant::now()),
            Purpose::Refresh => self.last_refresh = Some(Instant::now()),
            Purpose::Confirm(_) | Purpose::Expire => {}
        }
        let (hands, payment) = (self.hands.clone(), self.payment.clone());
        let flight = Flight {
            hands,
            payment,
            purpose,
            actor: ctx.address(),
            trace,
        };
        let flight = fly(flight, counted).into_actor(self);
        ctx.spawn(flight.map(move |(landing, payment), actor, ctx| {
            fault_point!(Landing);
            actor.land(landing, payment, trace, ctx);
            fault_point!(Answered);
        }));
    }

    /// The house closes: who has begun nothing comes back to another one, who waits for an outcome hears
    /// that it is not known yet.
    fn turn_away(&mut self) {
        for stranger in self.callers.answer(&self.payment) {
            let busy = Rejection::Busy { retry_after_s: 1 };
            stranger.waiter.tell(Heard::Rejected(busy));
        }
        self.callers.dismiss(&self.payment);
    }

    fn land(
        &mut self,
        landing: Landing,
        payment: Option<Payment>,
        trace: TraceId,
        ctx: &mut Context<Self>,
    ) {
        self.aloft = None;
        self.landed.clear();
        if let Some(payment) = payment {
            // What was reloaded counts even if it is older: a restored backup is older.
            if landing.needs_reload() || payment.version >= self.payment.version {
                self.payment = payment;
            }
        }
        match landing {
            Landing::Rejected(rejection) => self.callers.reject(&rejection),
            Landing::Panicked => {
                self.callers.dismiss(&self.payment);
                self.end(true, ctx);
            }
            Landing::Gone => {
                self.callers.dismiss(&self.payment);
                self.end(false, ctx);
            }
            Landing::Rested | Landing::Postponed | Landing::CheckAgain => {
                // Callers with another paymentKey than the record's are looked at in the new light.
                for Caller { key, waiter, .. } in self.callers.answer(&self.payment) {
                    let amount = self.payment.order.total;
                    let request = Request {
                        user: None,
                        amount,
                        payment_key: key,
                    };
                    self.receive(&request, trace, waiter, ctx);
                }
                if landing == Landing::CheckAgain && self.is_abandoned() {
                    self.nudge(trace, ctx);
                }
            }
            Landing::Stale | Landing::Doubtful | Landing::Overdue => {
                // Whether their attempt was written is not known: never "busy", never a second attempt.
                for stranger in self.callers.answer(&self.payment) {
                    stranger.waiter.tell(Heard::Answer(pending(&self.payment)));
                }
                if self.is_abandoned() {
                    self.nudge(trace, ctx);
                }
            }
        }
        if self.aloft.is_none() && self.hands.flights.are_closed() {
            self.turn_away();
        }
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
                actor.take_off(Purpose::Recover(lane), trace, ctx);
            }
        });
    }

    /// A quarantine may have been ended by an operator's command, which writes beside this server: a caller who would
    /// hear "under review" waits for a fresh reading.
    fn may_be_resolved(&self) -> bool {
        match self.aloft {
            Some(Aloft::Refreshing) => true,
            Some(Aloft::Confirming(_) | Aloft::Recovering | Aloft::Expiring) => false,
            None => self
                .last_refresh
                .is_none_or(|read| read.elapsed() >= NUDGE_INTERVAL),
        }
    }

    /// A confirm may be out, and nobody here waits for it.
    fn is_abandoned(&self) -> bool {
        self.aloft.is_none() && self.payment.status == Status::InProgress
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

/// A flight that always comes down: a panic is caught, an endless one is stopped, and where its copy can no
/// longer be trusted the payment is read afresh.
async fn fly(flight: Flight, _counted: Counted) -> (Landing, Option<Payment>) {
    let (hands, order) = (flight.hands.clone(), flight.payment.order.id);
    let most = hands.limits.flight();
    let flown = timeout(most, AssertUnwindSafe(advance(flight)).catch_unwind()).await;
    let (landing, payment) = match flown {
        Ok(Ok((landing, payment))) => (landing, Some(payment)),
        Ok(Err(_)) => (Landing::Panicked, None),
        Err(_) => (Landing::Overdue, None),
    };
    if landing.needs_reload() {
        return match reload(&hands, order).await {
            Some(payment) => (landing, Some(payment)),
            None => (Landing::Gone, None),
        };
    }
    (landing, payment)
}

impl Actor for PaymentActor {
    type Context = Context<Self>;
}

impl Handler<Checkout> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Checkout, ctx: &mut Self::Context) {
        self.seen += 1;
        let Checkout {
            idempotency,
            reply,
            trace,
        } = order;
        let moment = self.hands.clock.moment();
        let user = self.payment.order.user.clone();
        let key = idempotency.map(|given| CheckoutKey {
            user,
            key: given.key,
            body_hash: given.body_hash,
        });
        let transition = Transition::checkout(moment.transition, self.payment.clone(), moment.at);
        let written = self
            .hands
            .journal
            .send(Write::new(Change::Checkout { transition, key }).traced(trace));
        self.opening = true;
        ctx.spawn(written.into_actor(self).map(move |written, actor, ctx| {
            actor.opening = false;
            let written = written.unwrap_or(Err(NoVerdict::Doubtful));
            if matches!(written, Ok(store::Verdict::Committed { .. })) {
                let (order, amount) = (actor.payment.order.id, actor.payment.order.total.get());
                tracing::info!(%trace, %order, amount, "checked out");
            } else {
                actor.end(false, ctx);
            }
            _ = reply.send(written);
        }));
    }
}

impl Handler<Confirm> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Confirm, ctx: &mut Self::Context) {
        self.seen += 1;
        self.receive(&order.request, order.trace, order.waiter, ctx);
    }
}

impl Handler<Retry> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Retry, ctx: &mut Self::Context) {
        self.seen += 1;
        let wanted = match self.payment.status {
            // In progress without a flight here: whoever was at it is gone.
            Status::InProgress => true,
            Status::Unknown | Status::Quarantined => self.is_due(),
            Status::Ready | Status::Done | Status::Failed | Status::Expired => false,
        };
        if self.aloft.is_none() && wanted {
            self.take_off(Purpose::Recover(Lane::Recovery), TraceId::default(), ctx);
        } else if self.aloft.is_none() && order.seen != self.payment.status {
            // The record is ahead of us: a write landed that we had given up.
            self.take_off(Purpose::Refresh, TraceId::default(), ctx);
        }
        self.remember(order.reply);
    }
}

impl Handler<Timeout> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Timeout, ctx: &mut Self::Context) {
        self.seen += 1;
        if self.payment.status == Status::Ready && self.is_due() && self.aloft.is_none() {
            self.take_off(Purpose::Expire, TraceId::default(), ctx);
        }
        self.remember(order.reply);
    }
}

impl Handler<Advanced> for PaymentActor {
    type Result = ();

    fn handle(&mut self, news: Advanced, _: &mut Self::Context) {
        // The landing may have overtaken this message.
        if news.payment.version > self.payment.version {
            self.payment = news.payment;
            self.callers.tell_begun(&self.payment);
        }
    }
}

impl Handler<AreYouIdle> for PaymentActor {
    type Result = ();

    fn handle(&mut self, _: AreYouIdle, _: &mut Self::Context) {
        let at_work = self.aloft.is_some() || self.nudged || self.opening;
        if !at_work && self.callers.are_gone() {
            let (order, seen) = (self.payment.order.id, self.seen);
            self.shard.idle.do_send(Idle { order, seen });
        }
    }
}

impl Handler<Stop> for PaymentActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// A handler that panics, as handlers sometimes do.
#[cfg(test)]
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Explode;

#[cfg(test)]
impl Handler<Explode> for PaymentActor {
    type Result = ();

    fn handle(&mut self, _: Explode, _: &mut Self::Context) {
        panic!("exploded");
    }
}
