//! A database that misbehaves on order: commits whose answers get lost, and a writer that somebody else has.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::Sqlite;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{DatabaseTransaction, SqlxSqliteConnector};
use tokio::sync::Notify;

use super::{Change, CommitFault, Store, StoreFault, transaction};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged,
    /// It lands, and nobody is told.
    Landed,
    /// It never lands, and nobody is told.
    Vanished,
    /// It does not land now; [`Store::land_late`] makes it.
    Late,
    /// It lands at once, and that nobody is told becomes known with [`Store::give_up_waiting`].
    Unheard,
    /// Somebody else holds a row, and is waited for in vain.
    Blocked,
}

#[derive(Debug, Default)]
struct Plot {
    fates: VecDeque<Fate>,
    late: Vec<Change>,
    /// Read-backs that find the database away.
    blind: u32,
    /// What is seen may be forgotten: at the next witness by these words, or since no witness comes.
    forgets: Option<Forgetting>,
    shared: bool,
    /// Payments read.
    loads: u64,
}

#[derive(Debug, Default)]
pub struct Sabotage(Mutex<Plot>, Notify);

impl Sabotage {
    fn plot(&self) -> MutexGuard<'_, Plot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the transaction the sabotaged way; `Err(txn)`: let it end as it would.
    pub(super) async fn end(
        &self,
        txn: DatabaseTransaction,
        batch: &[Change],
    ) -> Result<CommitFault, DatabaseTransaction> {
        let fate = self.plot().fates.pop_front();
        if fate == Some(Fate::Blocked) {
            let _ = txn.rollback().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Ok(CommitFault::Blocked("sabotaged".to_owned()));
        }
        let ended = match fate {
            None | Some(Fate::Acknowledged | Fate::Blocked) => return Err(txn),
            Some(Fate::Landed) => txn.commit().await,
            Some(Fate::Unheard) => {
                let landed = txn.commit().await;
                self.1.notified().await;
                landed
            }
            Some(Fate::Vanished) => txn.rollback().await,
            Some(Fate::Late) => {
                self.plot().late = batch.to_vec();
                txn.rollback().await
            }
        };
        Ok(match ended {
            Ok(()) => CommitFault::Doubtful("sabotaged".to_owned()),
            Err(error) => error.into(),
        })
    }

    pub(super) fn loaded(&self) {
        self.plot().loads += 1;
    }

    pub(super) fn is_shared(&self) -> bool {
        self.plot().shared
    }

    pub(super) fn see(&self) -> Result<(), StoreFault> {
        let mut plot = self.plot();
        if plot.blind == 0 {
            return Ok(());
        }
        plot.blind -= 1;
        Err(StoreFault::Unavailable("sabotaged".to_owned()))
    }

    pub(super) fn forgets(&self) -> bool {
        self.plot().forgets.is_some()
    }

    pub(super) async fn harden(&self, store: &Store) -> Result<(), StoreFault> {
        let forgets = self.plot().forgets.take();
        match forgets {
            None => {}
            Some(Forgetting::NoWitness) => {
                return Err(StoreFault::Unavailable("sabotaged".to_owned()));
            }
            Some(Forgetting::Crash(undone)) => {
                let writer = store.writer()?;
                for text in undone {
                    super::execute(&writer.pool, text, []).await.unwrap();
                }
            }
        }
        Ok(())
    }
}

/// How a database forgets what it has shown.
#[derive(Clone, Copy, Debug)]
pub enum Forgetting {
    /// It may, and no witness comes.
    NoWitness,
    /// It comes back from a crash without what these undo, and then the witness comes.
    Crash(&'static [&'static str]),
}

/// Whoever has this has the writer; everybody else waits.
pub struct Held(DatabaseTransaction);

impl Held {
    pub async fn release(self) {
        self.0.rollback().await.unwrap();
    }
}

impl Store {
    /// The next commits that write end like this; then all is well again. So many read-backs find the database away.
    pub fn sabotage(&self, fates: &[Fate], blind: u32) {
        let mut plot = self.0.sabotage.plot();
        plot.fates = fates.iter().copied().collect();
        plot.blind = blind;
    }

    /// What is read back next may be forgotten.
    pub fn forget(&self, how: Forgetting) {
        self.0.sabotage.plot().forgets = Some(how);
    }

    pub fn give_up_waiting(&self) {
        self.0.sabotage.1.notify_one();
    }

    /// From now on it believes that other nodes may be at work on it.
    pub fn share(&self) {
        self.0.sabotage.plot().shared = true;
    }

    /// How many payments were read so far.
    pub fn loads(&self) -> u64 {
        self.0.sabotage.plot().loads
    }

    /// As if that node had not beaten for so long.
    pub async fn age_heartbeat(&self, incarnation: crate::domain::Incarnation, by: Duration) {
        let by = by.as_micros();
        let sql = format!(
            "UPDATE nodes SET heartbeat_at = heartbeat_at - {by} WHERE incarnation = '{incarnation}'"
        );
        let aged = super::execute(&self.writer().unwrap().pool, sql.leak(), []).await;
        assert_eq!(aged.unwrap(), 1);
    }

    /// How many fates are left.
    pub fn fates(&self) -> usize {
        self.0.sabotage.plot().fates.len()
    }

    /// Whether all that was ordered has happened.
    pub fn is_spent(&self) -> bool {
        let plot = self.0.sabotage.plot();
        plot.fates.is_empty() && plot.blind == 0 && plot.forgets.is_none()
    }

    pub async fn land_late(&self) -> Result<super::Committed, CommitFault> {
        let late = std::mem::take(&mut self.0.sabotage.plot().late);
        assert!(!late.is_empty(), "nothing is late");
        self.commit(&late).await
    }

    /// The pool of the writer runs dry.
    pub async fn hold(&self) -> Held {
        Held(
            transaction::begin(&self.writer().unwrap().pool)
                .await
                .unwrap(),
        )
    }

    /// A crowd has all the readers. What one of the crowd hears is told by [`Store::hear_something`].
    pub async fn hold_readers(&self) -> Vec<PoolConnection<Sqlite>> {
        let readers = self.readers();
        let pool = readers.pool.get_sqlite_connection_pool();
        let mut held = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            held.push(pool.acquire().await.unwrap());
        }
        held
    }

    pub fn hear_something(&self) {
        self.0.pools.has_read();
    }

    /// Another process has the file.
    pub async fn lock(&self) -> Held {
        let options = SqliteConnectOptions::new().filename(&self.0.name);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await.unwrap();
        let other = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
        Held(transaction::begin(&other).await.unwrap())
    }
}
