//! The callers who wait for one payment. They hear the same answer; one who leaves cancels nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::actors::api::Heard;
use crate::domain::{Answer, Payment, PaymentKey, Rejection, Timestamp};
use crate::metrics::Present;

use super::Waiter;

/// A caller and the paymentKey that it came with.
#[derive(Debug)]
pub struct Caller {
    pub key: PaymentKey,
    pub waiter: Waiter,
    pub stay: Stay,
    /// When it came: what it hears must have been true since.
    pub since: Instant,
    /// Counted for as long as it waits.
    pub _present: Present,
}

/// For what a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Whatever the flight under way comes to.
    ForThisFlight,
    /// Stays when a flight ends undecided, and leaves by its own patience.
    Patient,
    /// A fresh reading, to be looked at again.
    Again,
}

#[derive(Debug, Default)]
pub struct Callers {
    waiting: Vec<Caller>,
    swept: Option<Instant>,
}

/// A full room is looked through for those who have left, not more often than this.
const SWEEP: Duration = Duration::from_millis(100);

impl Callers {
    /// Whether so many wait already. Those who have left do not count.
    pub fn is_full(&mut self, most: usize) -> bool {
        let recently = self.swept.is_some_and(|swept| swept.elapsed() < SWEEP);
        if self.waiting.len() >= most && !recently {
            self.swept = Some(Instant::now());
            self.are_gone();
        }
        self.waiting.len() >= most
    }

    /// Whether nobody waits any more; those who left are forgotten.
    pub fn are_gone(&mut self) -> bool {
        self.waiting
            .retain(|caller| !caller.waiter.answer.is_closed());
        self.waiting.is_empty()
    }

    pub fn join(&mut self, caller: Caller) {
        self.waiting.push(caller);
    }

    /// The payment's record names their paymentKey: what they asked for is durable.
    pub fn tell_begun(&mut self, payment: &Payment) {
        for caller in &mut self.waiting {
            if caller.waiter.began.is_some() && payment.attempt_with(&caller.key).is_some() {
                caller.waiter.tell_begun();
            }
        }
    }

    pub fn reject(&mut self, rejection: &Rejection) {
        for caller in self.waiting.drain(..) {
            caller.waiter.tell(Heard::Rejected(rejection.clone()));
        }
    }

    pub fn take(&mut self, stay: Stay) -> Vec<Caller> {
        self.waiting
            .extract_if(.., |caller| caller.stay == stay)
            .collect()
    }

    /// Settled answers for all. The undecided stay if they are patient, else they hear "pending". Returned
    /// are those whose paymentKey the record does not name, and those who wait to be looked at again.
    pub fn answer(&mut self, payment: &Payment, now: Timestamp) -> Vec<Caller> {
        let mut strangers = Vec::new();
        self.are_gone();
        for caller in std::mem::take(&mut self.waiting) {
            match payment.answer_for(&caller.key, now) {
                None => strangers.push(caller),
                Some(_) if caller.stay == Stay::Again => strangers.push(caller),
                Some(Answer::Pending { .. }) if caller.stay == Stay::Patient => {
                    self.waiting.push(caller);
                }
                Some(answer) => caller.waiter.tell(Heard::Answer(answer)),
            }
        }
        strangers
    }

    /// Everybody hears what is known, and nobody stays.
    pub fn dismiss(&mut self, payment: &Payment, now: Timestamp) {
        for caller in std::mem::take(&mut self.waiting) {
            let answer = payment.answer_for(&caller.key, now);
            caller
                .waiter
                .tell(Heard::Answer(answer.unwrap_or_else(|| pending(payment))));
        }
    }
}

pub fn pending(payment: &Payment) -> Answer {
    Answer::Pending {
        order_id: payment.order.id,
        status: payment.status,
    }
}
