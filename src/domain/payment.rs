//! The heart: a payment, where it may rest (`Status`), what may happen to it (`Event`), and what to do next (`Step`).
//! `next_step` and `after` are the only two functions that know the rules; everyone else asks them.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::moment::{Moment, Timestamp};
use super::order::{Order, PaymentKey};
use super::outcome::{Decline, Report};
use super::retry::Rules;

mod after;
mod answer;
mod event;
#[cfg(test)]
mod grid;
mod judge;
#[cfg(test)]
mod properties;
mod resolve;
mod step;
mod transition;

pub use after::after;
pub use answer::{Answer, Further, Receipt};
pub use event::{Event, IllegalEvent};
pub use judge::{add_finding_by_order, judge_finding, judge_reply};
pub use resolve::{About, Evidence, Refusal, Resolution, Ruling};
pub use step::{Step, next_step};
pub use transition::{History, Outbox, StockMove, Transition, TransitionId};

/// Where a payment rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Checked out; nothing was sent to Toss.
    Ready,
    /// The intent is journaled; Toss may have been called with the current attempt's key n.
    InProgress,
    /// Toss was called and the outcome is not known: ask.
    Unknown,
    /// Approved, and our record agrees with Toss's.
    Done,
    /// There is evidence that the last attempt moved no money.
    Failed,
    /// Nobody confirmed in time.
    Expired,
    /// Evidence conflicts or the questions are spent: a human decides.
    Quarantined,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Ready,
        Status::InProgress,
        Status::Unknown,
        Status::Done,
        Status::Failed,
        Status::Expired,
        Status::Quarantined,
    ];

    /// The name in the database and at the door.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Ready => "READY",
            Status::InProgress => "IN_PROGRESS",
            Status::Unknown => "UNKNOWN",
            Status::Done => "DONE",
            Status::Failed => "FAILED",
            Status::Expired => "EXPIRED",
            Status::Quarantined => "QUARANTINED",
        }
    }

    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Nothing more happens by itself, and what a caller hears now will not change.
    pub const fn is_settled(self) -> bool {
        match self {
            Status::Done | Status::Failed | Status::Expired => true,
            Status::Ready | Status::InProgress | Status::Unknown | Status::Quarantined => false,
        }
    }

    /// Arriving here is news for the shop, told once, through the outbox.
    pub const fn is_news(self) -> bool {
        match self {
            Status::Done | Status::Failed | Status::Expired | Status::Quarantined => true,
            Status::Ready | Status::InProgress | Status::Unknown => false,
        }
    }

    /// The status of each line of an order, in the words of the system that payonce re-implements.
    pub const fn of_lines(self) -> &'static str {
        match self {
            Status::Ready => "NOT_STARTED",
            Status::InProgress => "EXECUTING",
            Status::Done => "SUCCESS",
            Status::Failed => "FAIL",
            Status::Expired => "CANCEL",
            Status::Unknown | Status::Quarantined => "UNKNOWN",
        }
    }
}

/// One running process of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub Uuid);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Which Toss an attempt speaks to: base URL and the fingerprint of the merchant's key. Under another
/// identity Toss knows nothing of our payments, so its "not found" means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayIdentity(pub Arc<str>);

impl fmt::Display for GatewayIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to work on a payment: who, and the instant after which this owner sends nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub owner: Incarnation,
    pub deadline: Timestamp,
}

/// The details of an approval that belong to the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Approval {
    pub approved_at: Option<Timestamp>,
    pub method: Option<Box<str>>,
    pub receipt_url: Option<Box<str>>,
}

impl From<Report> for Approval {
    fn from(report: Report) -> Approval {
        let Report {
            approved_at,
            method,
            receipt_url,
            ..
        } = report;
        Approval {
            approved_at,
            method,
            receipt_url,
        }
    }
}

/// How an attempt ended. Once a caller has heard it, it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    Approved(Approval),
    Declined(Decline),
    /// Its callers heard a decline, and hear it still; Toss approved it after all, and an operator let it pay.
    Overruled {
        told: Decline,
        approval: Approval,
    },
}

impl Settled {
    /// What paid the order, if this did.
    pub const fn approval(&self) -> Option<&Approval> {
        match self {
            Settled::Approved(approval) | Settled::Overruled { approval, .. } => Some(approval),
            Settled::Declined(_) => None,
        }
    }

    /// What the callers heard, if it was a decline.
    pub const fn decline(&self) -> Option<&Decline> {
        match self {
            Settled::Declined(told) | Settled::Overruled { told, .. } => Some(told),
            Settled::Approved(_) => None,
        }
    }
}

/// Signs of an approval that did not settle the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ApprovalSign {
    #[default]
    None,
    /// Toss claimed an approval whose amount or paymentKey was not ours: it settles nothing, but nothing more is
    /// sent, and no "aborted" is believed after it.
    Contradicted,
    /// Toss did approve (it may have been cancelled since): only a human settles this.
    Seen,
}

/// One try to pay with one paymentKey.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Counted from 1 within the payment.
    pub number: u8,
    pub payment_key: PaymentKey,
    /// Which idempotency key is in use: `{order_id}:{number}:{n}`, from 1.
    pub n: u32,
    /// Key n has an answer, which Toss will replay.
    pub answered: bool,
    pub gateway: GatewayIdentity,
    pub started_at: Timestamp,
    /// The last instant at which any owner may have sent a confirm.
    pub may_send_until: Timestamp,
    /// Who may have sent first; a second sender makes a later decline doubtful.
    pub owner: Incarnation,
    pub many_owners: bool,
    /// A look-up by our paymentKey named another order, once.
    pub foreign_seen: bool,
    pub approval_sign: ApprovalSign,
    /// A decline that could not be believed yet.
    pub doubted_decline: Option<Decline>,
    pub settled: Option<Settled>,
}

impl Attempt {
    /// The idempotency key under which the confirm call of this attempt goes out. At most 51 of Toss's 300 characters.
    pub fn idempotency_key(&self, order: &Order) -> String {
        format!("{}:{}:{}", order.id, self.number, self.n)
    }

    /// A decline is the whole truth only if no other call of this attempt can still be travelling.
    fn decline_is_final(&self) -> bool {
        self.n == 1 && !self.many_owners && self.approval_sign == ApprovalSign::None
    }

    /// Whether another confirm may go out at all; under which n is another question.
    fn may_be_sent(&self, now: &Moment<'_>) -> bool {
        let young = now.at.ms_since(self.started_at) <= Rules::SENT_FOR_MS;
        let undecided = self.doubted_decline.is_none() && self.settled.is_none();
        young && undecided && self.approval_sign == ApprovalSign::None
    }
}

/// Why a human is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuarantineReason {
    AmountMismatch,
    /// An approval arrived for a payment that had been closed or was paid by another paymentKey.
    LateApproval,
    ConflictingEvidence,
    /// Refunded outside of payonce, in Toss's dashboard for instance.
    CanceledAtToss,
    QuestionsSpent,
    /// Unsettled under another merchant key or base URL, and the present one does not know it.
    OtherGateway,
    WaitingForDeposit,
}

impl QuarantineReason {
    pub const ALL: [QuarantineReason; 7] = [
        QuarantineReason::AmountMismatch,
        QuarantineReason::LateApproval,
        QuarantineReason::ConflictingEvidence,
        QuarantineReason::CanceledAtToss,
        QuarantineReason::QuestionsSpent,
        QuarantineReason::OtherGateway,
        QuarantineReason::WaitingForDeposit,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            QuarantineReason::AmountMismatch => "AMOUNT_MISMATCH",
            QuarantineReason::LateApproval => "LATE_APPROVAL",
            QuarantineReason::ConflictingEvidence => "CONFLICTING_EVIDENCE",
            QuarantineReason::CanceledAtToss => "CANCELED_AT_TOSS",
            QuarantineReason::QuestionsSpent => "QUESTIONS_SPENT",
            QuarantineReason::OtherGateway => "OTHER_GATEWAY",
            QuarantineReason::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
        }
    }

    pub fn parse(name: &str) -> Option<QuarantineReason> {
        QuarantineReason::ALL
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

/// Our effort to collect for one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    pub order: Order,
    pub status: Status,
    /// Counts the transitions; every write names the version that it replaces.
    pub version: i64,
    /// The incarnation that made the last claim.
    pub owner: Option<Incarnation>,
    /// After this instant no new paymentKey is accepted.
    pub expires_at: Timestamp,
    /// IN_PROGRESS: the owner's hard deadline. UNKNOWN and QUARANTINED: when to ask. Else absent.
    pub next_attempt_at: Option<Timestamp>,
    /// Retries claimed since the attempt began; they set the pace of asking.
    pub rounds: u32,
    /// Questions that Toss answered without deciding, since the attempt began.
    pub questions: u32,
    /// The order's goods are off the shelf: held while unsettled, sold once DONE.
    pub stock_held: bool,
    pub quarantine: Option<QuarantineReason>,
    /// At most [`Rules::MOST_ATTEMPTS`], oldest first; the last one is current.
    pub attempts: Vec<Attempt>,
}

impl Payment {
    /// A payment as checkout leaves it.
    pub fn ready(order: Order, expires_at: Timestamp) -> Payment {
        Payment {
            order,
            status: Status::Ready,
            version: 1,
            owner: None,
            expires_at,
            next_attempt_at: None,
            rounds: 0,
            questions: 0,
            stock_held: false,
            quarantine: None,
            attempts: Vec::new(),
        }
    }

    /// Of the attempt that would begin now.
    fn next_number(&self) -> Option<u8> {
        let last = self.attempts.last().map_or(0, |last| last.number);
        last.checked_add(1)
    }

    pub fn current_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// No confirm of the current attempt can still be executed.
    pub fn window_over(&self, now: &Moment<'_>) -> bool {
        let current = self.current_attempt();
        current.is_none_or(|current| now.rules.window_over(current.may_send_until, now.at))
    }

    pub fn attempt_with(&self, key: &PaymentKey) -> Option<&Attempt> {
        self.attempts
            .iter()
            .find(|attempt| attempt.payment_key == *key)
    }

    /// When the recovery timer should look at it next, if ever.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.status {
            Status::Ready => Some(self.expires_at),
            Status::InProgress | Status::Unknown | Status::Quarantined => self.next_attempt_at,
            Status::Done | Status::Failed | Status::Expired => None,
        }
    }

    /// Toss has claimed an approval of this order, under whichever paymentKey: nothing is failed any more.
    fn is_signed(&self) -> bool {
        let signed = |attempt: &Attempt| attempt.approval_sign != ApprovalSign::None;
        self.attempts.iter().any(signed)
    }

    /// A quarantined payment may follow a clear answer by itself only while no approval was seen and
    /// nobody was told how the current attempt ended.
    pub fn may_settle_itself(&self) -> bool {
        let unseen = self
            .attempts
            .iter()
            .all(|a| a.approval_sign != ApprovalSign::Seen);
        let untold = self
            .current_attempt()
            .is_some_and(|attempt| attempt.settled.is_none());
        unseen && untold
    }
}
