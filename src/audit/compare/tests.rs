//! Each promise broken once on purpose, beside a record that keeps them all.

use super::super::record::{HistoryRow, Line, OutboxRow};
use super::*;

mod pruned;

const KEY: &str = "tpayo20251123102047bvrO8";
const ORDER: &str = "o-1";
const OLD: Timestamp = Timestamp::from_micros(1_000);

fn row(version: i64, from: Option<&str>, to: &str) -> HistoryRow {
    HistoryRow {
        version,
        from: from.map(str::to_owned),
        to: to.to_owned(),
        event: String::new(),
        at: Some(OLD),
    }
}

fn chain(statuses: &[&str]) -> Vec<HistoryRow> {
    (1..)
        .zip(statuses)
        .map(|(version, to)| {
            let before = usize::try_from(version - 2).ok();
            row(version, before.map(|at| statuses[at]), to)
        })
        .collect()
}

fn told(versions: &[i64]) -> Option<Vec<OutboxRow>> {
    Some(
        versions
            .iter()
            .map(|&version| OutboxRow { version })
            .collect(),
    )
}

/// One order of three, paid, over a product of which ten were received.
fn clean() -> (OurRecord, TossLedger) {
    let order = OrderRecord {
        order_id: ORDER.into(),
        status: "DONE".into(),
        total: 150_000,
        stock_held: true,
        lines: vec![Line {
            product_id: 1,
            quantity: 3,
        }],
        attempts: vec![AttemptRecord {
            payment_key: KEY.into(),
            result: AttemptResult::Approved,
            started_at: None,
        }],
        history: Some(chain(&["READY", "IN_PROGRESS", "DONE"])),
        outbox: told(&[3]),
    };
    let product = ProductRecord {
        id: 1,
        stock: 7,
        received: 10,
        held: 0,
        sold: 3,
        outside: Some(Outside::default()),
    };
    let entry = TossEntry {
        order_id: ORDER.into(),
        payment_key: KEY.into(),
        status: "DONE".into(),
        total_amount: 150_000,
        balance_amount: 150_000,
        confirm_calls: 1,
        approvals: 1,
        is_early: false,
    };
    let ours = OurRecord {
        orders: vec![order],
        products: vec![product],
    };
    let toss = TossLedger {
        payments: vec![entry],
        others: 0,
    };
    (ours, toss)
}

/// The same order, unpaid: it rests at the end of `statuses`, and Toss executed nothing.
fn unpaid(statuses: &[&str], outbox: &[i64]) -> (OurRecord, TossLedger) {
    let (mut ours, mut toss) = clean();
    let order = &mut ours.orders[0];
    order.status = (*statuses.last().unwrap_or(&"")).into();
    order.stock_held = false;
    order.history = Some(chain(statuses));
    order.outbox = told(outbox);
    order.attempts[0].result = AttemptResult::Open;
    ours.products[0].stock = 10;
    ours.products[0].sold = 0;
    toss.payments[0].approvals = 0;
    (ours, toss)
}

const STRICT: Terms = Terms {
    settled: true,
    settled_before: None,
    complete: true,
    kept: Kept {
        history_since: None,
        outbox_since: None,
    },
};

type Break = fn(&mut OurRecord, &mut TossLedger);

/// What was broken, how, and the whole sentence that must say so.
const BROKEN: &[(&str, Break)] = &[
    (
        "at most one approval  order o-1: Toss approved it 2 times.",
        |_, toss| {
            let mut second = toss.payments[0].clone();
            second.payment_key = "tpayo20251123102050aaaaa".into();
            toss.payments.push(second);
        },
    ),
    (
        "at most one approval  order o-1: Toss approved it 2 times.",
        |_, toss| toss.payments[0].approvals = 2,
    ),
    (
        "no lost approval  order o-2: Toss approved it, but we have no such order.",
        |_, toss| {
            let mut stranger = toss.payments[0].clone();
            stranger.order_id = "o-2".into();
            toss.payments.push(stranger);
        },
    ),
    (
        "no phantom  order o-1: it is DONE, but Toss never approved it.",
        |_, toss| toss.payments[0].approvals = 0,
    ),
    (
        "no phantom  order o-1: it is DONE, but Toss never approved it.",
        |_, toss| toss.payments.clear(),
    ),
    (
        "no phantom  order o-1: it is DONE, but Toss approved another paymentKey than ours.",
        |_, toss| toss.payments[0].payment_key = "tpayo20251123102050aaaaa".into(),
    ),
    (
        "no phantom  order o-1: it is DONE, but Toss approved another paymentKey than ours.",
        |ours, _| ours.orders[0].attempts[0].result = AttemptResult::Declined,
    ),
    (
        "no phantom  order o-1: it is DONE over 150000 KRW, but Toss approved 150001 KRW.",
        |_, toss| toss.payments[0].total_amount = 150_001,
    ),
    (
        "stock is conserved  product 1: received 10 is not stock 8 + held 0 + sold 3.",
        |ours, _| ours.products[0].stock = 8,
    ),
    (
        "stock is conserved  product 1: its stock is -1.",
        |ours, _| {
            ours.products[0].stock = -1;
            ours.products[0].received = 2;
        },
    ),
    (
        "stock is conserved  product 1: it says held 0 and sold 3, but the orders say held 0 and sold 4.",
        |ours, _| ours.orders[0].lines[0].quantity = 4,
    ),
    (
        "the history is whole  order o-1: it has no history.",
        |ours, _| {
            ours.orders[0].history = Some(Vec::new());
            ours.orders[0].outbox = None;
        },
    ),
    (
        "the history is whole  order o-1: its history begins with version 2, READY -> IN_PROGRESS.",
        |ours, _| {
            ours.orders[0].history.iter_mut().for_each(|h| {
                h.remove(0);
            });
        },
    ),
    (
        "the history is whole  order o-1: version 4 follows version 2.",
        |ours, _| {
            ours.orders[0]
                .history
                .iter_mut()
                .for_each(|h| h[2].version = 4);
            ours.orders[0].outbox = told(&[4]);
        },
    ),
    (
        "the history is whole  order o-1: version 3 begins at UNKNOWN, but the one before ended at IN_PROGRESS.",
        |ours, _| {
            let edit = |h: &mut Vec<HistoryRow>| h[2].from = Some("UNKNOWN".into());
            ours.orders[0].history.iter_mut().for_each(edit);
        },
    ),
    // Nobody misses the goods: the shelf and the order agree with each other.
    (
        "stock is conserved  order o-1: it is DONE, but its goods were never taken.",
        |ours, _| {
            ours.orders[0].stock_held = false;
            (ours.products[0].stock, ours.products[0].sold) = (10, 0);
        },
    ),
    (
        "the history is whole  order o-1: version 3 begins nowhere.",
        |ours, _| {
            ours.orders[0]
                .history
                .iter_mut()
                .for_each(|h| h[2].from = None)
        },
    ),
    (
        "the history is whole  order o-1: version 2 goes from READY to DONE, which is not legal.",
        |ours, _| {
            ours.orders[0].history = Some(chain(&["READY", "DONE"]));
            ours.orders[0].outbox = told(&[2]);
        },
    ),
    (
        "the history is whole  order o-1: its history ends at UNKNOWN, but it is DONE.",
        |ours, _| {
            ours.orders[0].history = Some(chain(&["READY", "IN_PROGRESS", "UNKNOWN"]));
            ours.orders[0].outbox = told(&[]);
        },
    ),
    (
        "news is told once  order o-1: version 3, into DONE, has 0 outbox rows instead of 1.",
        |ours, _| ours.orders[0].outbox = told(&[]),
    ),
    (
        "news is told once  order o-1: version 3, into DONE, has 2 outbox rows instead of 1.",
        |ours, _| ours.orders[0].outbox = told(&[3, 3]),
    ),
    (
        "news is told once  order o-1: version 2, into IN_PROGRESS, has 1 outbox rows instead of 0.",
        |ours, _| ours.orders[0].outbox = told(&[2, 3]),
    ),
    (
        "news is told once  order o-1: an outbox row names version 9, which never happened.",
        |ours, _| ours.orders[0].outbox = told(&[3, 9]),
    ),
];

#[test]
fn each_promise_broken_once_is_found_and_named() {
    for (sentence, break_it) in BROKEN {
        let (mut ours, mut toss) = clean();
        break_it(&mut ours, &mut toss);
        let found: Vec<_> = compare(&ours, &toss, STRICT)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.contains(&(*sentence).to_owned()),
            "{sentence}\nfound: {found:#?}"
        );
        let elsewhere = found.iter().find(|line| line[..2] != sentence[..2]);
        assert_eq!(elsewhere, None, "while breaking: {sentence}");
    }
}

#[test]
fn a_record_that_keeps_every_promise_is_clean() {
    let (ours, toss) = clean();
    assert_eq!(compare(&ours, &toss, STRICT), []);

    for (statuses, outbox) in [
        (&["READY"][..], &[][..]),
        (&["READY", "EXPIRED"], &[2]),
        (&["READY", "IN_PROGRESS", "FAILED"], &[3]),
        (
            &[
                "READY",
                "IN_PROGRESS",
                "UNKNOWN",
                "UNKNOWN",
                "IN_PROGRESS",
                "FAILED",
            ],
            &[6],
        ),
        (
            &["READY", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "FAILED"],
            &[3, 5],
        ),
        (&["READY", "IN_PROGRESS", "QUARANTINED"], &[3]),
    ] {
        let (ours, toss) = unpaid(statuses, outbox);
        assert_eq!(compare(&ours, &toss, STRICT), [], "{statuses:?}");
    }
}

#[test]
fn an_approval_may_rest_only_where_it_is_not_lost() {
    for (status, lost) in [
        ("READY", Some(Invariant::NoLostApproval)),
        ("FAILED", Some(Invariant::NoLostApproval)),
        ("EXPIRED", Some(Invariant::NoLostApproval)),
        ("IN_PROGRESS", Some(Invariant::Liveness)),
        ("UNKNOWN", Some(Invariant::Liveness)),
        ("DONE", None),
        ("QUARANTINED", None),
    ] {
        let (mut ours, toss) = clean();
        ours.products.clear();
        ours.orders[0].status = status.into();
        ours.orders[0].history = None;
        let found = compare(&ours, &toss, STRICT);
        let names: Vec<_> = found.iter().map(|violation| violation.invariant).collect();
        assert_eq!(names, Vec::from_iter(lost), "{status}");
    }
}

#[test]
fn what_is_still_travelling_is_a_finding_only_once_it_had_its_time() {
    let (mut ours, toss) = unpaid(&["READY", "IN_PROGRESS", "UNKNOWN"], &[]);
    ours.orders[0].stock_held = true;
    ours.products[0].stock = 7;
    ours.products[0].held = 3;
    let before = |micros| Terms {
        settled_before: Some(Timestamp::from_micros(micros)),
        ..Terms::default()
    };
    let tried = 2_000;
    ours.orders[0].attempts[0].started_at = Some(Timestamp::from_micros(tried));
    for early in [Terms::default(), before(tried)] {
        assert_eq!(compare(&ours, &toss, early), []);
    }
    let sentence = "liveness  order o-1: it is UNKNOWN, not settled yet; Toss did not approve it.";
    for late in [STRICT, before(tried + 1)] {
        let found = compare(&ours, &toss, late);
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, [sentence]);
    }
}

#[test]
fn strangers_matter_only_to_a_complete_record() {
    let (_, toss) = clean();
    assert_eq!(compare(&OurRecord::default(), &toss, Terms::default()), []);
    assert_eq!(compare(&OurRecord::default(), &toss, STRICT).len(), 1);

    let (ours, mut toss) = clean();
    toss.payments[0].is_early = true;
    assert_eq!(compare(&OurRecord::default(), &toss, STRICT), []);
    assert_eq!(compare(&ours, &toss, STRICT), [], "it counts for its order");
}

#[test]
fn a_masked_key_is_compared_by_what_it_shows() {
    for (ours, whole, same) in [
        ("tpayo20251123102047bvrO8", "tpayo20251123102047bvrO8", true),
        ("tpayo2…vrO8", "tpayo20251123102047bvrO8", true),
        ("tpayo2…vrO9", "tpayo20251123102047bvrO8", false),
        ("tpayo3…vrO8", "tpayo20251123102047bvrO8", false),
        ("tpayo2…o2vr", "tpayo2vr", false),
        ("***", "short", true),
        ("***", "tpayo20251123102047bvrO8", false),
    ] {
        assert_eq!(is_same_key(ours, whole), same, "{ours} and {whole}");
    }
}

#[test]
fn a_declined_first_key_does_not_hide_who_paid() {
    let (mut ours, mut toss) = clean();
    let first = "tpayo20251123102000first";
    ours.orders[0].attempts.insert(
        0,
        AttemptRecord {
            payment_key: first.into(),
            result: AttemptResult::Declined,
            started_at: None,
        },
    );
    let mut aborted = toss.payments[0].clone();
    aborted.payment_key = first.into();
    aborted.approvals = 0;
    toss.payments.push(aborted);
    assert_eq!(compare(&ours, &toss, STRICT), []);

    for entry in &mut toss.payments {
        entry.approvals = u64::from(entry.payment_key == first);
    }
    assert_eq!(
        compare(&ours, &toss, STRICT)[0].invariant,
        Invariant::NoPhantom
    );
}

#[test]
fn stock_sold_to_others_is_left_out_of_the_recount() {
    let (mut ours, toss) = clean();
    ours.products[0].received = 30;
    ours.products[0].sold = 23;
    assert_eq!(compare(&ours, &toss, STRICT).len(), 1);
    ours.products[0].outside = Some(Outside { held: 0, sold: 20 });
    assert_eq!(compare(&ours, &toss, STRICT), []);
    ours.products[0].outside = None;
    assert_eq!(compare(&ours, &toss, STRICT), []);
}
