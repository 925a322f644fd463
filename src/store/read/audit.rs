//! Everything that we remember, page by page, for those who hold it against Toss's ledger.

use sea_orm::FromQueryResult;
use serde::Deserialize;

use super::payments::{HistoryRow, PaymentRecord, history};
use super::{limit, rows};
use crate::domain::Timestamp;
use crate::store::rows::PaymentRow;
use crate::store::{Store, StoreFault};

/// One payment with its whole past. The attempts carry their full paymentKeys: mask them before showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub record: PaymentRecord,
    pub history: Vec<HistoryRow>,
    pub outbox: Vec<OutboxRow>,
}

/// News for the shop.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OutboxRow {
    pub id: i64,
    pub version: i64,
    /// The status that the payment came to.
    pub event: Box<str>,
    pub payload: Box<str>,
    #[serde(with = "micros")]
    pub at: Timestamp,
}

/// A payment whose rows make no payment: a finding of its own, and no reason to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub order_id: String,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// In the order of their ids.
    pub records: Vec<AuditRecord>,
    pub unreadable: Vec<Unreadable>,
    /// After which id the next page begins, an unreadable one too; `None` after the last one.
    pub next: Option<String>,
}

#[derive(FromQueryResult)]
struct AuditRow {
    #[sea_orm(nested)]
    payment: PaymentRow,
    history: String,
    outbox: String,
}

impl AuditRow {
    fn record(&self) -> Result<AuditRecord, String> {
        let mut outbox: Vec<OutboxRow> = rows::parse("outbox", &self.outbox)?;
        outbox.sort_unstable_by_key(|row| row.version);
        Ok(AuditRecord {
            record: PaymentRecord {
                payment: self.payment.payment()?,
                created_at: Timestamp::from_micros(self.payment.created_at),
            },
            history: history(&self.history)?,
            outbox,
        })
    }
}

impl Store {
    /// The payments whose ids come after `after`, at most `most` of them; each is read in one state.
    pub async fn audit_page(&self, after: &str, most: u32) -> Result<AuditPage, StoreFault> {
        let values = [after.into(), limit(most)];
        let found: Vec<AuditRow> = self.rows(self.0.sql.audit_page, values).await?;
        let mut page = AuditPage::default();
        if found.len() as u64 >= u64::from(most) {
            page.next = found.last().map(|row| row.payment.order_id.clone());
        }
        for row in found {
            match row.record() {
                Ok(record) => page.records.push(record),
                Err(why) => {
                    let order_id = row.payment.order_id;
                    page.unreadable.push(Unreadable { order_id, why });
                }
            }
        }
        Ok(page)
    }
}

mod micros {
    use serde::{Deserialize, Deserializer};

    use crate::domain::Timestamp;

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(input).map(Timestamp::from_micros)
    }
}
