//! A house in trouble with its database: what it may say then, and how soon it must say that it is not ready.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::{House, Order, Plan, Reply};

/// Red is a promise; green takes what there is to do, and however long the machine itself stands still.
const RED_WITHIN: Duration = Duration::from_secs(5);
const GREEN_WITHIN: Duration = Duration::from_secs(20);
pub const SETTLED: Duration = Duration::from_secs(60);
/// How long Toss takes, so that trouble finds the call out.
pub const WHILE: Duration = Duration::from_secs(5);

pub fn plan() -> Plan {
    House::plan()
        .own_toss()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("CONFIRM__PATIENCE_MS", 1_000)
        .env("DATABASE__BUSY_TIMEOUT_MS", 1_000)
}

/// Asks about readiness from this moment on, beside whatever else happens, until the answer is this.
fn soon(
    house: &House,
    within: Duration,
    is: impl Fn(StatusCode, &Value) -> bool + Send + 'static,
) -> Soon {
    let began = Instant::now();
    let (client, url) = (house.client.clone(), house.server.url.clone());
    Soon(tokio::spawn(async move {
        loop {
            let (status, body) = health(&client, &format!("{url}/health/ready")).await;
            let took = began.elapsed();
            assert!(took < within, "still {status} after {took:?}: {body}");
            if is(status, &body["error"]["notReady"]) {
                return;
            }
            let (alive, _) = health(&client, &format!("{url}/health/live")).await;
            assert_eq!(alive, StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
}

async fn health(client: &Client, url: &str) -> (StatusCode, Value) {
    let reply = client.get(url).send().await.unwrap();
    (reply.status(), reply.json().await.unwrap())
}

/// The trouble begins now: soon the house names this part of it.
pub fn soon_red(house: &House, part: &'static str) -> Soon {
    soon(house, RED_WITHIN, move |status, named| {
        let mut named = named.as_array().into_iter().flatten();
        status == StatusCode::SERVICE_UNAVAILABLE && named.any(|named| named == part)
    })
}

/// The trouble is over now.
pub fn soon_green(house: &House) -> Soon {
    soon(house, GREEN_WITHIN, |status, _| status == StatusCode::OK)
}

pub struct Soon(JoinHandle<()>);

impl Soon {
    pub async fn seen(self) {
        self.0.await.unwrap();
    }
}

/// Not now, or being checked; with the time to come again.
pub fn is_later(reply: &Reply) -> bool {
    reply.status == 503
        && ["E99004", "E03009"].contains(&reply.code())
        && !reply.header("retry-after").is_empty()
}

pub async fn try_checkout(house: &House) -> Reply {
    let lines = json!([{"productId": 1, "quantity": 1}]);
    let body = json!({"userId": 1, "orderedProductList": lines});
    house.post("/api/v1/payments/checkout", &body).await
}

pub async fn try_restock(house: &House, change: i64) -> Reply {
    let body = json!({"change": change, "reason": "delivery"});
    house.post("/api/v1/products/1/stock", &body).await
}

/// Whatever would have to be written is refused for now.
pub async fn nothing_is_taken(house: &House, waiting: &Order, key: &str) {
    for reply in [
        house.confirm(waiting, key).await,
        try_checkout(house).await,
        try_restock(house, 5).await,
    ] {
        assert!(is_later(&reply), "{reply:?}");
    }
}

/// The trouble is over: what the buyer hears who comes again for as long as he is told to. The patience of this house is
/// short, and a disk may be slow without any trouble of ours.
pub async fn hears_at_last(house: &House, order: &Order, key: &str) -> u16 {
    let until = Instant::now() + SETTLED;
    loop {
        let reply = house.confirm(order, key).await;
        if !is_later(&reply) {
            return reply.status.as_u16();
        }
        assert!(Instant::now() < until, "{reply:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A confirm whose call to Toss takes longer than its caller waits; it is under way when this returns.
pub async fn in_flight(house: &House, takes: Duration) -> (Order, tokio::task::JoinHandle<Reply>) {
    let (order, key) = house.authorized().await;
    let millis = u64::try_from(takes.as_millis()).unwrap();
    let slow = json!({"kind": "delay", "millis": millis});
    house
        .faults(json!([{"on": "confirm", "orderId": order.id, "do": slow}]))
        .await;
    let request = house
        .client
        .post(format!("{}/api/v1/payments/confirm", house.server.url))
        .json(&House::confirm_body(&order, &key));
    let caller = tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.json().await.unwrap();
        Reply {
            status,
            headers,
            body,
        }
    });
    house.wait_for(&order, &["IN_PROGRESS"], SETTLED).await;
    (order, caller)
}

/// Toss has approved, once, and our answer comes into the trouble.
pub async fn until_approved(house: &House, order: &Order) {
    let until = Instant::now() + SETTLED;
    while house.approvals(order).await == 0 {
        assert!(Instant::now() < until, "not approved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.approvals(order).await, 1);
}

pub fn assert_calm(house: &House) {
    let log = house.server.logged();
    assert!(!log.contains("panicked"), "{log}");
    house.audit();
}
