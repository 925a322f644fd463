//! Database trouble: locked, slow, its disk full, away for a while, killed. The house says "not now" and "being checked",
//! never something that is not durable; it tells that it is not ready, and settles everything when the database is back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod disk;
mod killed;
mod lost;
mod server;
mod trouble;
mod wire;

use std::time::{Duration, Instant};

use common::Other;
use crowd::Crowd;
use serde_json::json;
use trouble::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_answers_not_now_and_settles_when_it_is_free() {
    let house = plan().start();
    let other = Other::of(&house).await;
    let (waiting, key) = house.authorized().await;
    soon_green(&house).seen().await;
    let (flying, caller) = in_flight(&house, WHILE).await;
    other.lock().await;
    let red = soon_red(&house, "journal");

    // Nothing can be written: the buyer hears that it is being checked.
    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    nothing_is_taken(&house, &waiting, &key).await;
    // Readers go on, and tell no more than what is durable.
    until_approved(&house, &flying).await;
    red.seen().await;
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");
    assert_eq!(house.status(&waiting).await["status"], "READY");
    assert_eq!(house.shelf(1).await, (58, 1, 0, 59));

    other.unlock().await;
    soon_green(&house).seen().await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(hears_at_last(&house, &waiting, &key).await, 200);
    assert_eq!(house.approvals(&flying).await, 1);
    assert_eq!(house.approvals(&waiting).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_calm(&house);
}

/// A server that has become somebody's follower: it answers every question, and takes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn a_database_that_only_reads_answers_not_now_and_settles_when_it_takes_writes() {
    let house = plan().start();
    let url = &house.store.url;
    assert!(url.starts_with("postgres"), "PAYONCE_TEST_DATABASE={url}");
    let other = Other::of(&house).await;
    let (waiting, key) = house.authorized().await;
    soon_green(&house).seen().await;
    let (flying, caller) = in_flight(&house, WHILE).await;
    other.only_reads(true).await;
    let red = soon_red(&house, "journal");

    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    nothing_is_taken(&house, &waiting, &key).await;
    until_approved(&house, &flying).await;
    red.seen().await;
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");
    assert_eq!(house.counted(&waiting, "confirmCalls").await, 0);

    other.only_reads(false).await;
    soon_green(&house).seen().await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(hears_at_last(&house, &waiting, &key).await, 200);
    assert_eq!(house.approvals(&flying).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_calm(&house);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_slows_and_nothing_else() {
    let house = plan()
        .env("CONFIRM__PATIENCE_MS", 30_000)
        // A statement may meet the lock many times over before it has its turn.
        .env("DATABASE__BUSY_TIMEOUT_MS", 10_000)
        // A heartbeat that is late by the lock and by the machine is no dead node.
        .env("NODE__DEAD_AFTER_MS", 10_000)
        .start();
    let other = Other::of(&house).await;
    let mut orders = Vec::new();
    for _ in 0..12 {
        orders.push(house.authorized().await);
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let slow = async {
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            other.lock().await;
            tokio::time::sleep(Duration::from_millis(250)).await;
            other.unlock().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let work = async {
        // On a server a lock is waited for a second at most: where the machine stands still under it, a buyer comes again.
        let confirms = orders
            .iter()
            .map(async |(order, key)| match house.store.is_shared() {
                true => house.confirm_at_last(order, key).await,
                false => house.confirm(order, key).await,
            });
        let replies = futures_util::future::join_all(confirms).await;
        for reply in replies {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        // Longer than a heartbeat proves anything.
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            let ready = house.get("/health/ready").await;
            assert_eq!(ready.status, 200, "{ready:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(slow, work);
    assert_eq!(house.shelf(1).await, (47, 0, 12, 59));
    assert_calm(&house);
}

/// Longer than every patience and timeout of the house.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_gone_for_a_while_under_load() {
    let house = plan().start();
    house.put_product(1, 50_000, 100_000).await;
    house.faults(json!([crowd::some_declined()])).await;
    let other = Other::of(&house).await;
    let crowd = Crowd::ready_with(&house, 60).await;
    let trouble = async {
        crowd.is_served().await;
        other.lock().await;
        soon_red(&house, "journal").seen().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        crowd.is_put_off().await;
        other.unlock().await;
        soon_green(&house).seen().await;
        crowd.is_served().await;
        crowd.goes_home();
    };
    let (heard, ()) = tokio::join!(crowd.comes(&house), trouble);
    crowd::heard_the_truth(&house, heard).await;
    assert_calm(&house);
}
