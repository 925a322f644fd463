//! Every kind of fault on order.

use std::time::{Duration, Instant};

use payonce::gateway::wire::PaymentStatus;
use payonce::sandbox::SandboxSettings;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{SECRET_KEY, Shop, loopback, refused};

#[actix_web::test]
async fn a_declining_error_ends_the_payment_and_is_remembered() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "error", "code": "REJECT_CARD_PAYMENT"}}])).await;
    let declined = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!(declined.refusal(), refused(403, "REJECT_CARD_PAYMENT"));
    let aborted = shop.get(&format!("/v1/payments/{key}")).await.json();
    assert_eq!(
        (&aborted["status"], &aborted["failure"]["code"]),
        (&json!("ABORTED"), &json!("REJECT_CARD_PAYMENT"))
    );
    assert_eq!(aborted["failure"]["message"], declined.json()["message"]);
    assert_eq!(
        shop.confirm_as("n1", &key, "order-1", 1_000).await.body,
        declined.body
    );
    assert_eq!(
        shop.confirm_as("n2", &key, "order-1", 1_000)
            .await
            .refusal(),
        refused(404, "NOT_FOUND_PAYMENT_SESSION")
    );
    assert_eq!(
        shop.cancel(&key, json!({"cancelReason": "x"}))
            .await
            .refusal(),
        refused(403, "NOT_CANCELABLE_PAYMENT")
    );
}

#[actix_web::test]
async fn an_error_that_keeps_the_payment_open_can_be_followed_by_an_approval() {
    let shop = Shop::open().await;
    for (order_id, fault, wanted) in [
        (
            "order-1",
            json!({"kind": "error", "code": "REJECT_CARD_PAYMENT", "keepOpen": true}),
            refused(403, "REJECT_CARD_PAYMENT"),
        ),
        (
            "order-2",
            json!({"kind": "error", "code": "PROVIDER_ERROR"}),
            refused(400, "PROVIDER_ERROR"),
        ),
        (
            "order-3",
            json!({"kind": "error", "code": "UNKNOWN_PAYMENT_ERROR"}),
            refused(500, "UNKNOWN_PAYMENT_ERROR"),
        ),
    ] {
        let key = shop.authorize(order_id, 1_000).await;
        shop.faults(json!([{"on": "confirm", "times": 1, "do": fault}]))
            .await;
        assert_eq!(
            shop.confirm_as(&format!("{order_id}:1"), &key, order_id, 1_000)
                .await
                .refusal(),
            wanted
        );
        assert_eq!(
            shop.confirm_as(&format!("{order_id}:1"), &key, order_id, 1_000)
                .await
                .refusal(),
            wanted,
            "5xx are remembered too"
        );
        assert_eq!(shop.status(&key).await, PaymentStatus::InProgress);
        shop.confirm_as(&format!("{order_id}:2"), &key, order_id, 1_000)
            .await
            .payment();
    }
}

#[actix_web::test]
async fn a_status_comes_from_in_front_of_toss() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([
        {"on": "confirm", "times": 1, "do": {"kind": "status", "status": 502, "body": "<html>Bad Gateway</html>"}},
        {"on": "confirm", "times": 1, "do": {"kind": "status", "status": 429, "body": {"code": "TOO_MANY_REQUESTS", "message": "slow"}}},
    ])).await;
    let html = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!(
        (html.status, html.body.as_slice()),
        (502, &b"<html>Bad Gateway</html>"[..])
    );
    assert_eq!(
        (
            html.header("content-type"),
            html.header("x-tosspayments-trace-id")
        ),
        ("text/html; charset=utf-8", "")
    );
    assert_eq!(
        shop.confirm_as("n1", &key, "order-1", 1_000)
            .await
            .refusal(),
        refused(429, "TOO_MANY_REQUESTS")
    );
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
}

#[actix_web::test]
async fn a_reset_connection_ends_before_or_after_the_approval_without_a_byte() {
    let shop = Shop::open().await;
    for (kind, status) in [
        ("reset_before", PaymentStatus::InProgress),
        ("reset_after", PaymentStatus::Done),
    ] {
        let order_id = format!("order-{kind}");
        let key = shop.authorize(&order_id, 1_000).await;
        shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": kind}}]))
            .await;
        let confirm = shop
            .confirmation(&key, &order_id, 1_000)
            .header("Idempotency-Key", kind);
        let lost = shop.try_send(confirm).await.err().unwrap();
        assert!(
            lost.is_request() && !lost.is_timeout() && !lost.is_body(),
            "no head arrived: {lost:?}"
        );
        assert_eq!(shop.status(&key).await, status, "{kind}");
        shop.confirm_as(kind, &key, &order_id, 1_000)
            .await
            .payment();
        assert_eq!(shop.ledger(&order_id).await["totals"]["approvals"], 1);
    }
}

#[actix_web::test]
async fn a_reset_connection_carries_nothing_at_all() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let shop = Shop::open().await;
    shop.faults(json!([{"on": "lookup", "do": {"kind": "reset_after"}}]))
        .await;
    let mut socket = tokio::net::TcpStream::connect(shop.sandbox.address())
        .await
        .unwrap();
    let request = "GET /v1/payments/x HTTP/1.1\r\nHost: toss\r\nAuthorization: Basic dGVzdF9za19hYmNkOg==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut received)).await;
    assert!(end.is_ok(), "the connection stayed open");
    assert!(
        received.is_empty(),
        "{}",
        String::from_utf8_lossy(&received)
    );
}

#[actix_web::test]
async fn a_hang_ends_without_an_answer_before_or_after_the_approval() {
    let shop = Shop::open().await;
    for (kind, status) in [
        ("hang_before", PaymentStatus::InProgress),
        ("hang_after", PaymentStatus::Done),
    ] {
        let order_id = format!("order-{kind}");
        let key = shop.authorize(&order_id, 1_000).await;
        shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": kind, "millis": 4_000}}]))
            .await;
        let confirm = shop
            .confirmation(&key, &order_id, 1_000)
            .header("Idempotency-Key", kind);
        let hung = async {
            let started = Instant::now();
            (shop.try_send(confirm).await.is_err(), started.elapsed())
        };
        let meanwhile = async {
            shop.until_called(&order_id).await;
            (
                shop.confirm_as(kind, &key, &order_id, 1_000)
                    .await
                    .refusal(),
                shop.status(&key).await,
            )
        };
        let ((lost, took), (busy, seen)) = futures_util::future::join(hung, meanwhile).await;
        assert!(
            lost && took >= Duration::from_millis(4_000),
            "{kind}: {took:?}"
        );
        assert_eq!(
            busy,
            refused(409, "IDEMPOTENT_REQUEST_PROCESSING"),
            "{kind}"
        );
        assert_eq!(seen, status, "{kind}");
        shop.confirm_as(kind, &key, &order_id, 1_000)
            .await
            .payment();
        assert_eq!(shop.ledger(&order_id).await["totals"]["approvals"], 1);
    }
}

#[actix_web::test]
async fn a_caller_who_hangs_up_does_not_stop_a_slow_approval() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 4_000}}]))
        .await;
    let impatient = shop
        .confirmation(&key, "order-1", 1_000)
        .header("Idempotency-Key", "n1");
    let impatient = tokio::spawn(impatient.send());
    shop.until_called("order-1").await;
    // The connection goes with it.
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    assert_eq!(shop.status(&key).await, PaymentStatus::InProgress);
    let until = Instant::now() + Duration::from_secs(60);
    while shop.status(&key).await != PaymentStatus::Done {
        assert!(Instant::now() < until, "not approved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
}

#[actix_web::test]
async fn a_delayed_confirm_that_comes_too_late_is_judged_when_it_is_processed() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": 4_000}}]))
        .await;
    let late = shop.confirm(&key, "order-1", 1_000);
    let time_passes = async {
        shop.until_called("order-1").await;
        shop.advance(700).await;
    };
    let (late, ()) = futures_util::future::join(late, time_passes).await;
    assert_eq!(late.refusal(), refused(404, "NOT_FOUND_PAYMENT_SESSION"));
}

#[actix_web::test]
async fn a_garbled_answer_is_not_json_but_the_remembered_one_is() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "garbled"}}]))
        .await;
    let garbled = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!(garbled.status, 200);
    assert!(!garbled.body.is_empty() && serde_json::from_slice::<Value>(&garbled.body).is_err());
    let clean = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    clean.payment();
    assert!(clean.body.starts_with(&garbled.body));
}

#[actix_web::test]
async fn a_tampered_answer_lies_in_one_field_and_the_remembered_one_does_not() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([
        {"on": "confirm", "times": 1, "do": {"kind": "tamper", "field": "totalAmount", "value": 1}},
        {"on": "lookup", "times": 1, "do": {"kind": "tamper", "field": "status", "value": "WAITING_FOR_DEPOSIT"}},
    ])).await;
    let mut lie = shop.confirm_as("n1", &key, "order-1", 1_000).await.json();
    assert_eq!(lie["totalAmount"], 1);
    lie["totalAmount"] = json!(1_000);
    assert_eq!(
        shop.confirm_as("n1", &key, "order-1", 1_000).await.json(),
        lie
    );
    assert_eq!(shop.status(&key).await, PaymentStatus::WaitingForDeposit);
    assert_eq!(shop.status(&key).await, PaymentStatus::Done);
}

#[actix_web::test]
async fn a_fault_for_one_order_finds_its_look_ups_by_payment_key_too() {
    let shop = Shop::open().await;
    let (key, other) = (
        shop.authorize("order-1", 1_000).await,
        shop.authorize("order-2", 1_000).await,
    );
    shop.faults(json!([{"on": "any", "orderId": "order-1", "do": {"kind": "error", "code": "FORBIDDEN_CONSECUTIVE_REQUEST"}}])).await;
    let wanted = refused(403, "FORBIDDEN_CONSECUTIVE_REQUEST");
    assert_eq!(
        shop.get(&format!("/v1/payments/{key}")).await.refusal(),
        wanted
    );
    assert_eq!(
        shop.get("/v1/payments/orders/order-1").await.refusal(),
        wanted
    );
    assert_eq!(shop.confirm(&key, "order-1", 1_000).await.refusal(), wanted);
    assert_eq!(
        shop.cancel(&key, json!({"cancelReason": "x"}))
            .await
            .refusal(),
        wanted
    );
    shop.confirm(&other, "order-2", 1_000).await.payment();
    let left = shop
        .control(Method::DELETE, "/sandbox/faults", json!(null))
        .await;
    assert_eq!((left.status, left.json()), (200, json!([])));
    shop.confirm(&key, "order-1", 1_000).await.payment();
}

#[actix_web::test]
async fn faults_show_how_many_times_are_left() {
    let shop = Shop::open().await;
    shop.faults(json!([{"on": "lookup", "times": 2, "do": {"kind": "reset_before"}}]))
        .await;
    let lookup = shop
        .request(Method::GET, "/v1/payments/x")
        .basic_auth(SECRET_KEY, Some(""));
    assert!(shop.try_send(lookup).await.is_err());
    let shown = shop
        .control(Method::GET, "/sandbox/faults", json!(null))
        .await
        .json();
    assert_eq!(
        shown,
        json!([{"on": "lookup", "times": 1, "do": {"kind": "reset_before"}}])
    );
}

#[actix_web::test]
async fn a_remembered_answer_can_be_lost_again_but_not_refused() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let first = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    shop.faults(json!([
        {"on": "confirm", "do": {"kind": "error", "code": "FDS_ERROR"}},
        {"on": "confirm", "times": 1, "do": {"kind": "reset_after"}},
        {"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 50}},
    ]))
    .await;
    let again = shop
        .confirmation(&key, "order-1", 1_000)
        .header("Idempotency-Key", "n1");
    assert!(shop.try_send(again).await.is_err());
    for _ in ["delayed", "at once"] {
        let again = shop.confirm_as("n1", &key, "order-1", 1_000).await;
        assert_eq!((again.status, &again.body), (200, &first.body));
    }
    let other = shop.confirm_as("n2", &key, "order-1", 1_000).await;
    assert_eq!(other.refusal(), refused(403, "FDS_ERROR"));
    assert_eq!(
        shop.status(&key).await,
        PaymentStatus::Done,
        "a decline does not undo an approval"
    );
}

/// What befell 60 confirms, one after the other.
async fn fates(seed: Option<u64>) -> Vec<u16> {
    let shop = Shop::open_with(SandboxSettings {
        seed,
        ..SandboxSettings::new(loopback())
    })
    .await;
    let half = |status: u16| {
        let what = json!({"kind": "status", "status": status, "body": ""});
        json!({"on": "confirm", "probability": 0.5, "do": what})
    };
    shop.faults(json!([half(502), half(503)])).await;
    let mut fates = Vec::new();
    for number in 0..60 {
        // In the middle of it everything is forgotten but where the dice lie.
        if number == 30 {
            shop.control(Method::POST, "/sandbox/reset", json!({}))
                .await;
            shop.faults(json!([half(502), half(503)])).await;
        }
        let order = format!("order-{number}");
        let key = shop.authorize(&order, 1_000).await;
        fates.push(shop.confirm(&key, &order, 1_000).await.status);
    }
    fates
}

#[actix_web::test]
async fn a_seed_brings_the_same_faults_again() {
    let first = fates(Some(7)).await;
    assert!([200, 502, 503].iter().all(|fate| first.contains(fate)));
    assert_eq!(fates(Some(7)).await, first);
    assert_ne!(fates(Some(8)).await, first);
    assert_ne!(fates(None).await, fates(None).await);
}
