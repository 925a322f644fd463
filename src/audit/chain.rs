//! The history of one order as a chain, and the outbox as its echo. The pairs are written down here a
//! second time on purpose: an auditor who asks the code under audit what is legal finds nothing.

use std::collections::BTreeMap;

use super::compare::Kept;
use super::record::{HistoryRow, OrderRecord, OutboxRow};
use super::violation::{Invariant, Violation};
use crate::domain::{OrderId, Timestamp};

/// Where a payment may go from a status. `None`: a status that nobody knows.
fn legal_next(from: &str) -> Option<&'static [&'static str]> {
    Some(match from {
        "READY" => &["IN_PROGRESS", "EXPIRED", "QUARANTINED"],
        "IN_PROGRESS" => &["DONE", "FAILED", "UNKNOWN", "QUARANTINED"],
        "UNKNOWN" => &["UNKNOWN", "IN_PROGRESS", "DONE", "FAILED", "QUARANTINED"],
        "DONE" => &["QUARANTINED"],
        "FAILED" => &["IN_PROGRESS", "QUARANTINED"],
        "EXPIRED" => &["QUARANTINED"],
        "QUARANTINED" => &["DONE", "FAILED", "QUARANTINED"],
        _ => return None,
    })
}

/// Whether arriving there is told to the shop.
fn is_news(status: &str) -> bool {
    matches!(status, "DONE" | "FAILED" | "EXPIRED" | "QUARANTINED")
}

/// Versions 1, 2, 3 .. without a gap, each row beginning where the former one ended, by a legal step, and the
/// last one ending where the payment is. What came before a payment's old rest may have been deleted.
pub(super) fn check_history(order: &OrderRecord, kept: Kept, found: &mut Vec<Violation>) {
    let Some(history) = &order.history else {
        return;
    };
    let mut broken = |what: String| {
        found.push(Violation::of_order(
            Invariant::WholeHistory,
            &order.order_id,
            what,
        ))
    };
    if history.is_empty() {
        if !may_be_detached(order, kept) {
            broken("it has no history.".into());
        }
        return;
    }
    let late = begins_late(history, kept);
    let mut before: Option<&HistoryRow> = None;
    for row in history {
        let what = match before {
            None if late => broken_step(row),
            None => broken_beginning(row),
            Some(before) => broken_link(before, row),
        };
        if let Some(what) = what {
            broken(what);
        }
        before = Some(row);
    }
    if let Some(last) = before.filter(|last| last.to != order.status) {
        let (to, status) = (&last.to, &order.status);
        broken(format!("its history ends at {to}, but it is {status}."));
    }
}

/// Whether all of its history may be gone: a partition of old orders that was taken out of the table.
fn may_be_detached(order: &OrderRecord, kept: Kept) -> bool {
    let rests = matches!(order.status.as_str(), "DONE" | "FAILED" | "EXPIRED");
    let is_older = |since| order.order_id < OrderId::earliest_of(since).to_string();
    rests && kept.history_since.is_some_and(is_older)
}

fn is_older(row: &HistoryRow, since: Option<Timestamp>) -> bool {
    matches!((row.at, since), (Some(at), Some(since)) if at < since)
}

/// Whether the rows before the first one were deleted, as they may be: a payment had rested there for long, and left it, if
/// it did, for no new attempt.
fn begins_late(history: &[HistoryRow], kept: Kept) -> bool {
    let rests = |row: &HistoryRow| matches!(row.to.as_str(), "DONE" | "FAILED" | "EXPIRED");
    let Some((first, others)) = history.split_first() else {
        return false;
    };
    let tried_again = others.first().is_some_and(|next| next.to == "IN_PROGRESS");
    first.version > 1 && rests(first) && is_older(first, kept.history_since) && !tried_again
}

fn broken_beginning(row: &HistoryRow) -> Option<String> {
    let HistoryRow { version, to, .. } = row;
    let from = row.from.as_deref();
    let begins = *version == 1 && from.is_none() && to == "READY";
    let was = from.unwrap_or("nothing");
    (!begins).then(|| format!("its history begins with version {version}, {was} -> {to}."))
}

fn broken_link(before: &HistoryRow, row: &HistoryRow) -> Option<String> {
    let version = row.version;
    if version != before.version + 1 {
        let last = before.version;
        return Some(format!("version {version} follows version {last}."));
    }
    match row.from.as_deref().filter(|from| *from != before.to) {
        Some(from) => {
            let ended = &before.to;
            Some(format!(
                "version {version} begins at {from}, but the one before ended at {ended}."
            ))
        }
        None => broken_step(row),
    }
}

fn broken_step(row: &HistoryRow) -> Option<String> {
    let HistoryRow { version, to, .. } = row;
    let Some(from) = row.from.as_deref() else {
        return Some(format!("version {version} begins nowhere."));
    };
    let legal = legal_next(from).is_some_and(|next| next.contains(&to.as_str()));
    (!legal).then(|| format!("version {version} goes from {from} to {to}, which is not legal."))
}

/// Exactly one outbox row for each piece of news, and none for anything else. Old news may have been deleted, and news
/// of what was deleted from the history may still be there.
pub(super) fn check_outbox(order: &OrderRecord, kept: Kept, found: &mut Vec<Violation>) {
    let (Some(history), Some(outbox)) = (&order.history, &order.outbox) else {
        return;
    };
    if history.is_empty() && may_be_detached(order, kept) {
        return;
    }
    let mut rows: BTreeMap<i64, usize> = BTreeMap::new();
    for OutboxRow { version } in outbox {
        *rows.entry(*version).or_default() += 1;
    }
    let mut broken = |what: String| {
        found.push(Violation::of_order(
            Invariant::NewsOnce,
            &order.order_id,
            what,
        ))
    };
    if let Some(first) = history.first().filter(|_| begins_late(history, kept)) {
        rows.retain(|version, _| *version >= first.version);
    }
    for row in history {
        let HistoryRow { version, to, .. } = row;
        let told = rows.remove(version).unwrap_or(0);
        let wanted = usize::from(is_news(to));
        let deleted = told == 0 && is_older(row, kept.outbox_since);
        if told != wanted && !deleted {
            broken(format!(
                "version {version}, into {to}, has {told} outbox rows instead of {wanted}."
            ));
        }
    }
    for version in rows.keys() {
        broken(format!(
            "an outbox row names version {version}, which never happened."
        ));
    }
}
