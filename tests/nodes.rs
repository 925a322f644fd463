//! Several nodes on one database: real processes that share PostgreSQL or MariaDB and nothing else. They need a server:
//! `PAYONCE_TEST_DATABASE=postgres://USER@HOST:PORT/postgres cargo test --test nodes -- --ignored`, or `mysql://...`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "nodes/cluster.rs"]
mod cluster;
mod common;
#[path = "nodes/takeover.rs"]
mod takeover;
#[path = "nodes/upgrade.rs"]
mod upgrade;

use std::time::Duration;

use cluster::{Cluster, PATIENT, Told, Turns};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use common::number;

/// Orders of a test; more by PAYONCE_NODES_ORDERS.
fn orders(default: usize) -> usize {
    number("PAYONCE_NODES_ORDERS").map_or(default, |orders| orders as usize)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn the_same_orders_confirmed_at_all_nodes_at_once_are_one_call_each_with_equal_answers() {
    let cluster = Cluster::of(3, &PATIENT).await;
    let wave = cluster.wave(orders(40)).await;
    let asked = wave.iter().flat_map(|one| {
        let callers = (0..9).map(move |caller| (one, caller % 3));
        callers.map(|(one, node)| cluster.confirm(node, one))
    });
    let told: Vec<Told> = join_all(asked).await;
    for (one, answers) in wave.iter().zip(told.chunks(9)) {
        for answer in answers {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!(answer.body, answers[0].body);
        }
        let calls = cluster.first().counted(&one.0, "confirmCalls").await;
        assert_eq!(calls, 1, "{}", one.0.id);
    }
    cluster.first().audit();
}

/// Orders of which one node has the attempt in its hands while the others are asked.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_follows_the_attempt_of_another_and_refuses_another_key_meanwhile() {
    let cluster = Cluster::of(2, &PATIENT).await;
    let house = cluster.first();
    let (order, key) = house.authorized().await;
    let other_key = house.authorize(&order).await;
    house.toss_stands_still();
    let other = (order.clone(), other_key);
    let one = (order, key);
    let owner = cluster.confirm(0, &one);
    let follower = async {
        cluster.wait_for(&one.0, &["IN_PROGRESS"]).await;
        let refused = async {
            let refused = cluster.confirm(1, &other).await;
            // The same key is on its way meanwhile.
            tokio::time::sleep(Duration::from_millis(500)).await;
            house.toss_goes_on();
            refused
        };
        let (same, other) = tokio::join!(cluster.confirm(1, &one), refused);
        assert_eq!(other.status, StatusCode::CONFLICT, "{other:?}");
        assert_eq!(other.code(), "E03005", "{other:?}");
        same
    };
    let (owner, follower) = tokio::join!(owner, follower);
    assert_eq!(owner.status, StatusCode::OK, "{owner:?}");
    assert_eq!(follower, owner);
    assert_eq!(house.counted(&one.0, "confirmCalls").await, 1);
    house.audit();
}

/// What a node that is killed has in its hands is settled by the one that lives.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_is_killed_under_load_leaves_nothing_unsettled() {
    let mut cluster = Cluster::of(2, &[]).await;
    let wave = cluster.wave(orders(50)).await;
    cluster.first().toss_stands_still();
    let buyers = cluster.buyers(&wave, &Turns::at_once());
    cluster.wait_for_unfinished(10).await;
    cluster.nodes[1].server.kill_9();
    cluster.first().toss_goes_on();
    cluster.all_paid_once(buyers, &wave).await;
}

/// Ten seconds are longer than a node counts as alive: it is taken for dead, and comes back in the middle of its work.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_is_paused_under_load_pays_nothing_twice_when_it_comes_back() {
    let cluster = Cluster::of(2, &[]).await;
    let wave = cluster.wave(orders(50)).await;
    cluster.first().toss_stands_still();
    let buyers = cluster.buyers(&wave, &Turns::at_once());
    cluster.wait_for_unfinished(10).await;
    cluster.nodes[1].server.signal("STOP");
    cluster.first().toss_goes_on();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Nobody waits for the one that sleeps: all is settled while it does.
    cluster.wait_for_unfinished_at_most(0).await;
    cluster.nodes[1].server.signal("CONT");
    cluster.all_paid_once(buyers, &wave).await;
    // It is back at work, under a new incarnation.
    let (order, key) = cluster.first().authorized().await;
    let paid = cluster.patiently(1, &(order, key)).await;
    assert_eq!(paid.status, StatusCode::OK, "{paid:?}");
    cluster.first().audit();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_rolling_deploy_under_load_loses_nothing() {
    let settings = [&[("NODE__NAME", "payonce-deploy")], &PATIENT[..1]].concat();
    let mut cluster = Cluster::of(3, &settings).await;
    let wave = cluster.wave(orders(240)).await;
    cluster
        .first()
        .faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": 200}}]))
        .await;
    let (doorman, turns) = Turns::every(Duration::from_millis(220));
    let buyers = cluster.buyers(&wave, &turns);
    for node in [2, 1, 0] {
        cluster.leaves(node);
        cluster.restart(node);
    }
    let shopping = buyers.iter().filter(|buyer| !buyer.is_finished());
    assert!(shopping.count() > 0, "the load ended before the deploy");
    cluster.first().heal().await;
    drop(doorman);
    cluster.all_paid_once(buyers, &wave).await;
    assert_eq!(
        cluster.takeovers().await,
        0,
        "whoever leaves finishes first"
    );
}

/// Two hosts that were given one name are two nodes: neither takes the other's payments away.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn two_nodes_with_one_name_do_not_declare_each_other_dead() {
    let settings = [&[("NODE__NAME", "payonce-twin")], &PATIENT[..]].concat();
    let cluster = Cluster::of(2, &settings).await;
    let house = cluster.first();
    house
        .faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": 3000}}]))
        .await;
    let wave = cluster.wave(10).await;
    let asked = wave.iter().enumerate();
    let told = join_all(asked.map(|(at, one)| cluster.patiently(at % 2, one))).await;
    assert!(told.iter().all(|told| told.status == StatusCode::OK));
    assert_eq!(cluster.takeovers().await, 0);
    house.audit();
}

/// The wall clocks of two hosts are minutes apart: who lives is told by the database's clock.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn clocks_that_are_minutes_apart_change_no_owner_and_lose_nothing() {
    let cluster = Cluster::apart(&["-4m", "+4m"]).await;
    let house = cluster.first();
    let wave = cluster.wave(orders(20)).await;
    house
        .faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": 2500}}]))
        .await;
    let asked = wave.iter().enumerate();
    let told = join_all(asked.map(|(at, one)| cluster.patiently(at % 2, one))).await;
    assert!(told.iter().all(|told| told.status == StatusCode::OK));
    assert_eq!(cluster.takeovers().await, 0);
    house.audit();
}

/// More buyers than pieces, at two nodes: exactly the pieces are sold, and what comes back to the shelf through one node is
/// sold by the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn the_last_pieces_are_sold_once_whichever_node_is_asked() {
    const PRODUCT: i64 = 7;
    let cluster = Cluster::of(2, &PATIENT).await;
    let house = cluster.first();
    house.put_product(PRODUCT, 1_000, 20).await;
    let wave = house.orders(PRODUCT, 60).await;
    let asked = wave.iter().enumerate();
    let told = join_all(asked.map(|(at, one)| cluster.confirm(at % 2, one))).await;
    let sold = told.iter().filter(|told| told.status == StatusCode::OK);
    assert_eq!(sold.count(), 20);
    let refused = told.iter().filter(|told| told.code() == "E03013");
    assert_eq!(refused.count(), 40);
    assert_eq!(house.shelf(PRODUCT).await, (0, 0, 20, 20));

    let body = json!({"change": 5, "reason": "delivery"});
    let path = format!("/api/v1/products/{PRODUCT}/stock");
    assert_eq!(house.post(&path, &body).await.status, StatusCode::OK);
    let late = &wave[told
        .iter()
        .position(|told| told.code() == "E03013")
        .unwrap()];
    // The other node's gate believes in "sold out" for a configured second at most.
    let paid = cluster.until_paid(1, late, Duration::from_secs(10)).await;
    assert_eq!(paid.status, StatusCode::OK, "{paid:?}");
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn nodes_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let cluster = Cluster::at_once(3).await;
    assert_eq!(cluster.number("SELECT count(*) FROM products").await, 2);
    let (order, key) = cluster.first().authorized().await;
    let paid = cluster.confirm(2, &(order, key)).await;
    assert_eq!(paid.status, StatusCode::OK, "{paid:?}");
    cluster.first().audit();
}
