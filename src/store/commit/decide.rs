//! Phase two of a commit, pure: each change in order against what is there and what the batch has done so far.
//! Only what is accepted leaves anything to write.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::change::{Change, CheckoutKey, Restock, Verdict};
use crate::domain::payment::ApprovalSign;
use crate::domain::product::{Listing, Shelf};
use crate::domain::rejection::Shortage;
use crate::domain::{
    Attempt, Incarnation, Line, OrderId, Payment, ProductId, Status, StockMove, Timestamp,
    Transition,
};

/// A payment as far as a change is guarded by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub version: i64,
    pub held: bool,
}

/// The order that a checkout key has made.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Made {
    pub order: OrderId,
    pub body_hash: [u8; 32],
    pub at: Timestamp,
}

/// What is there: at first what phase one has read, then also what the batch did to it.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub payments: HashMap<OrderId, Stand>,
    pub products: BTreeMap<ProductId, Shelf>,
    /// By user and key.
    pub checkout_keys: HashMap<(&'a str, &'a str), Made>,
    /// The open ones.
    pub nodes: HashSet<Incarnation>,
}

/// Where a payment comes to rest at the end of the batch.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub payment: &'a Payment,
    pub held: bool,
    /// As it was before the batch.
    pub replaces: Stand,
    pub postponed: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeChange {
    pub beats: bool,
    pub saturated: bool,
    pub closes: bool,
}

/// What to write, sorted by key: everyone who locks, locks in this order.
#[derive(Debug, Default)]
pub(super) struct Writes<'a> {
    pub checkouts: BTreeMap<OrderId, &'a Transition>,
    /// Whose day is over, and when they were made; a new order takes each of them.
    pub expired_keys: BTreeMap<(&'a str, &'a str), Timestamp>,
    pub checkout_keys: BTreeMap<(&'a str, &'a str), Made>,
    pub postponed: BTreeMap<OrderId, (i64, Timestamp)>,
    pub states: BTreeMap<OrderId, State<'a>>,
    pub new_attempts: BTreeMap<(OrderId, u8), &'a Attempt>,
    pub changed_attempts: BTreeMap<(OrderId, u8), &'a Attempt>,
    /// Accepted transitions: each has a history row, and some an outbox row.
    pub transitions: BTreeMap<(OrderId, i64), &'a Transition>,
    pub listings: BTreeMap<ProductId, &'a Listing>,
    /// As differences.
    pub stock: BTreeMap<ProductId, Shelf>,
    /// New rows that nobody else locks: in the order of the batch.
    pub restocks: Vec<&'a Restock>,
    pub registered: BTreeMap<Incarnation, &'a str>,
    pub nodes: BTreeMap<Incarnation, NodeChange>,
}

impl Writes<'_> {
    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty()
            && self.postponed.is_empty()
            && self.states.is_empty()
            && self.listings.is_empty()
            && self.stock.is_empty()
            && self.restocks.is_empty()
            && self.registered.is_empty()
            && self.nodes.is_empty()
    }
}

pub(super) struct Decision<'a> {
    pub verdicts: Vec<Verdict>,
    pub writes: Writes<'a>,
    pub shelf: Vec<(ProductId, i64)>,
}

impl Decision<'_> {
    /// Whether every change is accepted.
    pub fn is_unanimous(&self) -> bool {
        let accepted = |verdict: &Verdict| matches!(verdict, Verdict::Committed { .. });
        self.verdicts.iter().all(accepted)
    }
}

pub(super) fn decide<'a>(batch: &'a [Change], found: Found<'a>) -> Decision<'a> {
    let writes = Writes::default();
    let mut running = Running { found, writes };
    let verdicts = batch.iter().map(|change| running.change(change)).collect();
    let Running { found, writes } = running;
    let shelf = found.products.iter().map(|(id, p)| (*id, p.stock));
    Decision {
        verdicts,
        writes,
        shelf: shelf.collect(),
    }
}

/// Whether the products of the order must be seen for it.
pub(super) const fn moves_the_shelf(stock: StockMove) -> bool {
    match stock {
        StockMove::Take | StockMove::TakeIfAvailable | StockMove::Return => true,
        StockMove::None | StockMove::Sell => false,
    }
}

/// What the transition takes for granted about the goods.
pub(super) const fn held_before(transition: &Transition) -> bool {
    match transition.stock {
        StockMove::None => transition.next.stock_held,
        StockMove::Take | StockMove::TakeIfAvailable => false,
        StockMove::Return | StockMove::Sell => true,
    }
}

/// The batch so far.
struct Running<'a> {
    found: Found<'a>,
    writes: Writes<'a>,
}

impl<'a> Running<'a> {
    fn change(&mut self, change: &'a Change) -> Verdict {
        match change {
            Change::Checkout { transition, key } => self.checkout(transition, key.as_ref()),
            Change::Advance(transition) => self.advance(transition),
            Change::Postpone {
                order,
                version,
                until,
            } => self.postpone(*order, *version, *until),
            Change::List(listing) => self.list(listing),
            Change::Restock(restock) => self.restock(restock),
            Change::Register { incarnation, name } => {
                self.writes.registered.insert(*incarnation, name);
                self.found.nodes.insert(*incarnation);
                Verdict::Committed { held: false }
            }
            Change::Heartbeat {
                incarnation,
                saturated,
            } => self.node(*incarnation, |node| {
                (node.beats, node.saturated) = (true, *saturated);
            }),
            Change::Close { incarnation } => {
                let verdict = self.node(*incarnation, |node| node.closes = true);
                self.found.nodes.remove(incarnation);
                verdict
            }
        }
    }

    fn checkout(&mut self, transition: &'a Transition, key: Option<&'a CheckoutKey>) -> Verdict {
        let order = transition.order_id();
        if let Some(there) = self.found.payments.get(&order) {
            let version = Some(there.version);
            return Verdict::Stale { version };
        }
        let at = transition.history.at;
        if let Some(key) = key {
            let name = (key.user.as_str(), &*key.key);
            match self.found.checkout_keys.get(&name) {
                Some(made) if CheckoutKey::lives(made.at, at) => {
                    let Made {
                        order, body_hash, ..
                    } = *made;
                    return Verdict::Duplicate { order, body_hash };
                }
                Some(made) => {
                    self.writes.expired_keys.insert(name, made.at);
                }
                None => {}
            }
            let body_hash = key.body_hash;
            let made = Made {
                order,
                body_hash,
                at,
            };
            self.found.checkout_keys.insert(name, made);
            self.writes.checkout_keys.insert(name, made);
        }
        let (version, held) = (transition.next.version, transition.next.stock_held);
        self.found.payments.insert(order, Stand { version, held });
        self.writes.checkouts.insert(order, transition);
        self.writes.transitions.insert((order, version), transition);
        Verdict::Committed { held }
    }

    fn advance(&mut self, transition: &'a Transition) -> Verdict {
        let order = transition.order_id();
        let Some(there) = self.found.payments.get(&order).copied() else {
            return Verdict::Stale { version: None };
        };
        // A copy that is wrong about the goods is as old as one with the wrong version: acting on it would
        // give back what was never taken.
        if there.version != transition.replaces || there.held != held_before(transition) {
            let version = Some(there.version);
            return Verdict::Stale { version };
        }
        let lines = &transition.next.order.lines;
        let held = match transition.stock {
            StockMove::None => transition.next.stock_held,
            StockMove::Sell => true,
            StockMove::Take => match self.take(lines) {
                Ok(()) => true,
                Err(shortages) => return Verdict::OutOfStock(shortages),
            },
            StockMove::TakeIfAvailable => self.take(lines).is_ok(),
            StockMove::Return => {
                for line in lines.iter() {
                    self.move_stock(line.product, i64::from(line.quantity.get()), 0);
                }
                false
            }
        };
        self.accept(transition, there, held);
        Verdict::Committed { held }
    }

    fn accept(&mut self, transition: &'a Transition, there: Stand, held: bool) {
        let (order, payment) = (transition.order_id(), &transition.next);
        let version = payment.version;
        self.found.payments.insert(order, Stand { version, held });
        self.writes.postponed.remove(&order);
        let state = self.writes.states.entry(order).or_insert(State {
            payment,
            held,
            replaces: there,
            postponed: None,
        });
        (state.payment, state.held, state.postponed) = (payment, held, None);
        for attempt in touched(transition) {
            let key = (order, attempt.number);
            let Writes {
                new_attempts,
                changed_attempts,
                ..
            } = &mut self.writes;
            // One that begins with this batch is written once, as it is at the end.
            let is_new = transition.begins(attempt) || new_attempts.contains_key(&key);
            let rows = if is_new {
                new_attempts
            } else {
                changed_attempts
            };
            rows.insert(key, attempt);
        }
        self.writes.transitions.insert((order, version), transition);
    }

    fn postpone(&mut self, order: OrderId, version: i64, until: Timestamp) -> Verdict {
        let there = self.found.payments.get(&order).copied();
        match there {
            Some(there) if there.version == version => {
                match self.writes.states.get_mut(&order) {
                    Some(state) => state.postponed = Some(until),
                    None => {
                        self.writes.postponed.insert(order, (version, until));
                    }
                }
                Verdict::Committed { held: there.held }
            }
            Some(_) | None => Verdict::Stale {
                version: there.map(|there| there.version),
            },
        }
    }

    fn list(&mut self, listing: &'a Listing) -> Verdict {
        self.found.products.entry(listing.id).or_default();
        self.writes.listings.insert(listing.id, listing);
        Verdict::Committed { held: false }
    }

    fn restock(&mut self, restock: &'a Restock) -> Verdict {
        let Restock {
            product, change, ..
        } = *restock;
        let Some(there) = self.found.products.get(&product).copied() else {
            return Verdict::NotFound;
        };
        if there.after_change(change).is_none() {
            let stock = there.stock;
            return Verdict::NotEnoughStock { stock };
        }
        self.move_stock(product, change, change);
        self.writes.restocks.push(restock);
        Verdict::Committed { held: false }
    }

    /// All lines or none.
    fn take(&mut self, lines: &[Line]) -> Result<(), Vec<Shortage>> {
        let products = &self.found.products;
        let short = |line: &Line| {
            let requested = i64::from(line.quantity.get());
            let available = products.get(&line.product).map_or(0, |there| there.stock);
            (available < requested).then_some(Shortage {
                product: line.product,
                requested,
                available,
            })
        };
        let shortages: Vec<Shortage> = lines.iter().filter_map(short).collect();
        if !shortages.is_empty() {
            return Err(shortages);
        }
        for line in lines {
            self.move_stock(line.product, -i64::from(line.quantity.get()), 0);
        }
        Ok(())
    }

    fn move_stock(&mut self, product: ProductId, stock: i64, received: i64) {
        if let Some(there) = self.found.products.get_mut(&product) {
            there.stock += stock;
            there.received += received;
        }
        let sum = self.writes.stock.entry(product).or_default();
        sum.stock += stock;
        sum.received += received;
    }

    fn node(&mut self, incarnation: Incarnation, change: impl FnOnce(&mut NodeChange)) -> Verdict {
        if !self.found.nodes.contains(&incarnation) {
            return Verdict::NotFound;
        }
        change(self.writes.nodes.entry(incarnation).or_default());
        Verdict::Committed { held: false }
    }
}

/// The attempts that a transition can have changed: the current one, and one that an approval came late for. A
/// human who ends a quarantine may have decided about all of them.
fn touched(transition: &Transition) -> impl Iterator<Item = &Attempt> {
    let payment = &transition.next;
    let ruled = transition.history.from == Some(Status::Quarantined);
    let current = payment.current_attempt().map(|attempt| attempt.number);
    let signed = |attempt: &&Attempt| attempt.approval_sign != ApprovalSign::None;
    payment
        .attempts
        .iter()
        .filter(move |attempt| ruled || Some(attempt.number) == current || signed(attempt))
}
