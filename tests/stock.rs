//! Stock: taken with the intent, given back with the refusal, never below zero, never forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{House, Other, Reply};
use futures_util::future::join_all;
use serde_json::json;

const SOON: Duration = Duration::from_secs(15);

fn count(replies: &[Reply], status: u16) -> usize {
    replies
        .iter()
        .filter(|reply| reply.status.as_u16() == status)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_buyers_for_a_hundred_items_are_a_hundred_sales_and_two_hundred_answers() {
    let house = House::start();
    house.put_product(700, 1_000, 100).await;
    let one = async || {
        let order = house.checkout(&[(700, 1)]).await;
        let key = house.authorize(&order).await;
        house.confirm(&order, &key).await
    };
    let replies = join_all((0..200).map(|_| one())).await;
    assert_eq!((count(&replies, 200), count(&replies, 409)), (100, 100));
    for refused in replies.iter().filter(|reply| reply.status == 409) {
        assert_eq!(refused.code(), "E03013");
        assert_eq!(refused.body["error"]["products"][0]["productId"], 700);
    }
    assert_eq!(house.shelf(700).await, (0, 0, 100, 100));
    house.audit();
}

/// Crossing orders, each product first for somebody.
#[tokio::test(flavor = "multi_thread")]
async fn crossing_orders_neither_deadlock_nor_run_out() {
    let house = House::start();
    house.put_product(701, 100, 200).await;
    house.put_product(702, 100, 200).await;
    let one = async |turn: usize| {
        let lines = if turn.is_multiple_of(2) {
            [(701, 1), (702, 1)]
        } else {
            [(702, 1), (701, 1)]
        };
        let order = house.checkout(&lines).await;
        let key = house.authorize(&order).await;
        house.confirm(&order, &key).await
    };
    let replies = join_all((0..200).map(one)).await;
    assert_eq!(count(&replies, 200), 200);
    assert_eq!((house.stock(701).await, house.stock(702).await), (0, 0));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_short_on_its_second_line_leaves_both_shelves_alone() {
    let house = House::start();
    house.put_product(703, 100, 5).await;
    house.put_product(704, 100, 1).await;
    let order = house.checkout(&[(703, 2), (704, 2)]).await;
    let key = house.authorize(&order).await;
    for _ in 0..3 {
        let reply = house.confirm(&order, &key).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (409, "E03013"),
            "{reply:?}"
        );
        assert_eq!(reply.body["error"]["next"], "retry_same");
        let short = &reply.body["error"]["products"][0];
        assert_eq!(
            *short,
            json!({"productId": 704, "requested": 2, "available": 1})
        );
    }
    assert_eq!(
        (house.shelf(703).await, house.shelf(704).await),
        ((5, 0, 0, 5), (1, 0, 0, 1))
    );
    assert_eq!(
        house.counted(&order, "confirmCalls").await,
        0,
        "a sold-out order costs no call"
    );
    // A restock is seen at once, with the same order and the same paymentKey.
    house.put_product(704, 100, 1).await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    assert_eq!((house.stock(703).await, house.stock(704).await), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_that_is_short_is_named() {
    let house = House::start();
    house.put_product(705, 100, 2).await;
    house.put_product(706, 100, 2).await;
    house.put_product(707, 100, 2).await;
    let (first, second) = (
        house.checkout(&[(705, 2), (706, 1)]).await,
        house.checkout(&[(705, 1), (706, 2), (707, 1)]).await,
    );
    let key = house.authorize(&first).await;
    assert_eq!(house.confirm(&first, &key).await.status, 200);
    let key = house.authorize(&second).await;
    // By the gates' memory, or by the database: the same.
    for _ in 0..2 {
        let refused = house.confirm(&second, &key).await;
        assert_eq!(refused.code(), "E03013");
        let short = refused.body["error"]["products"].as_array().unwrap();
        let ids: Vec<_> = short.iter().map(|line| &line["productId"]).collect();
        assert_eq!(ids, [705, 706]);
    }
    assert_eq!(house.shelf(707).await, (2, 0, 0, 2));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_of_a_settled_payment_takes_no_stock() {
    let house = House::start();
    house.put_product(705, 100, 10).await;
    let order = house.checkout(&[(705, 4)]).await;
    let key = house.authorize(&order).await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    let stranger = house.authorize(&order).await;
    join_all((0..20).map(|_| house.confirm(&order, &stranger))).await;
    assert_eq!(house.shelf(705).await, (6, 0, 4, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_held_while_the_outcome_is_unknown_and_for_sale_again_when_it_is_released() {
    let house = House::plan()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("RECOVERY__TICK_MS", 100)
        .env("RECOVERY__BACKOFF_MAX_MS", 1_000)
        .start();
    house.put_product(706, 100, 1).await;
    let first = house.checkout(&[(706, 1)]).await;
    let key = house.authorize(&first).await;
    house
        .faults(json!([{"on": "any", "orderId": first.id, "do": {"kind": "reset_before"}}]))
        .await;
    assert_eq!(house.confirm(&first, &key).await.status, 503);
    assert_eq!(house.shelf(706).await, (0, 1, 0, 1));

    let second = house.checkout(&[(706, 1)]).await;
    let other = house.authorize(&second).await;
    assert_eq!(house.confirm(&second, &other).await.code(), "E03013");
    // The first one is declined after all: the goods come back, and the second buyer gets them at once.
    let declined = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
    house
        .faults(json!([{"on": "confirm", "orderId": first.id, "do": declined}]))
        .await;
    house.wait_for(&first, &["FAILED"], SOON).await;
    assert_eq!(house.confirm(&second, &other).await.status, 200);
    assert_eq!(house.shelf(706).await, (0, 0, 1, 1));
    house.audit();
}

/// Nothing is held before the intent, so no restart of the payment window can renew a hold.
#[tokio::test(flavor = "multi_thread")]
async fn checkout_and_authorization_hold_nothing() {
    let house = House::start();
    let order = house.checkout(&[(1, 10)]).await;
    for _ in 0..5 {
        house.authorize(&order).await;
    }
    assert_eq!(house.shelf(1).await, (59, 0, 0, 59));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_product_on_two_lines_is_counted_once_and_summed() {
    let house = House::start();
    let order = house.checkout(&[(1, 2), (2, 1), (1, 3)]).await;
    assert_eq!(order.total, 5 * 50_000 + 30_000);
    let key = house.authorize(&order).await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    assert_eq!((house.stock(1).await, house.stock(2).await), (54, 58));
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_stock_changes_move_stock_and_received_and_never_below_zero() {
    let house = House::start();
    house.put_product(707, 100, 5).await;
    let change = async |change: i64| {
        house
            .post(
                "/api/v1/products/707/stock",
                &json!({"change": change, "reason": "count"}),
            )
            .await
    };
    assert_eq!(change(-2).await.data()["stock"], 3);
    let refused = change(-4).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "E01002"),
        "{refused:?}"
    );
    assert_eq!(house.shelf(707).await, (3, 0, 0, 3));
    let nobody = house
        .post(
            "/api/v1/products/999999/stock",
            &json!({"change": 1, "reason": "x"}),
        )
        .await;
    assert_eq!((nobody.status.as_u16(), nobody.code()), (404, "E01003"));
}

/// What sells without a pause is not the same at two looks: it is held against its whole book, read in one view.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_audit_compares_a_product_that_sells_all_the_time() {
    let house = Arc::new(House::start());
    house.put_product(706, 100, 1_000_000).await;
    let open = Arc::new(AtomicBool::new(true));
    let buyers = (0..4).map(|_| {
        let (house, open) = (Arc::clone(&house), Arc::clone(&open));
        tokio::spawn(async move {
            while open.load(Ordering::Relaxed) {
                let order = house.checkout(&[(706, 1)]).await;
                let key = house.authorize(&order).await;
                let mut reply = house.confirm(&order, &key).await;
                // Whoever changes the shelf by hand may hold it for longer than a batch waits.
                while reply.code() == "E99004" {
                    reply = house.confirm(&order, &key).await;
                }
                assert_eq!(reply.status, 200, "{reply:?}");
            }
        })
    });
    let buyers: Vec<_> = buyers.collect();
    let (is_clean, told) = tokio::task::block_in_place(|| house.audited());
    assert!(is_clean && !told.contains("moved"), "{told}");
    // Pieces that nobody brought; more than are sold between two readings.
    let other = Other::of(&house).await;
    other
        .say("UPDATE products SET stock = stock + 100000 WHERE id = 706")
        .await;
    let (is_clean, told) = tokio::task::block_in_place(|| house.audited());
    assert!(!is_clean && told.contains("product 706: it says"), "{told}");
    open.store(false, Ordering::Relaxed);
    for buyer in buyers {
        buyer.await.unwrap();
    }
}
