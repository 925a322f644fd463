//! The comparison: our record and Toss's ledger in, what disagrees out. No I/O, no clock, no opinion about how
//! the two sides were collected.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{check_history, check_outbox};
use super::record::{
    AttemptRecord, AttemptResult, OrderRecord, OurRecord, Outside, ProductRecord, TossEntry,
    TossLedger,
};
use super::violation::{Invariant, Violation};
use crate::domain::Timestamp;

/// What may be expected of the two sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Everything had the time to settle: an IN_PROGRESS or UNKNOWN payment is a finding.
    pub settled: bool,
    /// The record holds all orders there are: an approval for any other order is lost.
    pub complete: bool,
    pub kept: Kept,
}

/// From when on everything is still there; without an instant, all of it is. What is older may have been deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub history_since: Option<Timestamp>,
    pub outbox_since: Option<Timestamp>,
}

/// Everything that disagrees, sorted by invariant; empty means clean.
pub fn compare(ours: &OurRecord, toss: &TossLedger, terms: Terms) -> Vec<Violation> {
    let mut at_toss: BTreeMap<&str, Vec<&TossEntry>> = BTreeMap::new();
    for entry in &toss.payments {
        at_toss.entry(&entry.order_id).or_default().push(entry);
    }
    let mut found = Vec::new();
    for (order_id, entries) in &at_toss {
        check_single_approval(order_id, entries, &mut found);
    }
    for order in &ours.orders {
        let entries = at_toss.get(order.order_id.as_str());
        let entries = entries.map_or(&[][..], Vec::as_slice);
        check_not_lost(order, entries, terms, &mut found);
        check_no_phantom(order, entries, &mut found);
        check_history(order, terms.kept, &mut found);
        check_outbox(order, terms.kept, &mut found);
    }
    if terms.complete {
        check_no_stranger(ours, &at_toss, &mut found);
    }
    let moved = moved_by_orders(&ours.orders);
    for product in &ours.products {
        let moved = moved.get(&product.id).copied().unwrap_or_default();
        check_stock(product, moved, &mut found);
    }
    found.sort();
    found
}

fn approvals(entries: &[&TossEntry]) -> u64 {
    entries.iter().map(|entry| entry.approvals).sum()
}

/// I1.
fn check_single_approval(order_id: &str, entries: &[&TossEntry], found: &mut Vec<Violation>) {
    let times = approvals(entries);
    if times > 1 {
        let what = format!("Toss approved it {times} times.");
        found.push(Violation::of_order(Invariant::I1, order_id, what));
    }
}

/// I2, and I6 where everything had its time.
fn check_not_lost(
    order: &OrderRecord,
    entries: &[&TossEntry],
    terms: Terms,
    found: &mut Vec<Violation>,
) {
    let approved = approvals(entries) > 0;
    let status = order.status.as_str();
    let verdict = match status {
        "DONE" | "CANCELED" | "PARTIAL_CANCELED" | "QUARANTINED" => None,
        "IN_PROGRESS" | "UNKNOWN" => terms.settled.then(|| {
            let toss = if approved {
                "approved it"
            } else {
                "did not approve it"
            };
            let what = format!("it is {status}, not settled yet; Toss {toss}.");
            (Invariant::I6, what)
        }),
        _ => approved.then(|| {
            let what = format!("Toss approved it, but it is {status}.");
            (Invariant::I2, what)
        }),
    };
    if let Some((invariant, what)) = verdict {
        found.push(Violation::of_order(invariant, &order.order_id, what));
    }
}

/// I2 for orders that we do not even know: a restored backup forgot them, or they never were ours.
fn check_no_stranger(
    ours: &OurRecord,
    at_toss: &BTreeMap<&str, Vec<&TossEntry>>,
    found: &mut Vec<Violation>,
) {
    let known: BTreeSet<&str> = ours.orders.iter().map(|o| o.order_id.as_str()).collect();
    for (order_id, entries) in at_toss {
        if approvals(entries) > 0 && !known.contains(order_id) {
            let what = "Toss approved it, but we have no such order.".to_owned();
            found.push(Violation::of_order(Invariant::I2, order_id, what));
        }
    }
}

/// I3.
fn check_no_phantom(order: &OrderRecord, entries: &[&TossEntry], found: &mut Vec<Violation>) {
    if order.status != "DONE" {
        return;
    }
    let approved: Vec<_> = entries.iter().filter(|entry| entry.approvals > 0).collect();
    let ours: Vec<_> = approved
        .iter()
        .filter(|entry| paid_with(&order.attempts, &entry.payment_key))
        .collect();
    let total = order.total;
    let what = if approved.is_empty() {
        "it is DONE, but Toss never approved it.".to_owned()
    } else if ours.is_empty() {
        "it is DONE, but Toss approved another paymentKey than ours.".to_owned()
    } else if let Some(other) = ours.iter().find(|entry| entry.total_amount != total) {
        let amount = other.total_amount;
        format!("it is DONE over {total} KRW, but Toss approved {amount} KRW.")
    } else {
        return;
    };
    found.push(Violation::of_order(Invariant::I3, &order.order_id, what));
}

/// Whether our record says that this paymentKey paid. Attempts of which only the key is known may all have.
fn paid_with(attempts: &[AttemptRecord], payment_key: &str) -> bool {
    let known = attempts.iter().any(|a| a.result == AttemptResult::Approved);
    attempts
        .iter()
        .filter(|attempt| attempt.result == AttemptResult::Approved || !known)
        .filter(|attempt| attempt.result != AttemptResult::Declined)
        .any(|attempt| is_same_key(&attempt.payment_key, payment_key))
}

/// The door shows `tpayo2…bCd1`, and `***` for keys too short to show any of.
fn is_same_key(ours: &str, whole: &str) -> bool {
    if ours == "***" {
        return whole.len() < 16;
    }
    match ours.split_once('…') {
        None => ours == whole,
        Some((head, tail)) => {
            let fits = whole.len() >= head.len() + tail.len();
            fits && whole.starts_with(head) && whole.ends_with(tail)
        }
    }
}

/// Held and sold, per product, as the orders' lines have it.
fn moved_by_orders(orders: &[OrderRecord]) -> BTreeMap<i64, Outside> {
    let mut moved: BTreeMap<i64, Outside> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.stock_held) {
        for line in &order.lines {
            let of_product = moved.entry(line.product_id).or_default();
            if order.status == "DONE" {
                of_product.sold += line.quantity;
            } else {
                of_product.held += line.quantity;
            }
        }
    }
    moved
}

/// I4.
fn check_stock(product: &ProductRecord, moved: Outside, found: &mut Vec<Violation>) {
    let ProductRecord {
        id,
        stock,
        received,
        held,
        sold,
        outside,
    } = *product;
    let mut broken = |what: String| found.push(Violation::of_product(id, what));
    if stock < 0 {
        broken(format!("its stock is {stock}."));
    }
    if received != stock + held + sold {
        broken(format!(
            "received {received} is not stock {stock} + held {held} + sold {sold}."
        ));
    }
    let Some(outside) = outside else {
        return;
    };
    let wanted = Outside {
        held: outside.held + moved.held,
        sold: outside.sold + moved.sold,
    };
    if wanted != (Outside { held, sold }) {
        let Outside { held: h, sold: s } = wanted;
        broken(format!(
            "it says held {held} and sold {sold}, but the orders say held {h} and sold {s}."
        ));
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
