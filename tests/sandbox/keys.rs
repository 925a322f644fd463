//! Idempotency keys and test codes.

use payonce::gateway::wire::PaymentStatus;
use reqwest::Method;
use serde_json::json;

use crate::shop::{SECRET_KEY, Shop, refused};

#[actix_web::test]
async fn a_key_gets_its_first_answer_again_byte_for_byte() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let first = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    first.payment();
    assert_eq!(first.header("idempotency-key"), "n1");
    shop.cancel(&key, json!({"cancelReason": "later"}))
        .await
        .payment();
    let again = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!(
        (again.status, &again.body),
        (200, &first.body),
        "also after a refund"
    );
    assert_eq!(again.header("idempotency-key"), "n1");
    let (new, original) = again
        .header("x-tosspayments-trace-id")
        .split_once(',')
        .unwrap();
    assert_eq!(original, first.header("x-tosspayments-trace-id"));
    assert_ne!(new, original);
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
async fn refusals_are_remembered_too_and_the_body_is_not_part_of_the_key() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let wrong = shop.confirm_as("n1", &key, "order-1", 999).await;
    let corrected = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!((corrected.status, corrected.body), (400, wrong.body));
    let paid = shop.confirm_as("n2", &key, "order-1", 1_000).await;
    let other = shop.authorize("order-2", 5_000).await;
    let replayed = shop.confirm_as("n2", &other, "order-2", 5_000).await;
    assert_eq!(
        replayed.body, paid.body,
        "another payment gets the first one's answer"
    );
    assert_eq!(shop.status(&other).await, PaymentStatus::InProgress);
    // Another caller, another URL: another key.
    let stranger = shop
        .request(Method::POST, "/v1/payments/confirm")
        .basic_auth("test_sk_other", Some(""))
        .header("Idempotency-Key", "n2")
        .json(&json!({"paymentKey": other, "orderId": "order-2", "amount": 5_000}));
    assert_eq!(shop.send(stranger).await.payment().order_id, "order-2");
    let cancel = shop
        .request(Method::POST, &format!("/v1/payments/{key}/cancel"))
        .basic_auth(SECRET_KEY, Some(""))
        .header("Idempotency-Key", "n2")
        .json(&json!({"cancelReason": "x"}));
    assert_eq!(
        shop.send(cancel).await.payment().status,
        PaymentStatus::Canceled
    );
}

#[actix_web::test]
async fn a_key_is_forgotten_after_fifteen_days() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
    shop.advance(15 * 86_400 - 10).await;
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
    shop.advance(20).await;
    assert_eq!(
        shop.confirm_as("n1", &key, "order-1", 1_000)
            .await
            .refusal(),
        refused(400, "ALREADY_PROCESSED_PAYMENT")
    );
}

#[actix_web::test]
async fn a_key_of_more_than_300_characters_is_refused_and_on_a_look_up_it_is_ignored() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let long = "k".repeat(301);
    assert_eq!(
        shop.confirm_as(&long, &key, "order-1", 1_000)
            .await
            .refusal(),
        refused(400, "INVALID_IDEMPOTENCY_KEY")
    );
    shop.confirm_as(&long[1..], &key, "order-1", 1_000)
        .await
        .payment();
    for _ in 0..2 {
        let request = shop
            .request(Method::GET, &format!("/v1/payments/{key}"))
            .basic_auth(SECRET_KEY, Some(""))
            .header("Idempotency-Key", &long);
        let found = shop.send(request).await;
        assert_eq!((found.status, found.header("idempotency-key")), (200, ""));
    }
}

#[actix_web::test]
async fn while_a_request_runs_its_key_and_its_payment_are_busy() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.faults(json!([{"on": "confirm", "times": 1, "do": {"kind": "delay", "millis": 4_000}}]))
        .await;
    let slow = shop.confirm_as("n1", &key, "order-1", 1_000);
    let others = async {
        shop.until_called("order-1").await;
        let same_key = shop
            .confirm_as("n1", &key, "order-1", 1_000)
            .await
            .refusal();
        let other_key = shop
            .confirm_as("n2", &key, "order-1", 1_000)
            .await
            .refusal();
        (same_key, other_key, shop.status(&key).await)
    };
    let (slow, (same_key, other_key, status)) = futures_util::future::join(slow, others).await;
    assert_eq!(same_key, refused(409, "IDEMPOTENT_REQUEST_PROCESSING"));
    assert_eq!(other_key, refused(400, "ALREADY_PROCESSING_REQUEST"));
    assert_eq!(status, PaymentStatus::InProgress);
    slow.payment();
    let again = shop.confirm_as("n1", &key, "order-1", 1_000).await;
    assert_eq!(again.body, slow.body, "the 409 was not remembered");
    let trace = "x-tosspayments-trace-id";
    assert!(
        again
            .header(trace)
            .ends_with(&format!(",{}", slow.header(trace)))
    );
    assert_eq!(
        shop.confirm_as("n2", &key, "order-1", 1_000)
            .await
            .refusal(),
        other_key,
        "this refusal was"
    );
}

#[actix_web::test]
async fn a_test_code_answers_before_the_payment_is_looked_at() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let ask = |code: &str, payment_key: &str| {
        shop.confirmation(payment_key, "order-1", 1_000)
            .header("TossPayments-Test-Code", code)
    };
    for (code, wanted) in [
        ("REJECT_CARD_PAYMENT", refused(403, "REJECT_CARD_PAYMENT")),
        (
            "ALREADY_PROCESSED_PAYMENT",
            refused(400, "ALREADY_PROCESSED_PAYMENT"),
        ),
        (
            "IDEMPOTENT_REQUEST_PROCESSING",
            refused(409, "IDEMPOTENT_REQUEST_PROCESSING"),
        ),
        ("DUPLICATED_ORDER_ID", refused(400, "DUPLICATED_ORDER_ID")),
        (
            "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING",
            refused(500, "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING"),
        ),
        ("COMMON_ERROR", refused(500, "COMMON_ERROR")),
        ("NO_SUCH_CODE", refused(400, "INVALID_TEST_CODE")),
    ] {
        assert_eq!(
            shop.send(ask(code, "bogus")).await.refusal(),
            wanted,
            "{code}"
        );
    }
    assert_eq!(
        shop.send(ask("REJECT_CARD_PAYMENT", &key)).await.status,
        403
    );
    assert_eq!(
        shop.status(&key).await,
        PaymentStatus::InProgress,
        "the payment was not looked at"
    );
    let stranger = shop
        .request(Method::POST, "/v1/payments/confirm")
        .header("TossPayments-Test-Code", "COMMON_ERROR");
    assert_eq!(
        shop.send(stranger).await.refusal(),
        refused(401, "UNAUTHORIZED_KEY")
    );
    let busy = || ask("IDEMPOTENT_REQUEST_PROCESSING", &key).header("Idempotency-Key", "n1");
    assert_eq!(shop.send(busy()).await.status, 409);
    shop.confirm_as("n1", &key, "order-1", 1_000)
        .await
        .payment();
}
