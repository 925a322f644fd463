//! What a quarantined payment does by itself, and what it leaves to a human.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::common::House;
use crate::{SOON, accepted, approved_and_quarantined, refund, resolve, unpaid_and_quarantined};

/// No approval seen and nobody told: it asks slowly and follows a clear answer. Else it waits for a human, unasked.
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_payment_settles_itself_only_where_nothing_was_seen() {
    let house = House::plan()
        .own_toss()
        .env("TOSS__READ_TIMEOUT_MS", 4_000)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("RECOVERY__TICK_MS", 100)
        .env("RECOVERY__BACKOFF_MIN_MS", 100)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
        .env("RECOVERY__QUARANTINE_ASK_S", 1)
        .start();
    let (refunded, key) = house.authorized().await;
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
            {"on": "confirm", "do": {"kind": "reset_before"}},
            {"on": "lookup", "do": {"kind": "reset_before"}},
        ]))
        .await;
    house.confirm(&refunded, &key).await;
    refund(&house, &key).await;
    house.heal().await;
    let seen = house
        .wait_for(&refunded, &["QUARANTINED", "DONE"], SOON)
        .await;
    assert_eq!(seen["status"], "QUARANTINED", "{seen:#}");
    let asked = house.counted(&refunded, "lookups").await;
    let (paid, _) = approved_and_quarantined(&house, 1).await;
    let (open, _) = unpaid_and_quarantined(&house).await;
    house.wait_for(&paid, &["DONE"], SOON).await;
    assert_eq!(house.approvals(&paid).await, 1);
    assert_eq!(
        house.counted(&refunded, "lookups").await,
        asked,
        "nothing to ask for"
    );
    for waits in [&refunded, &open] {
        assert_eq!(house.status(waits).await["status"], "QUARANTINED");
    }
    // A clear end fails nothing once an approval was claimed: that takes the operator.
    let later = json!({"advanceSeconds": 660});
    house
        .toss(Method::POST, "/sandbox/clock", Some(&later))
        .await;
    let asked = house.counted(&open, "lookups").await;
    let until = std::time::Instant::now() + SOON;
    while house.counted(&open, "lookups").await < asked + 2 {
        assert!(
            std::time::Instant::now() < until,
            "it is asked slowly, and not at all"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(house.status(&open).await["status"], "QUARANTINED");
    accepted(&resolve(&house, &open, "failed"));
    assert_eq!(house.status(&open).await["status"], "FAILED");
    house.audit();
}
