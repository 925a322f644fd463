//! The buyer, the ledger, the clock, and who may use them.

use std::collections::HashSet;
use std::net::SocketAddr;

use futures_util::StreamExt;
use payonce::sandbox::SandboxSettings;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{SECRET_KEY, Shop, refused};

#[actix_web::test]
async fn an_authorization_tells_its_key_and_when_it_expires() {
    let shop = Shop::open().await;
    let body = json!({"orderId": "order-1", "amount": "1000", "orderName": "Ogu T 외 1건", "method": "간편결제"});
    let answer = shop
        .control(Method::POST, "/sandbox/authorizations", body)
        .await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(
        (&body["orderId"], &body["amount"], &body["status"]),
        (&json!("order-1"), &json!(1_000), &json!("IN_PROGRESS"))
    );
    assert!(body["expiresAt"].as_str().unwrap().ends_with("+09:00"));
    let key = body["paymentKey"].as_str().unwrap();
    assert!(key.starts_with("tpayo20") && key.len() >= 27, "{key}");
    let paid = shop.confirm(key, "order-1", 1_000).await.payment();
    assert_eq!(
        (paid.order_name.as_str(), paid.method.as_deref()),
        ("Ogu T 외 1건", Some("간편결제"))
    );
    assert_eq!(
        (paid.easy_pay.map(|easy| easy.amount), paid.card),
        (Some(1_000), None)
    );
}

/// The message of a refusal that names what is wrong.
async fn refusal_of(shop: &Shop, method: Method, path: &str, body: &Value) -> String {
    let answer = shop.control(method, path, body.clone()).await;
    assert_eq!(answer.refusal(), refused(400, "INVALID_REQUEST"), "{path}");
    answer.json()["message"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_wrong_authorization_is_refused_by_the_name_of_its_field() {
    let shop = Shop::open().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"orderId": "order-1", "amount": 1_000});
        body[field] = value;
        body
    };
    for (body, named) in [
        (json!({"amount": 1_000}), "orderId"),
        (with("orderId", json!("short")), "orderId"),
        (with("orderId", json!("order/1")), "orderId"),
        (with("orderId", json!(1_234_567)), "orderId"),
        (json!({"orderId": "order-1"}), "amount"),
        (with("amount", json!(0)), "amount"),
        (with("amount", json!(1.5)), "amount"),
        (with("amount", json!("")), "amount"),
        (with("orderName", json!(5)), "orderName"),
        (with("method", json!("가상계좌")), "method"),
        (with("amuont", json!(1)), "amuont"),
        (json!([]), "body"),
        (with("orderName", json!("x".repeat(5_000_000))), "body"),
    ] {
        let message = refusal_of(&shop, Method::POST, "/sandbox/authorizations", &body).await;
        assert!(message.contains(named), "wants {named}: {message}");
    }
    let ledger = shop
        .send(shop.request(Method::GET, "/sandbox/ledger"))
        .await;
    assert_eq!(ledger.json()["payments"], json!([]));
}

#[actix_web::test]
async fn wrong_faults_and_clocks_are_refused_by_the_name_of_the_field_and_change_nothing() {
    let shop = Shop::open().await;
    shop.faults(json!([{"on": "cancel", "do": {"kind": "garbled"}}]))
        .await;
    let before = shop
        .control(Method::GET, "/sandbox/faults", json!(null))
        .await;
    let good = json!({"on": "any", "do": {"kind": "garbled"}});
    let bad = json!({"on": "any", "do": {"kind": "error", "code": "NOPE"}});
    for (body, named) in [(good.clone(), "body"), (json!([good, bad]), "NOPE")] {
        let message = refusal_of(&shop, Method::PUT, "/sandbox/faults", &body).await;
        assert!(message.contains(named), "{body}: {message}");
    }
    let after = shop
        .control(Method::GET, "/sandbox/faults", json!(null))
        .await;
    assert_eq!(before.body, after.body);
    for body in [
        json!({}),
        json!({"advanceSeconds": -1}),
        json!({"advanceSeconds": 1e12}),
    ] {
        let message = refusal_of(&shop, Method::POST, "/sandbox/clock", &body).await;
        assert!(message.contains("advanceSeconds"), "{body}: {message}");
    }
}

#[actix_web::test]
async fn a_caller_from_another_machine_cannot_control_it() {
    // An address of this machine that is not loopback plays the other machine.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = probe
        .connect("192.0.2.1:9")
        .and_then(|()| probe.local_addr())
        .map(|address| address.ip());
    let Some(outside) = outside
        .ok()
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
    else {
        return println!("skipped: this machine has no address but loopback");
    };
    let shop = Shop::open_with(SandboxSettings::new(SocketAddr::from(([0, 0, 0, 0], 0)))).await;
    let url = |path: &str| format!("http://{}:{}{path}", outside, shop.sandbox.address().port());
    let control = shop.client.post(url("/sandbox/reset"));
    assert_eq!(
        shop.send(control).await.refusal(),
        refused(403, "FORBIDDEN")
    );
    let api = shop
        .client
        .get(url("/v1/payments/unknown"))
        .basic_auth(SECRET_KEY, Some(""));
    assert_eq!(
        shop.send(api).await.refusal(),
        refused(404, "NOT_FOUND_PAYMENT")
    );
}

#[actix_web::test]
async fn the_ledger_counts_every_request_and_only_real_approvals() {
    let shop = Shop::open().await;
    let (paid, lost) = (
        shop.authorize("order-1", 1_000).await,
        shop.authorize("order-2", 2_000).await,
    );
    shop.confirm_as("n1", &paid, "order-1", 1_000)
        .await
        .payment();
    shop.confirm_as("n1", &paid, "order-1", 1_000)
        .await
        .payment();
    shop.status(&paid).await;
    shop.get("/v1/payments/orders/order-1").await.payment();
    shop.cancel(&paid, json!({"cancelReason": "x", "cancelAmount": 400}))
        .await
        .payment();
    shop.confirm("unknown", "order-9", 1_000).await.refusal();
    shop.faults(json!([{"on": "confirm", "do": {"kind": "reset_before"}}]))
        .await;
    assert!(
        shop.try_send(shop.confirmation(&lost, "order-2", 2_000))
            .await
            .is_err()
    );
    let unauthorized = shop
        .request(Method::POST, "/v1/payments/confirm")
        .json(&json!({"paymentKey": lost, "orderId": "order-2", "amount": 2_000}));
    assert_eq!(shop.send(unauthorized).await.status, 401);
    let ledger = shop
        .send(shop.request(Method::GET, "/sandbox/ledger"))
        .await
        .json();
    assert_eq!(
        ledger,
        json!({
            "payments": [
                {"orderId": "order-1", "paymentKey": paid, "status": "PARTIAL_CANCELED", "totalAmount": 1_000, "balanceAmount": 600,
                 "confirmCalls": 2, "approvals": 1, "lookups": 2, "cancels": 1},
                {"orderId": "order-2", "paymentKey": lost, "status": "IN_PROGRESS", "totalAmount": 2_000, "balanceAmount": 2_000,
                 "confirmCalls": 2, "approvals": 0, "lookups": 0, "cancels": 0},
            ],
            "totals": {"payments": 2, "confirmCalls": 5, "approvals": 1, "approvedAmount": 1_000, "lookups": 2, "cancels": 1},
        })
    );
    assert_eq!(shop.ledger("order-9").await["payments"], json!([]));
}

#[actix_web::test]
async fn a_long_ledger_arrives_whole() {
    let shop = Shop::open().await;
    let authorize = |number| {
        let body = json!({"orderId": format!("order-{number}"), "amount": 1_000});
        shop.control(Method::POST, "/sandbox/authorizations", body)
    };
    // More than twice what is written out under one lock.
    let authorizations = futures_util::stream::iter((0..1_100).map(authorize));
    let answers: Vec<_> = authorizations.buffer_unordered(32).collect().await;
    let key_of = |body: &Value| body["paymentKey"].as_str().unwrap().to_owned();
    let wanted: HashSet<_> = answers
        .iter()
        .map(|answer| key_of(&answer.json()))
        .collect();
    let ledger = shop.whole_ledger().await;
    let payments = ledger["payments"].as_array().unwrap();
    let seen: HashSet<_> = payments.iter().map(key_of).collect();
    assert_eq!((payments.len(), wanted.len()), (1_100, 1_100));
    assert_eq!(seen, wanted);
}

#[actix_web::test]
async fn a_reset_forgets_everything() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
    shop.advance(1_000).await;
    shop.faults(json!([{"on": "cancel", "do": {"kind": "garbled"}}]))
        .await;
    assert_eq!(
        shop.control(Method::POST, "/sandbox/reset", json!(null))
            .await
            .status,
        200
    );
    let empty = json!({"payments": [], "totals": {"payments": 0, "confirmCalls": 0, "approvals": 0, "approvedAmount": 0, "lookups": 0, "cancels": 0}});
    assert_eq!(
        shop.send(shop.request(Method::GET, "/sandbox/ledger"))
            .await
            .json(),
        empty
    );
    assert_eq!(
        shop.control(Method::GET, "/sandbox/faults", json!(null))
            .await
            .json(),
        json!([])
    );
    assert_eq!(
        shop.confirm_as("n1", &key, "order-1", 1_000)
            .await
            .refusal(),
        refused(404, "NOT_FOUND_PAYMENT_SESSION")
    );
}
