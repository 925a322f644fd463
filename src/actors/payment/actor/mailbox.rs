//! What a PaymentActor hears, message by message. The stories are told by the actor and by its flights.

use actix::prelude::*;
use tokio::time::Instant;

use super::{Advanced, Aloft, PaymentActor, Stay};
use crate::actors::api::TraceId;
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::payment::advance::Purpose;
use crate::actors::payment::{AreYouIdle, Checkout, Confirm, Idle, Retry, Stop, Timeout};
use crate::actors::toss::Lane;
use crate::domain::{Status, Transition};
use crate::store::{self, Change, CheckoutKey};

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
        let Confirm {
            request,
            trace,
            waiter,
            since,
        } = order;
        self.receive(&request, since, trace, waiter, ctx);
    }
}

impl Handler<Retry> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Retry, ctx: &mut Self::Context) {
        self.seen += 1;
        let wanted = match self.payment.status {
            // In progress without a flight here: whoever was at it is gone, or it is another node's.
            Status::InProgress => true,
            Status::Unknown | Status::Quarantined => self.is_due(),
            Status::Ready | Status::Done | Status::Failed | Status::Expired => false,
        };
        let (since, trace) = (order.since, TraceId::default());
        if self.aloft.is_none() && (wanted || self.may_be_old(since)) {
            self.take_off(Purpose::Recover(Lane::Recovery), since, trace, ctx);
        } else if self.aloft.is_none() && order.seen != self.payment.status {
            // The record is ahead of us: a write landed that we had given up.
            self.take_off(Purpose::Refresh, since, trace, ctx);
        }
        self.remember(order.reply);
    }
}

impl Handler<Timeout> for PaymentActor {
    type Result = ();

    fn handle(&mut self, order: Timeout, ctx: &mut Self::Context) {
        self.seen += 1;
        if self.payment.status == Status::Ready && self.is_due() && self.aloft.is_none() {
            let (since, trace) = (Instant::now(), TraceId::default());
            self.take_off(Purpose::Expire, since, trace, ctx);
        }
        self.remember(order.reply);
    }
}

impl Handler<Advanced> for PaymentActor {
    type Result = ();

    fn handle(&mut self, news: Advanced, ctx: &mut Self::Context) {
        if let (Some(Aloft::Recovering { claimed }), true) = (&mut self.aloft, news.written) {
            *claimed = true;
        }
        // The landing may have overtaken this message.
        let news = news.sight;
        if (news.payment.version, news.as_of) > (self.payment.version, self.as_of) {
            self.see(news);
            self.callers.tell_begun(&self.payment);
            let again = self.callers.take(Stay::Again);
            self.look_again(again, TraceId::default(), ctx);
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
