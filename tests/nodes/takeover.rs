//! Who takes an order over from whom: from the dead, each order once; from the living and from those who leave, nobody.
//! And what a clock that jumps does to an order that is asked about: nothing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, PATIENT, Told};
use crate::common::Order;
use crate::orders;

/// What a node leaves that is killed is shared out among those who live, and each order is asked about by one of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn the_orders_of_the_dead_are_shared_out_and_each_is_taken_over_once() {
    let mut cluster = Cluster::of(3, &[]).await;
    let count = orders(60);
    let wave = cluster.wave(count).await;
    let hang = json!([{"on": "confirm", "do": {"kind": "hang_after"}}]);
    cluster.first().faults(hang).await;
    let calls: Vec<_> = wave.iter().map(|one| cluster.sent_to(2, one)).collect();
    cluster.wait_for_unfinished(count as i64).await;
    cluster.nodes[2].server.kill_9();
    cluster.first().heal().await;
    cluster.wait_for_unfinished_at_most(0).await;
    for call in calls {
        assert_eq!(call.await.unwrap(), None, "nobody lived to answer");
    }
    assert_eq!(cluster.takeovers().await, count as i64, "each once");
    let owners = "SELECT count(DISTINCT owner) FROM payments WHERE status = 'DONE'";
    assert_eq!(cluster.number(owners).await, 2, "both took their share");
    for (order, _) in &wave {
        let house = cluster.first();
        assert_eq!(house.approvals(order).await, 1);
        assert_eq!(house.counted(order, "lookups").await, 1, "asked about once");
    }
    cluster.first().audit();
}

type Calls = Vec<JoinHandle<Option<Told>>>;

/// Confirms at this node, under way to a Toss that has not answered any.
async fn under_way(cluster: &Cluster, node: usize, wave: &[(Order, String)]) -> Calls {
    let calls: Vec<_> = wave.iter().map(|one| cluster.sent_to(node, one)).collect();
    let all = i64::try_from(wave.len()).unwrap();
    cluster.wait_for_unfinished(all).await;
    calls
}

async fn all_paid(calls: Calls) {
    for told in join_all(calls).await {
        let told = told.unwrap().expect("an answer, and no reset");
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
    }
}

/// It starts, and finds a row of its own name that is not its own: a host's clone, or the same pod seen twice.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_starts_takes_nothing_from_a_living_one_of_the_same_name() {
    let settings = [&[("NODE__NAME", "payonce-twin")], &PATIENT[..]].concat();
    let mut cluster = Cluster::of(1, &settings).await;
    let wave = cluster.wave(10).await;
    cluster.first().toss_stands_still();
    let calls = under_way(&cluster, 0, &wave).await;
    cluster.joins(&settings);
    // It is at work while they are still out.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.wait_for_unfinished(10).await;
    cluster.first().toss_goes_on();
    all_paid(calls).await;
    assert_eq!(cluster.takeovers().await, 0);
    for (order, _) in &wave {
        let house = cluster.first();
        assert_eq!(house.counted(order, "confirmCalls").await, 1);
        assert_eq!(house.counted(order, "lookups").await, 0);
    }
    cluster.first().audit();
}

/// Its heart beats to the end: what it still waits for is longer than a silent node counts as alive.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_is_told_to_leave_beats_until_its_last_confirm_is_settled() {
    let settings = [
        ("NODE__HEARTBEAT_MS", "250"),
        // A heartbeat may be some seconds late by the machine; the confirms take twice as long.
        ("NODE__DEAD_AFTER_MS", "7000"),
        ("CONFIRM__PATIENCE_MS", "60000"),
        ("SERVER__SHUTDOWN_MS", "60000"),
    ];
    let mut cluster = Cluster::of(2, &settings).await;
    let wave = cluster.wave(10).await;
    let slow = json!([{"on": "confirm", "do": {"kind": "delay", "millis": 14_000}}]);
    cluster.first().faults(slow).await;
    let calls = under_way(&cluster, 1, &wave).await;
    cluster.leaves(1);
    all_paid(calls).await;
    assert_eq!(cluster.takeovers().await, 0);
    let left = "SELECT count(*) FROM nodes WHERE closed_at IS NULL";
    assert_eq!(cluster.number(left).await, 1, "its row is closed");
    for (order, _) in &wave {
        let house = cluster.first();
        assert_eq!(house.counted(order, "lookups").await, 0);
    }
    cluster.first().audit();
}

/// The confirm left a moment ago, Toss does not know it yet, and the host's clock is set forward: no window has passed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_clock_that_is_set_forward_makes_no_early_not_found_true() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offset");
    std::fs::write(&file, "+0").unwrap();
    let quick = [
        ("RECOVERY__TICK_MS", "50"),
        ("RECOVERY__BACKOFF_MIN_MS", "50"),
        ("RECOVERY__BACKOFF_MAX_MS", "100"),
        ("CONFIRM__FLIGHT_BUDGET_MS", "200"),
        // Toss resets many a call, and is asked on.
        ("BREAKER__FAILURES", "100000"),
        ("BREAKER__SAMPLE", "100000"),
    ];
    let cluster = Cluster::stepped_by(&file, &quick).await;
    let house = cluster.first();
    let unknown = json!({"kind": "error", "code": "NOT_FOUND_PAYMENT", "keepOpen": true});
    let lost = json!([
        {"on": "confirm", "do": {"kind": "reset_before"}},
        {"on": "lookup", "do": unknown},
    ]);
    house.faults(lost).await;
    let wave = cluster.wave(20).await;
    let calls: Vec<_> = wave.iter().map(|one| cluster.sent_to(0, one)).collect();
    cluster.wait_for_unfinished(20).await;
    let asked = async || {
        let mut lookups = 0;
        for (order, _) in &wave {
            lookups += house.counted(order, "lookups").await;
        }
        lookups
    };
    std::fs::write(&file, "+20m").unwrap();
    let before = asked().await;
    let failed = "SELECT count(*) FROM payments WHERE status = 'FAILED'";
    let until = Instant::now() + Duration::from_secs(60);
    while asked().await < before + 200 {
        assert_eq!(cluster.number(failed).await, 0);
        assert!(Instant::now() < until, "nobody asks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cluster.number(failed).await, 0);
    house.heal().await;
    cluster.wait_for_unfinished_at_most(0).await;
    for (order, _) in &wave {
        assert_eq!(house.approvals(order).await, 1);
    }
    for call in calls {
        call.await.unwrap();
    }
    house.audit();
}
