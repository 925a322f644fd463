//! Everything that this Toss remembers, and the one way to change it: an entry is applied, whether it happened just
//! now or is read back from the file.

use std::collections::HashMap;

use super::bank::{Calls, Cancellation, Payment, State};
use super::clock::{Clock, Instant};
use super::faults::{Dice, Endpoint, Faults};
use super::idempotency::Answers;
use super::ids::{Hex, Id};
use super::ledger::{Authorized, Called, Deed, Entry};

#[derive(Debug, Default)]
pub struct Books {
    payments: Vec<Payment>,
    by_key: HashMap<Id, u32>,
    /// The newest authorization of each order.
    by_order: HashMap<Id, u32>,
    transactions: Vec<Transaction>,
    totals: Totals,
    pub answers: Answers,
    pub faults: Faults,
    pub dice: Dice,
    pub clock: Clock,
}

/// Requests that arrived and what was executed, over all payments; calls that named no known payment included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub confirm_calls: u64,
    pub lookups: u64,
    pub cancels: u64,
    pub approvals: u64,
    pub approved_amount: i64,
}

/// An approval, or the refund at a position, of a payment.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    payment: u32,
    cancel: Option<u32>,
}

/// A line of the transactions list, copied out of the books.
#[derive(Debug, Clone)]
pub struct TransactionLine {
    pub payment: Payment,
    pub cancel: Option<u32>,
    pub at: Instant,
    pub transaction_key: Hex,
}

/// Which bits of a transaction key say where in the list it stands, so that a cursor is found without searching.
const POSITION_BITS: u32 = 32;

impl Books {
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub fn payment(&self, payment_key: &str) -> Option<&Payment> {
        self.by_key
            .get(payment_key)
            .and_then(|&index| self.at(index))
    }

    pub fn payment_mut(&mut self, payment_key: &str) -> Option<&mut Payment> {
        let index = *self.by_key.get(payment_key)?;
        self.payments.get_mut(index as usize)
    }

    /// The order's newest authorization. Which one the real Toss returns is not documented.
    pub fn newest_of_order(&self, order_id: &str) -> Option<&Payment> {
        self.by_order
            .get(order_id)
            .and_then(|&index| self.at(index))
    }

    /// All authorizations of an order, the newest first.
    pub fn all_of_order(&self, order_id: &str) -> impl Iterator<Item = &Payment> {
        let newest = self.newest_of_order(order_id);
        std::iter::successors(newest, |payment| {
            payment.older.and_then(|index| self.at(index))
        })
    }

    pub fn next_transaction_key(&self) -> Hex {
        let random = Hex::random().0 >> POSITION_BITS << POSITION_BITS;
        Hex(random | (self.transactions.len() as u128 & u128::from(u32::MAX)))
    }

    /// What happened from `from` to `to`, both included, after the transaction `after`; at most `limit` lines.
    /// `None`: there is no such transaction.
    pub fn transactions(
        &self,
        (from, to): (Instant, Instant),
        after: Option<Hex>,
        limit: usize,
    ) -> Option<Vec<TransactionLine>> {
        let start = match after {
            Some(key) => {
                let position = usize::try_from(key.0 & u128::from(u32::MAX)).ok()?;
                self.line(position)
                    .filter(|line| line.transaction_key == key)?;
                position + 1
            }
            None => self
                .transactions
                .partition_point(|transaction| self.time_of(transaction) < from),
        };
        let lines = (start..self.transactions.len()).filter_map(|position| self.line(position));
        Some(
            lines
                .skip_while(|line| line.at < from)
                .take_while(|line| line.at <= to)
                .take(limit)
                .collect(),
        )
    }

    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Authorized(authorized) => self.authorize(authorized),
            Entry::Called(called) => {
                self.count(called);
                self.execute(called);
            }
            Entry::Executed(called) => self.execute(called),
            Entry::ClockMoved { seconds } => self.clock.advance(*seconds),
            Entry::Reset {} => {
                let mut answers = std::mem::take(&mut self.answers);
                answers.clear();
                let dice = std::mem::take(&mut self.dice);
                *self = Self {
                    answers,
                    dice,
                    ..Self::default()
                };
            }
        }
    }

    fn authorize(&mut self, authorized: &Authorized) {
        // 4 billion payments do not fit into memory before they do not fit into an index.
        let index = u32::try_from(self.payments.len()).unwrap_or(u32::MAX);
        let older = self.by_order.insert(authorized.order_id.clone(), index);
        self.by_key.insert(authorized.payment_key.clone(), index);
        self.payments.push(Payment {
            payment_key: authorized.payment_key.clone(),
            order_id: authorized.order_id.clone(),
            order_name: authorized.order_name.clone(),
            method: authorized.method,
            amount: authorized.amount,
            authorized_at: authorized.at,
            state: State::Open,
            cancels: Vec::new(),
            calls: Calls::default(),
            confirming: false,
            older,
        });
    }

    fn count(&mut self, called: &Called) {
        match called.on {
            Endpoint::Confirm => self.totals.confirm_calls += 1,
            Endpoint::Lookup => self.totals.lookups += 1,
            Endpoint::Cancel => self.totals.cancels += 1,
            Endpoint::Transactions => {}
        }
        let payment = called
            .payment_key
            .as_ref()
            .and_then(|key| self.payment_mut(key.as_str()));
        if let Some(Payment { calls, .. }) = payment {
            match called.on {
                Endpoint::Confirm => calls.confirms += 1,
                Endpoint::Lookup => calls.lookups += 1,
                Endpoint::Cancel => calls.cancels += 1,
                Endpoint::Transactions => {}
            }
        }
    }

    fn execute(&mut self, called: &Called) {
        if let (Some(deed), Some(key)) = (&called.did, &called.payment_key)
            && let Some(&index) = self.by_key.get(key.as_str())
        {
            self.carry_out(deed, index, called.at);
        }
        if let Some(remembered) = &called.answered {
            self.answers
                .answer(remembered.identity, remembered.first.clone());
        }
    }

    fn carry_out(&mut self, deed: &Deed, index: u32, at: Instant) {
        let Some(payment) = self.payments.get_mut(index as usize) else {
            return;
        };
        match deed {
            Deed::Approved { transaction_key } => {
                payment.state = State::Approved {
                    at,
                    transaction_key: *transaction_key,
                };
                self.totals.approvals += 1;
                self.totals.approved_amount =
                    self.totals.approved_amount.saturating_add(payment.amount);
                self.transactions.push(Transaction {
                    payment: index,
                    cancel: None,
                });
            }
            Deed::Aborted { code } => payment.state = State::Aborted { code: *code },
            Deed::Canceled {
                transaction_key,
                amount,
                reason,
            } => {
                let cancel = u32::try_from(payment.cancels.len()).ok();
                payment.cancels.push(Cancellation {
                    at,
                    transaction_key: *transaction_key,
                    amount: *amount,
                    reason: reason.clone(),
                });
                self.transactions.push(Transaction {
                    payment: index,
                    cancel,
                });
            }
        }
    }

    fn at(&self, index: u32) -> Option<&Payment> {
        self.payments.get(index as usize)
    }

    fn line(&self, position: usize) -> Option<TransactionLine> {
        let transaction = *self.transactions.get(position)?;
        let payment = self.at(transaction.payment)?;
        let (at, transaction_key) = moment(payment, transaction.cancel)?;
        Some(TransactionLine {
            payment: payment.clone(),
            cancel: transaction.cancel,
            at,
            transaction_key,
        })
    }

    fn time_of(&self, transaction: &Transaction) -> Instant {
        let payment = self.at(transaction.payment);
        payment
            .and_then(|payment| moment(payment, transaction.cancel))
            .map_or(Instant::default(), |(at, _)| at)
    }
}

fn moment(payment: &Payment, cancel: Option<u32>) -> Option<(Instant, Hex)> {
    match (cancel, payment.state) {
        (Some(position), _) => payment
            .cancels
            .get(position as usize)
            .map(|cancel| (cancel.at, cancel.transaction_key)),
        (
            None,
            State::Approved {
                at,
                transaction_key,
            },
        ) => Some((at, transaction_key)),
        (None, State::Open | State::Aborted { .. }) => None,
    }
}
