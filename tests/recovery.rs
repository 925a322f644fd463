//! Recovery: what a dead process leaves behind settles by itself, by asking Toss first.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;
#[path = "recovery/forgotten.rs"]
mod forgotten;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use common::{House, Other, Plan};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// From "ready" to settled, with no request from anyone: seconds, and the rest is for a slow machine.
const AFTER_READY: Duration = Duration::from_secs(60);

fn with_own_toss() -> Plan {
    House::plan()
        .own_toss()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("CONFIRM__PATIENCE_MS", 800)
}

async fn send_confirm(
    house: &House,
    order: &common::Order,
    key: &str,
) -> tokio::task::JoinHandle<()> {
    let url = format!("{}/api/v1/payments/confirm", house.server.url);
    let request = house
        .client
        .post(url)
        .json(&House::confirm_body(order, key));
    tokio::spawn(async move { drop(request.send().await) })
}

/// The intent was journaled, the process died, the call arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_progress_whose_owner_is_dead_is_settled_after_restart() {
    let mut house = with_own_toss().start();
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 6_000}}]))
        .await;
    let (order, key) = house.authorized().await;
    let caller = send_confirm(&house, &order, &key).await;
    house.until_called(&order).await;
    house.server.kill_9();
    caller.await.unwrap();
    house.restart(&[]);
    house.wait_for(&order, &["DONE"], AFTER_READY).await;
    assert_eq!(
        (house.approvals(&order).await, house.shelf(1).await),
        (1, (58, 0, 1, 59))
    );
    house.audit();
}

/// The intent was journaled and the process died before anything was sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_never_left_is_sent_once_after_restart() {
    let mut house = with_own_toss().start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "reset_before"}}]))
        .await;
    let caller = send_confirm(&house, &order, &key).await;
    house
        .wait_for(&order, &["IN_PROGRESS", "UNKNOWN"], AFTER_READY)
        .await;
    house.server.kill_9();
    caller.await.unwrap();
    house.heal().await;
    house.restart(&[]);
    house.wait_for(&order, &["DONE"], AFTER_READY).await;
    assert_eq!(house.approvals(&order).await, 1);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_of_a_declined_payment_comes_back_once_across_crashes() {
    let mut house = with_own_toss().start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "lookup", "times": 1, "do": {"kind": "reset_before"}},
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "do": {"kind": "reset_before"}},
        ]))
        .await;
    // Declined at Toss, and we have not heard of it.
    let declined = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": declined},
        {"on": "any", "do": {"kind": "reset_before"}}]))
        .await;
    let url = format!("{}/v1/payments/confirm", house.toss_url());
    let body = json!({"paymentKey": key, "orderId": order.id, "amount": order.total});
    let direct = house
        .client
        .post(url)
        .basic_auth(common::SECRET_KEY, Some(""))
        .json(&body);
    assert_eq!(house.send(direct).await.status, 403);
    assert_eq!(house.confirm(&order, &key).await.status, 503);
    assert_eq!(house.shelf(1).await, (58, 1, 0, 59));
    house.server.kill_9();
    house.heal().await;
    house.restart(&[]);
    let seen = house.wait_for(&order, &["FAILED"], AFTER_READY).await;
    assert_eq!(seen["failure"]["code"], "REJECT_CARD_PAYMENT", "{seen:#}");
    for _ in 0..2 {
        house.server.kill_9();
        house.restart(&[]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(house.shelf(1).await, (59, 0, 0, 59));
    }
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_payment_is_settled_by_the_timer_with_nobody_asking() {
    let house = with_own_toss()
        .env("RECOVERY__BACKOFF_MIN_MS", 200)
        .env("RECOVERY__BACKOFF_MAX_MS", 500)
        .env("RECOVERY__TICK_MS", 100)
        .start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "reset_before"}}]))
        .await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "E03009"));
    house.heal().await;
    house.wait_for(&order, &["DONE"], AFTER_READY).await;
    house.audit();
}

/// However slow Toss is, nobody else touches a payment whose owner is at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_progress_with_a_live_owner_is_left_alone() {
    let house = House::plan().env("RECOVERY__TICK_MS", 50).start();
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 3_000}}]))
        .await;
    let (order, key) = house.authorized().await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let ledger = house.ledger(&order).await;
    assert_eq!(
        (&ledger[0]["confirmCalls"], &ledger[0]["lookups"]),
        (&json!(1), &json!(0))
    );
}

/// Rows that cannot be read stay where they are; everybody else is settled.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_payment_blocks_no_other() {
    let mut house = with_own_toss().start();
    let orders = join_all((0..10).map(|_| house.authorized())).await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "reset_before"}}]))
        .await;
    for reply in join_all(orders.iter().map(|(order, key)| house.confirm(order, key))).await {
        assert_eq!(reply.status, 503);
    }
    house.server.kill_9();
    let other = Other::of(&house).await;
    let torn = [
        format!(
            "DELETE FROM order_lines WHERE order_id = '{}'",
            orders[0].0.id
        ),
        format!(
            "UPDATE attempts SET payment_key = '' WHERE order_id = '{}'",
            orders[1].0.id
        ),
        format!(
            "UPDATE payments SET user_id = '' WHERE order_id = '{}'",
            orders[2].0.id
        ),
    ];
    for statement in torn {
        other.say(&statement).await;
    }
    other.close().await;
    house.heal().await;
    // Fewer places than rows that cannot be read: each of them is asked for again, and takes no place for long.
    house.restart(&[("RECOVERY__BATCH", "2")]);
    for (order, _) in &orders[3..] {
        house.wait_for(order, &["DONE"], AFTER_READY).await;
    }
}

/// A late, stale timer cannot write over a DONE: every write names the version that it replaces.
#[tokio::test(flavor = "multi_thread")]
async fn recovery_under_fire_overwrites_no_done() {
    let house = House::plan()
        .env("RECOVERY__TICK_MS", 20)
        .env("RECOVERY__BACKOFF_MIN_MS", 20)
        .env("RECOVERY__BACKOFF_MAX_MS", 60)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 300)
        .start();
    house.put_product(800, 100, 1_000).await;
    house
        .faults(json!([
            {"on": "confirm", "probability": 0.3, "do": {"kind": "reset_after"}},
            {"on": "lookup", "probability": 0.3, "do": {"kind": "reset_before"}},
        ]))
        .await;
    let one = async || {
        let order = house.checkout(&[(800, 1)]).await;
        let key = house.authorize(&order).await;
        let mut seen: Vec<Value> = Vec::new();
        for _ in 0..3 {
            seen.push(house.confirm(&order, &key).await.body);
        }
        (order, seen)
    };
    let all = join_all((0..60).map(|_| one())).await;
    house.heal().await;
    for (order, seen) in &all {
        house.wait_for(order, &["DONE"], AFTER_READY).await;
        assert_eq!(house.approvals(order).await, 1);
        let paid: Vec<&Value> = seen
            .iter()
            .filter(|body| body["data"]["status"] == "DONE")
            .collect();
        assert!(paid.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    }
    assert_eq!(house.shelf(800).await, (940, 0, 60, 1_000));
    house.audit();
}

/// A budget of questions that is spent ends with a last look-up, never with a blind FAILED.
#[tokio::test(flavor = "multi_thread")]
async fn spent_questions_end_with_a_last_look_up() {
    let house = with_own_toss()
        .env("RECOVERY__QUESTIONS", 2)
        .env("RECOVERY__BACKOFF_MIN_MS", 50)
        .env("RECOVERY__BACKOFF_MAX_MS", 100)
        .env("RECOVERY__TICK_MS", 50)
        .env("RECOVERY__QUARANTINE_ASK_S", 1)
        .env("CONFIRM__WINDOW_S", 1)
        .env("TOSS__READ_TIMEOUT_MS", 500)
        .env("TOSS__CONNECT_TIMEOUT_MS", 500)
        .start();
    let (order, key) = house.authorized().await;
    let odd = json!({"kind": "tamper", "field": "status", "value": "READY"});
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": odd},
        ]))
        .await;
    house.confirm(&order, &key).await;
    let seen = house
        .wait_for(&order, &["QUARANTINED", "FAILED", "DONE"], AFTER_READY)
        .await;
    assert_eq!(
        (&seen["status"], &seen["stockHeld"]),
        (&json!("QUARANTINED"), &json!(true))
    );
    // It keeps asking slowly, and follows a clear answer.
    house.heal().await;
    house.wait_for(&order, &["DONE"], AFTER_READY).await;
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_confirms_expires_by_itself_and_is_refused_before_that() {
    let house = House::plan().env("CHECKOUT__EXPIRES_AFTER_S", 1).start();
    let (order, key) = house.authorized().await;
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (409, "E03008"),
        "{reply:?}"
    );
    house.wait_for(&order, &["EXPIRED"], AFTER_READY).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.code(), &reply.body["error"]["next"]),
        ("E03008", &json!("new_order"))
    );
    assert_eq!(house.counted(&order, "confirmCalls").await, 0);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_of_questions_survives_a_restart() {
    let mut house = with_own_toss()
        .env("RECOVERY__BACKOFF_MIN_MS", 50)
        .env("RECOVERY__BACKOFF_MAX_MS", 100)
        .env("RECOVERY__TICK_MS", 50)
        .start();
    let (order, key) = house.authorized().await;
    let odd = json!({"kind": "tamper", "field": "status", "value": "READY"});
    house
        .faults(json!([
            {"on": "confirm", "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": odd},
        ]))
        .await;
    house.confirm(&order, &key).await;
    until_asked(&house, &order, 0..=1).await;
    house.server.kill_9();
    let asked = questions(&house, &order).await;
    house.restart(&[]);
    until_asked(&house, &order, asked..=asked).await;
}

/// Polls until more than these were asked; none is ever forgotten.
async fn until_asked(house: &House, order: &common::Order, known: RangeInclusive<i64>) {
    let until = Instant::now() + AFTER_READY;
    loop {
        let asked = questions(house, order).await;
        assert!(asked >= *known.start(), "{asked} of {known:?}");
        if asked > *known.end() {
            return;
        }
        assert!(Instant::now() < until, "{asked} of {known:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn questions(house: &House, order: &common::Order) -> i64 {
    let id = &order.id;
    let sql = format!("SELECT questions FROM payments WHERE order_id = '{id}'");
    house.rows(&sql).await[0].try_get_by(0).unwrap()
}
