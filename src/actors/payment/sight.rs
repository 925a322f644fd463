//! Sight: the record as it was read at an instant. Where other nodes write it too, what an actor remembers may be old;
//! nobody is told on its word alone what another node may have made untrue.

use tokio::time::Instant;

use super::check::Admission;
use super::hands::Hands;
use super::pauses::Pauses;
use crate::domain::rejection::KeyConflict;
use crate::domain::{Answer, Further, OrderId, Payment, Rejection, Status};
use crate::store::StoreFault;

#[derive(Clone, Debug)]
pub struct Sight {
    pub payment: Payment,
    /// Before it was read, or before it was written: it is not older than this.
    pub as_of: Instant,
    /// Another node made the last claim on it, and lives.
    pub is_anothers: bool,
}

/// The payment as the store has it, asked for until the store answers. `None`: the store does not have
/// it (rows deleted, a file swapped under us), or cannot make sense of it; then nothing can be decided here.
pub async fn reload(hands: &Hands, order: OrderId) -> Option<Sight> {
    let mut pauses = Pauses::new();
    loop {
        match read(hands, order).await {
            Ok(Some(sight)) => return Some(sight),
            Ok(None) => {
                tracing::error!(%order, "the store has lost this order");
                return None;
            }
            Err(fault @ StoreFault::Broken { .. }) => {
                tracing::error!(%order, %fault, "the order cannot be read");
                return None;
            }
            Err(fault) => {
                tracing::warn!(%order, %fault, "could not reload; trying again");
                pauses.pause().await;
            }
        }
    }
}

async fn read(hands: &Hands, order: OrderId) -> Result<Option<Sight>, StoreFault> {
    let as_of = Instant::now();
    let Some(payment) = hands.store.load(order).await? else {
        return Ok(None);
    };
    let is_anothers = match payment.status {
        Status::InProgress | Status::Unknown => hands.is_anothers(&payment).await?,
        Status::Ready | Status::Done | Status::Failed | Status::Expired | Status::Quarantined => {
            false
        }
    };
    Ok(Some(Sight {
        payment,
        as_of,
        is_anothers,
    }))
}

/// Whether this is true only as long as nobody else has moved the payment. What depends on the order alone never
/// changes, nor does what a paymentKey was told once; and what begins an attempt is fenced by its version.
pub fn may_be_outdated(payment: &Payment, verdict: &Admission) -> bool {
    match verdict {
        Admission::Answer(answer) => match answer {
            Answer::Paid(_)
            | Answer::Declined {
                further: Further::Nothing,
                ..
            } => false,
            // Only the advice.
            Answer::Declined {
                further: Further::PayAgain | Further::Wait | Further::Ask | Further::OrderAnew,
                ..
            }
            | Answer::Pending { .. }
            | Answer::UnderReview { .. } => true,
        },
        Admission::Reject(rejection) => match rejection {
            Rejection::InvalidPaymentKey(KeyConflict::Paid) => payment.status != Status::Done,
            Rejection::InvalidPaymentKey(KeyConflict::InFlight) | Rejection::NotPayable(_) => true,
            Rejection::InvalidTotalAmount { .. } | Rejection::InvalidUserId => false,
            // Not the words of a check.
            Rejection::NotEnoughStock { .. }
            | Rejection::ProductNotFound(_)
            | Rejection::UserNotFound
            | Rejection::PaymentNotFound(_)
            | Rejection::OutOfStock(_)
            | Rejection::IdempotencyKeyReused
            | Rejection::Busy { .. }
            | Rejection::InvalidInput { .. } => false,
        },
        Admission::Nudge => true,
        Admission::Join | Admission::Start => false,
    }
}
