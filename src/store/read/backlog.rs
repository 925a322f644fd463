//! How much waits: for recovery, and for a human.

use sea_orm::FromQueryResult;

use crate::domain::Timestamp;
use crate::store::{Store, StoreFault};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Unfinished payments whose time has come.
    pub due: u64,
    /// Since when the oldest of them has been due.
    pub oldest: Option<Timestamp>,
    /// Payments whose outcome nobody knows, due or not.
    pub unknown: u64,
    pub quarantined: u64,
}

#[derive(FromQueryResult)]
struct BacklogRow {
    due: i64,
    oldest: Option<i64>,
    unknown: i64,
    quarantined: i64,
}

impl Store {
    pub async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreFault> {
        let found: Vec<BacklogRow> = self.rows(self.0.sql.backlog, [now.micros().into()]).await?;
        let backlog = found.first().map(|row| Backlog {
            due: row.due.unsigned_abs(),
            oldest: row.oldest.map(Timestamp::from_micros),
            unknown: row.unknown.unsigned_abs(),
            quarantined: row.quarantined.unsigned_abs(),
        });
        Ok(backlog.unwrap_or_default())
    }
}
