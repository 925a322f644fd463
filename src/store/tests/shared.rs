//! Several nodes on one database server: they wait for each other, never for nothing, and never lose a change. A SQLite file
//! has one server, so these tests need another database.

use std::time::{Duration, Instant};

use sea_orm::DatabaseTransaction;

use super::shop::*;
use crate::domain::{Incarnation, Payment, Transition};
use crate::store::pools::WRITERS;
use crate::store::{Change, CheckoutKey, Store, Verdict, WriteFate, execute, rows_of, transaction};

/// A shop and a second node on its database.
pub async fn two_nodes(first: i64, second: i64) -> (Shop, Store) {
    let shop = Shop::with(first, second).await;
    must_be_shared(&shop.store);
    let other = shop.another().await;
    (shop, other)
}

/// Both wait for rows, and keep them, for as long as a disk may stand still under a COMMIT of the other.
async fn two_patient_nodes(first: i64, second: i64) -> (Shop, Store) {
    let (shop, other) = two_nodes(first, second).await;
    patient(&shop.store).await;
    patient(&other).await;
    (shop, other)
}

/// The house itself waits for a row for a second, and then tries again later; this is as long as a store waits for an answer. A deadlock is looked for all the same: by
/// PostgreSQL after a second, by InnoDB at once.
pub async fn patient(node: &Store) {
    let pool = node.writer().unwrap().pool;
    let said = match pool.get_database_backend() {
        sea_orm::DbBackend::MySql => {
            "SET innodb_lock_wait_timeout = 7, wait_timeout = 60 /*M!100300 , idle_transaction_timeout = 60 */"
        }
        _ => {
            "SELECT set_config('lock_timeout', '7s', false),
                    set_config('idle_in_transaction_session_timeout', '60s', false)"
        }
    };
    on_each(&pool, WRITERS as usize, said).await;
}

pub fn must_be_shared(store: &Store) {
    assert!(
        store.is_shared(),
        "PAYONCE_TEST_DATABASE must name a server"
    );
}

/// Of a node that is in the middle of something.
pub async fn busy(node: &Store, sql: &[&'static str]) -> DatabaseTransaction {
    let txn = transaction::begin(&node.writer().unwrap().pool)
        .await
        .unwrap();
    for sql in sql {
        execute(&txn, sql, []).await.unwrap();
    }
    txn
}

fn postpone(payment: &Payment, ms: i64) -> Change {
    Change::Postpone {
        order: payment.order.id,
        version: payment.version,
        until: NOW.plus_ms(ms),
    }
}

const BATCHES: i64 = 200;

/// In each batch an order is made and begun, both products are filled, and both shared payments are touched.
async fn many_batches(node: Store, [one, two]: [i64; 2], payments: [Payment; 2]) {
    for n in 0..BATCHES {
        let first = checkout(order(&[(one, 1), (two, 1)]));
        let batch = [
            postpone(&payments[0], n),
            restock(one, 1),
            new_order(&first),
            Change::Advance(started(&first.next, "k")),
            restock(two, 1),
            postpone(&payments[1], n),
        ];
        let verdicts = node.commit(&batch).await.unwrap().verdicts;
        assert_eq!(verdicts, [FREE, FREE, FREE, HELD, FREE, FREE]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn two_nodes_whose_batches_cross_lose_nothing_and_trouble_nobody() {
    let (shop, other) = two_patient_nodes(50, 70).await;
    let (a, b) = (shop.ready(&[(1, 1)]).await, shop.ready(&[(2, 1)]).await);
    let there = many_batches(shop.store.clone(), [1, 2], [a.clone(), b.clone()]);
    let back = many_batches(other, [2, 1], [b, a]);
    let begun = std::time::Instant::now();
    let (there, back) = (tokio::spawn(there), tokio::spawn(back));
    there.await.unwrap();
    back.await.unwrap();
    // Crossing locks are no trouble that shows: each deadlock of PostgreSQL's stands for a second, and is tried again.
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(60), "{took:?}");
    // As many came as went.
    assert_eq!(shop.stock(1).await, (50, 50 + 2 * BATCHES));
    assert_eq!(shop.stock(2).await, (70, 70 + 2 * BATCHES));
    let orders = 2 * BATCHES;
    assert_eq!(shop.counts().await, [2 + orders, 2 + 2 * orders, 0, orders]);
}

/// The other node has product 2 and wants 1, we have 1 and want 2; it has done more, so that it is we who are sent back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_deadlock_with_another_node_is_tried_again_and_not_reported() {
    let (shop, other) = two_patient_nodes(5, 5).await;
    let more: Vec<(i64, i64)> = (3..20).map(|id| (id, 1)).collect();
    shop.list_and_fill(&more).await;
    let more = "UPDATE products SET stock = stock + 1, received = received + 1 WHERE id > 2";
    let two = "UPDATE products SET stock = stock + 1, received = received + 1 WHERE id = 2";
    let one = "UPDATE products SET stock = stock + 1, received = received + 1 WHERE id = 1";
    let txn = busy(&other, &[more, two]).await;
    let store = shop.store.clone();
    let ours = tokio::spawn(async move { store.commit(&[restock(2, 1), restock(1, 1)]).await });
    until_locked(&other, 1).await;
    execute(&txn, one, []).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(ours.await.unwrap().unwrap().verdicts, [FREE, FREE]);
    assert_eq!((shop.stock(1).await, shop.stock(2).await), ((7, 7), (7, 7)));
}

/// Product 1, or everybody who looks waits for ever.
async fn until_locked(node: &Store, _product: i64) {
    let free = "SELECT 1 AS one FROM products WHERE id = 1 FOR UPDATE SKIP LOCKED";
    loop {
        let txn = busy(node, &[]).await;
        let found: Result<Vec<Here>, _> = rows_of(&txn, free, []).await;
        txn.rollback().await.unwrap();
        if found.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[derive(sea_orm::FromQueryResult)]
struct Here {}

/// Two nodes take the same order at once, each with its own paymentKey: one has it, the other hears that it is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn of_two_nodes_that_replace_one_version_one_is_stale() {
    // One piece each time: whoever is late hears so, and not that the shelf is empty, which it is for its own order's sake.
    let (shop, other) = two_patient_nodes(1, 0).await;
    for round in 0..50 {
        if round > 0 {
            assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
        }
        let ready = shop.ready(&[(1, 1)]).await;
        let take = |node: &Store, name| {
            let (node, change) = (node.clone(), Change::Advance(started(&ready, name)));
            tokio::spawn(async move { node.commit(&[change]).await.unwrap().verdicts })
        };
        let (a, b) = (take(&shop.store, "a"), take(&other, "b"));
        let mut verdicts = [a.await.unwrap(), b.await.unwrap()].concat();
        verdicts.sort_by_key(|verdict| *verdict != HELD);
        assert_eq!(verdicts, [HELD, Verdict::Stale { version: Some(2) }]);
    }
    assert_eq!(shop.stock(1).await, (0, 50));
    assert_eq!(shop.counts().await, [50, 100, 0, 50]);
}

/// Two batches wait for a row that another node holds, and the node lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_heart_beats_beside_batches_that_wait_for_another_node() {
    let (shop, other) = two_patient_nodes(5, 5).await;
    let (incarnation, name) = (ME, "waits".into());
    assert_eq!(
        shop.commit(&[Change::Register { incarnation, name }]).await,
        [FREE]
    );
    let hold = "SELECT id FROM products WHERE id = 1 FOR UPDATE";
    let txn = busy(&other, &[hold]).await;
    let batch = || {
        let store = shop.store.clone();
        tokio::spawn(async move { store.commit(&[restock(1, 1)]).await })
    };
    let waiting = [batch(), batch()];
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        assert_eq!(
            shop.commit(&[Change::Heartbeat {
                incarnation,
                saturated: false
            }])
            .await,
            [FREE]
        );
    }
    assert!(waiting.iter().all(|batch| !batch.is_finished()));
    txn.rollback().await.unwrap();
    for batch in waiting {
        assert_eq!(batch.await.unwrap().unwrap().verdicts, [FREE]);
    }
}

/// A duplicate is no row that was written, whatever the driver counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn two_nodes_with_one_checkout_key_make_one_order() {
    let (shop, other) = two_patient_nodes(10, 0).await;
    for n in 0..50 {
        let first = checkout(order(&[(1, 1)]));
        let key = CheckoutKey {
            user: first.next.order.user.clone(),
            key: format!("key {n}").into(),
            body_hash: [7; 32],
        };
        let buy = |node: &Store, transition: Transition| {
            let (node, key) = (node.clone(), Some(key.clone()));
            let change = Change::Checkout { transition, key };
            tokio::spawn(async move { node.commit(&[change]).await.unwrap().verdicts })
        };
        let second = checkout(order(&[(1, 1)]));
        let (a, b) = (buy(&shop.store, first), buy(&other, second));
        let verdicts = [a.await.unwrap(), b.await.unwrap()].concat();
        let made = verdicts.iter().filter(|verdict| **verdict == FREE).count();
        let told = |verdict: &&Verdict| matches!(verdict, Verdict::Duplicate { .. });
        assert_eq!((made, verdicts.iter().filter(told).count()), (1, 1));
    }
    assert_eq!(shop.counts().await, [50, 50, 0, 0]);
    let keys = "SELECT count(*) AS n FROM checkout_keys";
    assert_eq!(shop.count(keys).await, 50);
}

/// Whoever holds the key is waited for, and must then be seen, not taken for a poison.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_checkout_that_waited_for_its_key_hears_of_the_order_that_has_it() {
    let (shop, other) = two_patient_nodes(10, 0).await;
    let theirs = shop.ready(&[(1, 1)]).await.order;
    let mine = checkout(order(&[(1, 1)]));
    let insert = format!(
        "INSERT INTO checkout_keys VALUES ('{}', 'key', '{}', '{}', {})",
        mine.next.order.user.as_str(),
        "07".repeat(32),
        theirs.id,
        NOW.micros()
    );
    let txn = busy(&other, &[insert.leak()]).await;
    let key = CheckoutKey {
        user: mine.next.order.user.clone(),
        key: "key".into(),
        body_hash: [7; 32],
    };
    let change = Change::Checkout {
        transition: mine,
        key: Some(key),
    };
    let store = shop.store.clone();
    let asked = tokio::spawn(async move { store.commit(&[change]).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!asked.is_finished(), "it does not wait");
    txn.commit().await.unwrap();
    let verdicts = asked.await.unwrap().unwrap().verdicts;
    let [Verdict::Duplicate { order, .. }] = verdicts[..] else {
        panic!("{verdicts:?}");
    };
    assert_eq!(order, theirs.id);
    assert_eq!(shop.counts().await[0], 1);
}

#[tokio::test]
async fn a_row_that_stays_as_it_is_was_found() {
    let shop = Shop::with(10, 0).await;
    let running = shop.in_progress(&[(1, 1)], "k").await;
    let register = Change::Register {
        incarnation: ME,
        name: "here".into(),
    };
    let beat = Change::Heartbeat {
        incarnation: ME,
        saturated: false,
    };
    assert_eq!(shop.commit(&[register]).await, [FREE]);
    for _ in 0..3 {
        assert_eq!(shop.commit(std::slice::from_ref(&beat)).await, [FREE]);
        assert_eq!(shop.commit(&[postpone(&running, 5)]).await, [HELD]);
        assert_eq!(shop.commit(&[Change::List(listing(1))]).await, [FREE]);
        assert_eq!(shop.commit(&[restock(1, 0)]).await, [FREE]);
    }
    let stranger = Incarnation(uuid::Uuid::from_u128(0xdead));
    let beat = Change::Heartbeat {
        incarnation: stranger,
        saturated: true,
    };
    assert_eq!(shop.commit(&[beat]).await, [Verdict::NotFound]);
}

/// The answer to COMMIT is lost and the commit still on its way: who asks waits for it, and must see what it has waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn reading_back_sees_what_its_lock_has_waited_for() {
    let (shop, other) = two_patient_nodes(10, 0).await;
    let ready = shop.ready(&[(1, 1)]).await;
    let mine = started(&ready, "mine");
    let (order, transition) = (ready.order.id, mine.id);
    let insert = format!(
        "INSERT INTO payment_history (order_id, version, transition_id, to_status, event, at)
         VALUES ('{order}', 2, '{}', 'IN_PROGRESS', 'ATTEMPT_STARTED', 1)",
        transition.0
    );
    let update = format!("UPDATE payments SET version = 2 WHERE order_id = '{order}'");
    let txn = busy(&other, &[update.leak(), insert.leak()]).await;
    let store = shop.store.clone();
    let asked = tokio::spawn(async move { store.read_back(order, transition, 1).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!asked.is_finished(), "it does not wait");
    txn.commit().await.unwrap();
    assert_eq!(
        asked.await.unwrap().unwrap(),
        WriteFate::Landed { held: false }
    );
}

/// Only the rows of a batch are locked: whoever has others goes on, however the database found them.
#[tokio::test]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_batch_waits_for_nobody_who_has_other_rows() {
    let (shop, other) = two_patient_nodes(10, 10).await;
    let (a, b) = (shop.ready(&[(1, 1)]).await, shop.ready(&[(2, 1)]).await);
    let sql = other.0.sql;
    let txn = busy(&other, &[]).await;
    let keys = [
        sql.batch.keys(&[a.order.id.uuid()]).unwrap(),
        sql.batch.keys(&[1]).unwrap(),
    ];
    let locked: Vec<Here> = rows_of(&txn, sql.lock_rows, keys).await.unwrap();
    assert_eq!(locked.len(), 1);
    let batch = [
        Change::Advance(started(&b, "k")),
        restock(2, 1),
        Change::List(listing(3)),
        // Its product is one that is being sold.
        new_order(&checkout(order(&[(1, 1)]))),
    ];
    assert_eq!(shop.commit(&batch).await, [HELD, FREE, FREE, FREE]);
    let wanted = [restock(1, 1)];
    let blocked = tokio::time::timeout(Duration::from_millis(300), shop.commit(&wanted));
    assert!(blocked.await.is_err(), "product 1 was not locked");
    txn.rollback().await.unwrap();
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    assert_eq!(shop.stock(1).await, (11, 11));
}

/// Its process stands still, its connection does not end.
#[tokio::test]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_node_that_is_paused_in_a_transaction_loses_its_rows() {
    let (shop, other) = two_nodes(10, 0).await;
    let taken = "UPDATE products SET stock = 0 WHERE id = 1";
    let paused = busy(&other, &[taken]).await;
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    assert_eq!(shop.stock(1).await, (11, 11));
    assert!(paused.commit().await.is_err(), "it woke up and wrote");
    assert_eq!(shop.stock(1).await, (11, 11));
    assert_eq!(
        other.commit(&[restock(1, 1)]).await.unwrap().verdicts,
        [FREE]
    );
}

/// Said on so many connections of a pool at once, for as long as they live.
pub async fn on_each(pool: &sea_orm::DatabaseConnection, connections: usize, said: &'static str) {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(transaction::begin(pool).await);
    }
    for txn in all.into_iter().flatten() {
        execute(&txn, said, []).await.unwrap();
        txn.commit().await.unwrap();
    }
}

/// InnoDB shows a commit whose log is not on disk yet, PostgreSQL one that its standby may not have. It is believed once a
/// later write of our own is committed.
#[tokio::test]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn what_has_landed_is_believed_only_with_a_later_write() {
    let shop = Shop::with(10, 0).await;
    must_be_shared(&shop.store);
    let paid = approved(&shop.in_progress(&[(1, 1)], "k").await);
    shop.commit(&[Change::Advance(paid.clone())]).await;
    let (store, asked) = (&shop.store, (paid.order_id(), paid.id, paid.replaces));
    let landed = WriteFate::Landed { held: true };
    let read_back = || store.read_back(asked.0, asked.1, asked.2);
    assert_eq!(read_back().await.unwrap(), landed);
    assert_eq!(shop.count("SELECT count(*) AS n FROM nodes").await, 0);

    shop.say("ALTER TABLE nodes RENAME TO nodes_that_cannot_be_written")
        .await;
    let seen = store.look_for(asked.0, asked.1, asked.2).await;
    assert_eq!(seen.unwrap(), landed);
    let unproven = read_back().await;
    assert!(unproven.is_err(), "{unproven:?}");
}
