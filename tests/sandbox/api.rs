//! Confirm, look-ups, time limits, callers.

use payonce::gateway::wire::PaymentStatus;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::{SECRET_KEY, Shop, refused};

#[actix_web::test]
async fn a_confirmed_payment_is_done_and_both_look_ups_show_it() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 210_000).await;
    let found = shop.get(&format!("/v1/payments/{key}")).await.payment();
    assert_eq!(
        (found.status, found.approved_at, found.card),
        (PaymentStatus::InProgress, None, None)
    );

    let answer = shop.confirm(&key, "order-1", 210_000).await;
    let paid = answer.payment();
    assert_eq!(
        (paid.status, paid.total_amount, paid.balance_amount),
        (PaymentStatus::Done, Some(210_000), Some(210_000))
    );
    assert_eq!(
        (paid.payment_key.as_str(), paid.order_id.as_str()),
        (key.as_str(), "order-1")
    );
    assert_eq!((paid.supplied_amount, paid.vat), (190_909, 19_091));
    assert!(paid.approved_at.as_ref().unwrap().ends_with("+09:00"));
    assert_eq!(paid.method.as_deref(), Some("카드"));
    assert!(paid.card.as_ref().unwrap().number.contains('*'));
    assert_eq!(paid.last_transaction_key.as_ref().unwrap().len(), 32);
    assert_eq!(answer.header("x-tosspayments-trace-id").len(), 32);

    assert_eq!(
        shop.get(&format!("/v1/payments/{key}")).await.body,
        answer.body
    );
    assert_eq!(
        shop.get("/v1/payments/orders/order-1").await.body,
        answer.body
    );
    shop.sandbox.stop().await;
}

#[actix_web::test]
async fn every_field_of_the_payment_object_is_there_and_null_when_it_is_not_used() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let body = shop.confirm(&key, "order-1", 1_000).await.json();
    for field in [
        "version",
        "paymentKey",
        "type",
        "orderId",
        "orderName",
        "mId",
        "currency",
        "method",
        "totalAmount",
        "balanceAmount",
        "suppliedAmount",
        "vat",
        "taxFreeAmount",
        "taxExemptionAmount",
        "status",
        "requestedAt",
        "approvedAt",
        "useEscrow",
        "cultureExpense",
        "lastTransactionKey",
        "isPartialCancelable",
        "card",
        "country",
        "receipt",
        "checkout",
    ] {
        assert!(
            body.get(field).is_some_and(|value| !value.is_null()),
            "{field}"
        );
    }
    for field in [
        "cancels",
        "virtualAccount",
        "transfer",
        "mobilePhone",
        "giftCertificate",
        "easyPay",
        "cashReceipt",
        "cashReceipts",
        "discount",
        "failure",
        "secret",
        "metadata",
    ] {
        assert_eq!(body.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(
        (&body["version"], &body["type"]),
        (&json!("2022-11-16"), &json!("NORMAL"))
    );
}

#[actix_web::test]
async fn an_amount_may_come_as_digits() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    assert_eq!(
        shop.confirm(&key, "order-1", "1000").await.payment().status,
        PaymentStatus::Done
    );
}

#[actix_web::test]
async fn a_wrong_confirm_is_refused_and_takes_no_money() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    for (payment_key, order_id, amount, wanted) in [
        (
            key.as_str(),
            "order-1",
            json!(999),
            refused(400, "INVALID_REQUEST"),
        ),
        (
            &key,
            "order-2",
            json!(1_000),
            refused(403, "FORBIDDEN_REQUEST"),
        ),
        (
            "tpayo-unknown",
            "order-1",
            json!(1_000),
            refused(404, "NOT_FOUND_PAYMENT_SESSION"),
        ),
        (
            &key,
            "order-1",
            json!(1_000.5),
            refused(400, "INVALID_REQUEST"),
        ),
        (
            &key,
            "order-1",
            json!(null),
            refused(400, "INVALID_REQUEST"),
        ),
        ("", "order-1", json!(1_000), refused(400, "INVALID_REQUEST")),
    ] {
        assert_eq!(
            shop.confirm(payment_key, order_id, amount.clone())
                .await
                .refusal(),
            wanted,
            "{order_id} {amount}"
        );
    }
    let malformed = shop
        .request(Method::POST, "/v1/payments/confirm")
        .basic_auth(SECRET_KEY, Some(""))
        .body("{\"paymentKey\":");
    assert_eq!(
        shop.send(malformed).await.refusal(),
        refused(400, "INVALID_REQUEST")
    );
    let huge = shop.confirmation(&key, &"x".repeat(100_000), 1_000);
    assert_eq!(
        shop.send(huge).await.refusal(),
        refused(400, "INVALID_REQUEST")
    );
    assert_eq!(shop.status(&key).await, PaymentStatus::InProgress);
    assert_eq!(shop.ledger("order-1").await["totals"]["approvals"], 0);
}

#[actix_web::test]
async fn a_paid_payment_is_not_paid_again() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm(&key, "order-1", 1_000).await.payment();
    assert_eq!(
        shop.confirm(&key, "order-1", 1_000).await.refusal(),
        refused(400, "ALREADY_PROCESSED_PAYMENT")
    );
    let ledger = shop.ledger("order-1").await;
    assert_eq!(
        (
            &ledger["payments"][0]["confirmCalls"],
            &ledger["payments"][0]["approvals"]
        ),
        (&json!(2), &json!(1))
    );
}

#[actix_web::test]
async fn a_hundred_confirms_at_once_approve_once() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let answers =
        futures_util::future::join_all((0..100).map(|_| shop.confirm(&key, "order-1", 1_000)))
            .await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    let ledger = shop.ledger("order-1").await;
    assert_eq!(
        ledger["totals"],
        json!({"payments": 1, "confirmCalls": 100, "approvals": 1, "approvedAmount": 1_000, "lookups": 0, "cancels": 0})
    );
}

#[actix_web::test]
async fn ten_minutes_after_the_buyer_paid_the_session_is_gone() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.advance(595).await;
    assert_eq!(shop.status(&key).await, PaymentStatus::InProgress);
    shop.advance(6).await;
    assert_eq!(
        shop.confirm(&key, "order-1", 1_000).await.refusal(),
        refused(404, "NOT_FOUND_PAYMENT_SESSION")
    );
    let expired = shop.get(&format!("/v1/payments/{key}")).await;
    let body = expired.json();
    assert_eq!(
        (&body["status"], &body["failure"]["code"]),
        (&json!("EXPIRED"), &json!("EXPIRED_PAYMENT"))
    );
    assert_eq!(
        (&body["method"], &body["approvedAt"]),
        (&Value::Null, &Value::Null)
    );

    let paid = shop.authorize("order-2", 1_000).await;
    shop.confirm(&paid, "order-2", 1_000).await.payment();
    shop.advance(100_000).await;
    assert_eq!(shop.status(&paid).await, PaymentStatus::Done);
}

#[actix_web::test]
async fn each_try_of_the_buyer_is_a_payment_of_its_own_and_the_order_shows_the_newest() {
    let shop = Shop::open().await;
    let first = shop.authorize("order-1", 1_000).await;
    let second = shop.authorize("order-1", 1_000).await;
    assert_ne!(first, second);
    shop.confirm(&first, "order-1", 1_000).await.payment();
    assert_eq!(
        shop.get("/v1/payments/orders/order-1")
            .await
            .payment()
            .payment_key,
        second
    );
    let ledger = shop.ledger("order-1").await;
    let keys: Vec<_> = ledger["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|payment| payment["paymentKey"].clone())
        .collect();
    assert_eq!(keys, [json!(first), json!(second)]);
    assert_eq!(
        shop.get("/v1/payments/orders/order-9").await.refusal(),
        refused(404, "NOT_FOUND_PAYMENT")
    );
    assert_eq!(
        shop.get("/v1/payments/tpayo-unknown").await.refusal(),
        refused(404, "NOT_FOUND_PAYMENT")
    );
}

#[actix_web::test]
async fn only_a_test_secret_key_gets_in() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let path = format!("/v1/payments/{key}");
    for (authorization, wanted) in [
        (None, refused(401, "UNAUTHORIZED_KEY")),
        (Some("Bearer x"), refused(401, "UNAUTHORIZED_KEY")),
        // live_sk_abc:
        (
            Some("Basic bGl2ZV9za19hYmM6"),
            refused(401, "UNAUTHORIZED_KEY"),
        ),
        // test_sk_abc, without its colon
        (
            Some("Basic dGVzdF9za19hYmM="),
            refused(403, "INCORRECT_BASIC_AUTH_FORMAT"),
        ),
    ] {
        let request = shop.request(Method::GET, &path);
        let request = match authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        assert_eq!(
            shop.send(request).await.refusal(),
            wanted,
            "{authorization:?}"
        );
    }
    // test_sk_abcd:, padded and not
    for authorization in ["Basic dGVzdF9za19hYmNkOg==", "Basic dGVzdF9za19hYmNkOg"] {
        let request = shop
            .request(Method::GET, &path)
            .header("Authorization", authorization);
        assert_eq!(shop.send(request).await.status, 200, "{authorization}");
    }
}

#[actix_web::test]
async fn messages_and_methods_are_english_on_request() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let korean = shop.get("/v1/payments/unknown").await.json();
    assert_eq!(korean["message"], "존재하지 않는 결제 정보 입니다.");
    let ask = |path: String| {
        shop.request(Method::GET, &path)
            .basic_auth(SECRET_KEY, Some(""))
            .header("Accept-Language", "en-US")
    };
    assert!(
        shop.send(ask("/v1/payments/unknown".to_owned()))
            .await
            .json()["message"]
            .as_str()
            .unwrap()
            .is_ascii()
    );
    assert_eq!(
        shop.send(ask(format!("/v1/payments/{key}")))
            .await
            .payment()
            .method
            .as_deref(),
        Some("Card")
    );
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_refused_in_the_shape_of_toss() {
    let shop = Shop::open().await;
    assert_eq!(
        shop.get("/v1/nothing").await.refusal(),
        refused(404, "NOT_FOUND")
    );
    let request = shop.request(Method::GET, "/v1/payments/confirm/x");
    assert_eq!(
        shop.send(request).await.refusal(),
        refused(404, "NOT_FOUND")
    );
    let request = shop.request(Method::DELETE, "/v1/payments/confirm");
    assert_eq!(
        shop.send(request).await.refusal(),
        refused(404, "NOT_FOUND_HTTP_METHOD")
    );
}
