//! What just happened to a payment, in the past tense, and the refusal of what cannot have happened.

use super::super::moment::Timestamp;
use super::super::order::PaymentKey;
use super::super::outcome::{Charge, Decline};
use super::{Approval, Claim, GatewayIdentity, Resolution, Ruling, Status};

/// Events that tell of Toss name the attempt that they tell about: news of an older attempt is still news.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A confirm passed every check: write it down before calling out.
    AttemptStarted {
        payment_key: PaymentKey,
        gateway: GatewayIdentity,
        claim: Claim,
    },
    /// The owner of an IN_PROGRESS payment is gone, or its flight is; the claim is the new owner's.
    OwnerLost {
        claim: Claim,
    },
    /// A payment whose outcome is unknown was taken in hand again.
    RetryClaimed {
        claim: Claim,
    },
    /// Its deadline passed with nothing sent.
    DeadlinePassed,

    /// Toss approved, cross-checked: our paymentKey, our order, our amount, DONE.
    Approved {
        attempt: u8,
        payment_key: PaymentKey,
        approval: Approval,
    },
    /// Toss says that it took money for our paymentKey and order, but not our amount.
    AmountMismatched {
        attempt: u8,
        total: Charge,
    },
    Declined {
        attempt: u8,
        decline: Decline,
    },
    /// Surely not sent. Says nothing about earlier calls of the attempt.
    NotAttempted {
        attempt: u8,
        why: Box<str>,
    },
    /// Toss approved our order and amount, but named another paymentKey: look up by our own before deciding.
    MixedUp {
        attempt: u8,
    },
    /// An answer, or a silence, that decides nothing.
    Undecided {
        attempt: u8,
        answered: bool,
        why: Box<str>,
    },

    /// Looked up: Toss holds the authorization and waits for a confirm.
    FoundUnconfirmed {
        attempt: u8,
        claim: Claim,
        ours: bool,
    },
    /// Looked up by paymentKey: ABORTED or EXPIRED at Toss, so no money moved.
    FoundEnded {
        attempt: u8,
        decline: Decline,
    },
    /// Looked up: refunded, so it *was* approved.
    FoundCanceled {
        attempt: u8,
    },
    /// Looked up: a virtual account was issued and the money is not there yet.
    FoundWaitingForDeposit {
        attempt: u8,
    },
    /// Looked up by our paymentKey: it belongs to another order.
    FoundForeign {
        attempt: u8,
    },
    /// Looked up: Toss does not know the payment, by paymentKey nor by order. `ours` tells whether
    /// the one who was asked is the gateway that the attempt was sent to.
    FoundNothing {
        attempt: u8,
        claim: Claim,
        ours: bool,
        /// When the question left; an old answer says nothing about later.
        asked_at: Timestamp,
    },
    /// Looked up, and what came back decides nothing.
    FoundUndecided {
        attempt: u8,
        why: Box<str>,
    },
    /// The question itself was not answered; it costs no question.
    QuestionLost {
        attempt: u8,
        why: Box<str>,
    },

    /// An operator looked at a quarantined payment and decided; it stands only on what Toss showed.
    Resolved(Box<Resolution>),
}

impl Event {
    /// The name in the history.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::AttemptStarted { .. } => "ATTEMPT_STARTED",
            Event::OwnerLost { .. } => "OWNER_LOST",
            Event::RetryClaimed { .. } => "RETRY_CLAIMED",
            Event::DeadlinePassed => "DEADLINE_PASSED",
            Event::Approved { .. } => "APPROVED",
            Event::AmountMismatched { .. } => "AMOUNT_MISMATCHED",
            Event::Declined { .. } => "DECLINED",
            Event::NotAttempted { .. } => "NOT_ATTEMPTED",
            Event::MixedUp { .. } => "MIXED_UP",
            Event::Undecided { .. } => "UNDECIDED",
            Event::FoundUnconfirmed { .. } => "FOUND_UNCONFIRMED",
            Event::FoundEnded { .. } => "FOUND_ENDED",
            Event::FoundCanceled { .. } => "FOUND_CANCELED",
            Event::FoundWaitingForDeposit { .. } => "FOUND_WAITING_FOR_DEPOSIT",
            Event::FoundForeign { .. } => "FOUND_FOREIGN",
            Event::FoundNothing { .. } => "FOUND_NOTHING",
            Event::FoundUndecided { .. } => "FOUND_UNDECIDED",
            Event::QuestionLost { .. } => "QUESTION_LOST",
            Event::Resolved(resolution) => match resolution.ruling {
                Ruling::Done => "RESOLVED_DONE",
                Ruling::Failed => "RESOLVED_FAILED",
            },
        }
    }

    /// The attempt that the event tells about; `None` for events of the payment as a whole.
    pub const fn attempt(&self) -> Option<u8> {
        match self {
            Event::AttemptStarted { .. }
            | Event::OwnerLost { .. }
            | Event::RetryClaimed { .. }
            | Event::DeadlinePassed
            | Event::Resolved(_) => None,
            Event::Approved { attempt, .. }
            | Event::AmountMismatched { attempt, .. }
            | Event::Declined { attempt, .. }
            | Event::NotAttempted { attempt, .. }
            | Event::MixedUp { attempt }
            | Event::Undecided { attempt, .. }
            | Event::FoundUnconfirmed { attempt, .. }
            | Event::FoundEnded { attempt, .. }
            | Event::FoundCanceled { attempt }
            | Event::FoundWaitingForDeposit { attempt }
            | Event::FoundForeign { attempt }
            | Event::FoundNothing { attempt, .. }
            | Event::FoundUndecided { attempt, .. }
            | Event::QuestionLost { attempt, .. } => Some(*attempt),
        }
    }
}

/// This cannot happen to a payment that rests there: whoever saw it looks at an old copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to a payment that is {}", status.name())]
pub struct IllegalEvent {
    pub status: Status,
    pub event: &'static str,
}
