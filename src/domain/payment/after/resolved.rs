//! What an operator's ruling makes of a quarantined payment. It changes no answer that a caller has heard.

use super::super::resolve::{Resolution, Ruled, rule};
use super::super::{Payment, Settled, Status, StockMove};
use super::{Change, forgotten};
use crate::domain::moment::Moment;

pub(super) fn resolved(payment: &Payment, resolution: &Resolution, now: &Moment<'_>) -> Change {
    let Resolution {
        ruling,
        evidence,
        by,
        why,
    } = resolution;
    let Ruled { paid, ended } = rule(payment, *ruling, evidence, now).ok()?;
    let mut next = payment.clone();
    if let Some((key, _)) = &paid
        && next.attempt_with(key).is_none()
    {
        // Our record lost the attempt; Toss remembers, and it paid.
        next.attempts.push(forgotten(next.next_number()?, key, now));
    }
    for (number, decline) in ended {
        let mut open = next.attempts.iter_mut();
        if let Some(attempt) = open.find(|a| a.number == number && a.settled.is_none()) {
            (attempt.answered, attempt.settled) = (true, Some(Settled::Declined(decline)));
        }
    }
    next.next_attempt_at = None;
    next.quarantine = None;
    let Some((key, approval)) = paid else {
        let stock = match next.stock_held {
            true => StockMove::Return,
            false => StockMove::None,
        };
        (next.status, next.stock_held) = (Status::Failed, false);
        return Some((next, stock, Some(format!("{by}: {why}").into())));
    };
    let paying = next.attempts.iter_mut().find(|a| a.payment_key == key)?;
    paying.answered = true;
    paying.settled = Some(match paying.settled.take() {
        None => Settled::Approved(approval),
        Some(Settled::Declined(told)) => Settled::Overruled { told, approval },
        Some(told @ (Settled::Approved(_) | Settled::Overruled { .. })) => told,
    });
    let number = paying.number;
    let stock = match next.stock_held {
        true => StockMove::Sell,
        false => StockMove::Take,
    };
    (next.status, next.stock_held) = (Status::Done, true);
    let reason = format!("{by}, paid by attempt {number}: {why}");
    Some((next, stock, Some(reason.into())))
}
