//! Phase one of a commit, for whoever does not look: what the changes themselves expect is taken for granted, and the database
//! compares while it writes. A row that is otherwise is a row that is not written, or that breaks a constraint; then nothing
//! is, and the batch looks first after all. Whoever looks first reads twice as many rows for a confirm, and keeps the shelves
//! that everybody wants from the first statement to the last.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::change::Change;
use super::decide::{Decision, Found, Stand, decide, held_before, moves_the_shelf};
use crate::domain::product::Shelf;
use crate::domain::{Product, StockMove};

/// How a batch comes to know what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locking {
    Optimistic,
    Pessimistic,
}

/// An optimist who was wrong has written for nothing: the next batches are looked at first, twice as many after each time.
#[derive(Debug, Default)]
pub(in crate::store) struct Optimism(Mutex<Caution>);

#[derive(Debug, Default)]
struct Caution {
    /// Batches to look at first.
    left: u32,
    /// Of those, how many the last error has cost.
    cost: u32,
}

impl Optimism {
    const MOST: u32 = 64;

    fn locking(&self) -> Locking {
        self.with(|caution| match caution.left.checked_sub(1) {
            Some(left) => {
                caution.left = left;
                Locking::Pessimistic
            }
            None => Locking::Optimistic,
        })
    }

    pub(super) fn was_right(&self) {
        self.with(|caution| caution.cost = 0);
    }

    pub(super) fn was_wrong(&self) {
        self.with(|caution| {
            caution.cost = (caution.cost * 2).clamp(1, Optimism::MOST);
            caution.left = caution.cost;
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Caution) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What will be written if all is as the batch expects it; `None` if somebody must look first.
pub(super) fn foresee<'a>(batch: &'a [Change], optimism: &Optimism) -> Option<Decision<'a>> {
    let expected = expected(batch)?;
    if optimism.locking() == Locking::Pessimistic {
        return None;
    }
    let decision = decide(batch, expected);
    // A batch that contradicts itself is no surprise, whatever the database has.
    decision.is_unanimous().then_some(decision)
}

/// No order where one is made, each payment as its transition replaces it, and full shelves; `None` if a change does not say
/// by itself what must be there for it to be accepted.
fn expected(batch: &[Change]) -> Option<Found<'_>> {
    const FULL: Shelf = Shelf {
        stock: Product::MOST_STOCK,
        received: Product::MOST_STOCK,
    };
    let mut found = Found::default();
    let mut made = HashSet::new();
    for change in batch {
        let transition = match change {
            Change::Checkout { transition, .. } => {
                made.insert(transition.order_id());
                continue;
            }
            Change::Advance(transition) if transition.stock != StockMove::TakeIfAvailable => {
                transition
            }
            Change::Advance(_)
            | Change::Postpone { .. }
            | Change::List(_)
            | Change::Restock(_)
            | Change::Register { .. }
            | Change::Heartbeat { .. }
            | Change::Close { .. } => return None,
        };
        let order = transition.order_id();
        // A later change of the order finds what an earlier one has made.
        if !made.contains(&order) {
            found.payments.entry(order).or_insert(Stand {
                version: transition.replaces,
                held: held_before(transition),
            });
        }
        if moves_the_shelf(transition.stock) {
            let lines = transition.next.order.lines.iter();
            let full = lines.map(|line| (line.product, FULL));
            found.products.extend(full);
        }
    }
    Some(found)
}

#[cfg(test)]
impl Optimism {
    /// Batches that will be looked at first.
    pub(in crate::store) fn left(&self) -> u32 {
        self.with(|caution| caution.left)
    }

    /// Looks first, as often as that.
    pub(in crate::store) fn look_first(&self, batches: u32) {
        self.with(|caution| caution.left = batches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_wrong_looks_first_for_a_while_and_longer_each_time() {
        let optimism = Optimism::default();
        let looks_first = || {
            let looks = || optimism.locking() == Locking::Pessimistic;
            (0..).take_while(|_| looks()).count()
        };
        assert_eq!(looks_first(), 0);
        for cost in [1, 2, 4, 8, 16, 32, 64, 64] {
            optimism.was_wrong();
            assert_eq!(looks_first(), cost);
        }
        optimism.was_right();
        optimism.was_wrong();
        assert_eq!(looks_first(), 1);
    }
}
