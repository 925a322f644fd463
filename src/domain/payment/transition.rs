//! One step of a payment as the journal writes it: all of it in one commit, or none of it.

use uuid::Uuid;

use super::super::moment::Timestamp;
use super::super::order::OrderId;
use super::{Attempt, Event, Payment, Status};

/// The transition's own name: reading it back proves that *this* write landed, not somebody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransitionId(pub Uuid);

/// What happens to the shelf together with the transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StockMove {
    None,
    /// All lines leave the shelf, or the transition is refused.
    Take,
    /// All lines leave the shelf if they are there; `stock_held` then tells.
    TakeIfAvailable,
    /// All lines go back.
    Return,
    /// What was held is sold; the shelf itself does not move.
    Sell,
}

/// The row that the history keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// `None` for the checkout, the first row of every chain.
    pub from: Option<Status>,
    pub to: Status,
    pub event: &'static str,
    pub reason: Option<Box<str>>,
    pub at: Timestamp,
}

/// The row that tells the shop; its content is the payment as the transition leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outbox {
    pub to: Status,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    pub id: TransitionId,
    /// The version that this one replaces; a write that names another one is stale and changes nothing.
    pub replaces: i64,
    pub next: Payment,
    /// How many of its attempts were there before; the others begin with it.
    pub attempts_before: usize,
    pub stock: StockMove,
    pub history: History,
    pub outbox: Option<Outbox>,
}

impl Transition {
    pub(super) fn new(
        id: TransitionId,
        before: &Payment,
        mut next: Payment,
        stock: StockMove,
        event: &Event,
        reason: Option<Box<str>>,
        at: Timestamp,
    ) -> Transition {
        next.version = before.version + 1;
        let to = next.status;
        let history = History {
            from: Some(before.status),
            to,
            event: event.name(),
            reason,
            at,
        };
        let outbox = to.is_news().then_some(Outbox { to, at });
        Transition {
            id,
            replaces: before.version,
            next,
            attempts_before: before.attempts.len(),
            stock,
            history,
            outbox,
        }
    }

    /// The checkout: the first row of the chain. It replaces nothing.
    pub fn checkout(id: TransitionId, payment: Payment, at: Timestamp) -> Transition {
        let to = payment.status;
        let history = History {
            from: None,
            to,
            event: "CHECKED_OUT",
            reason: None,
            at,
        };
        Transition {
            id,
            replaces: 0,
            next: payment,
            attempts_before: 0,
            stock: StockMove::None,
            history,
            outbox: None,
        }
    }

    pub fn order_id(&self) -> OrderId {
        self.next.order.id
    }

    /// Whether the attempt was not there before.
    pub fn begins(&self, attempt: &Attempt) -> bool {
        let mut known = self.next.attempts.iter().take(self.attempts_before);
        known.all(|known| known.number != attempt.number)
    }
}
