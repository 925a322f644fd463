//! The comparison: our record and Toss's ledger in, what disagrees out. No I/O, no clock, no opinion about how
//! the two sides were collected. Our side may be longer than memory: it comes order by order.

use std::collections::BTreeMap;

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
    /// So had whatever was last tried before this instant.
    pub settled_before: Option<Timestamp>,
    /// The record holds all orders there are: an approval for any other order is lost.
    pub complete: bool,
    pub kept: Kept,
}

impl Terms {
    fn had_its_time(self, order: &OrderRecord) -> bool {
        let tried = order.attempts.last().and_then(|last| last.started_at);
        self.settled || matches!((tried, self.settled_before), (Some(at), Some(by)) if at < by)
    }
}

/// From when on everything is still there; without an instant, all of it is. What is older may have been deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub history_since: Option<Timestamp>,
    pub outbox_since: Option<Timestamp>,
}

/// Everything that disagrees, sorted; empty means clean.
pub fn compare(ours: &OurRecord, toss: &TossLedger, terms: Terms) -> Vec<Violation> {
    let mut comparison = Comparison::with(toss, terms);
    for order in &ours.orders {
        comparison.order(order);
    }
    for product in &ours.products {
        comparison.product(product);
    }
    comparison.end()
}

/// One comparison at work: the orders come one by one and are forgotten, then the products.
pub struct Comparison<'a> {
    at_toss: BTreeMap<&'a str, AtToss<'a>>,
    terms: Terms,
    /// Held and sold, per product, as the lines of the orders so far have it.
    moved: BTreeMap<i64, Outside>,
    found: Vec<Violation>,
}

/// What Toss knows of one order.
#[derive(Default)]
struct AtToss<'a> {
    entries: Vec<&'a TossEntry>,
    is_ours: bool,
}

impl<'a> Comparison<'a> {
    pub fn with(toss: &'a TossLedger, terms: Terms) -> Comparison<'a> {
        let mut at_toss: BTreeMap<&str, AtToss<'_>> = BTreeMap::new();
        for entry in &toss.payments {
            let of_order = at_toss.entry(&entry.order_id).or_default();
            of_order.entries.push(entry);
        }
        let mut found = Vec::new();
        for (order_id, of_order) in &at_toss {
            check_single_approval(order_id, &of_order.entries, &mut found);
        }
        Comparison {
            at_toss,
            terms,
            moved: BTreeMap::new(),
            found,
        }
    }

    /// What may be gone by now; for the orders that come from now on.
    pub fn keep(&mut self, kept: Kept) {
        self.terms.kept = kept;
    }

    pub fn order(&mut self, order: &OrderRecord) {
        let of_order = self.at_toss.get_mut(order.order_id.as_str());
        let entries = of_order.map_or(&[][..], |of_order| {
            of_order.is_ours = true;
            &of_order.entries
        });
        check_not_lost(order, entries, self.terms, &mut self.found);
        check_no_phantom(order, entries, &mut self.found);
        check_goods(order, &mut self.found);
        check_history(order, self.terms.kept, &mut self.found);
        check_outbox(order, self.terms.kept, &mut self.found);
        self.move_stock(order);
    }

    /// It is there, and nobody can read it.
    pub fn unreadable(&mut self, order_id: &str) {
        if let Some(of_order) = self.at_toss.get_mut(order_id) {
            of_order.is_ours = true;
        }
    }

    /// Orders that Toss approved in the time of the record, and that have not come.
    pub fn strangers(&self) -> impl Iterator<Item = &'a str> {
        let in_time = |entry: &&TossEntry| entry.approvals > 0 && !entry.is_early;
        let strange =
            move |of_order: &AtToss<'_>| !of_order.is_ours && of_order.entries.iter().any(in_time);
        let orders = self.at_toss.iter();
        orders.filter_map(move |(order, at_toss)| strange(at_toss).then_some(*order))
    }

    /// After all orders.
    pub fn product(&mut self, product: &ProductRecord) {
        let moved = self.moved.get(&product.id).copied().unwrap_or_default();
        check_stock(product, moved, &mut self.found);
    }

    pub fn end(mut self) -> Vec<Violation> {
        // A restored backup forgot them, or they never were ours.
        if self.terms.complete {
            let what = "Toss approved it, but we have no such order.";
            let strangers = self.strangers();
            let lost = strangers
                .map(|order| Violation::of_order(Invariant::NoLostApproval, order, what.into()));
            let lost: Vec<_> = lost.collect();
            self.found.extend(lost);
        }
        self.found.sort();
        self.found
    }

    fn move_stock(&mut self, order: &OrderRecord) {
        for line in order.lines.iter().filter(|_| order.stock_held) {
            let of_product = self.moved.entry(line.product_id).or_default();
            if order.status == "DONE" {
                of_product.sold += line.quantity;
            } else {
                of_product.held += line.quantity;
            }
        }
    }
}

fn approvals(entries: &[&TossEntry]) -> u64 {
    entries.iter().map(|entry| entry.approvals).sum()
}

fn check_single_approval(order_id: &str, entries: &[&TossEntry], found: &mut Vec<Violation>) {
    let times = approvals(entries);
    if times > 1 {
        let what = format!("Toss approved it {times} times.");
        found.push(Violation::of_order(
            Invariant::AtMostOneApproval,
            order_id,
            what,
        ));
    }
}

/// No approval is lost; and where everything had its time, nothing is unsettled.
fn check_not_lost(
    order: &OrderRecord,
    entries: &[&TossEntry],
    terms: Terms,
    found: &mut Vec<Violation>,
) {
    let approved = approvals(entries) > 0;
    let status = order.status.as_str();
    let verdict = match status {
        "DONE" | "QUARANTINED" => None,
        "IN_PROGRESS" | "UNKNOWN" => terms.had_its_time(order).then(|| {
            let toss = if approved {
                "approved it"
            } else {
                "did not approve it"
            };
            let what = format!("it is {status}, not settled yet; Toss {toss}.");
            (Invariant::Liveness, what)
        }),
        _ => approved.then(|| {
            let what = format!("Toss approved it, but it is {status}.");
            (Invariant::NoLostApproval, what)
        }),
    };
    if let Some((invariant, what)) = verdict {
        found.push(Violation::of_order(invariant, &order.order_id, what));
    }
}

/// What was paid has left the shelf.
fn check_goods(order: &OrderRecord, found: &mut Vec<Violation>) {
    if order.status == "DONE" && !order.stock_held {
        let what = "it is DONE, but its goods were never taken.".to_owned();
        let invariant = Invariant::StockConserved;
        found.push(Violation::of_order(invariant, &order.order_id, what));
    }
}

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
    found.push(Violation::of_order(
        Invariant::NoPhantom,
        &order.order_id,
        what,
    ));
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

/// A product beside its whole book, both read in one view.
pub fn stock_violations(product: &ProductRecord) -> Vec<Violation> {
    let mut found = Vec::new();
    check_stock(product, Outside::default(), &mut found);
    found
}

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
mod tests;
