//! The soak: the server is killed with SIGKILL every few hundred milliseconds, under load and with a mild mix of faults,
//! and started again on the same database. Toss survives. At the end nobody asks any more, and everything adds up.
//! `PAYONCE_TEST_SEED` replays a run's choices, though not the moments at which its callers race; `PAYONCE_SOAK_ROUNDS` (25) makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use common::{House, Order, Plan, number, seed};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Client, Method};
use serde_json::{Value, json};

const ROUNDS: u64 = 25;
const CALLERS: u64 = 24;
const PRODUCT: i64 = 750;
const STOCK: i64 = 1_000_000;
const SETTLED: Duration = Duration::from_secs(120);

/// What a caller needs while the house around it dies and comes back.
#[derive(Clone)]
struct World {
    client: Client,
    shop: Arc<RwLock<String>>,
    toss: String,
    over: Arc<AtomicBool>,
    /// Every settled answer that anybody heard, by order: stable across crashes.
    heard: Arc<Mutex<HashMap<String, (u16, Value)>>>,
}

impl World {
    /// The answer, if there was a whole one. A killed server gives none, and that is no news about the payment.
    async fn ask(&self, base: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.client.post(format!("{base}{path}")).json(body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    async fn shop(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let base = self.shop.read().unwrap().clone();
        self.ask(&base, path, body).await
    }

    /// One buyer: checkout, the window, and then the page asks some times, whatever it hears.
    async fn buy(&self, asks: u32) {
        let body =
            json!({"userId": 1, "orderedProductList": [{"productId": PRODUCT, "quantity": 1}]});
        let Some((201, placed)) = self.shop("/api/v1/payments/checkout", &body).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        };
        let placed = &placed["data"];
        let order = Order {
            id: placed["orderId"].as_str().unwrap().into(),
            token: String::new(),
            total: placed["totalAmount"].as_i64().unwrap(),
        };
        let body = json!({"orderId": order.id, "amount": order.total});
        let window = self.ask(&self.toss, "/sandbox/authorizations", &body).await;
        let Some((201, window)) = window else {
            return;
        };
        let key = window["paymentKey"].as_str().unwrap();
        for _ in 0..asks {
            let body = House::confirm_body(&order, key);
            let heard = self.shop("/api/v1/payments/confirm", &body).await;
            if let Some((status @ (200 | 402), said)) = heard {
                self.hears(&order.id, status, said);
            }
        }
    }

    fn hears(&self, order: &str, status: u16, mut said: Value) {
        // The advice may change, and the trace is that of the request.
        for advice in ["next", "traceId", "message"] {
            said["error"]
                .as_object_mut()
                .map(|error| error.remove(advice));
        }
        let said = if status == 200 {
            said["data"].clone()
        } else {
            said["error"].clone()
        };
        let now = (status, said);
        let mut heard = self.heard.lock().unwrap();
        let before = heard.entry(order.to_owned()).or_insert_with(|| now.clone());
        assert_eq!(*before, now, "{order}: a settled answer changed");
    }
}

fn plan(seed: u64) -> Plan {
    House::plan()
        .toss_seed(seed)
        .env("TOSS__READ_TIMEOUT_MS", 1_000)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 1_500)
        .env("CONFIRM__PATIENCE_MS", 3_000)
        .env("RECOVERY__TICK_MS", 50)
        .env("RECOVERY__BACKOFF_MIN_MS", 50)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
        .env("LOG__FILTER", "warn")
}

/// Everything that goes wrong now and then, on top of the kills.
fn mild() -> Value {
    let rule = |on: &str, probability: f64, what: Value| json!({"on": on, "probability": probability, "do": what});
    json!([
        rule("confirm", 0.03, json!({"kind": "reset_after"})),
        rule("confirm", 0.03, json!({"kind": "reset_before"})),
        rule("confirm", 0.02, json!({"kind": "garbled"})),
        rule(
            "confirm",
            0.03,
            json!({"kind": "error", "code": "PROVIDER_ERROR"})
        ),
        rule(
            "confirm",
            0.05,
            json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"})
        ),
        rule(
            "confirm",
            0.01,
            json!({"kind": "hang_after", "millis": 1_500})
        ),
        rule(
            "lookup",
            0.05,
            json!({"kind": "status", "status": 502, "body": "<html>"})
        ),
        rule("lookup", 0.03, json!({"kind": "reset_before"})),
        rule(
            "lookup",
            0.02,
            json!({"kind": "error", "code": "NOT_FOUND_PAYMENT"})
        ),
        // Most calls take a while, so that a kill finds them out.
        rule("confirm", 0.7, json!({"kind": "delay", "millis": 40})),
    ])
}

/// How many payments are in each status.
async fn counted(house: &House) -> HashMap<String, i64> {
    let sql = "SELECT status, COUNT(*) FROM payments GROUP BY status";
    let rows = house.rows(sql).await;
    let count =
        |row: &sea_orm::QueryResult| (row.try_get_by(0).unwrap(), row.try_get_by(1).unwrap());
    rows.iter().map(count).collect()
}

/// How many orders Toss has approved twice.
async fn approved_twice(house: &House) -> usize {
    let ledger = house.toss(Method::GET, "/sandbox/ledger", None).await;
    let mut by_order: HashMap<&str, i64> = HashMap::new();
    for entry in ledger.body["payments"].as_array().unwrap() {
        let order = entry["orderId"].as_str().unwrap();
        *by_order.entry(order).or_default() += entry["approvals"].as_i64().unwrap();
    }
    by_order
        .values()
        .filter(|approvals| **approvals > 1)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_under_load_and_faults_lose_nothing() {
    let seed = seed();
    let rounds = number("PAYONCE_SOAK_ROUNDS").unwrap_or(ROUNDS);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut house = plan(seed).start();
    house.put_product(PRODUCT, 100, STOCK).await;
    house.faults(mild()).await;
    let world = World {
        client: house.client.clone(),
        shop: Arc::new(RwLock::new(house.server.url.clone())),
        toss: house.toss_url().to_owned(),
        over: Arc::default(),
        heard: Arc::default(),
    };
    let callers = (0..CALLERS).map(|number| {
        let (world, mut dice) = (world.clone(), StdRng::seed_from_u64(seed ^ (number + 1)));
        tokio::spawn(async move {
            while !world.over.load(Ordering::Relaxed) {
                let asks = dice.random_range(1..=3);
                world.buy(asks).await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..rounds {
        let millis = dice.random_range(100..1_200);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        house.server.kill_9();
        house.restart(&[]);
        world.shop.write().unwrap().clone_from(&house.server.url);
    }
    world.over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    // One more death with everything in the air; from here on nobody asks.
    house.server.kill_9();
    house.heal().await;
    house.restart(&[]);
    let ready = Instant::now();
    let counts = settled(&house).await;
    let took = ready.elapsed();
    let count = |status: &str| counts.get(status).copied().unwrap_or(0);
    let (twice, totals) = (approved_twice(&house).await, house.totals().await);
    let (approvals, calls) = (totals.approvals, totals.confirm_calls);
    let (stock, held, sold, received) = house.shelf(PRODUCT).await;
    let drift = (sold - count("DONE")).abs() + (received - stock - held - sold).abs();
    println!(
        "rounds {rounds}, kills {}, orders {}, approvals {approvals}, confirm calls {calls}, settled {took:?} after ready, \
         duplicates {twice}, drift {drift}, {counts:?}",
        rounds + 1,
        counts.values().sum::<i64>(),
    );
    assert_eq!((twice, drift, held), (0, 0, count("QUARANTINED")));
    assert_eq!(approvals, count("DONE") + count("QUARANTINED"));
    assert!(count("DONE") > 0, "no load");
    house.audit();
    answers_survive(&house, &world).await;
}

async fn settled(house: &House) -> HashMap<String, i64> {
    let until = Instant::now() + SETTLED;
    loop {
        let counts = counted(house).await;
        if !counts.contains_key("IN_PROGRESS") && !counts.contains_key("UNKNOWN") {
            return counts;
        }
        assert!(Instant::now() < until, "unsettled: {counts:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a buyer was told before a crash is what the record says after all of them.
async fn answers_survive(house: &House, world: &World) {
    let heard = world.heard.lock().unwrap().clone();
    assert!(!heard.is_empty(), "nobody heard anything");
    for (order, (status, said)) in heard {
        let now = house.get(&format!("/api/v1/payments/{order}")).await;
        let wanted = if status == 200 { "DONE" } else { "FAILED" };
        assert_eq!(now.data()["status"], wanted, "told {status} {said}");
    }
}
