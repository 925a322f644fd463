//! The schema's steps on a database server, which nodes serve meanwhile: made once, beside them, and not by everybody.

use std::time::Duration;

use super::shared::{busy, must_be_shared, two_nodes};
use super::shop::*;
use crate::store::{Opened, Store, StoreFault, execute, rows_of, transaction};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn nodes_that_start_together_migrate_once_and_share_what_they_make() {
    let folder = tempfile::TempDir::new().unwrap();
    let database = TestDatabase::new(&folder.path().join("shop.db"));
    let open = || Store::open(settings(&database.url), Opened::Serving);
    let first = open().await.unwrap();
    must_be_shared(&first);
    let nodes = [first, open().await.unwrap(), open().await.unwrap()];
    let of_each = |node: &Store| tokio::spawn(beginning(node.clone()));
    let begun = futures_util::future::join_all(nodes.iter().map(of_each)).await;
    let begun: Vec<(usize, bool, [u8; 32])> = begun
        .into_iter()
        .map(|node| node.unwrap().unwrap())
        .collect();
    let mut steps: Vec<usize> = begun.iter().map(|(steps, ..)| *steps).collect();
    steps.sort_unstable();
    assert_eq!(steps, [0, 0, steps_from(1)]);
    assert_eq!(begun.iter().filter(|(_, loaded, _)| *loaded).count(), 1);
    assert!(begun.iter().all(|(.., secret)| *secret == begun[0].2));
    for node in nodes {
        assert_eq!(node.pending_migrations().await.unwrap().len(), 0);
        node.close().await;
    }
}

#[derive(sea_orm::FromQueryResult)]
struct Had {
    had: i64,
}

/// A long migration elsewhere is no reason to give up a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_migration_elsewhere_is_waited_for_longer_than_a_row() {
    let (shop, other) = two_nodes(1, 1).await;
    let sql = shop.store.0.sql;
    let txn = transaction::begin(&shop.writer()).await.unwrap();
    let lock: Vec<Had> = rows_of(&txn, sql.lock_schema.unwrap(), []).await.unwrap();
    assert_eq!(lock[0].had, 1);
    let waiting = tokio::spawn(async move { other.migrate().await });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    if let Some(unlock) = sql.unlock_schema {
        let _: Vec<Had> = rows_of(&txn, unlock, []).await.unwrap();
    }
    txn.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
}

async fn beginning(node: Store) -> Result<(usize, bool, [u8; 32]), StoreFault> {
    let steps = node.migrate().await?;
    let loaded = node.load_demo_data().await?;
    Ok((steps, loaded, node.secret("tokens").await?))
}

/// Whoever brings goods to a shop whose nodes are older does not change the schema under them. Lines of before stay, nameless.
#[tokio::test]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn an_import_changes_no_schema_that_is_served() {
    let folder = tempfile::TempDir::new().unwrap();
    let database = TestDatabase::new(&folder.path().join("shop.db"));
    let store = Store::open(settings(&database.url), Opened::Tool).await;
    let store = store.unwrap();
    assert_eq!(store.migrate_unserved().await.unwrap(), steps_from(1));
    store.close().await;
    let shop = Shop::with(1, 0).await;
    let paid = shop.in_progress(&[(1, 1)], "k").await;
    for sql in [
        "ALTER TABLE order_lines DROP COLUMN name",
        "DELETE FROM seaql_migrations WHERE version >= 'm0018'",
    ] {
        shop.say(sql).await;
    }
    let store = &shop.store;
    let refused = store.migrate_unserved().await;
    let missing = steps_from(18);
    assert!(
        matches!(refused, Err(StoreFault::NotMigrated { missing: found }) if found == missing),
        "{refused:?}"
    );
    assert_eq!(store.migrate().await.unwrap(), missing);
    assert_eq!(store.migrate_unserved().await.unwrap(), 0);
    let lines = shop.load(&paid).await.order.lines;
    assert_eq!((lines.len(), &lines[0].name), (1, &None));
}

/// A node that serves has the table; whoever comes to change it waits, tries again, and does not fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_step_of_the_schema_waits_for_a_table_that_is_held() {
    let (shop, other) = two_nodes(10, 0).await;
    let paid = shop.in_progress(&[(1, 1)], "k").await;
    for sql in [
        "CREATE INDEX payments_user ON payments (user_id, order_id)",
        "DELETE FROM seaql_migrations WHERE version >= 'm0014'",
    ] {
        shop.say(sql).await;
    }
    let held = busy(&other, &["UPDATE payments SET rounds = rounds + 1"]).await;
    let store = shop.store.clone();
    let migrating = tokio::spawn(async move { store.migrate().await });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        execute(&held, "SELECT 1", []).await.unwrap();
    }
    assert!(!migrating.is_finished());
    held.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), steps_from(14));
    assert_eq!(shop.load(&paid).await, paid);
}
