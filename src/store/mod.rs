//! How to remember: the database, and nothing but the database. Batches of changes come in through `commit`, a verdict
//! per change goes out. Beside it, a start writes what nobody else does, recovery makes orphans due, and old rows are pruned;
//! everything else only reads, on connections of its own. sea-orm lives here and nowhere else.

use std::sync::{Arc, Mutex};

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};

mod batch;
mod commit;
mod dialect;
mod fault;
mod migrations;
mod mysql;
mod pools;
mod postgres;
mod read;
mod retention;
mod rows;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub mod sabotage;
mod sqlite;
mod start;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;

pub use commit::{Change, CheckoutKey, Committed, Restock, Verdict, WriteFate};
pub use fault::{CommitFault, StoreFault};
pub use read::{
    AuditPage, AuditRecord, Backlog, Booked, Counted, Due, HistoryRow, Living, OrderSummary,
    OutboxRow, PaymentRecord, Quarantined, Share, Unreadable,
};
pub use retention::{Place, Pruned, Pruning};

use dialect::Sql;
use pools::{Line, Pools, Silent};

/// Statements for so many changes fit into one record of TLS (16 KB). A longer one is several writes, and since sqlx 0.9.0
/// does not set TCP_NODELAY, the kernel holds the last one back until the server has acknowledged those before, which takes
/// it 40 ms: with batches of 256 that is a tenth of the speed. Mended in sqlx's sources (its issue 4335), not yet released.
const IN_ONE_RECORD: usize = 32;

#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `sqlite://payonce.db`, `postgres://user:password@host/payonce`, `mysql://user:password@host/payonce`
    pub url: String,
    /// Connections that only read.
    pub readers: u32,
    /// How long a writer waits for the file, or for a row, that somebody else holds.
    pub busy_timeout_ms: u64,
}

/// What the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A server of the database; of a SQLite file, the only one.
    Serving,
    /// A command that writes. On a SQLite file it excludes the server, and the server excludes it.
    Tool,
    /// A command that writes beside a running server, or alone: it takes turns with it, one transaction at a time. Creates
    /// nothing, migrates nothing, and refuses a schema that is not this build's.
    Beside,
    /// Beside a running server, or alone; creates nothing.
    ReadOnly,
}

impl Opened {
    const fn writes(self) -> bool {
        match self {
            Opened::Serving | Opened::Tool | Opened::Beside => true,
            Opened::ReadOnly => false,
        }
    }
}

/// A cheap clone of one opened database.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    pools: Pools,
    sql: &'static Sql,
    optimism: commit::Optimism,
    /// Between us and the server.
    encrypted: bool,
    /// Fit to be printed.
    name: String,
    /// Of a SQLite file, held as long as the store is open: who has it is the only one who writes.
    lock: Mutex<Option<std::fs::File>>,
    #[cfg(test)]
    sabotage: sabotage::Sabotage,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.name)
    }
}

impl Store {
    /// Opens, and for a writer creates, the database. The schema is brought up to date by [`Store::migrate`].
    pub async fn open(settings: StoreSettings, opened: Opened) -> Result<Store, StoreFault> {
        let inner = match settings.url.split(':').next() {
            Some("sqlite") => sqlite::open(settings, opened).await?,
            Some("postgres" | "postgresql") => {
                pools::in_time(postgres::open(settings, opened)).await?
            }
            Some("mysql" | "mariadb") => pools::in_time(mysql::open(settings, opened)).await?,
            // The url may carry a password: it is not repeated.
            _ => {
                let wants = "wants sqlite://FILE, postgres://HOST/NAME or mysql://HOST/NAME";
                return Err(StoreFault::Url(wants.to_owned()));
            }
        };
        let store = Store(Arc::new(inner));
        match opened {
            Opened::Beside => store.must_be_migrated().await?,
            // What a newer build has added is nothing to a reader.
            Opened::ReadOnly => match store.must_be_migrated().await {
                Err(StoreFault::Ahead(_)) => {}
                ready => ready?,
            },
            Opened::Serving | Opened::Tool => {}
        }
        Ok(store)
    }

    /// Closes the connections, and gives the lock back.
    pub async fn close(&self) {
        self.0.pools.close().await;
        if let Ok(mut lock) = self.0.lock.lock() {
            lock.take();
        }
    }

    /// More changes than this are better written in several commits.
    pub fn most_changes(&self) -> usize {
        if self.0.encrypted {
            IN_ONE_RECORD
        } else {
            usize::MAX
        }
    }

    fn writer(&self) -> Result<Line, StoreFault> {
        self.0.pools.writer().ok_or(StoreFault::ReadOnly)
    }

    fn readers(&self) -> Line {
        self.0.pools.readers()
    }

    async fn rows<T: FromQueryResult>(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, StoreFault> {
        let readers = self.readers();
        let found = self.answered(&readers, rows_of(&readers.pool, sql, values));
        let found = found.await??;
        self.0.pools.has_read();
        Ok(found)
    }
}

/// For questions whose answer is whether there is a row.
#[derive(FromQueryResult)]
struct One {
    #[expect(dead_code, reason = "that there is a row is the answer")]
    one: i64,
}

/// All rows, always: a statement that is left half read keeps its snapshot, and the write-ahead log grows behind it.
async fn rows_of<T: FromQueryResult>(
    connection: &impl ConnectionTrait,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<T>, sea_orm::DbErr> {
    let statement = statement(connection, sql, values);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| T::from_query_result(row, ""))
        .collect()
}

/// Returns the number of rows that changed.
async fn execute(
    connection: &impl ConnectionTrait,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, sea_orm::DbErr> {
    let statement = statement(connection, sql, values);
    Ok(connection.execute_raw(statement).await?.rows_affected())
}

fn statement(
    connection: &impl ConnectionTrait,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    let backend = connection.get_database_backend();
    let (sql, values) = dialect::placed(backend, sql, values.into_iter().collect());
    Statement::from_sql_and_values(backend, sql, values)
}
