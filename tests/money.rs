//! Money: whatever Toss answers, or does not, the order is paid at most once and no approval is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{House, Order, Other};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// A house that does not make a test wait: quick questions. Toss may take its time: its disk is this machine's, which may
/// stand still for a moment, and who hears the outcome in the same request must not depend on that.
fn quick() -> common::Plan {
    House::plan()
        .env("TOSS__READ_TIMEOUT_MS", 10_000)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 10_000)
        .env("RECOVERY__TICK_MS", 100)
        .env("RECOVERY__BACKOFF_MIN_MS", 100)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
}

/// A house to which Toss is soon silent, and whose flights end before it is heard again.
fn impatient() -> common::Plan {
    quick()
        .env("TOSS__READ_TIMEOUT_MS", 700)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 3_000)
}

async fn one_fault(house: &House, on: &str, times: i64, what: Value) {
    house
        .faults(json!([{"on": on, "times": times, "do": what}]))
        .await;
}

async fn must_be_done_once(house: &House, order: &Order) {
    house.wait_for(order, &["DONE"], SOON).await;
    assert_eq!(house.approvals(order).await, 1);
    let (stock, held, sold, _) = house.shelf(1).await;
    assert_eq!((stock, held, sold), (58, 0, 1));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_approval_ends_done_with_one_approval() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    one_fault(&house, "confirm", 1, json!({"kind": "reset_after"})).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.data()["status"].as_str()),
        (200, Some("DONE"))
    );
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn already_processed_is_looked_up_and_never_failed() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    // Somebody else has confirmed it at Toss, with our own amount.
    let body = json!({"paymentKey": key, "orderId": order.id, "amount": order.total});
    let url = format!("{}/v1/payments/confirm", house.toss_url());
    let direct = house
        .client
        .post(url)
        .basic_auth(common::SECRET_KEY, Some(""))
        .json(&body);
    assert_eq!(house.send(direct).await.status, 200);
    let reply = house.confirm(&order, &key).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_of_any_kind_is_unknown_and_never_failed() {
    let silences = [
        json!({"kind": "reset_before"}),
        json!({"kind": "reset_after"}),
        json!({"kind": "hang_before", "millis": 2_000}),
        json!({"kind": "hang_after", "millis": 2_000}),
        json!({"kind": "garbled"}),
        json!({"kind": "status", "status": 502, "body": "<html>Bad Gateway</html>"}),
        json!({"kind": "status", "status": 429, "body": ""}),
        json!({"kind": "status", "status": 200, "body": ""}),
    ];
    for silence in silences {
        let house = impatient().start();
        let (order, key) = house.authorized().await;
        one_fault(&house, "any", 6, silence.clone()).await;
        let reply = house.confirm(&order, &key).await;
        assert_ne!(reply.code(), "E03010", "{silence} was read as a decline");
        let seen = house.status(&order).await;
        assert_ne!(seen["status"], "FAILED", "{silence}");
        must_be_done_once(&house, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_whose_status_is_not_done_is_not_paid() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    let waiting = json!({"kind": "tamper", "field": "status", "value": "WAITING_FOR_DEPOSIT"});
    one_fault(&house, "any", 100, waiting).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (409, "E03017"),
        "{reply:?}"
    );
    let seen = house.wait_for(&order, &["QUARANTINED"], SOON).await;
    assert_eq!(seen["stockHeld"], true, "{seen:#}");
    house.heal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_error_once_is_paid_in_the_same_request_with_a_fresh_key() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    let busy = json!({"kind": "error", "code": "PROVIDER_ERROR", "keepOpen": true});
    one_fault(&house, "confirm", 1, busy).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(house.counted(&order, "confirmCalls").await, 2);
    assert!(
        house.counted(&order, "lookups").await >= 1,
        "it asks before it sends again"
    );
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_error_that_lasts_is_pending_and_then_settled_by_the_timer() {
    let house = quick().env("CONFIRM__FLIGHT_BUDGET_MS", 600).start();
    let (order, key) = house.authorized().await;
    let busy = json!({"kind": "error", "code": "PROVIDER_ERROR", "keepOpen": true});
    one_fault(&house, "confirm", 1_000, busy).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (503, "E03009"),
        "{reply:?}"
    );
    assert!(!reply.header("retry-after").is_empty());
    let (stock, held, _, _) = house.shelf(1).await;
    assert_eq!((stock, held), (58, 1), "held while the outcome is unknown");
    house.heal().await;
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_merchant_key_fails_no_order() {
    for code in [
        "UNAUTHORIZED_KEY",
        "INVALID_API_KEY",
        "INCORRECT_BASIC_AUTH_FORMAT",
    ] {
        let house = quick().env("CONFIRM__FLIGHT_BUDGET_MS", 600).start();
        let (order, key) = house.authorized().await;
        let refused = json!({"kind": "error", "code": code, "keepOpen": true});
        one_fault(&house, "any", 1_000, refused).await;
        let reply = house.confirm(&order, &key).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (503, "E03009"),
            "{code}: {reply:?}"
        );
        house.heal().await;
        must_be_done_once(&house, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn still_processing_burns_no_budget() {
    let house = impatient().env("RECOVERY__QUESTIONS", 1).start();
    let (order, key) = house.authorized().await;
    let running = json!({"kind": "status", "status": 409,
        "body": "{\"code\":\"IDEMPOTENT_REQUEST_PROCESSING\",\"message\":\"running\"}"});
    one_fault(&house, "confirm", 8, running).await;
    house.confirm(&order, &key).await;
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_look_up_is_no_answer_and_allows_nothing() {
    let house = impatient().start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "times": 2, "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": {"kind": "hang_before", "millis": 1_500}},
        ]))
        .await;
    house.confirm(&order, &key).await;
    house.wait_for(&order, &["UNKNOWN"], SOON).await;
    let calls = house.counted(&order, "confirmCalls").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(house.status(&order).await["status"], "UNKNOWN");
    assert_eq!(
        house.counted(&order, "confirmCalls").await,
        calls,
        "nothing is sent on silence"
    );
    house.heal().await;
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_another_amount_is_not_ours() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    let cheap = json!({"kind": "tamper", "field": "totalAmount", "value": 1});
    one_fault(&house, "any", 100, cheap).await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (409, "E03017"),
        "{reply:?}"
    );
    let seen = house.status(&order).await;
    assert_eq!(
        (&seen["status"], &seen["stockHeld"]),
        (&json!("QUARANTINED"), &json!(true))
    );
    house.server.logged_with("a human must look");
    house.heal().await;
}

/// An answer that names another payment decides nothing; the look-up by our own key does.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_names_another_payment_is_looked_up() {
    for (field, value) in [
        ("paymentKey", json!("tgen_another")),
        ("orderId", json!("another-order")),
    ] {
        let house = quick().start();
        let (order, key) = house.authorized().await;
        let other = json!({"kind": "tamper", "field": field, "value": value});
        one_fault(&house, "confirm", 1, other).await;
        let reply = house.confirm(&order, &key).await;
        assert_eq!(reply.status, 200, "{field}: {reply:?}");
        must_be_done_once(&house, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_approval_time_keeps_its_offset() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    let reply = house.confirm(&order, &key).await;
    let url = format!("{}/v1/payments/{key}", house.toss_url());
    let at_toss = house
        .client
        .get(url)
        .basic_auth(common::SECRET_KEY, Some(""));
    let at_toss = house.send(at_toss).await.body["approvedAt"]
        .as_str()
        .unwrap()
        .to_owned();
    let ours = reply.data()["approvedAt"].as_str().unwrap();
    let parse = |text: &str| {
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    assert!(ours.ends_with("+09:00"), "{ours}");
    assert_eq!(parse(ours), parse(&at_toss));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_not_found_is_not_failed() {
    let house = impatient().start();
    let (order, key) = house.authorized().await;
    let lost = json!({"kind": "error", "code": "NOT_FOUND_PAYMENT", "keepOpen": true});
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "times": 2, "do": {"kind": "reset_before"}},
            {"on": "lookup", "times": 3, "do": lost},
        ]))
        .await;
    house.confirm(&order, &key).await;
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_session_on_confirm_is_not_believed() {
    for code in ["NOT_FOUND_PAYMENT_SESSION", "NOT_FOUND_PAYMENT"] {
        let house = quick().start();
        let (order, key) = house.authorized().await;
        let lost = json!({"kind": "error", "code": code, "keepOpen": true});
        house
            .faults(json!([
                {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
                {"on": "confirm", "do": lost},
            ]))
            .await;
        let reply = house.confirm(&order, &key).await;
        assert_eq!(reply.status, 200, "{code}: {reply:?}");
        must_be_done_once(&house, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_402_and_another_card_pays_the_same_order() {
    let house = quick().start();
    let (order, key) = house.authorized().await;
    one_fault(
        &house,
        "confirm",
        1,
        json!({"kind": "error", "code": "INVALID_STOPPED_CARD"}),
    )
    .await;
    let declined = house.confirm(&order, &key).await;
    assert_eq!(
        (declined.status.as_u16(), declined.code()),
        (402, "E03010"),
        "{declined:?}"
    );
    assert_eq!(
        declined.body["error"]["gateway"]["code"],
        "INVALID_STOPPED_CARD"
    );
    assert_eq!(declined.body["error"]["next"], "pay_again");
    assert_eq!(house.status(&order).await["status"], "FAILED");
    assert_eq!(house.stock(1).await, 59);

    let second = house.authorize(&order).await;
    assert_eq!(house.confirm(&order, &second).await.status, 200);
    // The first key comes back; its answer is the same, only the advice changes.
    let again = house.confirm(&order, &key).await;
    assert_eq!((again.status.as_u16(), again.code()), (402, "E03010"));
    assert_eq!(
        again.body["error"]["gateway"],
        declined.body["error"]["gateway"]
    );
    assert_eq!(again.body["error"]["next"], "none");
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_key_of_another_order_locks_up_nothing() {
    let house = quick().start();
    let (old, key) = house.authorized().await;
    assert_eq!(house.confirm(&old, &key).await.status, 200);
    let new = house.checkout(&[(1, 1)]).await;
    house.confirm(&new, &key).await;
    let seen = house.wait_for(&new, &["FAILED"], SOON).await;
    assert_eq!(seen["failure"]["code"], "FOREIGN_PAYMENT_KEY", "{seen:#}");
    assert_eq!(
        house.stock(1).await,
        58,
        "only the old order's goods are gone"
    );
    let own = house.authorize(&new).await;
    assert_eq!(house.confirm(&new, &own).await.status, 200);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_canceled_at_toss_was_paid() {
    let house = impatient().start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": {"kind": "reset_before"}},
        ]))
        .await;
    house.confirm(&order, &key).await;
    let url = format!("{}/v1/payments/{key}/cancel", house.toss_url());
    let cancel = house
        .client
        .post(url)
        .basic_auth(common::SECRET_KEY, Some(""));
    let cancel = cancel.json(&json!({"cancelReason": "in the dashboard"}));
    assert_eq!(house.send(cancel).await.status, 200);
    house.heal().await;
    let seen = house
        .wait_for(&order, &["QUARANTINED", "FAILED", "DONE"], SOON)
        .await;
    assert_eq!(
        (&seen["status"], &seen["stockHeld"]),
        (&json!("QUARANTINED"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_saved_is_kept_until_it_can() {
    let house = quick()
        .own_toss()
        // It answers when the test says so.
        .env("TOSS__READ_TIMEOUT_MS", 60_000)
        .env("DATABASE__BUSY_TIMEOUT_MS", 100)
        .env("CONFIRM__PATIENCE_MS", 3_000)
        // Its heartbeats cannot be saved either, and nobody is to die of it.
        .env("NODE__DEAD_AFTER_MS", 60_000)
        .start();
    let (order, key) = house.authorized().await;
    house.toss_stands_still();
    let body = House::confirm_body(&order, &key);
    let url = format!("{}/api/v1/payments/confirm", house.server.url);
    let confirm = tokio::spawn(house.client.post(url).json(&body).send());
    house.wait_for(&order, &["IN_PROGRESS"], SOON).await;
    // Somebody else holds the database while Toss approves.
    let other = Other::of(&house).await;
    other.lock().await;
    house.toss_goes_on();
    let reply = confirm.await.unwrap().unwrap();
    assert_eq!(reply.status(), 503, "pending, not failed");
    assert_eq!(house.status(&order).await["status"], "IN_PROGRESS");
    let until = Instant::now() + SOON;
    while house.approvals(&order).await == 0 {
        assert!(Instant::now() < until, "not approved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.status(&order).await["status"], "IN_PROGRESS");
    assert_eq!(house.approvals(&order).await, 1);
    other.unlock().await;
    must_be_done_once(&house, &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_merchant_key_fails_no_unsettled_payment() {
    let mut house = impatient().own_toss().start();
    let (order, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": {"kind": "reset_before"}},
        ]))
        .await;
    house.confirm(&order, &key).await;
    house.server.kill_9();
    // The new key's merchant does not know the payment.
    let unknown = json!({"kind": "error", "code": "NOT_FOUND_PAYMENT", "keepOpen": true});
    house.faults(json!([{"on": "lookup", "do": unknown}])).await;
    house.restart(&[
        ("TOSS__SECRET_KEY", "test_sk_zzAnotherMerchantEntirely01"),
        ("RECOVERY__QUARANTINE_ASK_S", "1"),
    ]);
    let seen = house
        .wait_for(&order, &["QUARANTINED", "FAILED", "DONE"], SOON)
        .await;
    assert_eq!(
        (&seen["status"], &seen["stockHeld"]),
        (&json!("QUARANTINED"), &json!(true))
    );
    // Under the old key again, the quarantined payment follows the clear answer when it asks again.
    house.server.kill_9();
    house.heal().await;
    house.restart(&[("TOSS__SECRET_KEY", common::SECRET_KEY)]);
    house.wait_for(&order, &["DONE"], SOON).await;
    must_be_done_once(&house, &order).await;
}
