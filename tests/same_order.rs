//! One order, many requests: one call to Toss, one answer for all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::House;
use futures_util::future::join_all;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_reloaded_success_page_hears_the_same_answer() {
    let house = House::start();
    let (order, key) = house.authorized().await;
    let first = house.confirm(&order, &key).await;
    assert_eq!(first.status, 200, "{first:?}");
    for _ in 0..3 {
        let again = house.confirm(&order, &key).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
    }
    assert_eq!(
        (house.stock(1).await, house.approvals(&order).await),
        (58, 1)
    );
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_identical_confirms_are_one_call_and_a_thousand_equal_answers() {
    let house = House::start();
    house
        .faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": 300}}]))
        .await;
    let (order, key) = house.authorized().await;
    let replies = join_all((0..1_000).map(|_| house.confirm(&order, &key))).await;
    for reply in &replies {
        assert_eq!(
            (reply.status.as_u16(), &reply.body),
            (200, &replies[0].body)
        );
    }
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
    assert_eq!(
        (house.stock(1).await, house.approvals(&order).await),
        (58, 1)
    );
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_confirmed_twice_is_sold_once_and_done() {
    let house = House::start();
    house.put_product(500, 1_000, 1).await;
    let order = house.checkout(&[(500, 1)]).await;
    let key = house.authorize(&order).await;
    let (one, two) = tokio::join!(house.confirm(&order, &key), house.confirm(&order, &key));
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (200, 200));
    assert_eq!(house.shelf(500).await, (0, 0, 1, 1));
}

/// Nothing here expires while Toss is slow; a second caller joins however long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_gateway_call_lets_no_second_caller_in() {
    let house = House::start();
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 3_000}}]))
        .await;
    let (order, key) = house.authorized().await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        house.confirm(&order, &key).await
    };
    let (first, second) = tokio::join!(house.confirm(&order, &key), late);
    assert_eq!((first.status.as_u16(), &first.body), (200, &second.body));
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_key_is_bound_to_its_user_and_body_and_survives_a_restart() {
    let mut house = House::start();
    let send = async |house: &House, user: i64, quantity: i64, key: &str| {
        let body =
            json!({"userId": user, "orderedProductList": [{"productId": 1, "quantity": quantity}]});
        let request = house.request(reqwest::Method::POST, "/api/v1/payments/checkout");
        house
            .send(request.header("Idempotency-Key", key).json(&body))
            .await
    };
    let first = send(&house, 1, 2, "cart-1").await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = send(&house, 1, 2, "cart-1").await;
    assert_eq!(
        (again.status.as_u16(), again.header("idempotency-replayed")),
        (200, "true")
    );
    assert_eq!(again.data(), first.data(), "the same order, the same token");
    let other_body = send(&house, 1, 3, "cart-1").await;
    assert_eq!(
        (other_body.status.as_u16(), other_body.code()),
        (422, "E99003")
    );
    let other_user = send(&house, 2, 2, "cart-1").await;
    assert_eq!(other_user.status, 201, "another user's key is another key");
    assert_ne!(other_user.data()["orderId"], first.data()["orderId"]);

    house.server.kill_9();
    house.restart(&[]);
    let after = send(&house, 1, 2, "cart-1").await;
    assert_eq!((after.status.as_u16(), after.data()), (200, first.data()));

    let racing = join_all((0..50).map(|_| send(&house, 1, 1, "cart-2"))).await;
    let orders: std::collections::HashSet<&str> = racing
        .iter()
        .map(|reply| reply.data()["orderId"].as_str().unwrap())
        .collect();
    assert_eq!(orders.len(), 1, "fifty at once are one order");
    assert_eq!(racing.iter().filter(|reply| reply.status == 201).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_cancels_nothing() {
    let house = House::plan().own_toss().start();
    let (order, key) = house.authorized().await;
    house.toss_stands_still();
    let impatient = house.request(reqwest::Method::POST, "/api/v1/payments/confirm");
    let impatient = impatient.json(&House::confirm_body(&order, &key));
    let impatient = tokio::spawn(impatient.send());
    house.wait_for(&order, &["IN_PROGRESS"], SOON).await;
    // The connection goes with it, and the house may notice that before Toss answers.
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.toss_goes_on();
    let patient = house.confirm(&order, &key).await;
    assert_eq!(patient.status, 200, "{patient:?}");
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_patience_ends_hears_pending_and_the_attempt_goes_on() {
    let house = House::plan()
        .own_toss()
        .env("CONFIRM__PATIENCE_MS", 300)
        .start();
    let (order, key) = house.authorized().await;
    house.toss_stands_still();
    let reply = house.confirm(&order, &key).await;
    house.toss_goes_on();
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (503, "E03009"),
        "{reply:?}"
    );
    let error = &reply.body["error"];
    assert_eq!(
        (&error["orderId"], &error["next"]),
        (&json!(order.id), &json!("wait"))
    );
    let link = error["statusUrl"].as_str().unwrap();
    let settled = house.get(&format!("{link}?wait=10")).await;
    assert_eq!(settled.data()["status"], "DONE", "{settled:?}");
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
}

/// An order exists before anyone hears its id.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_can_be_confirmed_the_moment_its_id_is_heard() {
    let house = House::start();
    house.put_product(600, 100, 200).await;
    let one = async || {
        let order = house.checkout(&[(600, 1)]).await;
        let key = house.authorize(&order).await;
        house.confirm(&order, &key).await.status
    };
    let replies = join_all((0..100).map(|_| one())).await;
    assert!(replies.iter().all(|status| *status == 200), "{replies:?}");
    assert_eq!(house.stock(600).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_is_accepted_once_the_intent_is_durable() {
    let house = House::plan().own_toss().start();
    let (order, key) = house.authorized().await;
    let prefer = async |value: &str| {
        let request = house.request(reqwest::Method::POST, "/api/v1/payments/confirm");
        house
            .send(
                request
                    .header("Prefer", value)
                    .json(&House::confirm_body(&order, &key)),
            )
            .await
    };
    house.toss_stands_still();
    let accepted = prefer("respond-async, wait=0").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let url = accepted.data()["statusUrl"].as_str().unwrap().to_owned();
    assert!(
        accepted.header("location").ends_with(&url) && !accepted.header("retry-after").is_empty()
    );
    assert_eq!(house.status(&order).await["status"], "IN_PROGRESS");
    house.toss_goes_on();
    let settled = prefer("respond-async, wait=10").await;
    assert_eq!(settled.status, 200, "{settled:?}");
    assert_eq!(house.counted(&order, "confirmCalls").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_waits_while_one_is_in_flight_and_is_refused_once_it_has_paid() {
    let house = House::plan().own_toss().start();
    let (order, first) = house.authorized().await;
    let second = house.authorize(&order).await;
    house.toss_stands_still();
    let rival = async {
        house.wait_for(&order, &["IN_PROGRESS"], SOON).await;
        let refused = house.confirm(&order, &second).await;
        house.toss_goes_on();
        refused
    };
    let (paid, refused) = tokio::join!(house.confirm(&order, &first), rival);
    assert_eq!(paid.status, 200);
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "E03005"),
        "{refused:?}"
    );
    assert_eq!(refused.body["error"]["next"], "wait");
    assert!(!refused.header("retry-after").is_empty());
    let late = house.confirm(&order, &second).await;
    assert_eq!(
        (late.code(), &late.body["error"]["next"]),
        ("E03005", &json!("none"))
    );
    assert_eq!(house.approvals(&order).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_or_user_changes_nothing() {
    let house = House::start();
    let (order, key) = house.authorized().await;
    let before = house.status(&order).await;
    let cheap = json!({"userId": 1, "orderId": order.id, "amount": "1", "paymentKey": key});
    let reply = house.post("/api/v1/payments/confirm", &cheap).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, "E03002"));
    let stranger =
        json!({"userId": 2, "orderId": order.id, "amount": order.total, "paymentKey": key});
    let reply = house.post("/api/v1/payments/confirm", &stranger).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (403, "E03004"));
    assert_eq!(house.status(&order).await, before);
    assert_eq!(house.counted(&order, "confirmCalls").await, 0);
    let paid: Value = house.confirm(&order, &key).await.body;
    assert_eq!(paid["data"]["status"], "DONE");
}
