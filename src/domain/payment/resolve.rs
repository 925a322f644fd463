//! The operator's ruling on a quarantined payment, held against everything that Toss shows about the order.
//! What contradicts the evidence is refused, and the refusal names it.

use std::fmt;

use super::super::moment::{Moment, Timestamp};
use super::super::order::PaymentKey;
use super::super::outcome::{Charge, Decline, Finding, Report, TossStatus};
use super::{
    Approval, ApprovalSign, Attempt, GatewayIdentity, Payment, QuarantineReason, Settled, Status,
};

/// What the operator wants the payment to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ruling {
    Done,
    Failed,
}

/// Toss's whole view of an order, asked for at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Who was asked.
    pub gateway: GatewayIdentity,
    /// Before the first question left: what was said is judged by this instant.
    pub asked_at: Timestamp,
    /// By paymentKey, for each attempt by its number.
    pub by_key: Vec<(u8, Finding)>,
    pub by_order: Finding,
}

/// A ruling, what it stands on, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    pub ruling: Ruling,
    pub evidence: Evidence,
    pub by: Box<str>,
    pub why: Box<str>,
}

/// Whose story a refusal tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    Attempt(u8, PaymentKey),
    /// Toss names our order under it; our record does not.
    Stranger(PaymentKey),
    Order,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            About::Attempt(number, key) => write!(f, "attempt {number} ({key})"),
            About::Stranger(key) => write!(f, "the paymentKey {key}, which our record lacks,"),
            About::Order => write!(f, "the order"),
        }
    }
}

/// Why a ruling does not stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("it is {}, not QUARANTINED: there is nothing to resolve", .0.name())]
    NotQuarantined(Status),
    #[error("Toss gave no answer about {0} ({1}), and nothing is decided without Toss; try again")]
    Silent(About, Box<str>),
    #[error("what Toss says about {0} is not clear: {1}; look again, and at Toss's own dashboard")]
    Unclear(About, Box<str>),
    #[error("Toss shows no approval of this order")]
    NoApproval,
    #[error("Toss approved {0}: {1}; an order that Toss approved never becomes FAILED")]
    Approved(About, Charge),
    #[error("Toss took {1} for {0}, which is not the order's amount; refund it at Toss")]
    OtherAmount(About, Charge),
    #[error(
        "Toss approved both {0} and {1}: the buyer paid twice; refund one of them at Toss first"
    )]
    Twice(About, About),
    #[error("Toss approved {0} and refunded a part of it: this is neither paid nor unpaid")]
    PartlyRefunded(About),
    #[error(
        "Toss approved {0} and refunded it: an order that Toss approved never becomes FAILED, and no money \
         is left to be DONE; it stays QUARANTINED until payonce has cancelled states"
    )]
    Refunded(About),
    #[error(
        "Toss has shown an approval of {0} before; an order that Toss approved never becomes FAILED"
    )]
    SeenBefore(About),
    #[error("the buyer was told that {0} paid; that answer cannot be taken back")]
    ToldPaid(About),
    #[error(
        "Toss has {0} as {1}: money may yet move; wait until it has ended there, or cancel it there"
    )]
    StillOpen(About, &'static str),
    #[error(
        "Toss does not know {0}, but a confirm may still arrive there for {1} s; wait that long"
    )]
    WindowOpen(About, i64),
    #[error(
        "{0} was sent to another Toss account ({1}), so that not being found proves nothing; \
         ask with that account's toss.base_url and toss.secret_key"
    )]
    OtherGateway(About, GatewayIdentity),
    #[error(
        "Toss has shown a virtual account of {0} and does not know it now; a deposit may yet come, so not being found proves \
         nothing"
    )]
    AccountShown(About),
    #[error(
        "Toss claimed an approval of {0} before and does not know it now: only an end that Toss shows clears that"
    )]
    ClaimStands(About),
}

/// A ruling that stands: who paid, and how each attempt that nobody was told about has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruled {
    pub paid: Option<(PaymentKey, Approval)>,
    pub ended: Vec<(u8, Decline)>,
}

impl Payment {
    /// Whether the evidence allows the ruling.
    pub fn weigh(
        &self,
        ruling: Ruling,
        evidence: &Evidence,
        now: &Moment<'_>,
    ) -> Result<(), Refusal> {
        rule(self, ruling, evidence, now).map(|_| ())
    }
}

/// Where one paymentKey stands at Toss.
enum Standing<'a> {
    /// Our order, our amount.
    Paid(&'a Report),
    OtherAmount(&'a Charge),
    PartlyRefunded,
    Refunded,
    Open(&'static str),
    Ended(Decline),
    Nothing,
}

struct Stand<'a> {
    about: About,
    /// `None` for a stranger.
    attempt: Option<&'a Attempt>,
    standing: Standing<'a>,
}

pub(super) fn rule(
    payment: &Payment,
    ruling: Ruling,
    evidence: &Evidence,
    now: &Moment<'_>,
) -> Result<Ruled, Refusal> {
    if payment.status != Status::Quarantined {
        return Err(Refusal::NotQuarantined(payment.status));
    }
    let stands = stands(payment, evidence)?;
    let window = Window {
        payment,
        evidence,
        now,
    };
    match ruling {
        Ruling::Done => paid(&stands, &window),
        Ruling::Failed => unpaid(&stands, &window),
    }
}

fn about(attempt: &Attempt) -> About {
    About::Attempt(attempt.number, attempt.payment_key.clone())
}

/// Every attempt, and whoever else Toss names for the order. Each question must have been answered.
fn stands<'a>(payment: &'a Payment, evidence: &'a Evidence) -> Result<Vec<Stand<'a>>, Refusal> {
    let by_order = match &evidence.by_order {
        Finding::Found(report) if report.is_of(payment.order.id) => Some(report),
        Finding::NotFound => None,
        Finding::Found(_) | Finding::PaidUnder(_) => {
            let why = "the answer names another order".into();
            return Err(Refusal::Unclear(About::Order, why));
        }
        Finding::Undecided(why) | Finding::NoAnswer(why) => {
            return Err(Refusal::Silent(About::Order, why.clone()));
        }
    };
    let mut stands = Vec::with_capacity(payment.attempts.len() + 1);
    for attempt in &payment.attempts {
        let mut asked = evidence.by_key.iter();
        let found = asked.find(|(number, _)| *number == attempt.number);
        let same = |report: &&Report| report.payment_key == attempt.payment_key;
        let found = found.map(|(_, finding)| finding);
        stands.push(Stand {
            about: about(attempt),
            attempt: Some(attempt),
            standing: standing_of(
                payment,
                attempt,
                found,
                by_order.filter(same),
                evidence.asked_at,
            )?,
        });
    }
    let stranger = by_order.filter(|report| payment.attempt_with(&report.payment_key).is_none());
    stands.extend(stranger.map(|report| Stand {
        about: About::Stranger(report.payment_key.clone()),
        attempt: None,
        standing: standing(payment, report, evidence.asked_at),
    }));
    Ok(stands)
}

fn standing_of<'a>(
    payment: &Payment,
    attempt: &Attempt,
    found: Option<&'a Finding>,
    by_order: Option<&'a Report>,
    asked_at: Timestamp,
) -> Result<Standing<'a>, Refusal> {
    let unclear = |why: &str| Refusal::Unclear(about(attempt), why.into());
    let report = match (found, by_order) {
        (None, _) => return Err(Refusal::Silent(about(attempt), "not asked".into())),
        (Some(Finding::Undecided(why) | Finding::NoAnswer(why)), _) => {
            return Err(Refusal::Silent(about(attempt), why.clone()));
        }
        (Some(Finding::PaidUnder(_)), _) => return Err(unclear("another paymentKey answered")),
        (Some(Finding::Found(report)), Some(other)) if other.status != report.status => {
            return Err(unclear(
                "asked by paymentKey and by order it says two things",
            ));
        }
        (Some(Finding::Found(report)), _) => report,
        (Some(Finding::NotFound), None) => return Ok(Standing::Nothing),
        // By order it can only add an approval, or doubt.
        (Some(Finding::NotFound), Some(report)) => match report.status {
            TossStatus::Done | TossStatus::Canceled | TossStatus::PartialCanceled => report,
            TossStatus::Ready
            | TossStatus::InProgress
            | TossStatus::WaitingForDeposit
            | TossStatus::Aborted
            | TossStatus::Expired => return Err(unclear("found by order, not by paymentKey")),
        },
    };
    if report.payment_key != attempt.payment_key {
        return Err(unclear("the answer names another paymentKey"));
    }
    if report.is_of(payment.order.id) {
        return Ok(standing(payment, report, asked_at));
    }
    // A buyer replayed another order's key and was told so; what became of it there is not our story.
    match &attempt.settled {
        Some(Settled::Declined(told)) => Ok(Standing::Ended(told.clone())),
        Some(Settled::Approved(_) | Settled::Overruled { .. }) | None => {
            Err(unclear("the paymentKey belongs to another order"))
        }
    }
}

fn standing<'a>(payment: &Payment, report: &'a Report, asked_at: Timestamp) -> Standing<'a> {
    let status = report.status_at(asked_at);
    let plain = || Decline::ended(status);
    match status {
        TossStatus::Done if report.total == Charge::Won(payment.order.total.get()) => {
            Standing::Paid(report)
        }
        TossStatus::Done => Standing::OtherAmount(&report.total),
        TossStatus::PartialCanceled => Standing::PartlyRefunded,
        TossStatus::Canceled => Standing::Refunded,
        TossStatus::Ready | TossStatus::InProgress | TossStatus::WaitingForDeposit => {
            Standing::Open(status.name())
        }
        TossStatus::Aborted | TossStatus::Expired => {
            Standing::Ended(report.failure.clone().unwrap_or_else(plain))
        }
    }
}

/// One approval, and every other attempt at its end: a second approval would have nobody left to see it.
fn paid(stands: &[Stand<'_>], window: &Window<'_>) -> Result<Ruled, Refusal> {
    let mut paid: Option<(&About, &Report)> = None;
    for stand in stands {
        match (&stand.standing, paid) {
            (Standing::Paid(_), Some((first, _))) => {
                return Err(Refusal::Twice(first.clone(), stand.about.clone()));
            }
            (Standing::Paid(report), None) => paid = Some((&stand.about, *report)),
            (Standing::OtherAmount(total), _) => {
                return Err(Refusal::OtherAmount(stand.about.clone(), (*total).clone()));
            }
            (Standing::PartlyRefunded, _) => {
                return Err(Refusal::PartlyRefunded(stand.about.clone()));
            }
            (
                Standing::Refunded | Standing::Open(_) | Standing::Ended(_) | Standing::Nothing,
                _,
            ) => {}
        }
    }
    let refunded = |stand: &&Stand<'_>| matches!(stand.standing, Standing::Refunded);
    let Some((_, report)) = paid else {
        let refunded = stands.iter().find(refunded);
        return Err(refunded.map_or(Refusal::NoApproval, |stand| {
            Refusal::Refunded(stand.about.clone())
        }));
    };
    let mut ended = Vec::new();
    for stand in stands {
        match stand.standing {
            Standing::Paid(_) => {}
            // The other half of a double payment, given back.
            Standing::Refunded => {
                let told = Decline::new("CANCELED", "The payment was cancelled and refunded.");
                ended.extend(stand.attempt.map(|attempt| (attempt.number, told)));
            }
            Standing::OtherAmount(_)
            | Standing::PartlyRefunded
            | Standing::Open(_)
            | Standing::Ended(_)
            | Standing::Nothing => ended.extend(window.end(stand)?),
        }
    }
    let approval = Approval::from((*report).clone());
    Ok(Ruled {
        paid: Some((report.payment_key.clone(), approval)),
        ended,
    })
}

/// No approval now, none ever seen, none told, and every attempt at its end.
fn unpaid(stands: &[Stand<'_>], window: &Window<'_>) -> Result<Ruled, Refusal> {
    for stand in stands {
        let about = || stand.about.clone();
        match &stand.standing {
            Standing::Paid(report) => return Err(Refusal::Approved(about(), report.total.clone())),
            Standing::OtherAmount(total) => {
                return Err(Refusal::Approved(about(), (*total).clone()));
            }
            Standing::PartlyRefunded => return Err(Refusal::PartlyRefunded(about())),
            Standing::Refunded => return Err(Refusal::Refunded(about())),
            Standing::Open(_) | Standing::Ended(_) | Standing::Nothing => {}
        }
        let Some(attempt) = stand.attempt else {
            continue;
        };
        if matches!(
            attempt.settled,
            Some(Settled::Approved(_) | Settled::Overruled { .. })
        ) {
            return Err(Refusal::ToldPaid(about()));
        }
        if attempt.approval_sign == ApprovalSign::Seen {
            return Err(Refusal::SeenBefore(about()));
        }
    }
    let mut ended = Vec::new();
    for stand in stands {
        ended.extend(window.end(stand)?);
    }
    Ok(Ruled { paid: None, ended })
}

/// A virtual account may be valid for 2,160 hours, and a bank be late by one. [toss: SDK v2]
const LONGEST_DEPOSIT_MS: i64 = 2_161 * 3_600 * 1_000;

/// What "not found" is judged by.
struct Window<'a> {
    payment: &'a Payment,
    evidence: &'a Evidence,
    now: &'a Moment<'a>,
}

impl Window<'_> {
    /// The evidence that this paymentKey moves no money any more.
    fn end(&self, stand: &Stand<'_>) -> Result<Option<(u8, Decline)>, Refusal> {
        let about = || stand.about.clone();
        match (&stand.standing, stand.attempt) {
            (Standing::Ended(found), Some(attempt)) => {
                let told = attempt.doubted_decline.clone();
                Ok(Some((
                    attempt.number,
                    told.unwrap_or_else(|| found.clone()),
                )))
            }
            (Standing::Nothing, Some(attempt)) => match &attempt.settled {
                // Told on evidence when that was to be had. Toss may be asked through another account by now, which
                // does not know the payment and never will.
                Some(Settled::Declined(told))
                    if attempt.approval_sign == ApprovalSign::None && self.is_over(attempt) =>
                {
                    Ok(Some((attempt.number, told.clone())))
                }
                Some(Settled::Declined(_) | Settled::Approved(_) | Settled::Overruled { .. })
                | None => self.forgotten(attempt, about()).map(Some),
            },
            (Standing::Ended(_) | Standing::Nothing, None) => Ok(None),
            (Standing::Open(status), _) => Err(Refusal::StillOpen(about(), status)),
            (Standing::Paid(report), _) => Err(Refusal::Approved(about(), report.total.clone())),
            (Standing::OtherAmount(total), _) => {
                Err(Refusal::OtherAmount(about(), (*total).clone()))
            }
            (Standing::PartlyRefunded, _) => Err(Refusal::PartlyRefunded(about())),
            (Standing::Refunded, _) => Err(Refusal::Refunded(about())),
        }
    }

    fn is_over(&self, attempt: &Attempt) -> bool {
        let rules = self.now.rules;
        rules.window_over(attempt.may_send_until, self.evidence.asked_at)
    }

    /// A 404 is evidence only from the gateway that was sent to, and after the confirm window.
    fn forgotten(&self, attempt: &Attempt, about: About) -> Result<(u8, Decline), Refusal> {
        let asked_at = self.evidence.asked_at;
        if attempt.gateway != self.evidence.gateway {
            return Err(Refusal::OtherGateway(about, attempt.gateway.clone()));
        }
        if !self.is_over(attempt) {
            let gone_ms = asked_at.ms_since(attempt.may_send_until);
            let left_s = (self.now.rules.confirm_window_ms - gone_ms) / 1_000 + 1;
            return Err(Refusal::WindowOpen(about, left_s));
        }
        let current = self.payment.current_attempt();
        let is_current = current.is_some_and(|current| current.number == attempt.number);
        let waiting = self.payment.quarantine == Some(QuarantineReason::WaitingForDeposit);
        let may_come = asked_at.ms_since(attempt.may_send_until) <= LONGEST_DEPOSIT_MS;
        if is_current && waiting && may_come {
            return Err(Refusal::AccountShown(about));
        }
        match attempt.approval_sign {
            ApprovalSign::Contradicted | ApprovalSign::Seen => Err(Refusal::ClaimStands(about)),
            ApprovalSign::None => {
                let told = attempt.doubted_decline.clone();
                Ok((attempt.number, told.unwrap_or_else(Decline::not_found)))
            }
        }
    }
}
