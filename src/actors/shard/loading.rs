//! Loading: an order that is not here is read from the store; many that are wanted at once are one reading.

use std::collections::VecDeque;

use actix::prelude::*;
use tokio::time::Instant;

use super::{Entry, ForOrder, Shard, refuse, send};
use crate::actors::api::Heard;
use crate::actors::payment::PaymentActor;
use crate::domain::{Answer, OrderId, Payment, Rejection, Status};
use crate::store::StoreFault;

/// Readings that may be out at once: one that is slow does not hold up all the others.
const MOST_READINGS: usize = 2;
/// Orders in one reading.
const MOST_ORDERS: usize = 256;

/// What is to be read. Bounded by the messages that may wait for it.
#[derive(Debug, Default)]
pub(super) struct Loads {
    wanted: VecDeque<OrderId>,
    readings: usize,
}

impl Shard {
    pub(super) fn load(&mut self, order: OrderId, queue: Vec<ForOrder>, ctx: &mut Context<Self>) {
        if self.queued + queue.len() > self.limits.loading {
            queue.into_iter().for_each(|message| self.shed(message));
            return;
        }
        self.queued += queue.len();
        self.orders.insert(order, Entry::Loading(queue));
        self.loads.wanted.push_back(order);
        self.read(ctx);
    }

    /// A lone order at once. Others that are wanted while as many readings as may be are out come together in the next one:
    /// of orders that were checked out at another node, a crowd brings hundreds at a time.
    fn read(&mut self, ctx: &mut Context<Self>) {
        if self.loads.readings == MOST_READINGS || self.loads.wanted.is_empty() {
            return;
        }
        self.loads.readings += 1;
        let most = self.loads.wanted.len().min(MOST_ORDERS);
        let orders: Vec<OrderId> = self.loads.wanted.drain(..most).collect();
        let (store, as_of) = (self.hands.store.clone(), Instant::now());
        let reading = async move {
            let found = store.load_all(&orders).await;
            (orders, found)
        };
        ctx.spawn(
            reading
                .into_actor(self)
                .map(move |(orders, found), shard, ctx| {
                    shard.loads.readings -= 1;
                    let mut orders = orders;
                    if found.is_err() {
                        // The others would wait for the same database, one reading after another.
                        orders.extend(shard.loads.wanted.drain(..));
                    }
                    for (order, loaded) in each(orders, found) {
                        shard.loaded(order, loaded, as_of, ctx);
                    }
                    shard.read(ctx);
                }),
        );
    }

    fn loaded(
        &mut self,
        order: OrderId,
        loaded: Result<Option<Payment>, StoreFault>,
        as_of: Instant,
        ctx: &mut Context<Self>,
    ) {
        let queue = match self.orders.remove(&order) {
            Some(Entry::Loading(queue)) => queue,
            Some(live @ Entry::Live { .. }) => {
                self.orders.insert(order, live);
                return;
            }
            None => Vec::new(),
        };
        self.queued -= queue.len();
        let refusal = match loaded {
            Ok(Some(payment)) => {
                let first = |actor: &Addr<PaymentActor>| {
                    let sent = queue.len() as u64;
                    queue.into_iter().for_each(|message| send(actor, message));
                    sent
                };
                self.start_actor(payment, as_of, first, ctx);
                return;
            }
            Ok(None) => Heard::Rejected(Rejection::PaymentNotFound(Some(order))),
            Err(fault) => {
                tracing::error!(%order, %fault, "could not load the order");
                // It may be unsettled, for all we know: neither "busy" nor "not found" is true.
                Heard::Answer(Answer::Pending {
                    order_id: order,
                    status: Status::Unknown,
                })
            }
        };
        for message in queue {
            refuse(message, refusal.clone());
        }
    }
}

type Found = std::collections::HashMap<OrderId, Result<Payment, StoreFault>>;

/// What became of each.
fn each(
    orders: Vec<OrderId>,
    found: Result<Found, StoreFault>,
) -> impl Iterator<Item = (OrderId, Result<Option<Payment>, StoreFault>)> {
    let (mut found, fault) = match found {
        Ok(found) => (found, None),
        Err(fault) => (Found::new(), Some(fault)),
    };
    orders.into_iter().map(move |order| {
        let loaded = match &fault {
            Some(fault) => Err(fault.clone()),
            None => found.remove(&order).transpose(),
        };
        (order, loaded)
    })
}
