//! What a look-up makes of a payment: the usual way out of UNKNOWN.

use super::super::{ApprovalSign, Attempt, Claim, Payment, QuarantineReason, Status, StockMove};
use super::{Change, fail, quarantine, quarantine_evidence, rest_unknown};
use crate::domain::moment::{Moment, Timestamp};
use crate::domain::outcome::Decline;
use crate::domain::retry::Rules;

pub(super) fn found_unconfirmed(
    payment: &Payment,
    attempt: u8,
    claim: Claim,
    ours: bool,
    now: &Moment<'_>,
) -> Change {
    let next = asking(payment, attempt)?;
    let may_send = next.current_attempt()?.may_be_sent(now);
    if !ours || !may_send || spent(&next, now) {
        return ask_again(next, "unconfirmed at Toss, and no confirm may be sent", now);
    }
    send_again(next, claim, now)
}

pub(super) fn found_ended(
    payment: &Payment,
    attempt: u8,
    found: &Decline,
    now: &Moment<'_>,
) -> Change {
    match payment.status {
        Status::Unknown => {}
        Status::Quarantined if payment.may_settle_itself() => {}
        Status::Quarantined
        | Status::Ready
        | Status::InProgress
        | Status::Done
        | Status::Failed
        | Status::Expired => return None,
    }
    let current = payment.current_attempt().filter(|a| a.number == attempt)?;
    match (payment.is_signed(), payment.status) {
        (false, _) => {
            let decline = current
                .doubted_decline
                .clone()
                .unwrap_or_else(|| found.clone());
            fail(payment.clone(), decline)
        }
        (true, Status::Quarantined) => None,
        (true, _) => {
            let reason = QuarantineReason::ConflictingEvidence;
            quarantine(payment.clone(), reason, StockMove::None, now)
        }
    }
}

pub(super) fn found_canceled(payment: &Payment, attempt: u8, now: &Moment<'_>) -> Change {
    match payment.status {
        // A paid payment that was refunded at Toss is the refund's story, not a doubt about the payment.
        Status::Done => None,
        // Known already. Where it is news, it is written down: a later "aborted" must find it.
        Status::Quarantined if !payment.may_settle_itself() => None,
        Status::Ready
        | Status::InProgress
        | Status::Unknown
        | Status::Failed
        | Status::Expired
        | Status::Quarantined => {
            let reason = QuarantineReason::CanceledAtToss;
            quarantine_evidence(payment, attempt, None, ApprovalSign::Seen, reason, now)
        }
    }
}

/// Written down, whatever a human was called for: an account that was shown is not forgotten for a "not found".
pub(super) fn found_waiting(payment: &Payment, attempt: u8, now: &Moment<'_>) -> Change {
    let reason = QuarantineReason::WaitingForDeposit;
    let news = payment.quarantine != Some(reason) && payment.may_settle_itself();
    let next = match payment.status {
        Status::Quarantined if news => payment
            .current_attempt()
            .filter(|current| current.number == attempt)
            .map(|_| payment.clone()),
        _ => asking(payment, attempt),
    };
    next.and_then(|next| quarantine(next, reason, StockMove::None, now))
}

/// A buyer who replays another order's paymentKey must not lock up stock; but one look-up may be a mix-up.
pub(super) fn found_foreign(payment: &Payment, attempt: u8, now: &Moment<'_>) -> Change {
    let mut next = asking(payment, attempt)?;
    let current = next.attempts.last_mut()?;
    if payment.is_signed() {
        return quarantine(
            next,
            QuarantineReason::ConflictingEvidence,
            StockMove::None,
            now,
        );
    }
    if current.foreign_seen {
        let message = "The paymentKey belongs to another order.";
        return fail(next, Decline::new(Decline::FOREIGN_PAYMENT_KEY, message));
    }
    current.foreign_seen = true;
    rest_unknown(next, Some("the paymentKey names another order".into()), now)
}

/// A question that came to nothing: what it would have allowed, whom it went to, and when it left.
pub(super) struct Asked {
    pub claim: Claim,
    pub ours: bool,
    pub at: Timestamp,
}

pub(super) fn found_nothing(
    payment: &Payment,
    attempt: u8,
    asked: &Asked,
    now: &Moment<'_>,
) -> Change {
    let quiet = payment.status == Status::Quarantined && payment.may_settle_itself();
    let next = if quiet {
        payment.clone()
    } else {
        asking(payment, attempt)?
    };
    let current = next
        .current_attempt()
        .filter(|a| a.number == attempt)?
        .clone();
    // By the time of the question: an answer that was held up for long says nothing about now.
    let over = now.steady && now.rules.window_over(current.may_send_until, asked.at);
    let signed = payment.is_signed();
    if quiet {
        // Toss has shown us an account that waits for its deposit: it may come days later.
        let shown = payment.quarantine == Some(QuarantineReason::WaitingForDeposit);
        let evidence = asked.ours && over && !signed && !shown;
        return evidence.then(|| fail(next, not_found(&current))).flatten();
    }
    match (asked.ours, over) {
        (false, _) => quarantine(next, QuarantineReason::OtherGateway, StockMove::None, now),
        (true, true) if signed => quarantine(
            next,
            QuarantineReason::ConflictingEvidence,
            StockMove::None,
            now,
        ),
        (true, true) => fail(next, not_found(&current)),
        // Never answered, so the same key is safe: if the first call arrived after all, Toss replays its answer.
        (true, false) if !current.answered && current.may_be_sent(now) => {
            send_again(next, asked.claim, now)
        }
        // However late it was heard: what is asked next may decide, and no human need look.
        (true, false) => ask_on(next, "not found, within the confirm window", now),
    }
}

fn not_found(attempt: &Attempt) -> Decline {
    let told = attempt.doubted_decline.clone();
    told.unwrap_or_else(Decline::not_found)
}

/// An UNKNOWN payment whose current attempt is this one: what every finding is about.
pub(super) fn asking(payment: &Payment, attempt: u8) -> Option<Payment> {
    let current = payment.current_attempt().filter(|a| a.number == attempt);
    (payment.status == Status::Unknown && current.is_some()).then(|| payment.clone())
}

/// A question was answered and decided nothing: one less to ask.
pub(super) fn ask_again(next: Payment, why: &str, now: &Moment<'_>) -> Change {
    if spent(&next, now) {
        return quarantine(next, QuarantineReason::QuestionsSpent, StockMove::None, now);
    }
    ask_on(next, why, now)
}

fn ask_on(mut next: Payment, why: &str, now: &Moment<'_>) -> Change {
    next.questions = next.questions.saturating_add(u32::from(!now.polled));
    rest_unknown(next, Some(why.into()), now)
}

/// A silent Toss costs no question: an outage must not call a human for each payment. But Toss may be silent about this one
/// alone, and then nobody would ever see it.
pub(super) fn unanswered(next: Payment, why: &str, now: &Moment<'_>) -> Change {
    let begun = next.current_attempt()?.started_at;
    // Often enough, too: a server that was off for a day has not asked.
    let asked = now.steady && next.rounds >= now.rules.questions;
    if asked && now.at.ms_since(begun) > Rules::SILENCE_MS {
        return quarantine(next, QuarantineReason::QuestionsSpent, StockMove::None, now);
    }
    rest_unknown(next, Some(why.into()), now)
}

/// The budget of questions is spent, and no call can still be approved.
fn spent(payment: &Payment, now: &Moment<'_>) -> bool {
    now.steady
        && payment.window_over(now)
        && payment.questions.saturating_add(1) >= now.rules.questions
}

/// Back to IN_PROGRESS: with the next key if the last one was answered (Toss would replay that answer),
/// with the same key if not (Toss would execute another one beside it).
fn send_again(mut next: Payment, claim: Claim, now: &Moment<'_>) -> Change {
    let current = next.attempts.last_mut()?;
    if current.answered {
        current.n = current.n.checked_add(1)?;
        current.answered = false;
    }
    current.many_owners |= current.owner != claim.owner;
    // Never back: another node's clock may lag behind the one that sent first.
    current.may_send_until = current.may_send_until.max(claim.deadline);
    next.status = Status::InProgress;
    next.owner = Some(claim.owner);
    next.next_attempt_at = Some(claim.deadline);
    next.questions = next.questions.saturating_add(u32::from(!now.polled));
    Some((next, StockMove::None, None))
}
