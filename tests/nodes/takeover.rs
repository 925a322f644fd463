//! Who takes an order over from whom: from the dead, each order once; from the living and from those who leave, nobody.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::cluster::Cluster;
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

/// It starts, and finds a row of its own name that is not its own: a host's clone, or the same pod seen twice.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_starts_takes_nothing_from_a_living_one_of_the_same_name() {
    let name = [("NODE__NAME", "payonce-twin")];
    let mut cluster = Cluster::of(1, &name).await;
    let slow = json!([{"on": "confirm", "do": {"kind": "delay", "millis": 6_000}}]);
    cluster.first().faults(slow).await;
    let wave = cluster.wave(10).await;
    let calls: Vec<_> = wave.iter().map(|one| cluster.sent_to(0, one)).collect();
    cluster.wait_for_unfinished(10).await;
    cluster.joins(&name);
    for told in join_all(calls).await {
        let told = told.unwrap().expect("an answer");
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
    }
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
    let quick = [
        ("NODE__HEARTBEAT_MS", "250"),
        ("NODE__DEAD_AFTER_MS", "2000"),
    ];
    let mut cluster = Cluster::of(2, &quick).await;
    let slow = json!([{"on": "confirm", "do": {"kind": "delay", "millis": 6_000}}]);
    cluster.first().faults(slow).await;
    let wave = cluster.wave(10).await;
    let calls: Vec<_> = wave.iter().map(|one| cluster.sent_to(1, one)).collect();
    cluster.wait_for_unfinished(10).await;
    cluster.leaves(1);
    for told in join_all(calls).await {
        let told = told.unwrap().expect("an answer, and no reset");
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
    }
    assert_eq!(cluster.takeovers().await, 0);
    let left = "SELECT count(*) FROM nodes WHERE closed_at IS NULL";
    assert_eq!(cluster.number(left).await, 1, "its row is closed");
    for (order, _) in &wave {
        let house = cluster.first();
        assert_eq!(house.counted(order, "lookups").await, 0);
    }
    cluster.first().audit();
}
