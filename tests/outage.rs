//! Toss down, hanging, or refusing our key: new confirms are refused before anything is written, what is in flight ends
//! UNKNOWN with its stock held, everybody else is served, and a healed Toss is noticed without anybody's help.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{House, Order, Plan, Reply, lasting_address};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// Until everything has settled after Toss is well again.
const SETTLED: Duration = Duration::from_secs(60);

/// A breaker that opens after a few faults and probes often.
fn breaker() -> Plan {
    House::plan()
        .env("BREAKER__FAILURES", 3)
        .env("BREAKER__OPEN_MS", 200)
        .env("BREAKER__OPEN_MAX_MS", 400)
        .env("BREAKER__PROBE_MS", 1_000)
        .env("RECOVERY__TICK_MS", 100)
        .env("RECOVERY__BACKOFF_MIN_MS", 100)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 1_000)
        .env("CONFIRM__PATIENCE_MS", 20_000)
}

fn is_busy(reply: &Reply) -> bool {
    (reply.status, reply.code()) == (StatusCode::SERVICE_UNAVAILABLE, "E99004")
}

/// Payments are confirmed until one is refused because the breaker is open; those that were not.
async fn open(house: &House) -> Vec<(Order, String)> {
    let mut caught = Vec::new();
    for _ in 0..20 {
        let (order, key) = house.authorized().await;
        let reply = house.confirm(&order, &key).await;
        if is_busy(&reply) {
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&wait), "{reply:?}");
            untouched(house, &order).await;
            return caught;
        }
        assert_eq!(reply.code(), "E03009", "{reply:?}");
        caught.push((order, key));
    }
    panic!("the breaker did not open");
}

/// Refused before anything was written: no attempt, no history, no goods, no call.
async fn untouched(house: &House, order: &Order) {
    let status = house.status(order).await;
    assert_eq!(status["status"], "READY", "{status:#}");
    assert_eq!(status["attempts"], json!([]), "{status:#}");
    assert_eq!(status["history"].as_array().unwrap().len(), 1, "{status:#}");
}

/// The breaker closes by itself: a fresh order is paid, sooner or later, and until then refused without a trace.
async fn pays_again(house: &House) {
    let until = Instant::now() + SETTLED;
    let (order, key) = house.authorized().await;
    loop {
        let reply = house.confirm(&order, &key).await;
        if reply.status == StatusCode::OK {
            return;
        }
        assert!(is_busy(&reply), "{reply:?}");
        assert!(Instant::now() < until, "still shut: {reply:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Everything that was caught by the outage is paid once.
async fn settled(house: &House, caught: &[(Order, String)]) {
    for (order, _) in caught {
        house.wait_for(order, &["DONE"], SETTLED).await;
        assert_eq!(house.approvals(order).await, 1);
    }
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn toss_that_fails_every_call_opens_the_breaker_and_a_healed_one_closes_it() {
    let house = breaker().start();
    let fault = json!({"kind": "status", "status": 503, "body": {"code": "FAILED_INTERNAL_SYSTEM_PROCESSING", "message": "m"}});
    house.faults(json!([{"on": "any", "do": fault}])).await;
    let caught = open(&house).await;
    let held = i64::try_from(caught.len()).unwrap();
    for (order, _) in &caught {
        let seen = house.wait_for(order, &["UNKNOWN"], SETTLED).await;
        assert_eq!(seen["stockHeld"], json!(true), "{seen:#}");
    }
    assert_eq!(house.shelf(1).await, (59 - held, held, 0, 59));
    house.heal().await;
    pays_again(&house).await;
    settled(&house, &caught).await;
    assert_eq!(house.shelf(1).await, (58 - held, 0, held + 1, 59));
}

/// While it is open Toss hears a look-up now and then, and never a confirm.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_sends_no_money_and_no_crowd_of_questions() {
    let house = breaker()
        .env("BREAKER__OPEN_MS", 400)
        .env("RECOVERY__BACKOFF_MAX_MS", 100)
        .start();
    let (first, key) = house.authorized().await;
    let more = join_all((0..20).map(|_| house.authorized())).await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "reset_before"}}]))
        .await;
    let confirms = more.iter().map(|(order, key)| house.confirm(order, key));
    let replies = join_all(confirms).await;
    assert!(replies.iter().all(|reply| reply.status == 503));
    until_busy(&house, &first, &key).await;
    let before = house.totals().await;
    sleep(Duration::from_secs(3)).await;
    let after = house.totals().await;
    assert_eq!(
        after.confirm_calls, before.confirm_calls,
        "an open breaker confirmed"
    );
    // One probe each 200 to 400 ms, though twenty payments are due every 100 ms.
    let asked = after.lookups - before.lookups;
    assert!((1..=20).contains(&asked), "{asked} questions in 3 s");
    house.heal().await;
    pays_again(&house).await;
    for (order, _) in &more {
        let status = house.wait_for(order, &["DONE", "READY"], SETTLED).await;
        let paid = i64::from(status["status"] == "DONE");
        assert_eq!(house.approvals(order).await, paid);
    }
    house.audit();
}

async fn until_busy(house: &House, order: &Order, key: &str) {
    let until = Instant::now() + SETTLED;
    loop {
        let reply = house.confirm(order, key).await;
        if is_busy(&reply) {
            return;
        }
        assert!(Instant::now() < until, "{reply:?}");
    }
}

/// Our own wrong key fails no order, opens the breaker at its first answer, and shouts once, without secrets.
#[tokio::test(flavor = "multi_thread")]
async fn toss_that_refuses_our_key_opens_the_breaker_at_once_and_fails_no_order() {
    let house = breaker().env("BREAKER__FAILURES", 1_000).own_toss().start();
    let refused = json!({"kind": "error", "code": "UNAUTHORIZED_KEY", "keepOpen": true});
    house.faults(json!([{"on": "any", "do": refused}])).await;
    let caught = open(&house).await;
    assert_eq!(caught.len(), 1, "the first answer is enough");
    let (order, _) = &caught[0];
    let seen = house.wait_for(order, &["UNKNOWN"], SETTLED).await;
    assert_eq!(seen["stockHeld"], json!(true), "{seen:#}");
    // Let some probes be refused as well.
    sleep(Duration::from_secs(1)).await;
    let log = house.server.logged();
    let shouts = log.lines().filter(|line| line.contains("ERROR"));
    assert_eq!(shouts.count(), 1, "{log}");
    assert!(!log.contains(common::SECRET_KEY));
    house.heal().await;
    pays_again(&house).await;
    settled(&house, &caught).await;
}

/// Nobody listens at Toss's address; then the same Toss is there again, with its memory.
#[tokio::test(flavor = "multi_thread")]
async fn toss_that_is_gone_opens_the_breaker_and_its_return_closes_it() {
    let mut house = breaker().toss_at(&lasting_address()).start();
    let orders = join_all((0..4).map(|_| house.authorized())).await;
    house.toss.as_mut().unwrap().kill_9();
    let mut caught = Vec::new();
    let mut refused = 0;
    for (order, key) in &orders {
        let reply = house.confirm(order, key).await;
        if is_busy(&reply) {
            untouched(&house, order).await;
            refused += 1;
        } else {
            assert_eq!(reply.code(), "E03009", "{reply:?}");
            let seen = house.status(order).await;
            assert_eq!(seen["stockHeld"], json!(true), "{seen:#}");
            caught.push((order.clone(), key.clone()));
        }
    }
    assert!(refused > 0 && !caught.is_empty(), "{refused} refused");
    house.revive_toss();
    pays_again(&house).await;
    settled(&house, &caught).await;
}

/// How long a confirm waits for a place at Toss before it is sent away.
const ADMISSION: Duration = Duration::from_secs(1);

/// The bulkhead: every place at Toss is taken by calls that hang, and the rest of the shop does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_toss_that_hangs_slows_neither_checkout_nor_status_nor_products() {
    const HANGING: usize = 200;
    let hang = Duration::from_secs(60);
    let mut house = House::plan()
        .toss_at(&lasting_address())
        .env("TOSS__CONCURRENCY", HANGING)
        .env("TOSS__WAITING", 10)
        .env("TOSS__ADMISSION_WAIT_MS", ADMISSION.as_millis())
        .env("TOSS__READ_TIMEOUT_MS", hang.as_millis())
        .env("CONFIRM__PATIENCE_MS", 120_000)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .start();
    house.put_product(900, 100, 10_000).await;
    let orders = house.orders(900, HANGING + 100).await;
    let millis = hang.as_millis() * 2;
    house
        .faults(json!([{"on": "confirm", "do": {"kind": "hang_after", "millis": millis}}]))
        .await;
    let (hanging, crowd) = orders.split_at(HANGING);
    let began = Instant::now();
    let stuck: Vec<_> = hanging
        .iter()
        .map(|(order, key)| {
            let request = house.request(Method::POST, "/api/v1/payments/confirm");
            let request = request.json(&House::confirm_body(order, key));
            tokio::spawn(async move { request.send().await.unwrap().status() })
        })
        .collect();
    until_called(&house, HANGING).await;
    // A crowd before a full house is sent away: a few after a bounded wait, the others at once.
    let refused = join_all(crowd.iter().map(|(order, key)| house.confirm(order, key))).await;
    assert!(refused.iter().all(is_busy), "{refused:?}");
    served_meanwhile(&house, &hanging[0].0).await;
    assert!(began.elapsed() < hang, "all of this while every call hangs");
    assert!(stuck.iter().all(|caller| !caller.is_finished()));
    // Toss dies, and with it what hangs; it comes back with its memory.
    house.revive_toss();
    for caller in stuck {
        let status = caller.await.unwrap();
        assert!(status == 200 || status == 503, "{status}");
    }
    for (order, _) in hanging {
        house.wait_for(order, &["DONE"], SETTLED).await;
    }
    for (order, _) in crowd {
        assert_eq!(house.status(order).await["status"], "READY");
    }
    house.audit();
}

async fn until_called(house: &House, calls: usize) {
    let until = Instant::now() + SETTLED;
    loop {
        let totals = house.totals().await;
        if totals.confirm_calls >= i64::try_from(calls).unwrap() {
            return;
        }
        assert!(Instant::now() < until, "{totals:?} of {calls}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Rounds of everything that does not need Toss. Who waited in front of it but once a round would wait a second each time.
async fn served_meanwhile(house: &House, hanging: &Order) {
    const ROUNDS: u32 = 30;
    let rounds = async {
        for _ in 0..ROUNDS {
            house.checkout(&[(900, 1)]).await;
            assert_eq!(house.status(hanging).await["status"], "IN_PROGRESS");
            let products = house.get("/api/v1/products").await;
            assert_eq!(products.status, 200);
            let ready = house.get("/health/ready").await;
            assert_eq!(ready.status, 200, "{ready:?}");
        }
    };
    let began = Instant::now();
    timeout(ADMISSION * ROUNDS / 2, rounds)
        .await
        .expect("served at once");
    println!("{ROUNDS} rounds in {:?}", began.elapsed());
}

/// Declines are Toss at work; and a slow Toss that answers in time is a Toss that answers.
#[tokio::test(flavor = "multi_thread")]
async fn neither_declines_nor_slow_answers_open_the_breaker() {
    let house = breaker().start();
    house.put_product(900, 100, 1_000).await;
    let orders = house.orders(900, 30).await;
    let declined = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
    house
        .faults(json!([{"on": "confirm", "do": declined}]))
        .await;
    let declined = join_all(orders.iter().map(|(order, key)| house.confirm(order, key))).await;
    let codes: Vec<&str> = declined.iter().map(Reply::code).collect();
    assert!(codes.iter().all(|code| *code == "E03010"), "{codes:?}");
    house
        .faults(json!([{"on": "any", "do": {"kind": "delay", "millis": 1_500}}]))
        .await;
    let orders = house.orders(900, 30).await;
    let paid = join_all(orders.iter().map(|(order, key)| house.confirm(order, key))).await;
    let unpaid: Vec<&Value> = paid
        .iter()
        .filter(|reply| reply.status != 200)
        .map(|reply| &reply.body)
        .collect();
    assert!(unpaid.is_empty(), "{unpaid:?}");
    house.audit();
}
