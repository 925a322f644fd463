//! `GET /metrics`: what an operator sees of a payment that was paid, one that was declined, one that nobody knows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::House;
use serde_json::json;

/// The value of one series; it must be there.
async fn series(house: &House, name: &str) -> f64 {
    let text = text(house).await;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("{name} is missing:\n{text}"));
    found.parse().unwrap()
}

async fn text(house: &House) -> String {
    let reply = house.get("/metrics").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    reply.body.as_str().unwrap().to_owned()
}

fn moved(from: &str, to: &str) -> String {
    format!(r#"payonce_transitions_total{{from="{from}",to="{to}"}}"#)
}

fn called(operation: &str, outcome: &str) -> String {
    format!(r#"payonce_gateway_calls_total{{operation="{operation}",outcome="{outcome}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_became_of_payments() {
    let house = House::plan()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 3_000)
        .env("RECOVERY__BACKOFF_MIN_MS", 60_000)
        .start();
    for zero in [
        moved("", "READY"),
        moved("IN_PROGRESS", "DONE"),
        called("confirm", "approved"),
        "payonce_quarantined".to_owned(),
        r#"payonce_shed_total{where="door"}"#.to_owned(),
        r#"payonce_pruned_rows_total{table="payment_history"}"#.to_owned(),
    ] {
        assert_eq!(series(&house, &zero).await, 0.0, "{zero}");
    }

    let (paid, key) = house.authorized().await;
    assert_eq!(house.confirm(&paid, &key).await.status, 200);
    let (declined, key) = house.authorized().await;
    let no = json!([{"on": "confirm", "do": {"kind": "error", "code": "REJECT_CARD_COMPANY"}}]);
    house.faults(no).await;
    assert_eq!(house.confirm(&declined, &key).await.status, 402);
    let (lost, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "confirm", "do": {"kind": "reset_after"}},
            {"on": "lookup", "do": {"kind": "status", "status": 502, "body": "<html>"}},
        ]))
        .await;
    assert_eq!(house.confirm(&lost, &key).await.status, 503);
    house
        .wait_for(&lost, &["UNKNOWN"], Duration::from_secs(10))
        .await;

    for (name, count) in [
        (moved("", "READY"), 3.0),
        (moved("READY", "IN_PROGRESS"), 3.0),
        (moved("IN_PROGRESS", "DONE"), 1.0),
        (moved("IN_PROGRESS", "FAILED"), 1.0),
        (moved("IN_PROGRESS", "UNKNOWN"), 1.0),
        (called("confirm", "approved"), 1.0),
        (called("confirm", "declined"), 1.0),
        ("payonce_live_actors".to_owned(), 3.0),
        (r#"payonce_gateway{kind="sandbox"}"#.to_owned(), 1.0),
        (r#"payonce_gateway{kind="live"}"#.to_owned(), 0.0),
        ("payonce_waiters".to_owned(), 0.0),
        ("payonce_approvals_unwritten".to_owned(), 0.0),
        ("payonce_journal_queued".to_owned(), 0.0),
        (r#"payonce_breaker_state{state="closed"}"#.to_owned(), 1.0),
    ] {
        assert_eq!(series(&house, &name).await, count, "{name}");
    }
    assert!(series(&house, &called("confirm", "unknown")).await >= 1.0);
    assert!(series(&house, &called("look_up", "no_answer")).await >= 1.0);
    let confirms = r#"payonce_gateway_call_seconds_count{operation="confirm"}"#;
    assert!(series(&house, confirms).await >= 3.0);
    // Each payment took a checkout, an intent and an outcome; the node its row.
    assert!(series(&house, "payonce_journal_batch_changes_sum").await >= 10.0);
    assert!(series(&house, "payonce_journal_commit_seconds_count").await >= 9.0);
    assert!(series(&house, "payonce_journal_queue_seconds_count").await >= 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_of_recovery_and_the_quarantined_are_counted() {
    let house = House::plan()
        .own_toss()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 100)
        .env("RECOVERY__TICK_MS", 60_000)
        .start();
    let (lost, key) = house.authorized().await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "status", "status": 502, "body": ""}}]))
        .await;
    assert_eq!(house.confirm(&lost, &key).await.status, 503);
    // Its next question is due within a second or two, and nobody ticks.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while series(&house, "payonce_recovery_backlog").await < 1.0 {
        assert!(std::time::Instant::now() < until, "never due");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(series(&house, "payonce_recovery_oldest_seconds").await > 0.0);
    assert_eq!(series(&house, "payonce_unknown").await, 1.0);

    house.heal().await;
    let (doubted, key) = house.authorized().await;
    let tampered = json!({"kind": "tamper", "field": "totalAmount", "value": 1});
    house
        .faults(json!([{"on": "confirm", "do": tampered}]))
        .await;
    assert_eq!(house.confirm(&doubted, &key).await.status, 409);
    assert_eq!(series(&house, "payonce_quarantined").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_keys_the_figures_are_the_shops_alone() {
    const KEY: &str = "pk_metrics";
    const HASH: &str = "sha256:5a2c52b267c167a19d47ec95a6a49e0f0e77522c6164eaa083653d15426fd17f";
    let house = House::plan()
        .env("SERVER__API_KEYS", HASH)
        .env("SANDBOX__ENABLED", true)
        .start();
    let nobody = house.get("/metrics").await;
    assert_eq!((nobody.status.as_u16(), nobody.code()), (401, "E99401"));
    let shop = house.request(reqwest::Method::GET, "/metrics");
    let shop = house.send(shop.bearer_auth(KEY)).await;
    assert_eq!(shop.status, 200);
    assert!(shop.body.as_str().unwrap().contains("payonce_waiters 0"));
}
