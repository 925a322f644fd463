//! Shard: finds the actor of an order, or starts it from the store; retires the idle; rebuilds the fallen.
//! It lives on one arbiter together with its actors, so between looking and sending nothing can happen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::api::{CheckoutIdempotency, Heard, TraceId};
use super::fallen::Fallen;
use super::journal::Written;
use super::payment::{
    AreYouIdle, Checkout, Confirm, Ended, Hands, Idle, PaymentActor, Retry, ShardPort, Stop,
    Timeout,
};
use super::rounds::{Rounds, Stay};
use crate::domain::{OrderId, Payment, Rejection, Status};
use crate::metrics::Shed;

mod loading;

use loading::Loads;

/// A message for an order, whoever owns it.
#[derive(Debug)]
pub enum ForOrder {
    Confirm(Confirm),
    Retry(Retry),
    Timeout(Timeout),
}

#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Deliver {
    pub order: OrderId,
    pub message: ForOrder,
}

/// Start the actor of a new order and have it written down.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Open {
    pub payment: Payment,
    pub idempotency: Option<CheckoutIdempotency>,
    pub reply: oneshot::Sender<Written>,
    pub trace: TraceId,
}

/// How many actors are loaded.
#[derive(Message, Debug)]
#[rtype(result = "usize")]
pub struct Count;

#[derive(Clone, Copy, Debug)]
pub struct ShardLimits {
    /// An actor that has heard nothing for this long is retired.
    pub idle: Duration,
    /// Messages that may wait for orders being loaded.
    pub loading: usize,
}

#[derive(Debug)]
enum Entry {
    Loading(Vec<ForOrder>),
    Live {
        actor: Addr<PaymentActor>,
        sent: u64,
        last: Instant,
        stay: Stay,
    },
}

pub struct Shard {
    hands: Arc<Hands>,
    limits: ShardLimits,
    orders: HashMap<OrderId, Entry>,
    rounds: Rounds,
    port: Option<Arc<ShardPort>>,
    queued: usize,
    loads: Loads,
    fallen: Fallen,
}

impl Shard {
    pub fn new(hands: Arc<Hands>, limits: ShardLimits) -> Shard {
        Shard {
            hands,
            limits,
            orders: HashMap::new(),
            rounds: Rounds::default(),
            port: None,
            queued: 0,
            loads: Loads::default(),
            fallen: Fallen::default(),
        }
    }

    fn port(&mut self, ctx: &Context<Self>) -> Arc<ShardPort> {
        let address = ctx.address();
        let open = || {
            let (idle, ended) = (address.clone().recipient(), address.clone().recipient());
            Arc::new(ShardPort { idle, ended })
        };
        self.port.get_or_insert_with(open).clone()
    }

    /// Starts its actor and hands it what has come for it.
    fn start_actor(
        &mut self,
        payment: Payment,
        as_of: Instant,
        first: impl FnOnce(&Addr<PaymentActor>) -> u64,
        ctx: &Context<Self>,
    ) {
        let order = payment.order.id;
        let actor = PaymentActor::new(self.hands.clone(), self.port(ctx), payment, as_of).start();
        let live = Entry::Live {
            sent: first(&actor),
            actor,
            last: Instant::now(),
            stay: self.rounds.begin(order),
        };
        self.orders.insert(order, live);
    }

    fn deliver(&mut self, order: OrderId, message: ForOrder, ctx: &mut Context<Self>) {
        let from_timer = !matches!(message, ForOrder::Confirm(_));
        if from_timer && self.fallen.rests(order, Instant::now()) {
            return;
        }
        match self.orders.get_mut(&order) {
            // On our own arbiter: an actor that is connected here will take the message.
            Some(Entry::Live {
                actor, sent, last, ..
            }) if actor.connected() => {
                *sent += 1;
                // The timer's messages keep nobody in memory.
                if !from_timer {
                    *last = Instant::now();
                }
                send(actor, message);
            }
            Some(Entry::Loading(_)) if self.queued >= self.limits.loading => self.shed(message),
            Some(Entry::Loading(queue)) => {
                self.queued += 1;
                queue.push(message);
            }
            // As many flights as may be are out: nobody is loaded only to be told so.
            None if !from_timer && self.hands.is_full() => {
                self.hands.shed_before_toss();
                refuse(
                    message,
                    Heard::Rejected(Rejection::Busy { retry_after_s: 1 }),
                );
            }
            // A handler panicked and took its mailbox along: the record tells how far it came.
            Some(Entry::Live { .. }) => {
                self.orders.remove(&order);
                if self.fallen.fell(order, Instant::now()) || !from_timer {
                    self.load(order, vec![message], ctx);
                }
            }
            None => self.load(order, vec![message], ctx),
        }
    }

    fn shed(&self, message: ForOrder) {
        self.hands.metrics.shed(Shed::Loading);
        refuse(
            message,
            Heard::Rejected(Rejection::Busy { retry_after_s: 1 }),
        );
    }

    /// Not by an interval: after a pause of the process that would make up for every step that it missed, all at once.
    fn make_rounds(&mut self, ctx: &mut Context<Self>) {
        self.ask_the_quiet();
        let pace = Rounds::pace(self.limits.idle / 4);
        ctx.run_later(pace, |shard, ctx| shard.make_rounds(ctx));
    }

    /// Asks those of the next few that have heard nothing for long. Whoever is gone is forgotten.
    fn ask_the_quiet(&mut self) {
        let (now, idle, orders) = (Instant::now(), self.limits.idle, &mut self.orders);
        self.rounds.step(|order, of| {
            let Some(Entry::Live {
                actor, last, stay, ..
            }) = orders.get(&order)
            else {
                return false;
            };
            if *stay != of {
                return false;
            }
            if now.duration_since(*last) < idle {
                return true;
            }
            actor.do_send(AreYouIdle);
            let stays = actor.connected();
            if !stays {
                orders.remove(&order);
            }
            stays
        });
        if self.orders.capacity() > 4 * self.orders.len().max(1_024) {
            self.orders.shrink_to(self.orders.len() * 2);
        }
    }
}

fn send(actor: &Addr<PaymentActor>, message: ForOrder) {
    match message {
        ForOrder::Confirm(confirm) => actor.do_send(confirm),
        ForOrder::Retry(retry) => actor.do_send(retry),
        ForOrder::Timeout(timeout) => actor.do_send(timeout),
    }
}

fn refuse(message: ForOrder, heard: Heard) {
    match message {
        ForOrder::Confirm(confirm) => _ = confirm.waiter.answer.send(heard),
        // The timer hears of it by the dropped sender, and comes again.
        ForOrder::Retry(_) | ForOrder::Timeout(_) => {}
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.make_rounds(ctx);
    }
}

impl Handler<Deliver> for Shard {
    type Result = ();

    fn handle(&mut self, order: Deliver, ctx: &mut Self::Context) {
        self.deliver(order.order, order.message, ctx);
    }
}

impl Handler<Open> for Shard {
    type Result = ();

    fn handle(&mut self, order: Open, ctx: &mut Self::Context) {
        let Open {
            payment,
            idempotency,
            reply,
            trace,
        } = order;
        let checkout = Checkout {
            idempotency,
            reply,
            trace,
        };
        let first = |actor: &Addr<PaymentActor>| {
            actor.do_send(checkout);
            1
        };
        self.start_actor(payment, Instant::now(), first, ctx);
    }
}

impl Handler<Idle> for Shard {
    type Result = ();

    /// Retired only if it has seen everything that was sent to it: a message on its way keeps it alive.
    fn handle(&mut self, word: Idle, _: &mut Self::Context) {
        match self.orders.get(&word.order) {
            Some(Entry::Live { actor, sent, .. }) if *sent == word.seen => actor.do_send(Stop),
            Some(Entry::Live { .. } | Entry::Loading(_)) | None => return,
        }
        self.orders.remove(&word.order);
    }
}

impl Handler<Ended> for Shard {
    type Result = ();

    fn handle(&mut self, word: Ended, ctx: &mut Self::Context) {
        let same = matches!(self.orders.get(&word.order),
            Some(Entry::Live { actor, .. }) if *actor == word.actor);
        if !same {
            return;
        }
        self.orders.remove(&word.order);
        if word.ask && self.fallen.fell(word.order, Instant::now()) {
            self.load(
                word.order,
                vec![ForOrder::Retry(Retry {
                    seen: Status::InProgress,
                    since: Instant::now(),
                    reply: None,
                })],
                ctx,
            );
        }
    }
}

impl Handler<Count> for Shard {
    type Result = usize;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> usize {
        self.orders.len()
    }
}

/// Makes the order's actor panic.
#[cfg(test)]
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Ignite(pub OrderId);

#[cfg(test)]
impl Handler<Ignite> for Shard {
    type Result = ();

    fn handle(&mut self, order: Ignite, _: &mut Self::Context) {
        if let Some(Entry::Live { actor, .. }) = self.orders.get(&order.0) {
            actor.do_send(super::payment::Explode);
        }
    }
}
