//! A shop after years: with PAYONCE_SIZE_PAYMENTS settled payments (a few thousand, if that is not set) a start, the due
//! queue, a checkout, a confirm and a step of housekeeping read no more rows than on the first day. Where the database
//! counts them, rows are counted; in a file, plans are looked at. Times are printed, and prove nothing.

use std::future::Future;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult};
use tempfile::TempDir;
use uuid::Uuid;

use super::shop::*;
use crate::domain::{Incarnation, UserId};
use crate::store::dialect::{self, Together};
use crate::store::pools::WRITERS;
use crate::store::{
    Change, CheckoutKey, Opened, Pruning, Share, Store, StoreSettings, execute, rows_of,
    transaction,
};

/// Everything that grows with the number of payments.
const GROWING: [&str; 6] = [
    "payments",
    "order_lines",
    "attempts",
    "payment_history",
    "outbox",
    "checkout_keys",
];
const CHUNK: i64 = 100_000;

fn wanted() -> i64 {
    let wanted = std::env::var("PAYONCE_SIZE_PAYMENTS").ok();
    wanted.map_or(3_000, |wanted| wanted.parse().unwrap())
}

/// One payment of `numbers` a row: nine of ten paid, the rest declined or expired. The ids grow with the numbers.
const FILL: [(&str, &str); 6] = [
    (
        "INSERT INTO payments (order_id, user_id, order_name, status, stock_held, total_amount, version, owner,
                               next_attempt_at, expires_at, rounds, questions, quarantine, created_at)",
        "concat('01980000-0000-7000-8000-', 100000000000 + n), concat('u', n % 1000), 'Product 1',
         CASE n % 20 WHEN 0 THEN 'FAILED' WHEN 1 THEN 'EXPIRED' ELSE 'DONE' END, n % 20 > 1, 50000, 3, NULL,
         NULL, 1750000000000000 + n, 0, 0, NULL, 1740000000000000 + n",
    ),
    (
        "INSERT INTO order_lines (order_id, product_id, quantity, amount)",
        "concat('01980000-0000-7000-8000-', 100000000000 + n), 1 + n % 2, 1, 50000",
    ),
    (
        "INSERT INTO attempts (order_id, number, payment_key, n, answered, gateway, started_at, may_send_until, owner,
                               many_owners, foreign_seen, approval_sign, outcome, approved_at, method, receipt_url)",
        "concat('01980000-0000-7000-8000-', 100000000000 + n), 1, concat('tpayo', n), 1, n = n,
         'http://127.0.0.1:8090 3f2a', 1740000000000000 + n, 1740000000000000 + n,
         '00000000-0000-0000-0000-00000000000b', n <> n, n <> n, 'NONE', 'APPROVED', 1740000000000000 + n, '카드',
         'https://toss.example/r'",
    ),
    (
        "INSERT INTO payment_history (order_id, version, transition_id, from_status, to_status, event, reason, at)",
        "concat('01980000-0000-7000-8000-', 100000000000 + n), v, concat('0198000', v, '-0000-7000-8000-', 100000000000 + n),
         CASE v WHEN 1 THEN NULL WHEN 2 THEN 'READY' ELSE 'IN_PROGRESS' END,
         CASE v WHEN 1 THEN 'READY' WHEN 2 THEN 'IN_PROGRESS' ELSE 'DONE' END, 'E', NULL, 1740000000000000 + n",
    ),
    (
        "INSERT INTO outbox (order_id, version, event, payload, at)",
        "concat('01980000-0000-7000-8000-', 100000000000 + n), 3, 'DONE', '{}', 1740000000000000 + n",
    ),
    (
        "INSERT INTO checkout_keys",
        "concat('u', n % 1000), concat('key ', n), '0707070707070707070707070707070707070707070707070707070707070707',
         concat('01980000-0000-7000-8000-', 100000000000 + n), 1740000000000000 + n",
    ),
];

async fn say(connection: &DatabaseConnection, sql: String) {
    execute(connection, sql.leak(), []).await.unwrap();
}

/// In SQL, which is quicker by far than the front door.
async fn fill(store: &Store, payments: i64) {
    let writer = &store.writer().unwrap().pool;
    say(writer, "CREATE TABLE numbers (n BIGINT PRIMARY KEY)".into()).await;
    say(writer, "INSERT INTO numbers VALUES (0)".into()).await;
    let mut many = 1;
    while many < payments {
        let more = format!(
            "INSERT INTO numbers SELECT n + {many} FROM numbers WHERE n + {many} < {payments}"
        );
        say(writer, more).await;
        many *= 2;
    }
    for from in (0..payments).step_by(CHUNK as usize) {
        let some = format!("n >= {from} AND n < {}", from + CHUNK);
        for (insert, values) in FILL {
            let thrice = match values.contains(" v, ") {
                true => {
                    " CROSS JOIN (SELECT 1 AS v UNION ALL SELECT 2 UNION ALL SELECT 3) AS versions"
                }
                false => "",
            };
            say(
                writer,
                format!("{insert} SELECT {values} FROM numbers{thrice} WHERE {some}"),
            )
            .await;
        }
    }
    let done = match store.0.sql {
        sql if std::ptr::eq(sql, dialect::MYSQL) => {
            format!("DROP TABLE numbers; ANALYZE TABLE {}", GROWING.join(", "))
        }
        // The server itself is looking at the tables that have grown so fast, some minutes at the largest.
        sql if std::ptr::eq(sql, dialect::POSTGRES) => {
            "SET LOCAL lock_timeout = '10min'; DROP TABLE numbers; ANALYZE".to_owned()
        }
        // Nobody measures a file.
        _ => "DROP TABLE numbers".to_owned(),
    };
    writer.execute_unprepared(&done).await.unwrap();
}

#[derive(FromQueryResult)]
struct Count {
    n: i64,
}

/// Rows and index entries that the database has read, by all of a store's connections.
struct Meter<'a> {
    store: &'a Store,
    /// What reading the meter costs.
    itself: i64,
    read: Vec<(&'static str, Option<i64>)>,
}

const POSTGRES_FLUSH: &str =
    "SELECT 1::bigint AS n FROM (SELECT pg_stat_force_next_flush()) AS flushed";
const POSTGRES_READ: &str = "
    SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint
         + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)::bigint AS n";
const MARIADB_READ: &str = "
    SELECT CAST(sum(variable_value) AS SIGNED) AS n FROM information_schema.session_status
    WHERE variable_name LIKE 'HANDLER_READ%'";
const MYSQL_READ: &str = "
    SELECT CAST(sum(variable_value) AS SIGNED) AS n FROM performance_schema.session_status
    WHERE variable_name LIKE 'Handler_read%'";

impl<'a> Meter<'a> {
    async fn of(store: &'a Store) -> Meter<'a> {
        let mut meter = Meter {
            store,
            itself: 0,
            read: Vec::new(),
        };
        meter.now().await;
        if let (Some(before), Some(after)) = (meter.now().await, meter.now().await) {
            meter.itself = after - before;
        }
        meter
    }

    /// `None` in a file, which does not count.
    async fn now(&self) -> Option<i64> {
        let sql = self.store.0.sql;
        let (flush, read) = match () {
            () if std::ptr::eq(sql, dialect::SQLITE) => return None,
            () if std::ptr::eq(sql, dialect::POSTGRES) => (Some(POSTGRES_FLUSH), POSTGRES_READ),
            () if self.is_mariadb().await => (None, MARIADB_READ),
            () => (None, MYSQL_READ),
        };
        // Any of the writer's may have done the work, and each counts for itself: all of them at once, so that none is asked twice.
        let writer = &self.store.writer().unwrap().pool;
        let mut all = Vec::new();
        for _ in 0..WRITERS {
            all.push(transaction::begin(writer).await.unwrap());
        }
        let readers = &self.store.readers().pool;
        let mut sum = 0;
        if let Some(flush) = flush {
            for txn in &all {
                let _: Vec<Count> = rows_of(txn, flush, []).await.unwrap();
            }
            let _: Vec<Count> = rows_of(readers, flush, []).await.unwrap();
        } else {
            for txn in &all {
                let found: Vec<Count> = rows_of(txn, read, []).await.unwrap();
                sum += found[0].n;
            }
        }
        for txn in all {
            txn.rollback().await.unwrap();
        }
        let found: Vec<Count> = rows_of(readers, read, []).await.unwrap();
        Some(sum + found[0].n)
    }

    async fn is_mariadb(&self) -> bool {
        let sql = "SELECT version() LIKE '%MariaDB%' AS n";
        let found: Vec<Count> = rows_of(&self.store.readers().pool, sql, []).await.unwrap();
        found[0].n == 1
    }

    async fn of_work<T>(&mut self, name: &'static str, work: impl Future<Output = T>) -> T {
        let before = self.now().await;
        let began = Instant::now();
        let done = work.await;
        let took = began.elapsed();
        let after = self.now().await;
        let read = match (before, after) {
            (Some(before), Some(after)) => Some(after - before - self.itself),
            (None, _) | (_, None) => None,
        };
        println!(
            "    {name:<12} {:>8.2} ms   rows read: {read:?}",
            took.as_secs_f64() * 1e3
        );
        self.read.push((name, read));
        done
    }
}

const DEAD_AFTER: Duration = Duration::from_secs(5);
const STEP: u32 = 100;

/// A day of the shop, in short.
async fn a_day(store: &Store) -> Vec<(&'static str, Option<i64>)> {
    let mut meter = Meter::of(store).await;
    let me = Incarnation(Uuid::now_v7());
    meter.of_work("start", start(store, me)).await;
    let whole = Share::whole();
    let due = store.due(NOW, me, DEAD_AFTER, &whole, 256);
    assert_eq!(meter.of_work("due queue", due).await.unwrap(), []);
    let figures = store.backlog(NOW);
    meter.of_work("figures", figures).await.unwrap();
    let ready = meter.of_work("checkout", check_out(store)).await;
    let paid = meter.of_work("confirm", confirm(store, &ready)).await;
    meter.of_work("status", status(store, &paid)).await;
    let counted = [product(1)];
    meter
        .of_work("product", store.counted(&counted))
        .await
        .unwrap();
    meter.of_work("newest", store.recent(2)).await.unwrap();
    meter.read
}

async fn start(store: &Store, incarnation: Incarnation) {
    assert_eq!(store.migrate().await.unwrap(), 0);
    store.is_empty().await.unwrap();
    store.now().await.unwrap();
    let orphans = store.make_orphans_due(incarnation, NOW, DEAD_AFTER);
    orphans.await.unwrap();
    store.secret("order-token").await.unwrap();
    let name = "n".into();
    let register = Change::Register { incarnation, name };
    store.commit(&[register]).await.unwrap();
    store.living(DEAD_AFTER).await.unwrap();
}

async fn check_out(store: &Store) -> crate::domain::Payment {
    let user = UserId::parse("u7").unwrap();
    store.user_exists(&user).await.unwrap();
    store.checkout_key(&user, "key", NOW).await.unwrap();
    store.shelf(&[product(1), product(2)]).await.unwrap();
    let transition = checkout(order(&[(1, 1), (2, 1)]));
    let key = Some(CheckoutKey {
        user,
        key: Uuid::now_v7().to_string().into(),
        body_hash: [7; 32],
    });
    let change = Change::Checkout {
        transition: transition.clone(),
        key,
    };
    assert_eq!(store.commit(&[change]).await.unwrap().verdicts, [FREE]);
    transition.next
}

async fn confirm(store: &Store, ready: &crate::domain::Payment) -> crate::domain::Payment {
    let found = store.load(ready.order.id).await.unwrap().unwrap();
    store.versions(&[ready.order.id]).await.unwrap();
    let running = started(&found, "k");
    let verdicts = store.commit(&[Change::Advance(running.clone())]).await;
    assert_eq!(verdicts.unwrap().verdicts, [HELD]);
    let paid = approved(&running.next);
    let verdicts = store.commit(&[Change::Advance(paid.clone())]).await;
    assert_eq!(verdicts.unwrap().verdicts, [HELD]);
    paid.next
}

async fn status(store: &Store, paid: &crate::domain::Payment) {
    let found = store.record(paid.order.id).await.unwrap().unwrap();
    assert_eq!(found.payment, *paid);
    assert_eq!(store.history(paid.order.id).await.unwrap().len(), 3);
}

/// A step deletes, and its price is its own length. Returns what each came to.
async fn keep_house(store: &Store) -> Vec<(&'static str, Option<i64>)> {
    let mut meter = Meter::of(store).await;
    let before = NOW;
    for (name, pruning, rows) in [
        ("keys", Pruning::CheckoutKeys, 100),
        ("nodes", Pruning::Nodes, 0),
        // 34 payments of three rows, the last of which may be cut short.
        ("history", Pruning::History { before }, 66),
        ("outbox", Pruning::Outbox { before }, 100),
    ] {
        // In the middle of the table, where a walk from its beginning would show.
        let mut from = None;
        for _ in 0..5 {
            let step = store.prune(pruning, from, NOW, STEP).await.unwrap();
            from = step.next;
            if from.is_none() {
                break;
            }
        }
        let step = store.prune(pruning, from, NOW, STEP);
        let step = meter.of_work(name, step).await.unwrap();
        assert_eq!(step.rows, rows, "{name}");
    }
    meter.read
}

fn settings_of(database: &TestDatabase) -> StoreSettings {
    StoreSettings {
        readers: 1,
        ..settings(&database.url)
    }
}

#[tokio::test]
async fn a_shop_of_years_reads_no_more_than_a_new_one() {
    let folder = TempDir::new().unwrap();
    let database = TestDatabase::new(&folder.path().join("shop.db"));
    let open = || Store::open(settings_of(&database), Opened::Serving);
    let store = open().await.unwrap();
    store.migrate().await.unwrap();
    let shop = Shop::of(store.clone(), folder);
    shop.list_and_fill(&[(1, 1_000), (2, 1_000)]).await;
    println!("  the first day");
    a_day(&store).await;
    let new = a_day(&store).await;
    let payments = wanted();
    let began = Instant::now();
    fill(&store, payments).await;
    println!(
        "  {payments} payments in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    store.close().await;
    let began = Instant::now();
    let store = open().await.unwrap();
    println!("  opened in {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
    let walked = walks_so_far(&store).await;
    a_day(&store).await;
    println!("  again");
    let old = a_day(&store).await;
    for ((name, new), (_, old)) in new.iter().zip(&old) {
        let few = new.unwrap_or(0) + 25;
        assert!(
            old.unwrap_or(0) <= few,
            "{name}: {old:?} rows, once {new:?}"
        );
    }
    for (name, read) in keep_house(&store).await {
        // The rows of a step, what is asked about each, and their keys again.
        let few = i64::from(STEP) * 12;
        assert!(read.unwrap_or(0) <= few, "{name}: {read:?} rows");
    }
    assert_eq!(walks_so_far(&store).await, walked);
    if std::ptr::eq(store.0.sql, dialect::SQLITE) {
        no_walks_in_a_file(&store).await;
    }
    store.close().await;
}

#[derive(Debug, PartialEq, Eq, FromQueryResult)]
struct Scans {
    name: String,
    scans: i64,
}

/// How often each table that grows was walked so far, where the database tells.
async fn walks_so_far(store: &Store) -> Vec<Scans> {
    const SCANS: &str = "
        SELECT relname::text AS name, seq_scan AS scans FROM pg_stat_user_tables
        WHERE relname IN ('payments', 'order_lines', 'attempts', 'payment_history', 'outbox', 'checkout_keys')
        ORDER BY relname";
    if !std::ptr::eq(store.0.sql, dialect::POSTGRES) {
        return Vec::new();
    }
    Meter::of(store).await;
    let scans: Vec<Scans> = rows_of(&store.readers().pool, SCANS, []).await.unwrap();
    assert_eq!(scans.len(), GROWING.len());
    scans
}

#[derive(FromQueryResult)]
struct Plan {
    detail: String,
}

/// A file does not count.
async fn no_walks_in_a_file(store: &Store) {
    let (sql, keep) = (store.0.sql, store.0.sql.retention);
    let Together::One(together) = sql.write_payments else {
        panic!("a file is written in one trip");
    };
    let mut texts = vec![
        (sql.is_empty, 0),
        (sql.make_orphans_due[0], 3),
        (sql.make_orphans_due[1], 3),
        (sql.due, 6),
        (sql.backlog, 1),
        (sql.checkout_key, 2),
        (sql.lock_checkout_keys, 1),
        (sql.lock_rows, 2),
        (sql.load, 1),
        (sql.versions, 1),
        (sql.history, 1),
        (sql.counted, 1),
        (keep.checkout_keys, 3),
        (keep.nodes, 3),
        (keep.history, 4),
        (keep.outbox, 2),
        (keep.drop_checkout_keys, 1),
        (keep.drop_history, 1),
        (keep.drop_outbox, 1),
    ];
    // But the first: its plan walks the checkout keys for broken references, which SQLite does only
    // while it knows of one.
    texts.extend(together.split(';').skip(1).map(|text| (text, 1)));
    for (text, values) in texts {
        let explain: &'static str = format!("EXPLAIN QUERY PLAN {text}").leak();
        let values = vec![sea_orm::Value::from("[]"); values];
        let plan: Vec<Plan> = rows_of(&store.writer().unwrap().pool, explain, values)
            .await
            .unwrap();
        let walks = |step: &&Plan| {
            let table = step.detail.strip_prefix("SCAN ");
            let table = table.and_then(|rest| rest.split(' ').next());
            let aliases = ["p", "l", "a", "h", "o", "k"];
            table.is_some_and(|name| GROWING.contains(&name) || aliases.contains(&name))
        };
        // Whether there is any row at all is known after the first one.
        let walk = plan.iter().find(walks).filter(|_| text != sql.is_empty);
        assert!(
            walk.is_none(),
            "{text}\n{:?}",
            walk.map(|step| &step.detail)
        );
    }
}
