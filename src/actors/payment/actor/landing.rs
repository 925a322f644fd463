//! What becomes of the callers when a flight comes down: they are told, looked at again, or wait on.

use actix::prelude::*;
use tokio::time::Instant;

use super::{PaymentActor, WATCH_MAX};
use crate::actors::api::{Heard, TraceId};
use crate::actors::payment::advance::{Landing, Purpose};
use crate::actors::payment::callers::{Caller, Stay, pending};
use crate::actors::payment::check::Request;
use crate::actors::payment::sight::Sight;
use crate::domain::Rejection;

impl PaymentActor {
    pub(super) fn land(
        &mut self,
        landing: Landing,
        sight: Option<Sight>,
        trace: TraceId,
        ctx: &mut Context<Self>,
    ) {
        self.aloft = None;
        self.landed.clear();
        if let Some(sight) = sight {
            // What was reloaded counts even if it is older: a restored backup is older.
            if landing.needs_reload() || sight.payment.version >= self.payment.version {
                self.see(sight);
                self.callers.tell_begun(&self.payment);
            }
        }
        let now = self.hands.clock.now();
        match landing {
            Landing::Rejected(rejection) => self.callers.reject(&rejection),
            Landing::Panicked => {
                self.callers.dismiss(&self.payment, now);
                self.end(true, ctx);
            }
            Landing::Gone => {
                self.callers.dismiss(&self.payment, now);
                self.end(false, ctx);
            }
            Landing::Rested | Landing::Postponed | Landing::CheckAgain => {
                if landing == Landing::CheckAgain {
                    self.follow(trace, ctx);
                }
                // Callers with another paymentKey than the record's are looked at in the new light.
                let others = self.callers.answer(&self.payment, now);
                self.look_again(others, trace, ctx);
                if landing == Landing::CheckAgain && self.is_abandoned() {
                    self.nudge(trace, ctx);
                }
            }
            Landing::Stale | Landing::Doubtful | Landing::Overdue => {
                if landing == Landing::Stale {
                    self.follow(trace, ctx);
                }
                // Whether their attempt was written is not known: never "busy", never a second attempt.
                let again = self.callers.take(Stay::Again);
                for stranger in self.callers.answer(&self.payment, now) {
                    stranger.waiter.tell(Heard::Answer(pending(&self.payment)));
                }
                self.look_again(again, trace, ctx);
                if self.is_abandoned() {
                    self.nudge(trace, ctx);
                }
            }
        }
        if self.aloft.is_none() && self.hands.flights.are_closed() {
            self.turn_away();
        }
        self.watch(ctx);
    }

    /// Another node was faster: those whose paymentKey it has taken up wait for what comes of it there.
    fn follow(&mut self, trace: TraceId, ctx: &mut Context<Self>) {
        if !self.is_shared() {
            return;
        }
        let beaten = self.callers.take(Stay::ForThisFlight);
        let known = |caller: &Caller| self.payment.attempt_with(&caller.key).is_some();
        let (beaten, strangers): (Vec<_>, Vec<_>) = beaten.into_iter().partition(known);
        for stranger in strangers {
            self.callers.join(stranger);
        }
        self.look_again(beaten, trace, ctx);
    }

    /// Callers who were waiting for a fresh reading, or whose paymentKey the record does not name.
    pub(super) fn look_again(
        &mut self,
        callers: Vec<Caller>,
        trace: TraceId,
        ctx: &mut Context<Self>,
    ) {
        for caller in callers {
            let request = Request {
                user: None,
                amount: self.payment.order.total,
                payment_key: caller.key,
            };
            self.receive(&request, caller.since, trace, caller.waiter, ctx);
        }
    }

    /// While callers wait for what another node may settle, the record is read again, ever more slowly.
    pub(super) fn watch(&mut self, ctx: &mut Context<Self>) {
        let idle = self.aloft.is_none() && !self.watching;
        if !idle || !self.is_shared() || self.callers.are_gone() {
            return;
        }
        let pause = self.watch_pause;
        self.watch_pause = (pause * 2).min(WATCH_MAX);
        self.watching = true;
        ctx.run_later(pause, |actor, ctx| {
            actor.watching = false;
            if actor.aloft.is_none() && !actor.callers.are_gone() {
                let (since, trace) = (Instant::now(), TraceId::default());
                actor.take_off(Purpose::Refresh, since, trace, ctx);
            }
        });
    }

    /// The house closes: who has begun nothing comes back to another one, who waits for an outcome hears
    /// that it is not known yet.
    pub(super) fn turn_away(&mut self) {
        let now = self.hands.clock.now();
        for Caller { key, waiter, .. } in self.callers.answer(&self.payment, now) {
            let busy = Heard::Rejected(Rejection::Busy { retry_after_s: 1 });
            let known = self.payment.answer_for(&key, now).map(Heard::Answer);
            waiter.tell(known.unwrap_or(busy));
        }
        self.callers.dismiss(&self.payment, now);
    }
}
