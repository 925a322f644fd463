//! Payments: what is written is what is read, and what is refused leaves no trace.

use std::sync::Arc;

use uuid::Uuid;

use super::shop::*;
use crate::domain::payment::{Approval, ApprovalSign, History, Outbox, QuarantineReason, Settled};
use crate::domain::{
    Attempt, Decline, Event, GatewayIdentity, Incarnation, Payment, Status, StockMove, Timestamp,
    Transition, TransitionId,
};
use crate::store::{Change, CommitFault, Verdict, WriteFate};

/// An attempt with every field filled, each with a value of its own.
fn attempt(number: u8, settled: Option<Settled>) -> Attempt {
    let time = |n: i64| Timestamp::from_micros(1_000 * i64::from(number) + n);
    Attempt {
        number,
        payment_key: key(&format!("tgen_{number}_\"quoted\\key\"")),
        n: 3,
        answered: true,
        gateway: GatewayIdentity("https://api.tosspayments.com 9c1e".into()),
        started_at: time(1),
        may_send_until: time(2),
        owner: Incarnation(Uuid::now_v7()),
        many_owners: true,
        foreign_seen: true,
        approval_sign: ApprovalSign::Contradicted,
        doubted_decline: Some(Decline::new(
            "EXCEED_MAX_AMOUNT",
            "한도 초과 \u{1F4B3}\n\"'",
        )),
        settled,
    }
}

fn full(ready: &Payment) -> Payment {
    let approval = Approval {
        approved_at: Some(Timestamp::from_micros(7)),
        method: Some("간편결제".into()),
        receipt_url: Some("https://toss.example/receipt?a=1&b=2".into()),
    };
    let overruled = Settled::Overruled {
        told: Decline::new("REJECT", "no"),
        approval: approval.clone(),
    };
    Payment {
        status: Status::Quarantined,
        version: 2,
        owner: Some(Incarnation(Uuid::now_v7())),
        next_attempt_at: Some(Timestamp::from_micros(i64::MAX)),
        rounds: u32::MAX,
        questions: 12,
        stock_held: true,
        quarantine: Some(QuarantineReason::LateApproval),
        attempts: vec![
            attempt(1, Some(Settled::Declined(Decline::new("REJECT", "")))),
            attempt(2, Some(Settled::Approved(approval))),
            attempt(3, None),
            attempt(4, Some(overruled)),
        ],
        ..ready.clone()
    }
}

fn full_transition(ready: &Payment) -> Transition {
    let at = Timestamp::from_micros(1_760_000_000_123_456);
    let to = Status::Quarantined;
    Transition {
        id: TransitionId(Uuid::now_v7()),
        replaces: 1,
        next: full(ready),
        attempts_before: 0,
        stock: StockMove::TakeIfAvailable,
        history: History {
            from: Some(Status::Ready),
            to,
            event: "APPROVED",
            reason: Some("LATE_APPROVAL".into()),
            at,
        },
        outbox: Some(Outbox { to, at }),
    }
}

#[tokio::test]
async fn a_payment_comes_back_as_it_was_written_with_every_field() {
    let shop = Shop::with(59, 59).await;
    let ready = shop.ready(&[(1, 3), (2, 2)]).await;
    assert_eq!(shop.load(&ready).await, ready);
    let record = shop.store.record(ready.order.id).await.unwrap().unwrap();
    assert_eq!(record.created_at, NOW);

    let transition = full_transition(&ready);
    assert_eq!(
        shop.commit(&[Change::Advance(transition.clone())]).await,
        [HELD]
    );
    assert_eq!(shop.load(&ready).await, transition.next);

    let bare = shop.in_progress(&[(1, 1)], "bare").await;
    assert_eq!(shop.load(&bare).await, bare);
    assert_eq!(shop.store.load(order(&[(1, 1)]).id).await.unwrap(), None);
}

/// Replaces what `before` wrote, while a human rules: about all of the attempts.
fn ruling(before: &Transition, attempts: Vec<Attempt>) -> Transition {
    let mut next = Payment {
        attempts,
        ..before.next.clone()
    };
    next.version += 1;
    Transition {
        id: TransitionId(Uuid::now_v7()),
        replaces: before.next.version,
        attempts_before: before.next.attempts.len(),
        next,
        stock: StockMove::None,
        history: History {
            from: Some(Status::Quarantined),
            ..before.history.clone()
        },
        outbox: None,
    }
}

#[tokio::test]
async fn an_attempt_that_changes_comes_back_with_every_field() {
    let shop = Shop::with(59, 59).await;
    let ready = shop.ready(&[(1, 3), (2, 2)]).await;
    let first = full_transition(&ready);
    shop.commit(&[Change::Advance(first.clone())]).await;

    let mut attempts = first.next.attempts.clone();
    for attempt in &mut attempts {
        attempt.n += 1;
        attempt.answered = false;
        attempt.may_send_until = attempt.may_send_until.plus_ms(1);
        attempt.many_owners = false;
        attempt.foreign_seen = false;
        attempt.approval_sign = ApprovalSign::Seen;
        attempt.doubted_decline = None;
    }
    let settled: Vec<_> = attempts.iter().map(|a| a.settled.clone()).collect();
    let next = settled.into_iter().cycle().skip(1);
    attempts
        .iter_mut()
        .zip(next)
        .for_each(|(a, s)| a.settled = s);
    let second = ruling(&first, attempts.clone());
    shop.commit(&[Change::Advance(second.clone())]).await;
    assert_eq!(shop.load(&ready).await, second.next);

    // One that begins and changes in the same batch, beside one that only changes.
    attempts.push(attempt(5, None));
    let third = ruling(&second, attempts.clone());
    attempts[0].n += 1;
    attempts[4].n += 1;
    let fourth = ruling(&third, attempts);
    let batch = [Change::Advance(third), Change::Advance(fourth.clone())];
    assert_eq!(shop.commit(&batch).await, [HELD, HELD]);
    assert_eq!(shop.load(&ready).await, fourth.next);
}

#[tokio::test]
async fn every_transition_has_one_history_row_and_every_news_one_outbox_row() {
    let shop = Shop::with(59, 59).await;
    let ready = shop.ready(&[(1, 3)]).await;
    let transition = full_transition(&ready);
    shop.commit(&[Change::Advance(transition.clone())]).await;

    let history = shop.store.history(ready.order.id).await.unwrap();
    let [first, second] = &history[..] else {
        panic!("{history:?}");
    };
    assert_eq!(
        (first.from, first.to, first.version),
        (None, Status::Ready, 1)
    );
    assert_eq!((&*first.event, &first.reason), ("CHECKED_OUT", &None));
    assert_eq!(
        (second.from, second.to),
        (Some(Status::Ready), Status::Quarantined)
    );
    assert_eq!((second.version, second.transition), (2, transition.id));
    assert_eq!(second.reason.as_deref(), Some("LATE_APPROVAL"));
    assert_eq!(second.at, transition.history.at);

    let page = shop.store.audit_page("", 10).await.unwrap();
    let [told] = &page.records[0].outbox[..] else {
        panic!("{page:?}");
    };
    assert_eq!((&*told.event, told.version), ("QUARANTINED", 2));
    let payload: serde_json::Value = serde_json::from_str(&told.payload).unwrap();
    let expected = serde_json::json!({
        "orderId": ready.order.id.to_string(), "status": "QUARANTINED", "amount": 150_000,
        "version": 2, "occurredAt": "2025-10-09T17:53:20.123456+09:00",
    });
    assert_eq!(payload, expected);
}

#[tokio::test]
async fn two_transitions_of_one_payment_in_one_batch_follow_each_other() {
    let shop = Shop::with(10, 0).await;
    let first = checkout(order(&[(1, 4)]));
    let second = started(&first.next, "k1");
    let third = declined(&second.next);
    let fourth = started(&third.next, "k2");
    let fifth = approved(&fourth.next);
    let steps = [&second, &third, &fourth, &fifth].map(|t| Change::Advance(t.clone()));
    let batch = [&[new_order(&first)][..], &steps].concat();
    let expected = [FREE, HELD, FREE, HELD, HELD];
    assert_eq!(shop.commit(&batch).await, expected);

    assert_eq!(shop.load(&first.next).await, fifth.next);
    assert_eq!(shop.stock(1).await, (6, 10));
    let versions = shop.store.history(first.order_id()).await.unwrap();
    let versions: Vec<i64> = versions.iter().map(|row| row.version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert_eq!(shop.counts().await, [1, 5, 2, 2]);
}

#[tokio::test]
async fn a_stale_transition_touches_neither_stock_nor_history_nor_outbox() {
    let shop = Shop::with(10, 0).await;
    let ready = shop.ready(&[(1, 1)]).await;
    let winner = started(&ready, "first");
    let loser = started(&ready, "second");
    let batch = [winner.clone(), loser.clone()].map(Change::Advance);
    let stale = Verdict::Stale { version: Some(2) };
    assert_eq!(shop.commit(&batch).await, [HELD, stale.clone()]);
    assert_eq!(shop.commit(&[Change::Advance(loser)]).await, [stale]);

    assert_eq!(shop.load(&ready).await, winner.next);
    assert_eq!(shop.stock(1).await, (9, 10));
    assert_eq!(shop.counts().await, [1, 2, 0, 1]);

    let unknown = started(&Payment::ready(order(&[(1, 1)]), NOW.plus_ms(9_000)), "x");
    let none = Verdict::Stale { version: None };
    assert_eq!(shop.commit(&[Change::Advance(unknown)]).await, [none]);
}

#[tokio::test]
async fn recovery_cannot_overwrite_a_done_that_landed_in_between() {
    let shop = Shop::with(10, 0).await;
    let running = shop.in_progress(&[(1, 1)], "k").await;
    let takeover = step(&running, Event::OwnerLost { claim: claim() });
    let done = approved(&running);
    shop.commit(&[Change::Advance(done.clone())]).await;
    let verdicts = shop.commit(&[Change::Advance(takeover)]).await;
    assert_eq!(verdicts, [Verdict::Stale { version: Some(3) }]);
    assert_eq!(shop.load(&running).await, done.next);
}

#[tokio::test]
async fn what_was_never_taken_is_never_given_back() {
    let shop = Shop::with(0, 0).await;
    let ready = shop.ready(&[(1, 2)]).await;
    let evidence = full_transition(&ready);
    let verdicts = shop.commit(&[Change::Advance(evidence.clone())]).await;
    assert_eq!(verdicts, [FREE]);
    assert!(!shop.load(&ready).await.stock_held);

    // An actor that overlooked the verdict believes that the goods are held.
    let mut believed = evidence.next;
    assert!(believed.stock_held);
    believed.version += 1;
    believed.stock_held = false;
    believed.status = Status::Failed;
    let history = evidence.history;
    let release = Transition {
        id: TransitionId(Uuid::now_v7()),
        replaces: 2,
        attempts_before: believed.attempts.len(),
        next: believed,
        stock: StockMove::Return,
        history,
        outbox: None,
    };
    let verdicts = shop.commit(&[Change::Advance(release)]).await;
    assert_eq!(verdicts, [Verdict::Stale { version: Some(2) }]);
    assert_eq!(shop.stock(1).await, (0, 0));
}

#[tokio::test]
async fn postponing_moves_the_clock_and_nothing_else() {
    let shop = Shop::with(10, 0).await;
    let running = shop.in_progress(&[(1, 1)], "k").await;
    let until = NOW.plus_ms(123_000);
    let (order, version) = (running.order.id, running.version);
    let postpone = |version| Change::Postpone {
        order,
        version,
        until,
    };
    let stale = Verdict::Stale { version: Some(2) };
    let verdicts = shop.commit(&[postpone(version), postpone(1)]).await;
    assert_eq!(verdicts, [HELD, stale]);
    let expected = Payment {
        next_attempt_at: Some(until),
        ..running.clone()
    };
    assert_eq!(shop.load(&running).await, expected);
    assert_eq!(shop.counts().await, [1, 2, 0, 1]);

    // Before and after a transition of the same batch: the last word counts.
    let takeover = step(&running, Event::OwnerLost { claim: claim() });
    let batch = [postpone(2), Change::Advance(takeover.clone())];
    assert_eq!(shop.commit(&batch).await, [HELD, HELD]);
    assert_eq!(shop.load(&running).await, takeover.next);
    let retry = step(&takeover.next, Event::RetryClaimed { claim: claim() });
    let batch = [Change::Advance(retry.clone()), postpone(4)];
    assert_eq!(shop.commit(&batch).await, [HELD, HELD]);
    assert_eq!(shop.load(&running).await.next_attempt_at, Some(until));
    assert_eq!(shop.load(&running).await.version, 4);
}

#[tokio::test]
async fn one_poisonous_change_is_refused_and_writes_nothing_of_its_batch() {
    let shop = Shop::with(10, 0).await;
    let healthy = checkout(order(&[(1, 1)]));
    // Product 99 does not exist: the order points at nothing.
    let poison = checkout(order(&[(99, 1)]));
    let before = shop.counts().await;
    let batch = [new_order(&healthy), new_order(&poison)];
    let fault = shop.store.commit(&batch).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Refused(_)), "{fault:?}");
    assert_eq!(shop.counts().await, before);
    assert_eq!(shop.commit(&batch[..1]).await, [FREE]);

    // A transition's own name, used twice.
    let ready = healthy.next;
    let mut first = started(&ready, "k");
    first.id = healthy.id;
    let fault = shop
        .store
        .commit(&[Change::Advance(first)])
        .await
        .unwrap_err();
    assert!(matches!(fault, CommitFault::Refused(_)), "{fault:?}");
    assert_eq!(shop.load(&ready).await, ready);
    assert_eq!(shop.stock(1).await, (10, 10));
}

#[tokio::test]
async fn reading_back_finds_our_own_write_and_nobody_elses() {
    let shop = Shop::with(10, 0).await;
    let ready = shop.ready(&[(1, 1)]).await;
    let (mine, other) = (started(&ready, "mine"), started(&ready, "other"));
    let read_back = |transition: &Transition| {
        let (id, replaces) = (transition.id, transition.replaces);
        let (store, order) = (shop.store.clone(), ready.order.id);
        async move { store.read_back(order, id, replaces).await.unwrap() }
    };
    assert_eq!(read_back(&mine).await, WriteFate::Undecided);
    shop.commit(&[Change::Advance(other.clone())]).await;
    assert_eq!(read_back(&mine).await, WriteFate::Absent);
    assert_eq!(read_back(&other).await, WriteFate::Landed { held: true });
    shop.commit(&[Change::Advance(declined(&other.next))]).await;
    assert_eq!(read_back(&other).await, WriteFate::Landed { held: false });
    let unknown = checkout(order(&[(1, 1)]));
    let landing = shop
        .store
        .read_back(unknown.order_id(), unknown.id, 0)
        .await;
    assert_eq!(landing.unwrap(), WriteFate::Undecided);
}

#[tokio::test]
async fn a_late_approval_of_an_older_attempt_is_kept_beside_the_current_one() {
    let shop = Shop::with(10, 0).await;
    let first = shop.in_progress(&[(1, 1)], "old").await;
    let failed = declined(&first).next;
    shop.commit(&[Change::Advance(declined(&first))]).await;
    let second = started(&failed, "new");
    shop.commit(&[Change::Advance(second.clone())]).await;
    let approval = Approval {
        approved_at: Some(NOW),
        method: None,
        receipt_url: None,
    };
    let late = step(
        &second.next,
        Event::Approved {
            attempt: 1,
            payment_key: key("old"),
            approval,
        },
    );
    shop.commit(&[Change::Advance(late.clone())]).await;
    let loaded = shop.load(&first).await;
    assert_eq!(loaded, late.next);
    assert_eq!(loaded.attempts[0].approval_sign, ApprovalSign::Seen);
    assert_eq!(loaded.status, Status::Quarantined);
}

#[tokio::test]
async fn an_empty_batch_is_no_transaction() {
    let shop = Shop::with(1, 0).await;
    let committed = shop.committed(&[]).await;
    assert!(committed.verdicts.is_empty() && committed.shelf.is_empty());
    let shared: Arc<[Change]> = Arc::from([]);
    assert!(shop.committed(&shared).await.shelf.is_empty());
}
