//! Refusals before any write: user, amount, paymentKey, status, deadline, in this order. A wrong amount or user
//! changes nothing, ever: knowing an orderId must not be enough to kill an order.

use crate::domain::rejection::{KeyConflict, NotPayable};
use crate::domain::{
    Answer, Payment, PaymentKey, Rejection, Rules, Status, Timestamp, UserId, Won,
};

/// What a caller of confirm says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `None` where an order token or an API key stands for the buyer.
    pub user: Option<UserId>,
    pub amount: Won,
    pub payment_key: PaymentKey,
}

/// What to do with a confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Answer(Answer),
    Reject(Rejection),
    /// The same paymentKey is in flight: wait with the others.
    Join,
    /// Unsettled, with nobody at it: ask once, and wait.
    Nudge,
    /// A new attempt.
    Start,
}

/// `opening`: the paymentKey of a flight whose journal A is not written yet.
pub fn check(
    payment: &Payment,
    opening: Option<&PaymentKey>,
    flying: bool,
    request: &Request,
    now: Timestamp,
) -> Admission {
    let Request {
        user,
        amount,
        payment_key: key,
    } = request;
    if user
        .as_ref()
        .is_some_and(|user| *user != payment.order.user)
    {
        return Admission::Reject(Rejection::InvalidUserId);
    }
    if *amount != payment.order.total {
        let expected = payment.order.total;
        return Admission::Reject(Rejection::InvalidTotalAmount { expected });
    }
    if let Some(answer) = payment.answer_for(key, now) {
        return match answer {
            Answer::Paid(_) | Answer::Declined { .. } | Answer::UnderReview { .. } => {
                Admission::Answer(answer)
            }
            Answer::Pending { .. } if flying => Admission::Join,
            Answer::Pending { .. } => Admission::Nudge,
        };
    }
    match opening {
        Some(opening) if opening == key => return Admission::Join,
        Some(_) => return conflict(KeyConflict::InFlight),
        None => {}
    }
    never_tried(payment, now)
}

fn never_tried(payment: &Payment, now: Timestamp) -> Admission {
    let not_payable = |why| Admission::Reject(Rejection::NotPayable(why));
    match payment.status {
        Status::Done => conflict(KeyConflict::Paid),
        Status::InProgress | Status::Unknown => conflict(KeyConflict::InFlight),
        Status::Quarantined if payment.is_paid() => conflict(KeyConflict::Paid),
        Status::Quarantined => Admission::Answer(payment.under_review()),
        Status::Expired => not_payable(NotPayable::Expired),
        // The timer may not have been here yet; the deadline holds all the same.
        Status::Ready | Status::Failed if payment.expires_at <= now => {
            not_payable(NotPayable::Expired)
        }
        Status::Failed if payment.attempts.len() >= Rules::MOST_ATTEMPTS => {
            not_payable(NotPayable::TooManyAttempts)
        }
        Status::Ready | Status::Failed => Admission::Start,
    }
}

fn conflict(with: KeyConflict) -> Admission {
    Admission::Reject(Rejection::InvalidPaymentKey(with))
}
