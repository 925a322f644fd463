//! What is PostgreSQL's alone: what each connection was told, whatever the server's own settings are, and partitions.

use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult, Statement};

use super::shop::*;
use crate::store::dialect::{Telling, Together};
use crate::store::{Pruning, dialect, execute, rows_of, transaction};

async fn shop() -> Shop {
    let shop = Shop::with(10, 10).await;
    assert!(
        std::ptr::eq(shop.store.0.sql, dialect::POSTGRES),
        "PAYONCE_TEST_DATABASE must name a server of PostgreSQL"
    );
    shop
}

#[derive(Debug, PartialEq, Eq, FromQueryResult)]
struct Setting {
    name: String,
    setting: String,
}

#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn each_connection_is_told_about_time_isolation_durability_and_patience() {
    const TOLD: [(&str, &str); 11] = [
        ("TimeZone", "UTC"),
        ("default_transaction_isolation", "read committed"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
        // In ms.
        ("idle_in_transaction_session_timeout", "2000"),
        ("jit", "off"),
        ("lock_timeout", "1000"),
        ("plan_cache_mode", "force_generic_plan"),
        ("synchronous_commit", "on"),
        ("transaction_isolation", "read committed"),
    ];
    let shop = shop().await;
    // New connections are to be told too, by a server that would have it otherwise.
    for (name, otherwise) in [
        ("timezone", "'Asia/Seoul'"),
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "'serializable'"),
    ] {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {name} = {otherwise}', current_database()); END $$",
            otherwise = otherwise.replace('\'', "''")
        );
        execute(&shop.writer(), sql.leak(), []).await.unwrap();
    }
    let other = shop.another().await;
    let names: Vec<String> = TOLD.map(|(name, _)| format!("'{name}'")).into();
    let sql = format!(
        "SELECT name, setting FROM pg_settings WHERE name IN ({}) ORDER BY name COLLATE \"C\"",
        names.join(", ")
    );
    let sql: &'static str = sql.leak();
    let told = TOLD.map(|(name, setting)| Setting {
        name: name.to_owned(),
        setting: setting.to_owned(),
    });
    for pool in [
        other.writer().unwrap().pool.clone(),
        other.readers().pool.clone(),
    ] {
        let found: Vec<Setting> = rows_of(&pool, sql, []).await.unwrap();
        assert_eq!(found, told);
    }
    let sql = "INSERT INTO users (id, name) VALUES ('x', 'x')";
    assert!(execute(&other.readers().pool, sql, []).await.is_err());
    other.close().await;
}

/// An optimist locks with what it writes: whoever took the rows of two batches in another order would meet the other one in a
/// deadlock. So the batch, which is sorted, is outside, and each row is looked up by its key.
#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn rows_are_written_in_the_order_of_their_keys() {
    let shop = shop().await;
    shop.in_progress(&[(1, 1)], "k").await;
    let sql = shop.store.0.sql;
    let Together::Each([_, _, update_payments, _, update_attempts, ..]) = sql.write_payments else {
        panic!("a server of PostgreSQL takes one statement at a time");
    };
    let Telling::Moving(move_and_tell) = sql.tell_stock else {
        panic!("PostgreSQL moves and tells at once");
    };
    for (text, key) in [
        (update_payments, "payments_pkey"),
        (update_attempts, "attempts_pkey"),
        (move_and_tell, "products_pkey"),
        (sql.move_stock, "products_pkey"),
    ] {
        let plan = plan(&shop, "", text).await;
        let steps: Vec<&str> = plan.iter().map(|step| step.trim_start()).collect();
        assert!(steps[1].starts_with("->  Nested Loop"), "{plan:#?}");
        assert!(steps[2].starts_with("->  Subquery Scan on j "), "{plan:#?}");
        assert!(steps[3].starts_with("->  ProjectSet "), "{plan:#?}");
        let looked_up = format!("->  Index Scan using {key}");
        assert!(steps[5].starts_with(&looked_up), "{plan:#?}");
    }
}

/// What is asked of unfinished payments is asked of an index that holds nothing else, however many have ended.
#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn what_has_ended_is_not_in_the_due_queue() {
    let shop = shop().await;
    let sql = shop.store.0.sql;
    for (text, branches) in [
        (sql.due, 4),
        (sql.backlog, 3),
        (sql.quarantined, 1),
        (sql.make_orphans_due[0], 1),
        (sql.make_orphans_due[1], 1),
    ] {
        // A table of a few rows is walked, unless that is dear.
        let plan = plan(&shop, "SET LOCAL enable_seqscan = off", text).await;
        let searches = plan.iter().filter(|step| step.contains("payments_open"));
        assert_eq!(searches.count(), branches, "{plan:#?}");
        let walks = |step: &String| step.contains("Seq Scan on payments");
        assert!(!plan.iter().any(walks), "{plan:#?}");
    }
    assert_eq!(due_queues(&shop).await, (1, 0));
}

/// The due queues that serve: of what is unfinished, and of everything.
async fn due_queues(shop: &Shop) -> (i64, i64) {
    let count = |like: &str| {
        let count = format!(
            "SELECT count(*) AS n FROM pg_index
             WHERE indrelid = 'payments'::regclass AND indisvalid
               AND pg_get_indexdef(indexrelid) LIKE '%(status, next_attempt_at){like}'"
        );
        &*count.leak()
    };
    let [open, all] = [" WHERE%", ""].map(count);
    (shop.count(open).await, shop.count(all).await)
}

/// A large shop builds it beside its nodes, before the step of the schema. Where that was broken off, the step does it.
#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn a_due_queue_that_was_left_half_built_is_built_anew() {
    let shop = shop().await;
    let paid = shop.in_progress(&[(1, 1)], "k").await;
    let build = "CREATE INDEX CONCURRENTLY payments_open ON payments (status, next_attempt_at)
                 WHERE status IN ('READY', 'IN_PROGRESS', 'UNKNOWN', 'QUARANTINED')";
    for is_broken_off in [false, true] {
        for sql in [
            "DROP INDEX payments_open",
            "CREATE INDEX payments_due ON payments (status, next_attempt_at)",
            "DELETE FROM seaql_migrations WHERE version >= 'm0020'",
        ] {
            shop.say(sql).await;
        }
        let writer = shop.writer();
        if is_broken_off {
            let held = transaction::begin(&writer).await.unwrap();
            let hold = "UPDATE payments SET rounds = rounds";
            held.execute_unprepared(hold).await.unwrap();
            writer.execute_unprepared(build).await.unwrap_err();
            held.rollback().await.unwrap();
        } else {
            writer.execute_unprepared(build).await.unwrap();
        }
        let named = "SELECT count(*) AS n FROM pg_class WHERE relname = 'payments_open'";
        assert_eq!(shop.count(named).await, 1);
        let built = i64::from(!is_broken_off);
        assert_eq!(due_queues(&shop).await, (built, 1));
        assert_eq!(shop.store.migrate().await.unwrap(), 2);
        assert_eq!(due_queues(&shop).await, (1, 0), "{is_broken_off}");
    }
    assert_eq!(shop.load(&paid).await, paid);
}

/// As it is planned once, whatever the values will be.
async fn plan(shop: &Shop, setting: &str, text: &str) -> Vec<String> {
    let values = (1..)
        .take_while(|n| text.contains(&format!("${n}")))
        .map(|_| "NULL");
    let values: Vec<&str> = values.collect();
    let explain = format!("EXPLAIN EXECUTE planned ({})", values.join(", "));
    let txn = transaction::begin(&shop.writer()).await.unwrap();
    let prepare = format!("{setting}; PREPARE planned AS {text}");
    txn.execute_unprepared(&prepare).await.unwrap();
    let explain = Statement::from_string(DbBackend::Postgres, explain);
    let rows = txn.query_all_raw(explain).await.unwrap();
    txn.execute_unprepared("DEALLOCATE planned").await.unwrap();
    txn.rollback().await.unwrap();
    rows.iter()
        .map(|row| row.try_get("", "QUERY PLAN").unwrap())
        .collect()
}

const PARTITIONS: &str = include_str!("../../../config/partitions.sql");

/// Each place of a row is one of its partition: what goes from one must not take along what lies there in another.
#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn partitions_are_written_read_and_kept_clean_each_by_itself() {
    let shop = shop().await;
    let before = shop.in_progress(&[(1, 1)], "k").await;
    shop.writer().execute_unprepared(PARTITIONS).await.unwrap();
    assert_eq!(shop.store.migrate().await.unwrap(), 0);
    let paid = approved(&before);
    let change = crate::store::Change::Advance(paid.clone());
    assert_eq!(shop.commit(&[change]).await, [HELD]);
    let history = shop.store.history(before.order.id).await.unwrap();
    assert_eq!(history.len(), 3);
    let found = shop.store.read_back(before.order.id, paid.id, 2).await;
    assert_eq!(
        found.unwrap(),
        crate::store::WriteFate::Landed { held: true }
    );

    // The first row of another month, and the first of all, which is old.
    let next = "INSERT INTO outbox (order_id, version, event, payload, at)
        SELECT first_order_of((now() + interval '70 days')::date) || '-7000-8000-000000000000', 1, 'DONE', '{}', 9000000000000000";
    shop.say(next).await;
    let places = "SELECT count(*) AS n FROM outbox WHERE ctid = '(0,1)'";
    assert_eq!(shop.count(places).await, 2);
    let old = Pruning::Outbox {
        before: NOW.plus_ms(1_000_000),
    };
    let step = shop.store.prune(old, None, NOW, 100).await.unwrap();
    assert_eq!(step.rows, 1);
    let left = "SELECT count(*) AS n FROM outbox WHERE at = 9000000000000000";
    assert_eq!(shop.count(left).await, 1);
    assert_eq!(shop.count("SELECT count(*) AS n FROM outbox").await, 1);
}
