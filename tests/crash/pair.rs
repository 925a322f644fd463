//! Two orders of two products: their batches are written beside each other, and the process dies while neither has heard
//! of its COMMIT. A file has one writer at a time: there nobody dies, and that is the test.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use payonce::crash::Point;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cell::shelf;
use crate::common::Order;
use crate::shop::Shop;

const CONFIRM: &str = "/api/v1/payments/confirm";
const SOON: Duration = Duration::from_secs(60);
const PRODUCTS: [i64; 2] = [1, 2];

struct Buyer {
    order: Order,
    confirm: Value,
}

async fn buyers(shop: &mut Shop) -> Result<Vec<Buyer>> {
    let mut buyers = Vec::new();
    for product in PRODUCTS {
        let order = shop.checkout_of(product).await?.context("an order")?;
        let body = json!({"orderId": order.id, "amount": order.total});
        let path = "/sandbox/authorizations";
        let authorized = shop.toss(Method::POST, path, Some(&body)).await?;
        let key = &authorized["paymentKey"];
        let confirm =
            json!({"userId": 1, "orderId": order.id, "amount": order.total, "paymentKey": key});
        buyers.push(Buyer { order, confirm });
    }
    Ok(buyers)
}

/// At the first or second time that two batches meet: both intents, or two outcomes.
async fn die_between_two_batches(time: u32) -> Result<()> {
    let settings = [
        ("RECOVERY__TICK_MS", "40"),
        ("RECOVERY__BACKOFF_MIN_MS", "40"),
    ];
    let mut shop = Shop::open(&settings);
    let armed = format!("{}:{time}", Point::Overlapped);
    ensure!(shop.start(Some(&armed))?, "it died before it was ready");
    let buyers = buyers(&mut shop).await?;
    let calls = buyers.iter();
    let calls: Vec<_> = calls
        .map(|buyer| shop.call_aside(CONFIRM, buyer.confirm.clone()))
        .collect();
    let mut heard = Vec::new();
    for call in calls {
        heard.push(call.await?);
    }
    if !shop.is_shared() {
        let paid = heard.iter().flatten().filter(|heard| heard.status == 200);
        ensure!(paid.count() == 2 && !shop.is_dead()?, "{heard:?}");
        return shop.audit().await;
    }
    ensure!(shop.stop().await?, "nobody died: {heard:?}");
    ensure!(shop.crashes() == [Point::Overlapped.to_string()]);
    ensure!(heard.iter().all(Option::is_none), "{heard:?}");
    ensure!(shop.start(None)?, "no last start");
    for buyer in &buyers {
        comes_to_rest(&mut shop, buyer, time).await?;
    }
    for product in PRODUCTS {
        ensure!(shelf(&mut shop, product).await? == Some([58, 0, 1, 59]));
    }
    shop.audit().await
}

async fn comes_to_rest(shop: &mut Shop, buyer: &Buyer, time: u32) -> Result<()> {
    let until = Instant::now() + SOON;
    let status = loop {
        let status = shop
            .status(&buyer.order)
            .await?
            .context("it died unarmed")?;
        if !["IN_PROGRESS", "UNKNOWN"].contains(&&*status) {
            break status;
        }
        ensure!(Instant::now() < until, "still {status}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let calls = shop.counted(&buyer.order, "confirmCalls").await?;
    match time {
        // Neither intent was durable, so nothing had left the house.
        1 => ensure!((&*status, calls) == ("READY", 0), "{status}, {calls} calls"),
        _ => ensure!(status == "DONE", "{status}"),
    }
    let again = shop.insist(CONFIRM, &buyer.confirm).await?;
    let again = again.context("it died unarmed")?;
    ensure!(again.status == 200, "{again:?}\n{}", shop.log());
    let approvals = shop.counted(&buyer.order, "approvals").await?;
    ensure!(approvals == 1, "{approvals} approvals");
    Ok(())
}

#[tokio::test]
async fn two_intents_of_which_none_was_committed_leave_both_orders_as_they_were() {
    die_between_two_batches(1).await.unwrap();
}

#[tokio::test]
async fn two_outcomes_of_which_none_was_committed_are_asked_for_again() {
    die_between_two_batches(2).await.unwrap();
}
