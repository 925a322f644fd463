//! ProductActor: the gate in front of one product's stock. It refuses early, in memory and in arrival order;
//! only the database grants. What it knows of the shelf, the journal tells it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::api::Refused;
use super::journal::{NoVerdict, Write, Written};
use crate::domain::product::Listing;
use crate::domain::rejection::Shortage;
use crate::domain::{ProductId, Rejection};
use crate::store::{self, Change, Verdict};

/// Set these goods aside until the journal has taken them, or until the guard is dropped.
#[derive(Message, Debug)]
#[rtype(result = "Result<Reservation, Shortage>")]
pub struct Reserve {
    pub quantity: i64,
}

/// Whether so much could be set aside now. Nothing is.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), Shortage>")]
pub struct Look {
    pub quantity: i64,
}

/// A commit of the journal saw this much on the shelf, and took `taken` of it for reservations of ours.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
struct ShelfSeen {
    /// `None`: the shelf could not be read; the next request goes through to ask.
    stock: Option<i64>,
    taken: i64,
}

/// Move stock and received by hand.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), Refused>")]
pub struct Restock(pub store::Restock);

/// Create the product, or change its name, price or seller.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), Refused>")]
pub struct List(pub Listing);

#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Release {
    quantity: i64,
    asks: Option<Asks>,
}

/// Who was let through to ask the database, though the shelf was seen to be too empty.
#[derive(Debug, Clone, Copy)]
struct Asks {
    /// When it was let through, and how old what it doubts was.
    at: Instant,
    seen_at: Instant,
}

/// Goods set aside in memory. Dropping it gives them back, whatever the reason: refusal, fault, panic. The write that
/// takes the goods holds it, so that it is settled once, by the one who knows: the journal.
#[derive(Debug)]
pub struct Reservation {
    gate: Option<Addr<ProductActor>>,
    product: ProductId,
    quantity: i64,
    asks: Option<Asks>,
}

impl Reservation {
    pub const fn product(&self) -> ProductId {
        self.product
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.do_send(Release {
                quantity: self.quantity,
                asks: self.asks,
            });
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stock: i64,
    at: Instant,
}

#[derive(Debug)]
pub struct ProductActor {
    product: ProductId,
    journal: Recipient<Write>,
    /// How long a refusal may rest on what was seen before one request goes through to ask.
    recheck: Duration,
    seen: Option<Seen>,
    reserved: i64,
}

impl Actor for ProductActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // A hot product hears from every flight; who may send is bounded at the door.
        ctx.set_mailbox_capacity(65_536);
    }
}

impl ProductActor {
    /// As far as was seen, what is not set aside is less than this.
    fn shortage(&self, requested: i64) -> Option<Shortage> {
        let available = self.seen?.stock - self.reserved;
        (available < requested).then(|| Shortage {
            product: self.product,
            requested,
            available: available.max(0),
        })
    }
}

impl Handler<Look> for ProductActor {
    type Result = Result<(), Shortage>;

    fn handle(&mut self, look: Look, _: &mut Self::Context) -> Self::Result {
        self.shortage(look.quantity).map_or(Ok(()), Err)
    }
}

impl Handler<Reserve> for ProductActor {
    type Result = Result<Reservation, Shortage>;

    fn handle(&mut self, order: Reserve, ctx: &mut Self::Context) -> Self::Result {
        let mut asks = None;
        if let Some(shortage) = self.shortage(order.quantity)
            && let Some(seen) = &mut self.seen
        {
            if seen.at.elapsed() < self.recheck {
                return Err(shortage);
            }
            // This one asks the database; the next may, one recheck later.
            let (at, seen_at) = (Instant::now(), seen.at);
            asks = Some(Asks { at, seen_at });
            seen.at = at;
        }
        self.reserved += order.quantity;
        Ok(Reservation {
            gate: Some(ctx.address()),
            product: self.product,
            quantity: order.quantity,
            asks,
        })
    }
}

impl Handler<Release> for ProductActor {
    type Result = ();

    fn handle(&mut self, order: Release, _: &mut Self::Context) {
        self.reserved -= order.quantity;
        // It came back without an answer (another line was short, Toss was busy): the next one may ask at once.
        if let (Some(seen), Some(asks)) = (&mut self.seen, order.asks)
            && seen.at == asks.at
        {
            seen.at = asks.seen_at;
        }
    }
}

impl Handler<ShelfSeen> for ProductActor {
    type Result = ();

    fn handle(&mut self, news: ShelfSeen, _: &mut Self::Context) {
        self.reserved -= news.taken;
        self.seen = news.stock.map(|stock| Seen {
            stock,
            at: Instant::now(),
        });
    }
}

impl Handler<Restock> for ProductActor {
    type Result = ResponseFuture<Result<(), Refused>>;

    fn handle(&mut self, order: Restock, _: &mut Self::Context) -> Self::Result {
        let product = self.product;
        let write = self.journal.send(Write::new(Change::Restock(order.0)));
        Box::pin(async move { told(product, write.await) })
    }
}

impl Handler<List> for ProductActor {
    type Result = ResponseFuture<Result<(), Refused>>;

    fn handle(&mut self, order: List, _: &mut Self::Context) -> Self::Result {
        let product = self.product;
        let write = self.journal.send(Write::new(Change::List(order.0)));
        Box::pin(async move { told(product, write.await) })
    }
}

fn told(product: ProductId, written: Result<Written, MailboxError>) -> Result<(), Refused> {
    match written {
        Ok(Ok(Verdict::Committed { .. })) => Ok(()),
        Ok(Ok(Verdict::NotFound)) => Err(Refused::Rejected(Rejection::ProductNotFound(product))),
        Ok(Ok(Verdict::NotEnoughStock { stock })) => {
            Err(Refused::Rejected(Rejection::NotEnoughStock {
                product,
                stock,
            }))
        }
        Ok(Err(NoVerdict::Busy)) => Err(Refused::Rejected(Rejection::Busy { retry_after_s: 1 })),
        Ok(
            Ok(Verdict::Stale { .. } | Verdict::OutOfStock(_) | Verdict::Duplicate { .. })
            | Err(NoVerdict::Fault),
        ) => Err(Refused::Fault),
        Ok(Err(NoVerdict::Doubtful)) | Err(_) => Err(Refused::Doubtful(product)),
    }
}

/// Finds the gate of a product, or opens it. One gate a product of the catalogue; they stay.
#[derive(Clone, Debug)]
pub struct Products {
    gates: Arc<Mutex<HashMap<ProductId, Addr<ProductActor>>>>,
    arbiters: Arc<[ArbiterHandle]>,
    recheck: Duration,
}

impl Products {
    pub fn new(arbiters: Vec<ArbiterHandle>, recheck: Duration) -> Products {
        Products {
            gates: Arc::default(),
            arbiters: arbiters.into(),
            recheck,
        }
    }

    /// The gate of a product that exists; a closed one (its handler panicked) is opened anew and knows nothing.
    pub fn gate(&self, product: ProductId, journal: &Recipient<Write>) -> Addr<ProductActor> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let known = gates.get(&product).filter(|gate| gate.connected());
        if let Some(gate) = known {
            return gate.clone();
        }
        let spread = product.get().unsigned_abs() % self.arbiters.len().max(1) as u64;
        let journal = journal.clone();
        let recheck = self.recheck;
        let actor = ProductActor {
            product,
            journal,
            recheck,
            seen: None,
            reserved: 0,
        };
        let arbiter = &self.arbiters[usize::try_from(spread).unwrap_or(0)];
        let gate = ProductActor::start_in_arbiter(arbiter, |_| actor);
        gates.insert(product, gate.clone());
        gate
    }

    /// Tells the gate, if it is open, what a commit saw on the shelf and which of its reservations the commit took.
    /// A gate that was opened anew meanwhile has never counted them.
    pub fn settle(&self, product: ProductId, stock: Option<i64>, taken: Vec<Reservation>) {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gate) = gates.get(&product) else {
            return;
        };
        let mut sum = 0;
        for mut reservation in taken {
            let counted = reservation.gate.take();
            if counted.as_ref() == Some(gate) {
                sum += reservation.quantity;
            }
        }
        gate.do_send(ShelfSeen { stock, taken: sum });
    }
}

/// What the gate believes to be set aside.
#[cfg(test)]
#[derive(Message, Debug)]
#[rtype(result = "i64")]
pub struct Reserved;

#[cfg(test)]
impl Handler<Reserved> for ProductActor {
    type Result = i64;

    fn handle(&mut self, _: Reserved, _: &mut Self::Context) -> Self::Result {
        self.reserved
    }
}
