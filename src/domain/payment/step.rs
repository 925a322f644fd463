//! What to do next, read off the payment alone: so a crash forgets nothing that matters.

use super::super::moment::{Moment, Timestamp};
use super::{Payment, Status};

/// An order to the one who has hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing, until somebody asks for something.
    Rest,
    /// Journal that the deadline has passed.
    Expire,
    /// Send the confirm with the journaled key n. Only the owner may.
    Confirm,
    /// Look the payment up, not before this instant unless a caller waits for it. `by_order_too`: before
    /// "not found" is believed, ask for the order as well; what it adds is good for an approval only.
    Ask {
        not_before: Timestamp,
        by_order_too: bool,
    },
    /// Look it up, and write only if the answer settles it.
    AskQuietly { not_before: Timestamp },
}

pub fn next_step(payment: &Payment, now: &Moment<'_>) -> Step {
    let due = payment.next_attempt_at.unwrap_or(now.at);
    match payment.status {
        Status::Ready if payment.expires_at <= now.at => Step::Expire,
        Status::Ready => Step::Rest,
        Status::InProgress => Step::Confirm,
        Status::Unknown => Step::Ask {
            not_before: due,
            by_order_too: payment.window_over(now),
        },
        Status::Quarantined if payment.may_settle_itself() => Step::AskQuietly { not_before: due },
        Status::Quarantined | Status::Done | Status::Failed | Status::Expired => Step::Rest,
    }
}
