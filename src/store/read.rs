//! What may be asked of the store. Every question is one statement, so its answer is one state; none waits for the writer.

use sea_orm::{FromQueryResult, Value};

use super::rows;
use super::{Store, StoreFault, execute, transaction};

mod audit;
mod catalogue;
mod payments;

pub use audit::{AuditPage, AuditRecord, OutboxRow, Unreadable};
pub use catalogue::{Counted, User};
pub use payments::{Due, HistoryRow, OrderSummary, PaymentRecord, Quarantined};

#[derive(FromQueryResult)]
struct One {
    #[expect(dead_code, reason = "that there is a row is the answer")]
    one: i64,
}

impl Store {
    /// A reader answers, and the writer could begin.
    pub async fn ping(&self) -> Result<(), StoreFault> {
        self.rows::<One>(self.0.sql.ping, []).await?;
        if let Some(writer) = &self.0.writer {
            let txn = transaction::begin(writer).await?;
            execute(&txn, self.0.sql.ping, []).await?;
            txn.rollback().await?;
        }
        Ok(())
    }
}

/// Ids as the one JSON parameter of a statement.
fn ids(products: &[crate::domain::ProductId]) -> Result<Value, StoreFault> {
    let ids: Vec<i64> = products.iter().map(|product| product.get()).collect();
    super::json(&ids).map_err(StoreFault::Refused)
}

fn broken(row: impl Into<String>) -> impl FnOnce(String) -> StoreFault {
    let row = row.into();
    move |why| StoreFault::Broken { row, why }
}

fn limit(limit: u32) -> Value {
    i64::from(limit).into()
}
