//! The record of the small world: payments, shelf, history and outbox, written one accepted transition at a time.

use std::collections::BTreeMap;

use crate::domain::ProductId;
use crate::domain::payment::{History, Outbox, Payment, StockMove, Transition, TransitionId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Committed { held: bool },
    Stale,
    OutOfStock,
}

/// How the commit itself goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Heard,
    /// Written; the one who wrote does not hear it.
    AnswerLost,
    /// Not written, and the one who wrote cannot know.
    NeverLands,
    /// As above, but the database may still write it.
    MayLandLater,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub version: i64,
    pub id: TransitionId,
    pub history: History,
    pub outbox: Option<Outbox>,
}

#[derive(Clone, Debug)]
pub struct Journal {
    pub payments: Vec<Payment>,
    pub rows: Vec<Vec<Row>>,
    pub shelf: BTreeMap<ProductId, i64>,
    pub received: BTreeMap<ProductId, i64>,
    /// Commits whose fate is open.
    pub ghosts: Vec<Transition>,
}

impl Journal {
    pub fn new(shelf: BTreeMap<ProductId, i64>) -> Journal {
        let received = shelf.clone();
        Journal {
            payments: Vec::new(),
            rows: Vec::new(),
            shelf,
            received,
            ghosts: Vec::new(),
        }
    }

    pub fn check_out(&mut self, transition: Transition) {
        self.payments.push(transition.next.clone());
        self.rows.push(Vec::new());
        self.remember(self.payments.len() - 1, transition);
    }

    pub fn place_of(&self, transition: &Transition) -> usize {
        let id = transition.order_id();
        self.payments
            .iter()
            .position(|payment| payment.order.id == id)
            .unwrap()
    }

    pub fn commit(&mut self, transition: Transition) -> Written {
        let place = self.place_of(&transition);
        if self.payments[place].version != transition.replaces {
            return Written::Stale;
        }
        let wanted = transition.next.stock_held;
        let held = match transition.stock {
            StockMove::None | StockMove::Sell => wanted,
            StockMove::Take => match self.take(&transition.next) {
                true => wanted,
                false => return Written::OutOfStock,
            },
            StockMove::TakeIfAvailable => self.take(&transition.next),
            StockMove::Return => {
                self.give_back(&transition.next);
                wanted
            }
        };
        self.payments[place] = Payment {
            stock_held: held,
            ..transition.next.clone()
        };
        self.remember(place, transition);
        Written::Committed { held }
    }

    fn remember(&mut self, place: usize, transition: Transition) {
        let Transition {
            id,
            next,
            history,
            outbox,
            ..
        } = transition;
        self.rows[place].push(Row {
            version: next.version,
            id,
            history,
            outbox,
        });
    }

    /// Whether the write under this name is in the record.
    pub fn has(&self, place: usize, id: TransitionId) -> bool {
        self.rows[place].iter().any(|row| row.id == id)
    }

    fn take(&mut self, payment: &Payment) -> bool {
        let lines = || payment.order.lines.iter();
        if lines().any(|line| self.shelf[&line.product] < i64::from(line.quantity.get())) {
            return false;
        }
        for line in lines() {
            *self.shelf.get_mut(&line.product).unwrap() -= i64::from(line.quantity.get());
        }
        true
    }

    fn give_back(&mut self, payment: &Payment) {
        for line in payment.order.lines.iter() {
            *self.shelf.get_mut(&line.product).unwrap() += i64::from(line.quantity.get());
        }
    }
}
