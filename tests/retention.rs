//! Housekeeping in service: what is old goes by itself, and neither buyers nor the audit are told anything else for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{House, Order, Other, SECRET_KEY, command};
use reqwest::Method;
use serde_json::{Value, json};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

async fn pruned(house: &House, table: &str) -> u64 {
    let text = house.get("/metrics").await.body;
    let name = format!(r#"payonce_pruned_rows_total{{table="{table}"}} "#);
    let mut lines = text.as_str().unwrap().lines();
    let found = lines.find_map(|line| line.strip_prefix(&name));
    found.expect("the series is there").parse().unwrap()
}

async fn until_pruned(house: &House, wanted: [(&str, u64); 4]) {
    let until = Instant::now() + Duration::from_secs(30);
    for (table, rows) in wanted {
        while pruned(house, table).await < rows {
            assert!(Instant::now() < until, "{table}: {rows} rows did not go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(pruned(house, table).await, rows, "{table}");
    }
}

async fn keyed(house: &House, key: &str) -> Value {
    let lines = json!([{"productId": 1, "quantity": 1}]);
    let body = json!({"userId": 1, "orderedProductList": lines});
    let request = house.request(Method::POST, "/api/v1/payments/checkout");
    let request = request.header("Idempotency-Key", key).json(&body);
    let reply = house.send(request).await;
    assert!(reply.status.is_success(), "{reply:?}");
    reply.data()["orderId"].clone()
}

async fn versions(house: &House, order: &Order) -> Vec<i64> {
    let status = house.status(order).await;
    let history = status["history"].as_array().unwrap().iter();
    history
        .map(|row| row["version"].as_i64().unwrap())
        .collect()
}

/// As if all that has happened so far had been so much longer ago.
async fn age(other: &Other, by: i64) {
    for column in [
        "payments SET created_at = created_at",
        "payment_history SET at = at",
        "outbox SET at = at",
        "checkout_keys SET created_at = created_at",
    ] {
        other.say(&format!("UPDATE {column} - {by}")).await;
    }
}

async fn gone_for_years(other: &Other, node: u64) {
    let columns = "incarnation, name, started_at, heartbeat_at";
    let row = format!("'00000000-0000-0000-0000-00000000000{node}', 'gone', 1, 1");
    let sql = format!("INSERT INTO nodes ({columns}) VALUES ({row})");
    other.say(&sql).await;
}

/// What an audit finds that is told of no retention.
fn strict_audit(house: &House) -> String {
    let ours = [
        "SANDBOX__ENABLED",
        "RETENTION__HISTORY_DAYS",
        "RETENTION__OUTBOX_DAYS",
    ];
    let mut env = house.environment().to_vec();
    env.retain(|(name, _)| !ours.iter().any(|ours| name.ends_with(ours)));
    env.push(("PAYONCE_TOSS__BASE_URL".into(), house.toss_url().to_owned()));
    env.push(("PAYONCE_TOSS__SECRET_KEY".into(), SECRET_KEY.into()));
    let output = command(&["audit"], &env).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_by_itself_and_what_was_paid_is_told_as_ever() {
    let house = House::plan()
        .env("RETENTION__HISTORY_DAYS", 2)
        .env("RETENTION__OUTBOX_DAYS", 2)
        .env("RETENTION__PAUSE_MS", 5)
        .env("RETENTION__EVERY_S", 1)
        .start();
    let (paid, key) = house.authorized().await;
    let answer = house.confirm(&paid, &key).await;
    assert_eq!(answer.status, 200);
    let ready = house.checkout(&[(1, 1)]).await;
    let first = keyed(&house, "a").await;
    assert_eq!(keyed(&house, "a").await, first);
    let shelf = house.shelf(1).await;

    // Young enough, but for the key, whose day is over, and a node that has been gone for years.
    let other = Other::of(&house).await;
    gone_for_years(&other, 1).await;
    age(&other, DAY_US).await;
    until_pruned(
        &house,
        [
            ("checkout_keys", 1),
            ("nodes", 1),
            ("payment_history", 0),
            ("outbox", 0),
        ],
    )
    .await;
    assert_ne!(keyed(&house, "a").await, first, "the key is free again");
    assert_eq!(versions(&house, &paid).await, [1, 2, 3]);

    age(&other, DAY_US).await;
    until_pruned(
        &house,
        [
            ("checkout_keys", 2),
            ("nodes", 1),
            ("payment_history", 2),
            ("outbox", 1),
        ],
    )
    .await;
    assert_eq!(versions(&house, &paid).await, [3]);
    assert_eq!(versions(&house, &ready).await, [1]);
    let again = house.confirm(&paid, &key).await;
    assert_eq!(
        (again.status, &again.body["data"]),
        (answer.status, answer.data())
    );
    assert_eq!(
        (house.approvals(&paid).await, house.shelf(1).await),
        (1, shelf)
    );
    other.close().await;
    house.audit();
    let missed = strict_audit(&house);
    let begins = "its history begins with version 3, IN_PROGRESS -> DONE.";
    let news = "version 3, into DONE, has 0 outbox rows instead of 1.";
    assert!(missed.contains(begins) && missed.contains(news), "{missed}");
    assert_eq!(missed.matches(&paid.id).count(), 2, "{missed}");
    // What was kept goes on as ever.
    let key = house.authorize(&ready).await;
    assert_eq!(house.confirm(&ready, &key).await.status, 200);
    house.audit();
}

/// A round is over when what is added after it goes with the next one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_forgets_what_happened_until_he_is_told_to() {
    let house = House::plan()
        .env("RETENTION__PAUSE_MS", 5)
        .env("RETENTION__EVERY_S", 1)
        .start();
    let (paid, key) = house.authorized().await;
    assert_eq!(house.confirm(&paid, &key).await.status, 200);
    let other = Other::of(&house).await;
    age(&other, 40_000 * DAY_US).await;
    for round in 1..=2 {
        gone_for_years(&other, round).await;
        let wanted = [
            ("nodes", round),
            ("payment_history", 0),
            ("outbox", 0),
            ("checkout_keys", 0),
        ];
        until_pruned(&house, wanted).await;
    }
    other.close().await;
    assert_eq!(versions(&house, &paid).await, [1, 2, 3]);
    house.audit();
}
