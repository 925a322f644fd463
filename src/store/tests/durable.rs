//! The file: one server, readers beside it, no transaction that starts as a reader, nothing half written.

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult, SqlxSqliteConnector};
use tempfile::TempDir;

use super::shop::*;
use crate::store::{
    Change, CommitFault, Opened, Store, StoreFault, StoreSettings, execute, rows_of, transaction,
};

#[derive(FromQueryResult)]
struct Stock {
    stock: i64,
}

/// Several connections that write, as no store of ours has: the lock of the file is all that orders them.
async fn many_writers(shop: &Shop, patience: Duration) -> DatabaseConnection {
    let options = SqliteConnectOptions::new()
        .filename(&shop.store.0.name)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(patience);
    let pool = SqlitePoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(60));
    let pool = pool.connect_with(options).await.unwrap();
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_starts_as_a_reader_cannot_exist() {
    let shop = Shop::file_with(400, 0).await;
    let writers = many_writers(&shop, Duration::from_secs(60)).await;
    let buyers = (0..400).map(|_| {
        let writers = writers.clone();
        tokio::spawn(async move {
            let txn = transaction::begin(&writers).await?;
            let sql = "SELECT stock FROM products WHERE id = 1";
            let seen: Vec<Stock> = rows_of(&txn, sql, []).await?;
            let left = seen[0].stock - 1;
            execute(
                &txn,
                "UPDATE products SET stock = ?1 WHERE id = 1",
                [left.into()],
            )
            .await?;
            txn.commit().await
        })
    });
    for bought in futures_util::future::join_all(buyers).await {
        bought.unwrap().unwrap();
    }
    assert_eq!(shop.stock(1).await, (0, 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_from_many_tasks_take_turns_and_none_is_lost() {
    let shop = Shop::with(400, 0).await;
    let batches = (0..100).map(|_| {
        let store = shop.store.clone();
        tokio::spawn(async move {
            let first = checkout(order(&[(1, 1)]));
            let start = Change::Advance(started(&first.next, "k"));
            store.commit(&[new_order(&first), start]).await
        })
    });
    for committed in futures_util::future::join_all(batches).await {
        assert_eq!(committed.unwrap().unwrap().verdicts, [FREE, HELD]);
    }
    assert_eq!(shop.stock(1).await, (300, 400));
    assert_eq!(shop.counts().await, [100, 200, 0, 100]);
}

#[tokio::test]
async fn a_second_serving_process_is_refused_while_readers_work_beside() {
    let shop = Shop::file_with(5, 5).await;
    let paid = shop.in_progress(&[(1, 1)], "k").await;
    for opened in [Opened::Serving, Opened::Tool] {
        let second = Store::open(file_settings(&shop.folder), opened).await;
        assert!(
            matches!(second, Err(StoreFault::AlreadyServed { .. })),
            "{second:?}"
        );
    }
    // Another spelling of the same file is the same file.
    let url = format!("sqlite://{}/./shop.db", shop.folder.path().display());
    let spelled = StoreSettings {
        url,
        ..file_settings(&shop.folder)
    };
    let second = Store::open(spelled, Opened::Serving).await;
    assert!(
        matches!(second, Err(StoreFault::AlreadyServed { .. })),
        "{second:?}"
    );

    let reader = Store::open(file_settings(&shop.folder), Opened::ReadOnly)
        .await
        .unwrap();
    assert_eq!(
        reader.load(paid.order.id).await.unwrap(),
        Some(paid.clone())
    );
    assert_eq!(
        reader.pending_migrations().await.unwrap(),
        Vec::<String>::new()
    );
    let written = reader.commit(&[restock(1, 1)]).await;
    assert!(
        matches!(written, Err(CommitFault::Unavailable(_))),
        "{written:?}"
    );
    // What is committed beside it is seen at once.
    shop.commit(&[Change::Advance(approved(&paid))]).await;
    let seen = reader.load(paid.order.id).await.unwrap().unwrap();
    assert_eq!(seen.version, 3);
    reader.ping().await.unwrap();
    reader.close().await;

    shop.store.close().await;
    let alone = Store::open(file_settings(&shop.folder), Opened::ReadOnly)
        .await
        .unwrap();
    assert_eq!(alone.load(paid.order.id).await.unwrap(), Some(seen));
    let next = Store::open(file_settings(&shop.folder), Opened::Serving)
        .await
        .unwrap();
    next.ping().await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_says_why() {
    let folder = TempDir::new().unwrap();
    let open = async |name: &str, opened| {
        let url = format!("sqlite://{}/{name}", folder.path().display());
        let settings = StoreSettings {
            url,
            ..file_settings(&folder)
        };
        Store::open(settings, opened).await.unwrap_err()
    };
    let fault = open("missing/shop.db", Opened::Serving).await;
    assert!(matches!(fault, StoreFault::NoFolder { .. }), "{fault}");
    let fault = open("shop.db", Opened::ReadOnly).await;
    assert!(matches!(fault, StoreFault::NoDatabase { .. }), "{fault}");
    std::fs::create_dir(folder.path().join("folder.db")).unwrap();
    let fault = open("folder.db", Opened::Serving).await;
    assert!(matches!(fault, StoreFault::Unwritable { .. }), "{fault}");
    std::fs::write(
        folder.path().join("text.db"),
        "not a database, but long enough to look",
    )
    .unwrap();
    let fault = open("text.db", Opened::Serving).await;
    assert!(matches!(fault, StoreFault::Unavailable(_)), "{fault}");
    let url = "postgres://user:password@host/db".to_owned();
    let elsewhere = StoreSettings {
        url,
        ..file_settings(&folder)
    };
    let fault = Store::open(elsewhere, Opened::Serving).await.unwrap_err();
    assert!(!fault.to_string().contains("password"), "{fault}");
}

#[tokio::test]
async fn migrating_twice_does_it_once() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(file_settings(&folder), Opened::Tool)
        .await
        .unwrap();
    assert_eq!(
        store.pending_migrations().await.unwrap().len(),
        steps_from(1)
    );
    assert_eq!(steps_from(21), 1, "a step that is out is never taken back");
    let both = futures_util::future::join(store.migrate(), store.migrate()).await;
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!((first + second, first.min(second)), (steps_from(1), 0));
    assert_eq!(store.pending_migrations().await.unwrap().len(), 0);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_named_and_left_alone() {
    let shop = Shop::with(1, 0).await;
    let step = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_next', 1)";
    shop.say(step).await;
    let asked = shop.store.pending_migrations().await.map(drop);
    let begun = shop.store.migrate().await.map(drop);
    for refused in [asked, begun] {
        let named = |steps: &str| steps.contains("m9999_next");
        assert!(
            matches!(&refused, Err(StoreFault::Ahead(steps)) if named(steps)),
            "{refused:?}"
        );
    }
    shop.reader().await.unwrap().close().await;
    // Older tables are said to be so: a reader would ask them for columns that they do not have.
    shop.say("DELETE FROM seaql_migrations WHERE version >= 'm0021'")
        .await;
    let refused = shop.reader().await.map(drop);
    assert!(
        matches!(refused, Err(StoreFault::NotMigrated { missing: 1 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_writer_is_durable_and_readers_cannot_write() {
    #[derive(FromQueryResult)]
    struct Pragmas {
        journal_mode: String,
        synchronous: i64,
        foreign_keys: i64,
    }
    let shop = Shop::file_with(0, 0).await;
    let sql = "SELECT * FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys";
    let found: Vec<Pragmas> = rows_of(&shop.writer(), sql, []).await.unwrap();
    let found = &found[0];
    assert_eq!((&*found.journal_mode, found.synchronous), ("wal", 2));
    assert_eq!(found.foreign_keys, 1);
    let sql = "INSERT INTO users (id, name) VALUES ('x', 'x')";
    assert!(execute(&shop.store.readers().pool, sql, []).await.is_err());
}

/// What SQLite does by itself when the disk is full: it rolls back, and the connection is not used again.
async fn lose_the_connection(shop: &Shop) {
    let txn = transaction::begin(&shop.writer()).await.unwrap();
    txn.execute_unprepared("ROLLBACK").await.unwrap();
    assert!(txn.commit().await.is_err());
}

#[tokio::test]
async fn a_connection_whose_transaction_vanished_is_replaced() {
    let shop = Shop::file_with(5, 0).await;
    lose_the_connection(&shop).await;
    // On the old connection this would be a savepoint, and would take no lock before it writes.
    let next = transaction::begin(&shop.writer()).await.unwrap();
    let others = many_writers(&shop, Duration::ZERO).await;
    assert!(transaction::begin(&others).await.is_err());
    next.rollback().await.unwrap();
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    assert_eq!(shop.stock(1).await, (6, 6));
}

/// Connections that are open go on with the file that they have; a new one does not begin an empty database.
#[tokio::test]
async fn a_database_that_was_moved_away_is_unavailable_until_it_is_back() {
    let shop = Shop::file_with(5, 0).await;
    let (here, away) = (
        Path::new(&shop.store.0.name),
        shop.folder.path().join("away.db"),
    );
    std::fs::rename(here, &away).unwrap();
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    lose_the_connection(&shop).await;
    let fault = shop.store.commit(&[restock(1, 1)]).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Unavailable(_)), "{fault:?}");
    assert!(!here.exists());
    std::fs::rename(&away, here).unwrap();
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    assert_eq!(shop.stock(1).await, (7, 7));
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_panics_nobody() {
    let shop = Shop::file_with(5, 0).await;
    let ready = shop.ready(&[(1, 1)]).await;
    shop.store.close().await;
    let fault = shop.store.commit(&[restock(1, 1)]).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Unavailable(_)), "{fault:?}");
    let fault = shop.store.load(ready.order.id).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Unavailable(_)), "{fault:?}");
    assert!(shop.store.ping().await.is_err());
}

#[tokio::test]
async fn a_change_of_stock_leaves_a_row_or_a_place_that_is_taken() {
    let shop = Shop::file_with(5, 0).await;
    let (made, lost) = (restock(1, 2), restock(1, 3));
    let of = |change: &Change| match change {
        Change::Restock(restock) => restock.clone(),
        other => panic!("{other:?}"),
    };
    shop.commit(std::slice::from_ref(&made)).await;
    assert!(shop.store.settle_restock(&of(&made)).await.unwrap());
    for _ in 0..2 {
        assert!(!shop.store.settle_restock(&of(&lost)).await.unwrap());
    }
    // It can never land now, and asking again says the same of both.
    let fault = shop.store.commit(&[lost]).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Refused(_)), "{fault:?}");
    assert_eq!(shop.stock(1).await, (7, 7));
    let sum = "SELECT sum(quantity) AS n FROM stock_changes WHERE product_id = 1";
    assert_eq!(shop.count(sum).await, 7);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_passes() {
    let shop = Shop::file_with(500, 0).await;
    let batch: Vec<Change> = (0..200)
        .map(|_| new_order(&checkout(order(&[(1, 1)]))))
        .collect();
    // The file may not grow any more.
    shop.say("PRAGMA max_page_count = 1").await;
    let fault = shop.store.commit(&batch).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Unavailable(_)), "{fault:?}");
    assert_eq!(shop.counts().await, [0, 0, 0, 0]);
    shop.say("PRAGMA max_page_count = 1000000").await;
    assert_eq!(shop.commit(&batch).await.len(), 200);
    assert_eq!(shop.counts().await, [200, 200, 0, 0]);
}

#[tokio::test]
async fn a_locked_database_is_unavailable_and_nothing_was_written() {
    let folder = TempDir::new().unwrap();
    let settings = StoreSettings {
        busy_timeout_ms: 50,
        ..file_settings(&folder)
    };
    let store = Store::open(settings, Opened::Serving).await.unwrap();
    store.migrate().await.unwrap();
    let shop = Shop::of(store, folder);
    shop.list_and_fill(&[(1, 5)]).await;
    let others = many_writers(&shop, Duration::ZERO).await;
    let other = transaction::begin(&others).await.unwrap();
    let fault = shop.store.commit(&[restock(1, 1)]).await.unwrap_err();
    assert!(matches!(fault, CommitFault::Unavailable(_)), "{fault:?}");
    shop.store.ping().await.unwrap();
    assert_eq!(shop.stock(1).await, (5, 5), "reads go on");
    other.rollback().await.unwrap();
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
}

#[tokio::test]
async fn an_abandoned_commit_leaves_all_of_its_batch_or_nothing() {
    let shop = Shop::file_with(500, 500).await;
    for n in 0..40 {
        let batch: Vec<Change> = (0..20)
            .map(|_| new_order(&checkout(order(&[(1, 1), (2, 1)]))))
            .collect();
        let commit = shop.store.commit(&batch);
        let _ = tokio::time::timeout(Duration::from_micros(100 * n), commit).await;
        let payments = shop.count("SELECT count(*) AS n FROM payments").await;
        assert_eq!(payments % 20, 0, "after {n}");
    }
    assert_eq!(shop.commit(&[restock(1, 1)]).await, [FREE]);
    let payments = shop.count("SELECT count(*) AS n FROM payments").await;
    assert_eq!(
        shop.count("SELECT count(*) AS n FROM order_lines").await,
        2 * payments
    );
    assert_eq!(
        shop.count("SELECT count(*) AS n FROM payment_history")
            .await,
        payments
    );
}
