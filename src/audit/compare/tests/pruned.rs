//! Old rows may have been deleted; what may not be is missed all the same.

use super::*;

const CUT: Timestamp = Timestamp::from_micros(2_000);
const YOUNG: Timestamp = Timestamp::from_micros(3_000);

/// As [`STRICT`], where what is older than [`CUT`] may have been deleted.
const PRUNED: Terms = Terms {
    kept: Kept {
        history_since: Some(CUT),
        outbox_since: Some(CUT),
    },
    ..STRICT
};

/// The sentences about this history of the order, of which these versions were told, where old rows may be gone.
fn said(history: Vec<HistoryRow>, outbox: &[i64], terms: Terms) -> Vec<String> {
    let status = history
        .last()
        .map_or_else(String::new, |row| row.to.clone());
    let (mut ours, mut toss) = clean();
    if status != "DONE" {
        (ours, toss) = unpaid(&[&status], &[]);
    }
    ours.orders[0].history = Some(history);
    ours.orders[0].outbox = told(outbox);
    let found = compare(&ours, &toss, terms);
    found.iter().map(ToString::to_string).collect()
}

/// The chain, from this version on.
fn from(version: usize, statuses: &[&str]) -> Vec<HistoryRow> {
    chain(statuses).split_off(version - 1)
}

fn young(mut history: Vec<HistoryRow>) -> Vec<HistoryRow> {
    history.iter_mut().for_each(|row| row.at = Some(YOUNG));
    history
}

const PAID: [&str; 3] = ["READY", "IN_PROGRESS", "DONE"];
const DECLINED: [&str; 3] = ["READY", "IN_PROGRESS", "FAILED"];

#[test]
fn what_was_deleted_because_it_was_old_is_no_finding() {
    let nothing: [String; 0] = [];
    for (history, outbox) in [
        (from(3, &PAID), &[3][..]),
        (from(3, &PAID), &[]),
        (from(1, &PAID), &[]),
        (from(3, &DECLINED), &[]),
        (from(2, &["READY", "EXPIRED"]), &[2]),
        // News of what is not in the history any more.
        (
            from(
                5,
                &["READY", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "DONE"],
            ),
            &[3, 5],
        ),
        // It was found wrong long after it had come to rest.
        (
            from(3, &["READY", "IN_PROGRESS", "DONE", "QUARANTINED"]),
            &[4],
        ),
        (young(from(1, &PAID)), &[3]),
    ] {
        assert_eq!(
            said(history.clone(), outbox, PRUNED),
            nothing,
            "{history:?}"
        );
    }
}

/// A partition of old orders that was detached takes their whole past along; of a young order, or of one that is open,
/// it is missed.
#[test]
fn the_past_of_detached_orders_is_no_finding() {
    let (old, new) = ("00000000-0001", "00000000-0003");
    for (began, status, terms, is_missed) in [
        (old, "EXPIRED", PRUNED, false),
        (old, "FAILED", PRUNED, false),
        (old, "DONE", PRUNED, false),
        (old, "EXPIRED", STRICT, true),
        (new, "EXPIRED", PRUNED, true),
        (old, "READY", PRUNED, true),
    ] {
        let (mut ours, mut toss) = match status {
            "DONE" => clean(),
            _ => unpaid(&[status], &[]),
        };
        let id = format!("{began}-7000-8000-000000000000");
        toss.payments[0].order_id = id.clone();
        ours.orders[0].order_id = id;
        ours.orders[0].history = Some(Vec::new());
        // News is in another table, and may be there still.
        let news: &[i64] = if is_missed { &[] } else { &[2] };
        ours.orders[0].outbox = told(news);
        let found = compare(&ours, &toss, terms);
        let missed = |told: &Violation| told.to_string().contains("it has no history");
        let case = format!("{began} {status}: {found:?}");
        assert_eq!(found.iter().any(missed), is_missed, "{case}");
        assert_eq!(found.len(), usize::from(is_missed), "{case}");
    }
}

#[test]
fn what_nobody_may_delete_is_missed_wherever_old_rows_are_deleted() {
    let late = |version, step| {
        format!(
            "the history is whole  order o-1: its history begins with version {version}, {step}."
        )
    };
    let news = |version, to| {
        format!(
            "news is told once  order o-1: version {version}, into {to}, has 0 outbox rows instead of 1."
        )
    };
    let mut gap = from(1, &PAID);
    gap.remove(1);
    let mut forked = from(3, &["READY", "IN_PROGRESS", "DONE", "QUARANTINED"]);
    forked[1].version = 5;
    let mut leap = from(3, &PAID);
    leap[0].from = Some("READY".into());
    let mut unknown_age = from(3, &PAID);
    unknown_age[0].at = None;
    let again = ["READY", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "DONE"];
    for (history, outbox, wanted) in [
        (
            gap,
            &[3][..],
            "the history is whole  order o-1: version 3 follows version 1.".to_owned(),
        ),
        (
            forked,
            &[5],
            "the history is whole  order o-1: version 5 follows version 3.".to_owned(),
        ),
        (
            leap,
            &[3],
            "the history is whole  order o-1: version 3 goes from READY to DONE, which is not legal.".to_owned(),
        ),
        (young(from(3, &PAID)), &[3], late(3, "IN_PROGRESS -> DONE")),
        (unknown_age, &[3], late(3, "IN_PROGRESS -> DONE")),
        (from(2, &PAID), &[3], late(2, "READY -> IN_PROGRESS")),
        // A declined payment that is tried again does not rest.
        (from(3, &again), &[3, 5], late(3, "IN_PROGRESS -> FAILED")),
        (young(from(1, &PAID)), &[], news(3, "DONE")),
    ] {
        assert_eq!(
            said(history.clone(), outbox, PRUNED),
            [wanted],
            "{history:?}"
        );
    }
    // Whoever does not delete misses everything.
    let kept = said(from(3, &PAID), &[], STRICT);
    assert_eq!(kept, [late(3, "IN_PROGRESS -> DONE"), news(3, "DONE")]);
}
