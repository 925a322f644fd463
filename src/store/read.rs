//! What may be asked of the store. Every question is one statement, so its answer is one state; none waits for the writer.

use sea_orm::Value;

use super::rows;
use super::{One, Store, StoreFault};

mod audit;
mod backlog;
mod catalogue;
mod nodes;
mod payments;

pub use audit::{AuditPage, AuditRecord, OutboxRow, Unreadable};
pub use backlog::Backlog;
pub use catalogue::{Booked, Counted};
pub use nodes::{Living, Share};
pub use payments::{Due, HistoryRow, OrderSummary, PaymentRecord, Quarantined};

impl Store {
    /// A reader answers. Whether the writer can write is told by those who write: a question of its own would wait in
    /// line with them, and hold them up.
    pub async fn ping(&self) -> Result<(), StoreFault> {
        self.rows::<One>(self.0.sql.ping, []).await?;
        Ok(())
    }
}

impl Store {
    fn ids(&self, products: &[crate::domain::ProductId]) -> Result<Value, StoreFault> {
        let ids: Vec<i64> = products.iter().map(|product| product.get()).collect();
        self.0.sql.batch.keys(&ids).map_err(StoreFault::Refused)
    }
}

fn broken(row: impl Into<String>) -> impl FnOnce(String) -> StoreFault {
    let row = row.into();
    move |why| StoreFault::Broken { row, why }
}

fn limit(limit: u32) -> Value {
    i64::from(limit).into()
}
