//! What Toss said, or what its silence means. A value, never an error: silence is information too.

use super::moment::Timestamp;
use super::order::PaymentKey;

/// A refusal by Toss or by a card company: the code is Toss's, the message is fit for the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decline {
    pub code: Box<str>,
    pub message: Box<str>,
}

impl Decline {
    /// Our own code for a paymentKey that Toss showed, twice, to belong to another order.
    pub const FOREIGN_PAYMENT_KEY: &str = "FOREIGN_PAYMENT_KEY";

    pub fn new(code: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Decline {
        Decline {
            code: code.into(),
            message: message.into(),
        }
    }
}

/// Where a payment stands at Toss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TossStatus {
    Ready,
    InProgress,
    WaitingForDeposit,
    Done,
    Canceled,
    PartialCanceled,
    Aborted,
    Expired,
}

impl TossStatus {
    /// As Toss writes it.
    pub const fn name(self) -> &'static str {
        match self {
            TossStatus::Ready => "READY",
            TossStatus::InProgress => "IN_PROGRESS",
            TossStatus::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
            TossStatus::Done => "DONE",
            TossStatus::Canceled => "CANCELED",
            TossStatus::PartialCanceled => "PARTIAL_CANCELED",
            TossStatus::Aborted => "ABORTED",
            TossStatus::Expired => "EXPIRED",
        }
    }
}

/// A Payment object as far as we rely on it. It proves nothing until it is cross-checked with ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    pub payment_key: PaymentKey,
    pub order_id: Box<str>,
    pub status: TossStatus,
    /// Whole won; a Payment in another unit or currency never becomes a Report.
    pub total: i64,
    pub approved_at: Option<Timestamp>,
    pub method: Option<Box<str>>,
    pub receipt_url: Option<Box<str>>,
    pub failure: Option<Decline>,
}

/// What a confirm call means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Toss says that the money is taken; a claim to be cross-checked.
    Approved(Report),
    /// Toss says that the money is not taken and that this paymentKey is at its end.
    Declined(Decline),
    /// The request surely never left: the connection could not be made.
    NotAttempted(Box<str>),
    /// Another call for the same payment is still running at Toss.
    InProgress(Box<str>),
    /// Not processed, says Toss; the same paymentKey may be tried again later.
    Temporary(Box<str>),
    /// Anything else: silence, a 5xx, a broken body, our own misconfiguration, a code that decides nothing.
    Unknown(Box<str>),
}

/// An outcome, and whether Toss *answered*: Toss-shaped JSON arrived, other than 409
/// IDEMPOTENT_REQUEST_PROCESSING. An answered idempotency key replays its answer for 15 days; an unanswered one may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    pub outcome: Outcome,
    pub answered: bool,
}

/// What a look-up means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    Found(Report),
    /// Not known by our paymentKey, but the order is paid under another one.
    PaidUnder(Report),
    /// 404 in Toss's own words. Early on it proves nothing.
    NotFound,
    /// Toss answered in its own words, and they decide nothing: another currency, an error that is not "not found".
    Undecided(Box<str>),
    /// No usable answer: silence, a 5xx, a broken body, "later", our own misconfiguration. It costs no question.
    NoAnswer(Box<str>),
}
