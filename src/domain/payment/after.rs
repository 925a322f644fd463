//! The one table: what an event makes of a payment. Every pair of status and event is either a
//! transition or an `IllegalEvent`; `grid.rs` shows all of them at a glance.

use super::super::moment::Moment;
use super::super::order::PaymentKey;
use super::super::outcome::{Charge, Decline};
use super::{
    Approval, ApprovalSign, Attempt, Claim, Event, GatewayIdentity, IllegalEvent, Payment,
    QuarantineReason, Settled, Status, StockMove, Transition,
};

mod found;
mod resolved;

use found::{
    Asked, ask_again, asking, found_canceled, found_ended, found_foreign, found_nothing,
    found_unconfirmed, found_waiting, unanswered,
};
use resolved::resolved;

/// What the event changes; `None` where it cannot happen.
type Change = Option<(Payment, StockMove, Option<Box<str>>)>;

pub fn after(
    payment: &Payment,
    event: Event,
    now: &Moment<'_>,
) -> Result<Transition, IllegalEvent> {
    let change = changed(payment, &event, now);
    let illegal = IllegalEvent {
        status: payment.status,
        event: event.name(),
    };
    let (next, stock, reason) = change.ok_or(illegal)?;
    Ok(Transition::new(
        now.transition,
        payment,
        next,
        stock,
        &event,
        reason,
        now.at,
    ))
}

fn changed(payment: &Payment, event: &Event, now: &Moment<'_>) -> Change {
    match event {
        Event::AttemptStarted {
            payment_key,
            gateway,
            claim,
        } => start(payment, payment_key, gateway, *claim, now),
        Event::OwnerLost { claim } => claimed(payment, Status::InProgress, *claim, now),
        Event::RetryClaimed { claim } => claimed(payment, Status::Unknown, *claim, now),
        Event::DeadlinePassed => expire(payment, now),
        Event::Approved {
            attempt,
            payment_key,
            approval,
        } => approve(payment, *attempt, payment_key, approval, now),
        Event::AmountMismatched { attempt, total } => mismatch(payment, *attempt, total, now),
        Event::MixedUp { attempt } => mixed_up(payment, *attempt, now),
        Event::Declined { attempt, decline } => declined(payment, *attempt, decline, now),
        Event::NotAttempted { attempt, why } => undecided(payment, *attempt, false, why, now),
        Event::Undecided {
            attempt,
            answered,
            why,
        } => undecided(payment, *attempt, *answered, why, now),
        Event::FoundUnconfirmed {
            attempt,
            claim,
            ours,
        } => found_unconfirmed(payment, *attempt, *claim, *ours, now),
        Event::FoundEnded { attempt, decline } => found_ended(payment, *attempt, decline, now),
        Event::FoundCanceled { attempt } => found_canceled(payment, *attempt, now),
        Event::FoundWaitingForDeposit { attempt } => found_waiting(payment, *attempt, now),
        Event::FoundForeign { attempt } => found_foreign(payment, *attempt, now),
        Event::FoundNothing {
            attempt,
            claim,
            ours,
            asked_at,
        } => {
            let asked = Asked {
                claim: *claim,
                ours: *ours,
                at: *asked_at,
            };
            found_nothing(payment, *attempt, &asked, now)
        }
        Event::FoundUndecided { attempt, why } => {
            asking(payment, *attempt).and_then(|next| ask_again(next, why, now))
        }
        Event::QuestionLost { attempt, why } => {
            asking(payment, *attempt).and_then(|next| unanswered(next, why, now))
        }
        Event::Resolved(resolution) => resolved(payment, resolution, now),
    }
}

fn start(
    payment: &Payment,
    key: &PaymentKey,
    gateway: &GatewayIdentity,
    claim: Claim,
    now: &Moment<'_>,
) -> Change {
    match payment.status {
        Status::Ready | Status::Failed => {}
        Status::InProgress
        | Status::Unknown
        | Status::Done
        | Status::Expired
        | Status::Quarantined => return None,
    }
    if !payment.may_be_tried(now.at) || payment.attempt_with(key).is_some() {
        return None;
    }
    let mut next = payment.clone();
    next.attempts.push(Attempt {
        number: payment.next_number()?,
        payment_key: key.clone(),
        n: 1,
        answered: false,
        gateway: gateway.clone(),
        started_at: now.at,
        may_send_until: claim.deadline,
        owner: claim.owner,
        many_owners: false,
        foreign_seen: false,
        approval_sign: ApprovalSign::None,
        doubted_decline: None,
        settled: None,
    });
    next.status = Status::InProgress;
    next.owner = Some(claim.owner);
    next.next_attempt_at = Some(claim.deadline);
    (next.rounds, next.questions) = (0, 0);
    next.stock_held = true;
    Some((next, StockMove::Take, None))
}

/// One write for "the owner is gone" and "it is mine now": there is no instant in which nobody owns it.
fn claimed(payment: &Payment, from: Status, claim: Claim, now: &Moment<'_>) -> Change {
    if payment.status != from {
        return None;
    }
    let mut next = payment.clone();
    next.status = Status::Unknown;
    next.owner = Some(claim.owner);
    next.next_attempt_at = Some(claim.deadline);
    next.rounds = next.rounds.saturating_add(u32::from(!now.polled));
    Some((next, StockMove::None, None))
}

fn expire(payment: &Payment, now: &Moment<'_>) -> Change {
    if payment.status != Status::Ready || now.at < payment.expires_at {
        return None;
    }
    let mut next = payment.clone();
    next.status = Status::Expired;
    Some((next, StockMove::None, None))
}

/// An approval is never discarded: it pays the payment, or it is kept as evidence for a human.
fn approve(
    payment: &Payment,
    attempt: u8,
    key: &PaymentKey,
    approval: &Approval,
    now: &Moment<'_>,
) -> Change {
    let ours = |current: &&Attempt| current.number == attempt && current.payment_key == *key;
    let current = payment.current_attempt().filter(ours);
    let unsigned = current.is_some_and(|a| a.approval_sign != ApprovalSign::Seen);
    let pays = match payment.status {
        Status::InProgress | Status::Unknown => unsigned,
        // Heard before: the payment says so already.
        Status::Quarantined if was_seen(payment, key) => return None,
        Status::Done if has_paid(payment, key) => return None,
        Status::Quarantined => current.is_some() && payment.may_settle_itself(),
        Status::Ready | Status::Done | Status::Failed | Status::Expired => false,
    };
    if !pays {
        let reason = QuarantineReason::LateApproval;
        return quarantine_evidence(payment, attempt, Some(key), ApprovalSign::Seen, reason, now);
    }
    let mut next = payment.clone();
    let stock = if next.stock_held {
        StockMove::Sell
    } else {
        StockMove::Take
    };
    settle_current(&mut next, Settled::Approved(approval.clone()));
    next.status = Status::Done;
    next.stock_held = true;
    Some((next, stock, None))
}

fn was_seen(payment: &Payment, key: &PaymentKey) -> bool {
    let known = payment.attempt_with(key);
    known.is_some_and(|attempt| attempt.approval_sign == ApprovalSign::Seen)
}

/// An operator may have let another attempt pay than the current one.
fn has_paid(payment: &Payment, key: &PaymentKey) -> bool {
    let settled = payment.attempt_with(key).and_then(|a| a.settled.as_ref());
    settled.is_some_and(|settled| settled.approval().is_some())
}

fn mismatch(payment: &Payment, attempt: u8, total: &Charge, now: &Moment<'_>) -> Change {
    match payment.status {
        // Known already, or nothing that it could put in doubt.
        Status::Done => return None,
        Status::Quarantined if payment.is_signed() => return None,
        Status::Ready
        | Status::InProgress
        | Status::Unknown
        | Status::Failed
        | Status::Expired
        | Status::Quarantined => {}
    }
    let reason = QuarantineReason::AmountMismatch;
    let sign = ApprovalSign::Contradicted;
    let (next, stock, _) = quarantine_evidence(payment, attempt, None, sign, reason, now)?;
    Some((next, stock, Some(format!("Toss approved {total}").into())))
}

/// Toss says that our order is paid, by a paymentKey that is not this attempt's: answers mixed up, or an
/// approval that our database forgot. Nothing more is sent; look-ups by our own key decide, or a human.
fn mixed_up(payment: &Payment, attempt: u8, now: &Moment<'_>) -> Change {
    if payment.status != Status::InProgress {
        return None;
    }
    let mut next = payment.clone();
    let current = next.attempts.last_mut().filter(|a| a.number == attempt)?;
    current.answered = true;
    current.approval_sign = ApprovalSign::Contradicted;
    rest_unknown(
        next,
        Some("Toss names another paymentKey of our order".into()),
        now,
    )
}

fn declined(payment: &Payment, attempt: u8, decline: &Decline, now: &Moment<'_>) -> Change {
    let current = payment.current_attempt().filter(|a| a.number == attempt)?;
    match payment.status {
        Status::InProgress if current.decline_is_final() && !payment.is_signed() => {
            fail(payment.clone(), decline.clone())
        }
        Status::InProgress | Status::Unknown => {
            let mut next = payment.clone();
            let kept = next.attempts.last_mut()?;
            kept.answered = true;
            kept.doubted_decline.get_or_insert_with(|| decline.clone());
            rest_unknown(next, Some(decline.code.clone()), now)
        }
        Status::Ready | Status::Done | Status::Failed | Status::Expired | Status::Quarantined => {
            None
        }
    }
}

fn undecided(
    payment: &Payment,
    attempt: u8,
    answered: bool,
    why: &str,
    now: &Moment<'_>,
) -> Change {
    if payment.status != Status::InProgress {
        return None;
    }
    let mut next = payment.clone();
    let current = next.attempts.last_mut().filter(|a| a.number == attempt)?;
    current.answered |= answered;
    rest_unknown(next, Some(why.into()), now)
}

fn rest_unknown(mut next: Payment, reason: Option<Box<str>>, now: &Moment<'_>) -> Change {
    next.status = Status::Unknown;
    next.next_attempt_at = Some(now.rules.ask_at(next.rounds, now.at, now.dice));
    Some((next, StockMove::None, reason))
}

fn fail(mut next: Payment, decline: Decline) -> Change {
    let stock = if next.stock_held {
        StockMove::Return
    } else {
        StockMove::None
    };
    let reason = Some(decline.code.clone());
    settle_current(&mut next, Settled::Declined(decline));
    next.status = Status::Failed;
    next.stock_held = false;
    Some((next, stock, reason))
}

fn settle_current(next: &mut Payment, settled: Settled) {
    if let Some(current) = next.attempts.last_mut() {
        current.answered = true;
        current.settled = Some(settled);
    }
    next.next_attempt_at = None;
    next.quarantine = None;
}

fn quarantine(
    mut next: Payment,
    reason: QuarantineReason,
    stock: StockMove,
    now: &Moment<'_>,
) -> Change {
    next.status = Status::Quarantined;
    next.quarantine = Some(reason);
    // Where no answer could settle it, none is asked for.
    let asks = next.may_settle_itself();
    next.next_attempt_at = asks.then(|| now.at.plus_ms(now.rules.quarantine_ask_ms));
    Some((next, stock, Some(reason.name().into())))
}

/// Quarantine with a sign of an approval written on the attempt. Goods that were released meanwhile are
/// taken again if they are there: the buyer may have paid for them.
fn quarantine_evidence(
    payment: &Payment,
    attempt: u8,
    key: Option<&PaymentKey>,
    sign: ApprovalSign,
    reason: QuarantineReason,
    now: &Moment<'_>,
) -> Change {
    let mut next = payment.clone();
    let named = |a: &&mut Attempt| key.map_or(a.number == attempt, |key| a.payment_key == *key);
    let known = next.attempts.iter_mut().find(named);
    match (known, key) {
        (Some(known), _) => known.approval_sign = sign,
        // Our record lost the attempt (a restored backup); Toss remembers. Keep what it said, under a number of its own: another
        // may have begun since the question was asked.
        (None, Some(key)) => next
            .attempts
            .push(forgotten(payment.next_number()?, key, now)),
        (None, None) => return None,
    }
    let stock = if next.stock_held {
        StockMove::None
    } else {
        StockMove::TakeIfAvailable
    };
    next.stock_held = true;
    quarantine(next, reason, stock, now)
}

fn forgotten(number: u8, key: &PaymentKey, now: &Moment<'_>) -> Attempt {
    Attempt {
        number,
        payment_key: key.clone(),
        n: 1,
        answered: true,
        gateway: GatewayIdentity("unrecorded".into()),
        started_at: now.at,
        may_send_until: now.at,
        owner: super::Incarnation(uuid::Uuid::nil()),
        many_owners: true,
        foreign_seen: false,
        approval_sign: ApprovalSign::Seen,
        doubted_decline: None,
        settled: None,
    }
}
