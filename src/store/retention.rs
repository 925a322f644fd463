//! Housekeeping: what nobody needs any more is found along the primary key of its table and deleted by its keys. Each step
//! reads a few rows, deletes at most as many in one short transaction, and says where the next one begins.
//!
//! Payments, their lines and their attempts stay for ever: what a paymentKey came to is told the same at any time.

use sea_orm::{FromQueryResult, Value};
use serde::Serialize;

use super::{CheckoutKey, Store, StoreFault, execute, transaction};
use crate::domain::Timestamp;

/// What is pruned, and how old it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// Those that are free again.
    CheckoutKeys,
    /// Of those that have been closed or dead for a day and own no unfinished payment.
    Nodes,
    /// Of payments that rest for good and came to rest before that, all but the last row.
    History { before: Timestamp },
    /// News that was written before that.
    Outbox { before: Timestamp },
}

/// How a step went.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    pub rows: u64,
    /// `None` at the end of the table, or of its old part.
    pub next: Option<Place>,
}

/// Where in a table the next step begins: behind these values of its primary key.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(Vec<Value>);

/// A process that was silent for so long does not come back; if it does, it registers again.
const NODE_KEPT_US: i64 = 24 * 3_600 * 1_000_000;

#[derive(FromQueryResult, Serialize)]
struct KeyRow {
    user_id: String,
    key: String,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct NodeRow {
    incarnation: String,
}

#[derive(FromQueryResult)]
struct HistoryRow {
    order_id: String,
    version: i64,
    created_at: i64,
    latest: i64,
    rests_since: Option<i64>,
}

/// What a payment went through before its last change.
#[derive(PartialEq, Eq, Serialize)]
struct PastKey<'a> {
    order_id: &'a str,
    latest: i64,
}

impl PastKey<'_> {
    fn of(row: &HistoryRow) -> PastKey<'_> {
        PastKey {
            order_id: &row.order_id,
            latest: row.latest,
        }
    }
}

#[derive(FromQueryResult)]
struct OutboxRow {
    id: i64,
    at: i64,
}

impl Store {
    /// One step: looks at `most` rows behind `from`, or from the first row on.
    pub async fn prune(
        &self,
        pruning: Pruning,
        from: Option<Place>,
        now: Timestamp,
        most: u32,
    ) -> Result<Pruned, StoreFault> {
        match pruning {
            Pruning::CheckoutKeys => self.prune_checkout_keys(from, now, most).await,
            Pruning::Nodes => self.prune_nodes(from, most).await,
            Pruning::History { before } => self.prune_history(from, now, before, most).await,
            Pruning::Outbox { before } => self.prune_outbox(from, before, most).await,
        }
    }

    async fn prune_checkout_keys(
        &self,
        from: Option<Place>,
        now: Timestamp,
        most: u32,
    ) -> Result<Pruned, StoreFault> {
        let sql = self.0.sql.retention;
        let values = page(from, || vec!["".into(), "".into()], [], most);
        let found: Vec<KeyRow> = self.rows(sql.checkout_keys, values).await?;
        let next = next(&found, most, |last| {
            vec![last.user_id.as_str().into(), last.key.as_str().into()]
        });
        let free = |row: &KeyRow| !CheckoutKey::lives(Timestamp::from_micros(row.created_at), now);
        let gone: Vec<KeyRow> = found.into_iter().filter(free).collect();
        let rows = self.delete(sql.drop_checkout_keys, &gone, None).await?;
        Ok(Pruned { rows, next })
    }

    async fn prune_nodes(&self, from: Option<Place>, most: u32) -> Result<Pruned, StoreFault> {
        let sql = self.0.sql.retention;
        let values = page(from, || vec!["".into()], [NODE_KEPT_US], most);
        let found: Vec<NodeRow> = self.rows(sql.nodes, values).await?;
        let next = next(&found, most, |last| vec![last.incarnation.as_str().into()]);
        let gone: Vec<&str> = found.iter().map(|row| row.incarnation.as_str()).collect();
        let silent = Some(NODE_KEPT_US);
        let rows = self.delete(sql.drop_nodes, &gone, silent).await?;
        Ok(Pruned { rows, next })
    }

    /// Of a payment's past either all goes at once, or nothing: half of it would look like a loss. Order ids grow with time,
    /// so behind an order of after the cut nothing has rested for so long.
    async fn prune_history(
        &self,
        from: Option<Place>,
        now: Timestamp,
        before: Timestamp,
        most: u32,
    ) -> Result<Pruned, StoreFault> {
        let sql = self.0.sql.retention;
        let first = || vec!["".into(), 0_i64.into()];
        let values = page(from, first, [now.micros()], most);
        let found: Vec<HistoryRow> = self.rows(sql.history, values).await?;
        let whole = whole_payments(&found, most);
        let cut_short = whole.len() < found.len();
        let next = next(&found, most, |last| {
            let end = whole.last().filter(|_| cut_short);
            // Nothing but one payment: its other rows go with these, or stay with them.
            let behind_it = (&last.order_id, i64::MAX);
            let (order, version) = end.map_or(behind_it, |end| (&end.order_id, end.version));
            vec![order.as_str().into(), version.into()]
        });
        let old = |row: &&HistoryRow| row.rests_since.is_some_and(|at| at < before.micros());
        let mut gone: Vec<PastKey<'_>> = whole.iter().filter(old).map(PastKey::of).collect();
        gone.dedup();
        let rows = self.delete(sql.drop_history, &gone, None).await?;
        let goes_on = whole
            .last()
            .is_some_and(|last| last.created_at < before.micros());
        let next = next.filter(|_| goes_on);
        Ok(Pruned { rows, next })
    }

    /// Ids grow with time, but for those that were written side by side: behind a page of young ones nothing is old.
    async fn prune_outbox(
        &self,
        from: Option<Place>,
        before: Timestamp,
        most: u32,
    ) -> Result<Pruned, StoreFault> {
        let sql = self.0.sql.retention;
        let values = page(from, || vec![0_i64.into()], [], most);
        let found: Vec<OutboxRow> = self.rows(sql.outbox, values).await?;
        let next = next(&found, most, |last| vec![last.id.into()]);
        let old = found.iter().filter(|row| row.at < before.micros());
        let gone: Vec<i64> = old.map(|row| row.id).collect();
        let rows = self.delete(sql.drop_outbox, &gone, None).await?;
        let next = next.filter(|_| !gone.is_empty());
        Ok(Pruned { rows, next })
    }

    /// Nothing to delete, no transaction: whoever writes payments does not even notice.
    async fn delete<T: Serialize>(
        &self,
        sql: &'static str,
        rows: &[T],
        more: Option<i64>,
    ) -> Result<u64, StoreFault> {
        if rows.is_empty() {
            return Ok(0);
        }
        let values = self.0.sql.batch.values(rows);
        let mut values = values.map_err(StoreFault::Refused)?;
        values.extend(more.map(Value::from));
        let writer = self.writer()?;
        let deleted = self.answered(&writer, async {
            let txn = transaction::begin(&writer.pool).await?;
            match execute(&txn, sql, values).await {
                Ok(rows) => {
                    txn.commit().await?;
                    Ok(rows)
                }
                Err(error) => {
                    let _ = txn.rollback().await;
                    Err(error.into())
                }
            }
        });
        deleted.await?
    }
}

fn page<const N: usize>(
    from: Option<Place>,
    first: impl FnOnce() -> Vec<Value>,
    more: [i64; N],
    most: u32,
) -> Vec<Value> {
    let mut values = from.map_or_else(first, |Place(values)| values);
    values.extend(more.map(Value::from));
    values.push(i64::from(most).into());
    values
}

/// Without the payment at the end of a full page, more of whose rows may follow; unless there is no other.
fn whole_payments(found: &[HistoryRow], most: u32) -> &[HistoryRow] {
    let full = found.len() as u64 >= u64::from(most);
    let Some(last) = found.last().filter(|_| full) else {
        return found;
    };
    match found.iter().position(|row| row.order_id == last.order_id) {
        Some(begins) if begins > 0 => &found[..begins],
        Some(_) | None => found,
    }
}

/// Behind the last row of a full page; a page that is not full was the last one.
fn next<T>(found: &[T], most: u32, key: impl FnOnce(&T) -> Vec<Value>) -> Option<Place> {
    let full = found.len() as u64 >= u64::from(most);
    found.last().filter(|_| full).map(|last| Place(key(last)))
}
