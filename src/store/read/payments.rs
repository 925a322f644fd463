//! Payments: one with everything that rules need, its past, the newest, and those that recovery should look at.

use std::time::Duration;

use std::collections::HashMap;

use sea_orm::{FromQueryResult, Value};
use serde::Deserialize;
use uuid::Uuid;

use super::{Share, broken, limit, rows};
use crate::domain::{
    Incarnation, OrderId, Payment, Rules, Status, Timestamp, TransitionId, UserId, Won,
};
use crate::store::rows::PaymentRow;
use crate::store::{Store, StoreFault};

/// A payment and when its order was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRecord {
    pub payment: Payment,
    pub created_at: Timestamp,
}

/// One transition, as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    pub version: i64,
    /// `None` for the checkout.
    pub from: Option<Status>,
    pub to: Status,
    pub event: Box<str>,
    pub reason: Option<Box<str>>,
    pub at: Timestamp,
    pub transition: TransitionId,
}

/// A payment that waits for a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub payment: Payment,
    pub history: Vec<HistoryRow>,
}

/// A payment that should be looked at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub order: OrderId,
    pub status: Status,
}

/// One line of a list of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSummary {
    pub order: OrderId,
    pub user: UserId,
    pub status: Status,
    pub total: Won,
    pub name: Box<str>,
    pub created_at: Timestamp,
}

#[derive(FromQueryResult)]
struct DueRow {
    order_id: String,
    status: String,
}

#[derive(FromQueryResult)]
struct VersionRow {
    order_id: String,
    version: i64,
}

#[derive(FromQueryResult)]
struct SummaryRow {
    order_id: String,
    user_id: String,
    status: String,
    total_amount: i64,
    order_name: String,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct QuarantinedRow {
    #[sea_orm(nested)]
    payment: PaymentRow,
    history: String,
}

#[derive(FromQueryResult)]
struct HistoryJson {
    history: String,
}

#[derive(Deserialize)]
struct HistoryJsonRow {
    version: i64,
    transition_id: Uuid,
    from_status: Option<String>,
    to_status: String,
    event: Box<str>,
    reason: Option<Box<str>>,
    at: i64,
}

impl Store {
    pub async fn load(&self, order: OrderId) -> Result<Option<Payment>, StoreFault> {
        let mut found = self.load_all(&[order]).await?;
        found.remove(&order).transpose()
    }

    /// Those that exist, in one reading. A row that is broken hides no other.
    pub async fn load_all(
        &self,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<Payment, StoreFault>>, StoreFault> {
        #[cfg(test)]
        self.0.sabotage.loaded();
        let mut payments = HashMap::with_capacity(orders.len());
        for row in self.payment_rows(orders).await? {
            let order = rows::order_id(&row.order_id).map_err(broken(row.order_id.clone()))?;
            payments.insert(order, row.payment().map_err(broken(row.order_id)));
        }
        Ok(payments)
    }

    pub async fn record(&self, order: OrderId) -> Result<Option<PaymentRecord>, StoreFault> {
        let found = self.payment_rows(&[order]).await?;
        let record = found.first().map(|row| {
            row.payment().map(|payment| PaymentRecord {
                payment,
                created_at: Timestamp::from_micros(row.created_at),
            })
        });
        record.transpose().map_err(broken(order.to_string()))
    }

    async fn payment_rows(&self, orders: &[OrderId]) -> Result<Vec<PaymentRow>, StoreFault> {
        let keys = self.keys(orders)?;
        self.rows(self.0.sql.load, [keys]).await
    }

    fn keys(&self, orders: &[OrderId]) -> Result<Value, StoreFault> {
        let keys: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
        self.0.sql.batch.keys(&keys).map_err(StoreFault::Refused)
    }

    /// Of those that exist.
    pub async fn versions(&self, orders: &[OrderId]) -> Result<HashMap<OrderId, i64>, StoreFault> {
        let keys = self.keys(orders)?;
        let found: Vec<VersionRow> = self.rows(self.0.sql.versions, [keys]).await?;
        let version = |row: VersionRow| {
            let order = rows::order_id(&row.order_id).map_err(broken(row.order_id))?;
            Ok((order, row.version))
        };
        found.into_iter().map(version).collect()
    }

    /// Oldest first; empty for an order that does not exist.
    pub async fn history(&self, order: OrderId) -> Result<Vec<HistoryRow>, StoreFault> {
        let key = order.to_string();
        let found: Vec<HistoryJson> = self.rows(self.0.sql.history, [key.clone().into()]).await?;
        let rows = found.first().map(|found| history(&found.history));
        rows.transpose()
            .map(Option::unwrap_or_default)
            .map_err(broken(key))
    }

    /// Earliest first: what is past its time, and what is IN_PROGRESS under an incarnation that lives no more. What a
    /// living one has IN_PROGRESS is its own affair; `me` hears of its own when they are past their hard deadline.
    pub async fn due(
        &self,
        now: Timestamp,
        me: Incarnation,
        dead_after: Duration,
        share: &Share,
        most: u32,
    ) -> Result<Vec<Due>, StoreFault> {
        let values = [
            now.micros().into(),
            me.to_string().into(),
            limit(most),
            self.age(dead_after),
            share.digits().into(),
            now.plus_ms(-Rules::LONG_OVER_MS).micros().into(),
        ];
        let found: Vec<DueRow> = self.rows(self.0.sql.due, values).await?;
        let due = found.into_iter().map(|row| {
            let due = rows::order_id(&row.order_id)
                .and_then(|order| rows::status(&row.status).map(|status| Due { order, status }));
            due.map_err(broken(row.order_id))
        });
        Ok(readable(due))
    }

    /// What waits for a human, oldest order first.
    pub async fn quarantined(&self, most: u32) -> Result<Vec<Quarantined>, StoreFault> {
        let found: Vec<QuarantinedRow> = self.rows(self.0.sql.quarantined, [limit(most)]).await?;
        let read = |row: &QuarantinedRow| {
            let (payment, history) = (row.payment.payment()?, history(&row.history)?);
            Ok(Quarantined { payment, history })
        };
        let quarantined = found
            .iter()
            .map(|row| read(row).map_err(broken(row.payment.order_id.clone())));
        Ok(readable(quarantined))
    }

    /// The newest orders, newest first.
    pub async fn recent(&self, most: u32) -> Result<Vec<OrderSummary>, StoreFault> {
        let found: Vec<SummaryRow> = self.rows(self.0.sql.recent, [limit(most)]).await?;
        let summaries = found
            .into_iter()
            .map(|row| summary(&row).map_err(broken(row.order_id)));
        Ok(readable(summaries))
    }
}

/// One broken row must not hide the others from recovery; the audit names it.
fn readable<T>(rows: impl Iterator<Item = Result<T, StoreFault>>) -> Vec<T> {
    let heard = |row: Result<T, StoreFault>| row.inspect_err(|fault| tracing::error!("{fault}"));
    rows.filter_map(|row| heard(row).ok()).collect()
}

fn summary(row: &SummaryRow) -> Result<OrderSummary, String> {
    let total = row.total_amount;
    Ok(OrderSummary {
        order: rows::order_id(&row.order_id)?,
        user: UserId::parse(&row.user_id).ok_or("an invalid user id")?,
        status: rows::status(&row.status)?,
        total: Won::new(total).ok_or_else(|| format!("an amount of {total}"))?,
        name: row.order_name.as_str().into(),
        created_at: Timestamp::from_micros(row.created_at),
    })
}

pub(super) fn history(json: &str) -> Result<Vec<HistoryRow>, String> {
    let found: Vec<HistoryJsonRow> = rows::parse("history", json)?;
    let row = |row: HistoryJsonRow| {
        Ok(HistoryRow {
            version: row.version,
            from: row.from_status.as_deref().map(rows::status).transpose()?,
            to: rows::status(&row.to_status)?,
            event: row.event,
            reason: row.reason,
            at: Timestamp::from_micros(row.at),
            transition: TransitionId(row.transition_id),
        })
    };
    let mut history = found
        .into_iter()
        .map(row)
        .collect::<Result<Vec<_>, String>>()?;
    history.sort_unstable_by_key(|row| row.version);
    Ok(history)
}
