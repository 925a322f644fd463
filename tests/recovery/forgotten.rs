//! The database loses its last second (an asynchronous failover, a restored backup): an approved order is READY again.

use super::AFTER_READY;
use crate::common::{House, Order, Other, Plan};
use reqwest::Method;
use serde_json::{Value, json};

fn plan() -> Plan {
    House::plan()
        .own_toss()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("RECOVERY__BACKOFF_MAX_MS", 1_000)
}

/// The database goes back to where this order had only been checked out.
async fn forget(house: &House, order: &Order) {
    let other = Other::of(house).await;
    let of_order = format!("order_id = '{}'", order.id);
    for sql in [
        format!("DELETE FROM outbox WHERE {of_order}"),
        format!("DELETE FROM payment_history WHERE {of_order} AND version > 1"),
        format!("DELETE FROM attempts WHERE {of_order}"),
        format!(
            "UPDATE payments SET status = 'READY', stock_held = false, version = 1, owner = NULL,
                 next_attempt_at = expires_at, rounds = 0, questions = 0, quarantine = NULL
             WHERE {of_order}"
        ),
        "UPDATE products SET stock = stock + 1 WHERE id = 1".to_owned(),
    ] {
        other.say(&sql).await;
    }
    other.close().await;
}

/// Forgotten while the server is away; the audit tells before the doors open again.
async fn forgotten(house: &mut House, order: &Order) {
    house.server.kill_9();
    house.audit();
    forget(house, order).await;
    is_named(house, order, "READY");
}

async fn paid_and_forgotten(house: &mut House) -> (Order, String) {
    let (order, key) = house.authorized().await;
    let ready = house.status(&order).await;
    let paid = house.confirm(&order, &key).await;
    assert_eq!(paid.status, 200, "{paid:?}");
    forgotten(house, &order).await;
    house.restart(&[]);
    assert_eq!(house.status(&order).await, ready);
    assert_eq!(house.shelf(1).await, (59, 0, 0, 59));
    (order, key)
}

/// Whoever runs the audit hears of it.
fn is_named(house: &House, order: &Order, status: &str) {
    let (clean, told) = house.audited();
    let named = format!("Toss approved it, but it is {status}.");
    let line = told.lines().find(|line| line.contains(&order.id));
    assert!(
        !clean && line.is_some_and(|line| line.contains(&named)),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_forgotten_is_found_again_by_its_own_payment_key() {
    let mut house = plan().start();
    let (order, key) = paid_and_forgotten(&mut house).await;
    let again = house.confirm(&order, &key).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(house.status(&order).await["status"], "DONE");
    assert_eq!(house.approvals(&order).await, 1);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    house.audit();
}

/// Toss repeats its first answer to the first key of the order, and it names another payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_forgotten_is_not_charged_again_with_another_payment_key() {
    let mut house = plan().start();
    let (order, first) = paid_and_forgotten(&mut house).await;
    let second = house.authorize(&order).await;
    let told = house.confirm(&order, &second).await;
    assert_eq!((told.status.as_u16(), told.code()), (503, "E03009"));
    // The second one ends at Toss, unconfirmed: now it is a case for a human.
    let late = json!({"advanceSeconds": 700});
    let clock = house
        .toss(Method::POST, "/sandbox/clock", Some(&late))
        .await;
    assert!(clock.status.is_success(), "{clock:?}");
    house.wait_for(&order, &["QUARANTINED"], AFTER_READY).await;
    for key in [first, second] {
        let told = house.confirm(&order, &key).await;
        assert_eq!((told.status.as_u16(), told.code()), (409, "E03017"));
    }
    assert_eq!(house.approvals(&order).await, 1);
    assert_eq!(house.shelf(1).await, (58, 1, 0, 59));
    house.audit();
}

/// Nobody asks Toss about an order that was never begun: only the audit finds this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_forgotten_and_expires_is_named_by_the_audit() {
    let mut house = plan().start();
    let (order, key) = paid_and_forgotten(&mut house).await;
    let other = Other::of(&house).await;
    let passes = format!(
        "UPDATE payments SET expires_at = created_at, next_attempt_at = created_at WHERE order_id = '{}'",
        order.id
    );
    other.say(&passes).await;
    let expired: Value = house.wait_for(&order, &["EXPIRED"], AFTER_READY).await;
    let late = house.confirm(&order, &key).await;
    assert_eq!(
        (late.status.as_u16(), late.code()),
        (409, "E03008"),
        "{expired}"
    );
    assert_eq!(house.approvals(&order).await, 1);
    is_named(&house, &order, "EXPIRED");
}

/// A first attempt made anew has another idempotency key than the attempt that paid, so Toss cannot warn: the audit must.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_forgotten_with_the_decline_before_it_is_named_by_the_audit() {
    let mut house = plan().start();
    let (order, declined) = house.authorized().await;
    let no = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": no}]))
        .await;
    assert_eq!(house.confirm(&order, &declined).await.status, 402);
    let key = house.authorize(&order).await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    forgotten(&mut house, &order).await;
}
