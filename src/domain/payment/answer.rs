//! What a caller who names a paymentKey hears. A settled answer is read off the attempt, so it never changes.

use super::super::moment::Timestamp;
use super::super::money::Won;
use super::super::order::{OrderId, PaymentKey};
use super::super::outcome::Decline;
use super::super::retry::Rules;
use super::{Approval, Payment, QuarantineReason, Settled, Status};

/// Paid: what the receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub order_id: OrderId,
    pub amount: Won,
    pub approval: Approval,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Paid(Receipt),
    Declined {
        order_id: OrderId,
        decline: Decline,
        /// The advice that goes with it; it may change, the answer does not.
        further: Further,
    },
    /// Not known yet. Being checked; nobody should pay again.
    Pending {
        order_id: OrderId,
        status: Status,
    },
    UnderReview {
        order_id: OrderId,
        reason: Option<QuarantineReason>,
    },
}

/// What is left to do for a buyer whose paymentKey was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Further {
    /// Another paymentKey may pay the order.
    PayAgain,
    /// Another paymentKey is being tried.
    Wait,
    /// A human looks at the order.
    Ask,
    /// The order's time, or its tries, are over.
    OrderAnew,
    /// The order is paid.
    Nothing,
}

impl Answer {
    /// Whether every later caller with the same paymentKey must hear the same.
    pub const fn is_settled(&self) -> bool {
        match self {
            Answer::Paid(_) | Answer::Declined { .. } => true,
            Answer::Pending { .. } | Answer::UnderReview { .. } => false,
        }
    }
}

impl Payment {
    /// The answer for a paymentKey that was tried; `None` for one that never was.
    pub fn answer_for(&self, key: &PaymentKey, now: Timestamp) -> Option<Answer> {
        let attempt = self.attempt_with(key)?;
        let order_id = self.order.id;
        Some(match &attempt.settled {
            Some(Settled::Approved(approval)) => Answer::Paid(Receipt {
                order_id,
                amount: self.order.total,
                approval: approval.clone(),
            }),
            Some(Settled::Declined(decline) | Settled::Overruled { told: decline, .. }) => {
                Answer::Declined {
                    order_id,
                    decline: decline.clone(),
                    further: self.further(now),
                }
            }
            None if self.status == Status::Quarantined => self.under_review(),
            None => Answer::Pending {
                order_id,
                status: self.status,
            },
        })
    }

    /// What may become of the order after a decline.
    pub fn further(&self, now: Timestamp) -> Further {
        if self.is_paid() {
            return Further::Nothing;
        }
        match self.status {
            Status::InProgress | Status::Unknown => Further::Wait,
            Status::Quarantined => Further::Ask,
            Status::Ready | Status::Failed if self.may_be_tried(now) => Further::PayAgain,
            Status::Ready | Status::Failed | Status::Expired => Further::OrderAnew,
            Status::Done => Further::Nothing,
        }
    }

    /// Whether its time and its tries allow another paymentKey.
    pub fn may_be_tried(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.attempts.len() < Rules::MOST_ATTEMPTS
    }

    /// What everybody hears who names a paymentKey that nothing was said about.
    pub fn under_review(&self) -> Answer {
        Answer::UnderReview {
            order_id: self.order.id,
            reason: self.quarantine,
        }
    }

    /// Some attempt took the money, as far as our record goes.
    pub fn is_paid(&self) -> bool {
        let settled = self.attempts.iter().flat_map(|a| &a.settled);
        settled
            .into_iter()
            .any(|settled| settled.approval().is_some())
    }
}
