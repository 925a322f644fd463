//! What is MySQL's and MariaDB's alone: the plans of the statements that run all day, what each connection was told, and steps
//! of the schema that commit by themselves.

use sea_orm::{FromQueryResult, Value};

use super::shop::*;
use crate::domain::product::Listing;
use crate::store::dialect::{self, Telling, Together};
use crate::store::{Change, CommitFault, One, Store, execute, rows_of};

fn must_be_mysql(store: &Store) {
    assert!(
        std::ptr::eq(store.0.sql, dialect::MYSQL),
        "PAYONCE_TEST_DATABASE must name a server of MySQL"
    );
}

/// So many payments and products that no plan is a matter of taste.
async fn large_shop() -> Shop {
    let shop = Shop::empty().await;
    must_be_mysql(&shop.store);
    let products: Vec<(i64, i64)> = (1..=300).map(|id| (id, 10)).collect();
    shop.list_and_fill(&products).await;
    let orders = (0..600).map(|n| checkout(order(&[(n % 300 + 1, 1)])));
    let batch: Vec<Change> = orders
        .flat_map(|first| {
            let next = started(&first.next, "k");
            let paid = Change::Advance(approved(&next.next));
            [new_order(&first), Change::Advance(next), paid]
        })
        .collect();
    shop.commit(&batch).await;
    let analyze = "ANALYZE TABLE payments, products, order_lines, attempts, payment_history, outbox, nodes, checkout_keys";
    shop.say(analyze).await;
    shop
}

#[derive(Debug, FromQueryResult)]
struct Step {
    select_type: String,
    table: Option<String>,
    r#type: Option<String>,
    key: Option<String>,
}

async fn plan(shop: &Shop, sql: &str, values: Vec<Value>) -> Vec<Step> {
    let sql: &'static str = Box::leak(format!("EXPLAIN FORMAT=TRADITIONAL {sql}").into_boxed_str());
    rows_of(&shop.writer(), sql, values).await.unwrap()
}

/// A walk over a table, or over the whole of one of its indexes. What the batch and other steps made is none, and no table
/// that is only written to.
fn walks(step: &&Step) -> bool {
    let made = |table: &str| table == "j" || table.starts_with('<');
    let whole = ["ALL", "index"];
    step.select_type != "INSERT"
        && step.table.as_deref().is_some_and(|table| !made(table))
        && step
            .r#type
            .as_deref()
            .is_some_and(|kind| whole.contains(&kind))
}

#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn every_statement_of_a_commit_or_a_load_looks_rows_up() {
    let shop = large_shop().await;
    let sql = shop.store.0.sql;
    let json = |n| vec![Value::from("[]"); n];
    let text = |n| vec![Value::from("x"); n];
    let mut statements = vec![
        (sql.lock_rows, json(2)),
        (sql.lock_checkout_keys, json(1)),
        (sql.lock_nodes, json(1)),
        (sql.lock_payment, text(1)),
        (sql.drop_checkout_keys, json(1)),
        (sql.postpone_payments, json(1)),
        (sql.update_nodes, json(1)),
        (sql.read_back, text(2)),
        (sql.load, json(1)),
        (sql.history, text(1)),
        (sql.audit_page, vec!["0".into(), 5_i64.into()]),
        (sql.products, json(1)),
        (sql.checkout_key, text(2)),
        (
            sql.due,
            vec![
                0_i64.into(),
                "x".into(),
                10_i64.into(),
                5_i64.into(),
                "0123456789abcdef".into(),
                0_i64.into(),
            ],
        ),
        (sql.versions, json(1)),
        (sql.lives, vec!["x".into(), 5_i64.into()]),
        (sql.backlog, vec![0_i64.into()]),
        (sql.recent, vec![10_i64.into()]),
        (sql.quarantined, vec![10_i64.into()]),
    ];
    let (keep, zero) = (sql.retention, || Value::from(0_i64));
    statements.extend([
        (
            keep.checkout_keys,
            vec!["0".into(), "0".into(), 5_i64.into()],
        ),
        (keep.nodes, vec!["0".into(), zero(), 5_i64.into()]),
        (keep.history, vec!["0".into(), zero(), zero(), 5_i64.into()]),
        (keep.outbox, vec![zero(), 5_i64.into()]),
        (keep.drop_checkout_keys, json(1)),
        (keep.drop_history, json(1)),
        (keep.drop_outbox, json(1)),
        (keep.drop_nodes, vec!["[]".into(), zero()]),
    ]);
    let Together::Each(texts) = sql.write_payments else {
        panic!("a server of MySQL takes one statement at a time");
    };
    statements.extend(texts.map(|text| (text, json(1))));
    let Telling::Afterwards(stock) = sql.tell_stock else {
        panic!("a server of MySQL is asked for what it moved");
    };
    statements.push((stock, json(1)));
    for (sql, values) in statements {
        let plan = plan(&shop, sql, values).await;
        let walk = plan.iter().find(walks);
        // The newest orders are the end of the primary key.
        assert!(
            walk.is_none() || sql.contains("DESC LIMIT"),
            "{sql}\n{plan:#?}"
        );
    }
}

/// Whatever the statistics say, the batch comes first and the table is searched by its key: any other plan would lock it all.
#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn rows_are_locked_by_their_keys_in_a_large_shop() {
    locks_by_keys(&large_shop().await).await;
}

#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn rows_are_locked_by_their_keys_on_the_first_day() {
    let shop = Shop::with(1, 1).await;
    must_be_mysql(&shop.store);
    shop.in_progress(&[(1, 1)], "k").await;
    locks_by_keys(&shop).await;
}

async fn locks_by_keys(shop: &Shop) {
    let sql = shop.store.0.sql;
    let json = |n| vec![Value::from("[]"); n];
    let Together::Each([_, _, update, ..]) = sql.write_payments else {
        panic!("a server of MySQL takes one statement at a time");
    };
    for (text, values) in [
        (sql.lock_rows, 2),
        (update, 1),
        (sql.move_stock, 1),
        (sql.postpone_payments, 1),
        (sql.update_nodes, 1),
        (sql.lock_nodes, 1),
        (sql.lock_checkout_keys, 1),
        (sql.drop_checkout_keys, 1),
    ] {
        let plan = plan(shop, text, json(values)).await;
        let of_tables = plan
            .iter()
            .filter(|step| step.table.as_deref().is_some_and(|t| t != "j"));
        let of_tables: Vec<&Step> = of_tables.collect();
        assert_eq!(of_tables.len(), values, "{text}\n{plan:#?}");
        for step in of_tables {
            let found = (step.r#type.as_deref(), step.key.as_deref());
            assert_eq!(
                found,
                (Some("eq_ref"), Some("PRIMARY")),
                "{text}\n{plan:#?}"
            );
        }
    }
}

#[derive(Debug, PartialEq, Eq, FromQueryResult)]
struct Session {
    isolation: String,
    sql_mode: String,
    time_zone: String,
    collation: String,
    patience_s: i64,
    gathered_bytes: i64,
    reads_only: i64,
}

#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn each_connection_is_told_about_time_isolation_and_strictness() {
    let shop = Shop::empty().await;
    must_be_mysql(&shop.store);
    let sql = "
        SELECT CAST(/*M!100300 @@tx_isolation */ /*!80000 @@transaction_isolation */ AS CHAR) AS isolation,
               CAST(@@sql_mode AS CHAR) AS sql_mode, CAST(@@time_zone AS CHAR) AS time_zone,
               CAST(@@collation_connection AS CHAR) AS collation,
               CAST(@@innodb_lock_wait_timeout AS SIGNED) AS patience_s,
               CAST(@@group_concat_max_len AS SIGNED) AS gathered_bytes,
               CAST(/*M!100300 @@tx_read_only */ /*!80000 @@transaction_read_only */ AS SIGNED) AS reads_only";
    for (pool, reads_only) in [(shop.writer(), 0), (shop.store.readers().pool, 1)] {
        let found: Vec<Session> = rows_of(&pool, sql, []).await.unwrap();
        let mut modes: Vec<&str> = found[0].sql_mode.split(',').collect();
        modes.sort_unstable();
        let wanted = [
            "ERROR_FOR_DIVISION_BY_ZERO",
            "NO_ENGINE_SUBSTITUTION",
            "STRICT_TRANS_TABLES",
        ];
        assert_eq!(modes, wanted);
        let told = Session {
            isolation: "READ-COMMITTED".to_owned(),
            sql_mode: found[0].sql_mode.clone(),
            time_zone: "+00:00".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
            patience_s: 1,
            gathered_bytes: 1 << 28,
            reads_only,
        };
        assert_eq!(found, [told]);
    }
    let sql = "INSERT INTO users (id, name) VALUES ('x', 'x')";
    assert!(execute(&shop.store.readers().pool, sql, []).await.is_err());
}

/// MariaDB's JSON_TABLE cuts what is longer than its column, and says nothing.
#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn a_text_that_is_too_long_is_refused_and_never_cut() {
    let shop = Shop::empty().await;
    must_be_mysql(&shop.store);
    for (chars, fits) in [(100, true), (101, false), (512, false), (5_000, false)] {
        let listing = Listing {
            name: "갸".repeat(chars).into(),
            ..listing(1)
        };
        let listed = shop.store.commit(&[Change::List(listing)]).await;
        let refused = matches!(listed, Err(CommitFault::Refused(_)));
        assert_eq!(
            (listed.is_ok(), refused),
            (fits, !fits),
            "{chars}: {listed:?}"
        );
    }
}

/// A node can die between a step and its note.
#[tokio::test]
#[ignore = "needs MySQL or MariaDB: PAYONCE_TEST_DATABASE=mysql://..."]
async fn a_step_that_was_made_and_not_noted_is_not_made_again() {
    let shop = Shop::with(10, 0).await;
    must_be_mysql(&shop.store);
    let paid = shop.in_progress(&[(1, 1)], "k").await;
    let forget = "DELETE FROM seaql_migrations WHERE version >= 'm0003'";
    shop.say(forget).await;
    assert_eq!(
        shop.store.pending_migrations().await.unwrap().len(),
        steps_from(3)
    );
    assert_eq!(shop.store.migrate().await.unwrap(), steps_from(3));
    assert_eq!(shop.store.migrate().await.unwrap(), 0);
    assert_eq!(shop.load(&paid).await, paid);
    // The lock went with the work, on whichever connection that was.
    let other = shop.another().await;
    assert_eq!(other.migrate().await.unwrap(), 0);
    let _: Vec<One> = shop.store.rows(shop.store.0.sql.ping, []).await.unwrap();
}
