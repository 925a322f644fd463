//! Cancels with their measured traps, and the transactions list.

use payonce::gateway::wire::{PaymentStatus, TransactionObject};
use serde_json::json;

use crate::shop::{Shop, refused};

#[actix_web::test]
async fn refunded_in_two_parts_it_stays_partially_cancelled_with_a_balance_of_zero() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm(&key, "order-1", 1_000).await.payment();
    let first = shop
        .cancel(
            &key,
            json!({"cancelReason": "one of two", "cancelAmount": 300}),
        )
        .await
        .payment();
    assert_eq!(
        (first.status, first.balance_amount),
        (PaymentStatus::PartialCanceled, Some(700))
    );
    assert_eq!(first.cancels.unwrap()[0].refundable_amount, 700);
    let second = shop
        .cancel(
            &key,
            json!({"cancelReason": "the rest", "refundableAmount": "700"}),
        )
        .await
        .payment();
    assert_eq!(
        (second.status, second.balance_amount),
        (PaymentStatus::PartialCanceled, Some(0))
    );
    let cancels = second.cancels.unwrap();
    assert_eq!(
        cancels
            .iter()
            .map(|cancel| cancel.cancel_amount)
            .collect::<Vec<_>>(),
        [300, 700]
    );
    assert_eq!(
        second.last_transaction_key.as_ref(),
        Some(&cancels[1].transaction_key)
    );
    assert_eq!(
        shop.cancel(&key, json!({"cancelReason": "again"}))
            .await
            .refusal(),
        refused(403, "NOT_CANCELABLE_AMOUNT")
    );
}

#[actix_web::test]
async fn a_whole_cancel_ends_it_and_wrong_cancels_change_nothing() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    let whole = json!({"cancelReason": "changed my mind"});
    assert_eq!(
        shop.cancel(&key, whole.clone()).await.refusal(),
        refused(403, "NOT_CANCELABLE_PAYMENT")
    );
    assert_eq!(
        shop.cancel("unknown", whole.clone()).await.refusal(),
        refused(404, "NOT_FOUND_PAYMENT")
    );
    shop.confirm(&key, "order-1", 1_000).await.payment();
    for (body, wanted) in [
        (
            json!({"cancelReason": "x", "cancelAmount": 1_001}),
            refused(403, "NOT_CANCELABLE_AMOUNT"),
        ),
        (
            json!({"cancelReason": "x", "cancelAmount": 0}),
            refused(400, "INVALID_REQUEST"),
        ),
        (
            json!({"cancelReason": "x", "cancelAmount": 100, "refundableAmount": 900}),
            refused(400, "NOT_MATCHES_REFUNDABLE_AMOUNT"),
        ),
        (
            json!({"cancelAmount": 100}),
            refused(400, "INVALID_REQUEST"),
        ),
        (
            json!({"cancelReason": "x".repeat(201)}),
            refused(400, "INVALID_REQUEST"),
        ),
    ] {
        assert_eq!(
            shop.cancel(&key, body.clone()).await.refusal(),
            wanted,
            "{body}"
        );
    }
    assert_eq!(shop.status(&key).await, PaymentStatus::Done);
    let canceled = shop.cancel(&key, whole.clone()).await.payment();
    assert_eq!(
        (canceled.status, canceled.balance_amount),
        (PaymentStatus::Canceled, Some(0))
    );
    assert_eq!(
        shop.cancel(&key, whole).await.refusal(),
        refused(400, "ALREADY_CANCELED_PAYMENT")
    );
}

const ALL: &str = "startDate=2020-01-01&endDate=2200-01-01T00:00:00";

async fn list(shop: &Shop, query: &str) -> Vec<TransactionObject> {
    let answer = shop.get(&format!("/v1/transactions?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Three payments, a refund of the first, and three days later a fourth payment.
async fn history(shop: &Shop) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for number in 1..=4 {
        if number == 4 {
            let part = json!({"cancelReason": "x", "cancelAmount": 400});
            shop.cancel(&keys[0], part).await.payment();
            shop.advance(3 * 86_400).await;
        }
        let (order_id, amount) = (format!("order-{number}"), number * 1_000);
        let key = shop.authorize(&order_id, amount).await;
        shop.confirm(&key, &order_id, amount).await.payment();
        keys.push(key);
    }
    keys
}

#[actix_web::test]
async fn transactions_are_listed_in_order_and_by_their_days() {
    let shop = Shop::open().await;
    let keys = history(&shop).await;
    let all = list(&shop, ALL).await;
    let seen: Vec<_> = all
        .iter()
        .map(|line| (&line.payment_key, line.status, line.amount.unwrap()))
        .collect();
    let wanted = [
        (&keys[0], PaymentStatus::Done, 1_000),
        (&keys[1], PaymentStatus::Done, 2_000),
        (&keys[2], PaymentStatus::Done, 3_000),
        (&keys[0], PaymentStatus::PartialCanceled, 400),
        (&keys[3], PaymentStatus::Done, 4_000),
    ];
    assert_eq!(seen, wanted);
    let day = &all[4].transaction_at[..10];
    let since = list(&shop, &format!("startDate={day}&endDate=2200-01-01")).await;
    let until = list(&shop, &format!("startDate=2020-01-01&endDate={day}")).await;
    assert_eq!((since.as_slice(), until.as_slice()), (&all[4..], &all[..4]));
}

#[actix_web::test]
async fn transactions_come_page_by_page() {
    let shop = Shop::open().await;
    history(&shop).await;
    let all = list(&shop, ALL).await;
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&shop, &format!("{ALL}&limit=2{after}")).await;
        let Some(last) = page.last() else { break };
        after = format!("&startingAfter={}", last.transaction_key);
        pages.push(page);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), all);
    let unknown = format!("{ALL}&startingAfter={}", "0".repeat(32));
    let too_many = format!("{ALL}&limit=5001");
    let nonsense = "startDate=x&endDate=2200-01-01";
    for query in ["", "startDate=2020-01-01", nonsense, &too_many, &unknown] {
        let answer = shop.get(&format!("/v1/transactions?{query}")).await;
        assert_eq!(answer.refusal(), refused(400, "INVALID_REQUEST"), "{query}");
    }
}
