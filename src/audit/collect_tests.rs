//! What an audit reads of a real store: all of it, or some days and what Toss approved meanwhile.
#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::{
    Comparison, Kept, Listed, OrderId, Read, Scope, TossEntry, TossLedger, oldest, read_into,
};
use crate::audit::{Invariant, Terms, Violation};
use crate::domain::{Order, Transition};
use crate::store::tests::shop::*;
use crate::store::{Change, Store};

const COMPLETE: Terms = Terms {
    settled: false,
    settled_before: None,
    complete: true,
    kept: Kept {
        history_since: None,
        outbox_since: None,
    },
};

async fn audit(store: &Store, ledger: &TossLedger, scope: Scope) -> (Read, Vec<Violation>) {
    let mut comparison = Comparison::with(ledger, COMPLETE);
    let read = read_into(&mut comparison, store, scope).await.unwrap();
    (read, comparison.end())
}

fn approval(order: OrderId, total: i64, key: &str) -> TossEntry {
    TossEntry {
        order_id: order.to_string(),
        payment_key: key.to_owned(),
        status: "DONE".to_owned(),
        total_amount: total,
        balance_amount: total,
        confirm_calls: 1,
        approvals: 1,
        is_early: false,
    }
}

/// The orders of [`Shop`] are older than its NOW.
fn young_order() -> Order {
    let id = OrderId::earliest_of(NOW.plus_ms(5)).uuid().as_u128() + 1;
    Order {
        id: OrderId::new(Uuid::from_u128(id)),
        ..order(&[(1, 2)])
    }
}

async fn paid(shop: &Shop, transition: &Transition, key: &str) -> TossEntry {
    shop.commit(&[new_order(transition)]).await;
    let started = started(&transition.next, key);
    shop.commit(&[Change::Advance(started.clone())]).await;
    let approved = approved(&started.next);
    shop.commit(&[Change::Advance(approved.clone())]).await;
    let order = &approved.next.order;
    approval(order.id, order.total.get(), key)
}

#[tokio::test]
async fn an_audit_of_some_days_reads_their_orders_and_those_that_toss_approved_since() {
    let shop = Shop::file_with(10, 0).await;
    let since = Scope {
        since: Some(NOW),
        ..Scope::default()
    };
    let long_ago = paid(&shop, &checkout(order(&[(1, 1)])), "long-ago").await;
    let late = paid(&shop, &checkout(order(&[(1, 1)])), "late").await;
    let young = paid(&shop, &checkout(young_order()), "young").await;
    let ready = shop.ready(&[(1, 1)]).await;

    let mut ledger = TossLedger {
        payments: vec![late, young],
        others: 0,
    };
    let (read, found) = audit(&shop.store, &ledger, since).await;
    assert_eq!((read.orders, read.products, found), (2, 2, vec![]));
    ledger.payments.push(long_ago);
    let (read, found) = audit(&shop.store, &ledger, Scope::default()).await;
    assert_eq!((read.orders, read.products, found), (4, 2, vec![]));

    // Older ones are held against it too, and nobody's is a stranger's.
    let stranger = OrderId::earliest_of(NOW.plus_ms(-1));
    ledger.payments = vec![
        approval(ready.order.id, 50_000, "unheard"),
        approval(stranger, 50_000, "strange"),
    ];
    for (scope, orders) in [(since, 2), (Scope::default(), 4)] {
        let (read, found) = audit(&shop.store, &ledger, scope).await;
        assert_eq!(read.orders, orders);
        let lost = |order: &OrderId| {
            let order = order.to_string();
            let is_lost = |found: &&Violation| {
                found.invariant == Invariant::NoLostApproval && found.to_string().contains(&order)
            };
            found.iter().filter(is_lost).count()
        };
        assert_eq!(
            (lost(&ready.order.id), lost(&stranger)),
            (1, 1),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_told_as_such_and_is_no_stranger() {
    let shop = Shop::file_with(10, 0).await;
    let ledger = TossLedger {
        payments: vec![paid(&shop, &checkout(order(&[(1, 1)])), "k").await],
        others: 0,
    };
    let broken = "UPDATE payments SET status = 'PAID'";
    shop.say(broken).await;
    let since = Scope {
        since: Some(NOW),
        ..Scope::default()
    };
    for scope in [Scope::default(), since] {
        let (read, found) = audit(&shop.store, &ledger, scope).await;
        let unreadable: Vec<_> = read.unreadable.iter().map(|row| &row.order_id).collect();
        assert_eq!(unreadable, [&ledger.payments[0].order_id]);
        let strange = found
            .iter()
            .any(|found| found.invariant == Invariant::NoLostApproval);
        assert!(!strange, "{found:?}");
    }
    assert_eq!(oldest(&shop.store).await.unwrap(), None);
}

/// The shop's old system, its subscriptions, an order named by hand: whoever sells on the same account is nobody's loss.
#[test]
fn approvals_of_orders_that_payonce_cannot_have_named_are_counted_and_left_out() {
    let from = NOW;
    let mut listed = Listed::default();
    let ours = OrderId::new(Uuid::now_v7()).to_string();
    let early = OrderId::new(Uuid::now_v7()).to_string();
    let lines = [
        ("a", &*ours, "DONE", "2126-11-30T20:08:47+09:00", 500),
        (
            "a",
            &*ours,
            "PARTIAL_CANCELED",
            "2126-11-30T20:09:47+09:00",
            200,
        ),
        ("b", &*early, "DONE", "2016-11-30T20:08:47+09:00", 500),
        ("c", "cafe24-77", "DONE", "2126-11-30T20:08:47+09:00", 1),
        ("c", "cafe24-77", "CANCELED", "2126-11-30T20:08:48+09:00", 1),
        (
            "d",
            "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "DONE",
            "2126-11-30T20:08:47+09:00",
            1,
        ),
    ];
    for (key, order, status, at, amount) in lines {
        let line = serde_json::json!({"transactionKey": key, "paymentKey": key, "orderId": order, "status": status,
            "transactionAt": at, "amount": amount});
        listed.add(serde_json::from_str(&line.to_string()).unwrap(), from);
    }
    let dollars = r#"{"transactionKey": "e", "paymentKey": "e", "orderId": "cafe24-78", "status": "DONE",
        "currency": "USD", "amount": 12.5}"#;
    listed.add(serde_json::from_str(dollars).unwrap(), from);
    let TossLedger { payments, others } = listed.ledger();
    assert_eq!(others, 3);
    let seen = |entry: &TossEntry| {
        let TossEntry {
            order_id,
            approvals,
            is_early,
            ..
        } = entry;
        (
            order_id.clone(),
            *approvals,
            entry.balance_amount,
            *is_early,
        )
    };
    let payments: Vec<_> = payments.iter().map(seen).collect();
    assert_eq!(payments, [(ours, 1, 300, false), (early, 1, 500, true)]);
}
