//! The scenarios of the system that payonce re-implements: 32 callers, a gateway that takes its time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{House, Reply};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Orders of one item each by 32 callers in a closed loop; what each confirm answered.
async fn sell(house: &House, product: i64, orders: usize) -> Vec<Reply> {
    let next = AtomicUsize::new(0);
    let caller = async || {
        let mut replies = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < orders {
            let order = house.checkout(&[(product, 1)]).await;
            let key = house.authorize(&order).await;
            replies.push(house.confirm(&order, &key).await);
        }
        replies
    };
    join_all((0..32).map(|_| caller()))
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn gateway_takes(house: &House, spread: &[u64]) {
    let share = 1.0 / spread.len() as f64;
    // The first match wins, so each rule takes its share of what the ones before it left.
    let faults: Vec<Value> = (0..)
        .zip(spread)
        .map(|(taken, millis)| {
            let left = 1.0 - share * f64::from(taken);
            json!({"on": "confirm", "probability": (share / left).min(1.0),
                "do": {"kind": "delay", "millis": millis}})
        })
        .collect();
    house.faults(Value::Array(faults)).await;
}

async fn exactly_min_of_stock_and_orders(stock: i64, orders: usize) {
    let house = House::start();
    house.put_product(900, 1_000, stock).await;
    gateway_takes(&house, &[30, 40, 50]).await;
    let replies = sell(&house, 900, orders).await;
    let sold = replies.iter().filter(|reply| reply.status == 200).count();
    let refused = replies
        .iter()
        .filter(|reply| reply.code() == "E03013")
        .count();
    let expected = orders.min(usize::try_from(stock).unwrap());
    assert_eq!((sold, refused), (expected, orders - expected));
    let sold = i64::try_from(sold).unwrap();
    assert_eq!(house.shelf(900).await, (stock - sold, 0, sold, stock));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_1000_orders_1000_sells_all() {
    exactly_min_of_stock_and_orders(1_000, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_1000_orders_999_leaves_one() {
    exactly_min_of_stock_and_orders(1_000, 999).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_1000_orders_1001_refuses_one() {
    exactly_min_of_stock_and_orders(1_000, 1_001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_1000_orders_1050_refuses_fifty() {
    exactly_min_of_stock_and_orders(1_000, 1_050).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_1200_orders_1000_leaves_two_hundred() {
    exactly_min_of_stock_and_orders(1_200, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_orders_are_paid_however_slow_the_gateway_is() {
    for spread in [
        [500, 750, 1_000],
        [1_000, 2_000, 3_000],
        [3_000, 5_000, 7_000],
    ] {
        let house = House::start();
        house.put_product(901, 1_000, 100).await;
        gateway_takes(&house, &spread).await;
        let replies = sell(&house, 901, 100).await;
        assert!(
            replies.iter().all(|reply| reply.status == 200),
            "{spread:?}"
        );
        assert_eq!(house.shelf(901).await, (0, 0, 100, 100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_timeout_is_pending_to_the_buyer_and_then_settled_by_the_timer() {
    let house = House::plan()
        .env("TOSS__READ_TIMEOUT_MS", 600)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("RECOVERY__TICK_MS", 100)
        .start();
    let (order, key) = house.authorized().await;
    // Nor is the timer answered before the test has looked.
    house
        .faults(json!([
            {"on": "confirm", "times": 1, "do": {"kind": "hang_after"}},
            {"on": "lookup", "do": {"kind": "reset_before"}},
        ]))
        .await;
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (503, "E03009"),
        "{reply:?}"
    );
    assert_eq!(house.shelf(1).await, (58, 1, 0, 59));
    house.heal().await;
    house
        .wait_for(&order, &["DONE"], Duration::from_secs(60))
        .await;
    assert_eq!(house.approvals(&order).await, 1);
}
