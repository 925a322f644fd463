//! What may be written, and what became of it.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::product::Listing;
use crate::domain::rejection::Shortage;
use crate::domain::{Incarnation, OrderId, ProductId, Timestamp, Transition, UserId};

/// One change of a batch; it is accepted or refused as a whole, whatever its batch-mates do.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new order, made by [`Transition::checkout`].
    Checkout {
        transition: Transition,
        key: Option<CheckoutKey>,
    },
    Advance(Transition),
    /// Moves `next_attempt_at` and nothing else: no new version, no history.
    Postpone {
        order: OrderId,
        version: i64,
        until: Timestamp,
    },
    /// Creates a product with an empty shelf, or changes one and leaves its shelf alone.
    List(Listing),
    /// Goods that arrived, or were taken off by hand.
    Restock(Restock),
    /// The times of nodes are the database's: no other clock is the same for all of them.
    Register {
        incarnation: Incarnation,
        name: Box<str>,
    },
    Heartbeat {
        incarnation: Incarnation,
        /// Its journal was saturated since the one before.
        saturated: bool,
    },
    Close {
        incarnation: Incarnation,
    },
}

/// One move of stock and received together, and why. The rows of these are the only record of it: products keep sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restock {
    /// Its author's: whoever loses the answer finds the row by it.
    pub id: Uuid,
    pub product: ProductId,
    pub change: i64,
    pub reason: Box<str>,
    pub at: Timestamp,
}

#[cfg(feature = "crash-points")]
impl Change {
    /// As the crash matrix tells changes apart.
    pub fn kind(&self) -> crate::crash::Kind {
        use crate::crash::Kind;
        use crate::domain::Status;
        let transition = match self {
            Change::Advance(transition) => transition,
            Change::Checkout { .. } => return Kind::Checkout,
            Change::Postpone { .. } => return Kind::Postpone,
            Change::List(_) => return Kind::List,
            Change::Restock(_) => return Kind::Restock,
            Change::Register { .. } => return Kind::Register,
            Change::Heartbeat { .. } => return Kind::Heartbeat,
            Change::Close { .. } => return Kind::Close,
        };
        let claims = ["OWNER_LOST", "RETRY_CLAIMED"].contains(&transition.history.event);
        match transition.next.status {
            Status::Ready => Kind::Checkout,
            Status::InProgress if transition.history.from == Some(Status::Unknown) => Kind::Again,
            Status::InProgress => Kind::Opening,
            Status::Unknown if claims => Kind::Claim,
            Status::Unknown => Kind::Doubt,
            Status::Done | Status::Failed | Status::Quarantined => Kind::Settled,
            Status::Expired => Kind::Expiry,
        }
    }
}

/// The buyer's Idempotency-Key: it makes one order, whoever of two equal requests comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutKey {
    pub user: UserId,
    pub key: Box<str>,
    pub body_hash: [u8; 32],
}

impl CheckoutKey {
    /// From this age on the key is free again.
    pub const LIFETIME_MS: i64 = 24 * 3_600 * 1_000;

    pub(in crate::store) fn lives(created_at: Timestamp, now: Timestamp) -> bool {
        now.ms_since(created_at) < CheckoutKey::LIFETIME_MS
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `held` is the payment's `stock_held` as it was written: [`StockMove::TakeIfAvailable`] may have
    /// found the shelf empty. False for changes that are not about a payment.
    ///
    /// [`StockMove::TakeIfAvailable`]: crate::domain::StockMove::TakeIfAvailable
    Committed {
        held: bool,
    },
    /// The change replaces a version that is not there (or a copy that is wrong about the goods);
    /// `version` is what is there. Reload and decide again.
    Stale {
        version: Option<i64>,
    },
    OutOfStock(Vec<Shortage>),
    /// The checkout key made this order already.
    Duplicate {
        order: OrderId,
        body_hash: [u8; 32],
    },
    /// No such product, or no such open node.
    NotFound,
    /// A change by hand would empty the shelf below zero, or burst it.
    NotEnoughStock {
        stock: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// In the order of the batch.
    pub verdicts: Vec<Verdict>,
    /// The stock, after the batch, of every product that was looked at.
    pub shelf: Vec<(ProductId, i64)>,
}

/// The rows that a batch must see before it is decided.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub payments: BTreeSet<Uuid>,
    pub products: BTreeSet<i64>,
    pub checkout_keys: BTreeSet<(&'a str, &'a str)>,
    pub nodes: BTreeSet<Uuid>,
}

impl Wanted<'_> {
    pub fn by(batch: &[Change]) -> Wanted<'_> {
        let mut wanted = Wanted::default();
        for change in batch {
            wanted.add(change);
        }
        wanted
    }
}

impl<'a> Wanted<'a> {
    fn add(&mut self, change: &'a Change) {
        match change {
            Change::Checkout { transition, key } => {
                self.payments.insert(transition.order_id().uuid());
                if let Some(key) = key {
                    self.checkout_keys.insert((key.user.as_str(), &key.key));
                }
            }
            Change::Advance(transition) => {
                self.payments.insert(transition.order_id().uuid());
                if super::decide::moves_the_shelf(transition.stock) {
                    let lines = transition.next.order.lines.iter();
                    self.products.extend(lines.map(|line| line.product.get()));
                }
            }
            Change::Postpone { order, .. } => {
                self.payments.insert(order.uuid());
            }
            Change::List(listing) => {
                self.products.insert(listing.id.get());
            }
            Change::Restock(Restock { product, .. }) => {
                self.products.insert(product.get());
            }
            Change::Register { .. } => {}
            Change::Heartbeat { incarnation, .. } | Change::Close { incarnation } => {
                self.nodes.insert(incarnation.0);
            }
        }
    }
}
