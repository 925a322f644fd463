//! What buyers were told, held against what came of their orders: a promise that is not kept is found even where our
//! record and Toss's ledger agree.

use std::collections::HashMap;

use crate::audit::{OrderRecord, TossLedger};
use crate::loadtest::crowd::{Manner, Ticket};
use crate::loadtest::measure::{Call, Outcome};

/// What must be true of an order because of what its buyer heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Paid,
    NotPaid,
    /// As it was checked out: no attempt, nothing held, nothing asked of Toss.
    Untouched,
    Nothing,
}

fn promise(call: &Call, alone: bool) -> Promise {
    match call.outcome {
        Outcome::Done => Promise::Paid,
        Outcome::Declined => Promise::NotPaid,
        Outcome::WrongAmount if call.manner == Manner::WrongAmount => Promise::Untouched,
        // Another call for the same order may have found what this one did not.
        Outcome::OutOfStock | Outcome::Refused if alone => Promise::Untouched,
        Outcome::OutOfStock
        | Outcome::Refused
        | Outcome::WrongAmount
        | Outcome::Pending
        | Outcome::Unsent
        | Outcome::Lost
        | Outcome::Unexpected => Promise::Nothing,
    }
}

/// The orders that are not what their buyers were told; orders that could not be read are counted elsewhere.
pub fn broken(
    calls: &[Call],
    tickets: &[Ticket],
    orders: &[OrderRecord],
    ledger: &TossLedger,
) -> Vec<String> {
    let mut asked = HashMap::<usize, usize>::new();
    for call in calls {
        *asked.entry(call.order).or_default() += 1;
    }
    let records = orders.iter().map(|order| (order.order_id.as_str(), order));
    let records: HashMap<&str, &OrderRecord> = records.collect();
    let mut asked_toss = HashMap::<&str, u64>::new();
    for entry in &ledger.payments {
        *asked_toss.entry(&entry.order_id).or_default() += entry.confirm_calls;
    }
    let mut found = Vec::new();
    for call in calls {
        let id = tickets[call.order].order_id.as_str();
        let Some(order) = records.get(id) else {
            continue;
        };
        let reloaded = match call.manner {
            Manner::ReloadsAtOnce | Manner::ReloadsLater => true,
            Manner::Plain | Manner::WrongAmount => false,
        };
        let alone = asked.get(&call.order) == Some(&1) && !reloaded;
        let toss = asked_toss.get(id).copied().unwrap_or_default();
        if let Some(what) = contradiction(promise(call, alone), order, toss) {
            found.push(format!(
                "order {id}: its buyer heard {}, but {what}",
                call.outcome
            ));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn contradiction(promise: Promise, order: &OrderRecord, asked_toss: u64) -> Option<String> {
    let status = order.status.as_str();
    let kept = match promise {
        Promise::Nothing => true,
        Promise::Paid => status == "DONE",
        Promise::NotPaid => status == "FAILED",
        Promise::Untouched => {
            let resting = matches!(status, "READY" | "EXPIRED");
            resting && order.attempts.is_empty() && !order.stock_held && asked_toss == 0
        }
    };
    let held = if order.stock_held {
        " with goods held"
    } else {
        ""
    };
    (!kept).then(|| {
        let attempts = order.attempts.len();
        format!("it is {status}{held}; {attempts} attempts, {asked_toss} confirms at Toss.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(status: &str, attempts: usize, stock_held: bool) -> OrderRecord {
        let attempt = crate::audit::AttemptRecord {
            payment_key: "k".into(),
            result: crate::audit::AttemptResult::Open,
            started_at: None,
        };
        OrderRecord {
            order_id: "o".into(),
            status: status.into(),
            total: 1,
            stock_held,
            lines: Vec::new(),
            attempts: vec![attempt; attempts],
            history: None,
            outbox: None,
        }
    }

    #[test]
    fn a_promise_that_is_not_kept_is_found() {
        let cases = [
            (Promise::Paid, order("DONE", 1, true), 1, true),
            (Promise::Paid, order("FAILED", 1, false), 1, false),
            (Promise::Paid, order("QUARANTINED", 1, true), 1, false),
            (Promise::NotPaid, order("FAILED", 1, false), 1, true),
            (Promise::NotPaid, order("DONE", 1, true), 1, false),
            (Promise::NotPaid, order("READY", 0, false), 0, false),
            (Promise::Untouched, order("READY", 0, false), 0, true),
            (Promise::Untouched, order("EXPIRED", 0, false), 0, true),
            (Promise::Untouched, order("READY", 1, false), 0, false),
            (Promise::Untouched, order("READY", 0, true), 0, false),
            (Promise::Untouched, order("READY", 0, false), 1, false),
            (Promise::Untouched, order("FAILED", 0, false), 0, false),
            (Promise::Nothing, order("UNKNOWN", 1, true), 1, true),
        ];
        for (promise, order, toss, kept) in cases {
            let found = contradiction(promise, &order, toss);
            assert_eq!(found.is_none(), kept, "{promise:?}: {order:?}");
        }
    }
}
