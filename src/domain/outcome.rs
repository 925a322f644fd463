//! What Toss said, or what its silence means. A value, never an error: silence is information too.

use std::fmt;

use super::moment::Timestamp;
use super::order::{OrderId, PaymentKey};

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

    /// What Toss does not know, once it can only be so because no money moved.
    pub fn not_found() -> Decline {
        Decline::new("NOT_FOUND_PAYMENT", "Toss does not know the payment.")
    }

    /// A payment that ended at Toss in this status, without a reason of its own.
    pub fn ended(status: TossStatus) -> Decline {
        Decline::new(status.name(), "The payment ended at Toss.")
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

/// How much a payment is for, as Toss has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Charge {
    Won(i64),
    /// In this currency. Whatever the number is, it is not the order's amount.
    Foreign(Box<str>),
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Charge::Won(total) => write!(f, "{total} KRW"),
            Charge::Foreign(currency) => write!(f, "an amount in {currency}"),
        }
    }
}

/// A virtual account that was issued for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAccount {
    /// Until when it takes a deposit.
    pub due: Option<Timestamp>,
    /// Toss says that it takes none any more.
    pub expired: bool,
    /// Toss says that no deposit was ever approved, as opposed to not saying when.
    pub unpaid: bool,
}

/// A Payment object as far as we rely on it. It proves nothing until it is cross-checked with ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    pub payment_key: PaymentKey,
    pub order_id: Box<str>,
    pub status: TossStatus,
    pub total: Charge,
    pub approved_at: Option<Timestamp>,
    pub method: Option<Box<str>>,
    pub receipt_url: Option<Box<str>>,
    pub failure: Option<Decline>,
    /// Where the buyer chose to pay by a deposit.
    pub account: Option<VirtualAccount>,
}

impl Report {
    /// Whether it names this order, letter by letter.
    pub fn is_of(&self, order: OrderId) -> bool {
        OrderId::parse(&self.order_id) == Some(order)
    }

    /// After its due date an account may still be told that its bank was late.
    const LATE_DEPOSIT_MS: i64 = 3_600_000;
    /// A bank takes a wrong deposit back, and DONE becomes WAITING_FOR_DEPOSIT again, mostly within two minutes.
    const DEPOSIT_SETTLES_MS: i64 = 300_000;

    /// Whether Toss took the money, given back since or not. A virtual account that was cancelled before its deposit was
    /// never paid.
    pub fn was_approved(&self) -> bool {
        let unpaid = self.account.as_ref().is_some_and(|account| account.unpaid);
        match self.status {
            TossStatus::Done | TossStatus::PartialCanceled => true,
            TossStatus::Canceled => !unpaid,
            TossStatus::Ready
            | TossStatus::InProgress
            | TossStatus::WaitingForDeposit
            | TossStatus::Aborted
            | TossStatus::Expired => false,
        }
    }

    /// What the status comes to at that instant. Only a virtual account's may not be what it says: Toss leaves it
    /// WAITING_FOR_DEPOSIT after its due date, CANCELED without a deposit is no refund, and a fresh deposit may be taken
    /// back. [toss: payment states]
    pub fn status_at(&self, asked_at: Timestamp) -> TossStatus {
        let Some(account) = &self.account else {
            return self.status;
        };
        let since = |at: Option<Timestamp>| at.map(|at| asked_at.ms_since(at));
        let late = since(account.due).is_some_and(|ms| ms > Report::LATE_DEPOSIT_MS);
        let fresh = since(self.approved_at).is_some_and(|ms| ms <= Report::DEPOSIT_SETTLES_MS);
        match self.status {
            TossStatus::WaitingForDeposit if account.expired && late => TossStatus::Expired,
            TossStatus::Canceled if account.unpaid => TossStatus::Aborted,
            TossStatus::Done if fresh => TossStatus::WaitingForDeposit,
            status => status,
        }
    }
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
