//! The cross-check: what Toss says is held against what we know, and only then becomes an event.

use super::super::moment::Timestamp;
use super::super::outcome::{Charge, Decline, Finding, Outcome, Reply, Report, TossStatus};
use super::{Approval, Attempt, Claim, Event, GatewayIdentity, Payment};

/// How a report relates to the attempt that it was asked for.
enum Match {
    /// paymentKey, order and amount are ours.
    Ours,
    /// Our paymentKey and order, another amount.
    OtherAmount,
    /// Our paymentKey, another order.
    OtherOrder,
    /// Not even our paymentKey: two answers were mixed up, or Toss replays another payment's.
    OtherKey,
}

fn compare(payment: &Payment, attempt: &Attempt, report: &Report) -> Match {
    if report.payment_key != attempt.payment_key {
        Match::OtherKey
    } else if !report.is_of(payment.order.id) {
        Match::OtherOrder
    } else if report.total != Charge::Won(payment.order.total.get()) {
        Match::OtherAmount
    } else {
        Match::Ours
    }
}

fn approved(attempt: &Attempt, report: Report) -> Event {
    Event::Approved {
        attempt: attempt.number,
        payment_key: attempt.payment_key.clone(),
        approval: Approval::from(report),
    }
}

/// What the reply to a confirm of `attempt` means for this payment.
pub fn judge_reply(payment: &Payment, attempt: &Attempt, reply: Reply) -> Event {
    let number = attempt.number;
    let undecided = |why: Box<str>| Event::Undecided {
        attempt: number,
        answered: reply.answered,
        why,
    };
    match reply.outcome {
        Outcome::Approved(report) if report.status != TossStatus::Done => {
            undecided("approved, and yet not DONE".into())
        }
        Outcome::Approved(report) => match compare(payment, attempt, &report) {
            Match::Ours => approved(attempt, report),
            Match::OtherAmount => Event::AmountMismatched {
                attempt: number,
                total: report.total,
            },
            Match::OtherOrder => undecided("the answer names another order".into()),
            Match::OtherKey if report.is_of(payment.order.id) => Event::MixedUp { attempt: number },
            Match::OtherKey => undecided("the answer names another payment".into()),
        },
        Outcome::Declined(decline) => Event::Declined {
            attempt: number,
            decline,
        },
        Outcome::NotAttempted(why) => Event::NotAttempted {
            attempt: number,
            why,
        },
        Outcome::InProgress(why) | Outcome::Temporary(why) | Outcome::Unknown(why) => {
            undecided(why)
        }
    }
}

/// What a look-up for `attempt` means for this payment. `asked` is the gateway that answered,
/// `asked_at` when the question left; a `claim` covers the confirm that the answer may allow.
pub fn judge_finding(
    payment: &Payment,
    attempt: &Attempt,
    finding: Finding,
    asked: &GatewayIdentity,
    asked_at: Timestamp,
    claim: Claim,
) -> Event {
    let number = attempt.number;
    let ours = attempt.gateway == *asked;
    let undecided = |why: &str| Event::FoundUndecided {
        attempt: number,
        why: why.into(),
    };
    let report = match finding {
        Finding::Found(report) => report,
        Finding::PaidUnder(report) if report.is_of(payment.order.id) => {
            return paid_under_another_key(payment, report);
        }
        Finding::PaidUnder(_) | Finding::NotFound => {
            return Event::FoundNothing {
                attempt: number,
                claim,
                ours,
                asked_at,
            };
        }
        Finding::Undecided(why) => {
            return Event::FoundUndecided {
                attempt: number,
                why,
            };
        }
        Finding::NoAnswer(why) => {
            return Event::QuestionLost {
                attempt: number,
                why,
            };
        }
    };
    let amount_is_ours = match compare(payment, attempt, &report) {
        Match::OtherKey => return undecided("the answer names another paymentKey"),
        Match::OtherOrder if ours => return Event::FoundForeign { attempt: number },
        Match::OtherOrder => {
            return undecided("another gateway knows the paymentKey for another order");
        }
        Match::OtherAmount => false,
        Match::Ours => true,
    };
    let status = report.status_at(asked_at);
    if amount_is_ours {
        reported(attempt, report, status, claim, ours)
    } else {
        reported_other_amount(number, report, status)
    }
}

/// A report of our payment, by its status.
fn reported(
    attempt: &Attempt,
    report: Report,
    status: TossStatus,
    claim: Claim,
    ours: bool,
) -> Event {
    let number = attempt.number;
    match status {
        TossStatus::Done => approved(attempt, report),
        TossStatus::InProgress => Event::FoundUnconfirmed {
            attempt: number,
            claim,
            ours,
        },
        TossStatus::Ready => Event::FoundUndecided {
            attempt: number,
            why: "not authorized yet".into(),
        },
        TossStatus::WaitingForDeposit => Event::FoundWaitingForDeposit { attempt: number },
        TossStatus::Canceled | TossStatus::PartialCanceled => {
            Event::FoundCanceled { attempt: number }
        }
        TossStatus::Aborted | TossStatus::Expired => ended(number, report.failure, status),
    }
}

/// The buyer authorized, or Toss approved, another amount than the order's.
fn reported_other_amount(attempt: u8, report: Report, status: TossStatus) -> Event {
    let undecided = |why: &str| Event::FoundUndecided {
        attempt,
        why: why.into(),
    };
    match status {
        TossStatus::Done => Event::AmountMismatched {
            attempt,
            total: report.total,
        },
        // No confirm of ours can succeed, so none is sent. It expires at Toss.
        TossStatus::InProgress => undecided("authorized for another amount"),
        TossStatus::Ready => undecided("not authorized yet"),
        TossStatus::WaitingForDeposit => Event::FoundWaitingForDeposit { attempt },
        TossStatus::Canceled | TossStatus::PartialCanceled => Event::FoundCanceled { attempt },
        TossStatus::Aborted | TossStatus::Expired => ended(attempt, report.failure, status),
    }
}

/// Our record does not say so: an approval of an older attempt, or of one that our database forgot.
fn paid_under_another_key(payment: &Payment, report: Report) -> Event {
    let known = payment.attempt_with(&report.payment_key);
    let next = payment.next_number().unwrap_or(u8::MAX);
    Event::Approved {
        attempt: known.map_or(next, |attempt| attempt.number),
        payment_key: report.payment_key.clone(),
        approval: Approval::from(report),
    }
}

fn ended(attempt: u8, failure: Option<Decline>, status: TossStatus) -> Event {
    let decline = failure.unwrap_or_else(|| Decline::ended(status));
    Event::FoundEnded { attempt, decline }
}

/// What a look-up by order may add to a "not found" by paymentKey: an approval, or doubt. Which payment of an order Toss
/// returns is not documented, so nothing else in it counts.
pub fn add_finding_by_order(attempt: &Attempt, by_order: Finding) -> Finding {
    match by_order {
        Finding::Found(report) => {
            let is_ours = report.payment_key == attempt.payment_key;
            match (is_ours, report.was_approved()) {
                (true, true) => Finding::Found(report),
                (true, false) => {
                    Finding::Undecided("found by order, not found by paymentKey".into())
                }
                (false, true) => Finding::PaidUnder(report),
                (false, false) => Finding::NotFound,
            }
        }
        Finding::PaidUnder(_) | Finding::NotFound => Finding::NotFound,
        Finding::Undecided(_) | Finding::NoAnswer(_) => by_order,
    }
}
