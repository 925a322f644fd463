//! Around a house: its database, read and interfered with behind its back, and the totals of Toss's ledger.

use std::time::{Duration, Instant};

use reqwest::Method;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult,
    Statement,
};

use super::house::House;

/// Reads a house's database and changes nothing.
pub struct Reader(DatabaseConnection);

impl Reader {
    pub async fn of(house: &House) -> Reader {
        let url = match house.store.url.strip_prefix("sqlite:") {
            Some(_) => format!("{}?mode=ro", house.store.url),
            None => house.store.url.clone(),
        };
        let mut options = ConnectOptions::new(url);
        options.max_connections(2).sqlx_logging(false);
        Reader(Database::connect(options).await.unwrap())
    }

    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let sql = Statement::from_string(self.0.get_database_backend(), sql);
        self.0.query_all_raw(sql).await.unwrap()
    }

    /// The first row of an answer that has one.
    pub async fn row(&self, sql: &str) -> QueryResult {
        let rows = self.rows(sql).await;
        rows.into_iter().next().expect("a row")
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.row(sql).await.try_get_by(0).unwrap()
    }

    pub async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// Another process on the same database, which may write and lock.
pub struct Other(DatabaseConnection);

impl Other {
    pub async fn of(house: &House) -> Other {
        let mut options = ConnectOptions::new(&house.store.url);
        options.max_connections(1).sqlx_logging(false);
        Other(Database::connect(options).await.unwrap())
    }

    pub async fn say(&self, sql: &str) {
        // The server commits in between: its turns are short.
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.0.execute_unprepared(sql).await {
            assert!(Instant::now() < until, "{sql}: {error}");
        }
    }

    /// Nobody else writes; readers go on.
    pub async fn lock(&self) {
        match self.0.get_database_backend() {
            DbBackend::Sqlite => self.say("BEGIN IMMEDIATE").await,
            DbBackend::Postgres => {
                self.say("BEGIN; LOCK TABLE payments, products, nodes IN EXCLUSIVE MODE")
                    .await;
            }
            DbBackend::MySql => {
                self.say("LOCK TABLES payments READ, products READ, nodes READ")
                    .await
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn unlock(&self) {
        match self.0.get_database_backend() {
            DbBackend::MySql => self.say("UNLOCK TABLES").await,
            _ => self.say("ROLLBACK").await,
        }
    }

    /// PostgreSQL's own word for it, for whoever connects from now on; and all others must connect anew.
    pub async fn only_reads(&self, only: bool) {
        let only = if only { "on" } else { "off" };
        self.say(&format!(
            "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {only}', current_database());
             END $$"
        ))
        .await;
        self.say(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }

    pub async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// What has arrived at Toss, over all orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub confirm_calls: i64,
    pub lookups: i64,
    pub approvals: i64,
}

impl House {
    pub async fn totals(&self) -> Totals {
        let ledger = self.toss(Method::GET, "/sandbox/ledger", None).await;
        let totals = &ledger.body["totals"];
        let count = |name: &str| totals[name].as_i64().unwrap();
        Totals {
            confirm_calls: count("confirmCalls"),
            lookups: count("lookups"),
            approvals: count("approvals"),
        }
    }

    /// One look at the database.
    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let reader = Reader::of(self).await;
        let rows = reader.rows(sql).await;
        reader.close().await;
        rows
    }
}
