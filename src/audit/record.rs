//! The two sides of an audit as plain values: what we wrote down, and what Toss wrote down. What a collector
//! could not see is absent, and the rule that needs it is not applied.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// What we say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OurRecord {
    pub orders: Vec<OrderRecord>,
    pub products: Vec<ProductRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    pub order_id: String,
    /// The name of the status, as the database and the door write it.
    pub status: String,
    /// KRW.
    pub total: i64,
    pub stock_held: bool,
    pub lines: Vec<Line>,
    pub attempts: Vec<AttemptRecord>,
    /// By version, ascending.
    pub history: Option<Vec<HistoryRow>>,
    pub outbox: Option<Vec<OutboxRow>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub product_id: i64,
    pub quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Whole, or masked as `tpayo2…bCd1` where the door hides it.
    pub payment_key: String,
    pub result: AttemptResult,
    pub started_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    Approved,
    Declined,
    /// Not settled, or the collector could not tell.
    Open,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HistoryRow {
    pub version: i64,
    /// Absent in the first row, the checkout.
    #[serde(default)]
    pub from: Option<String>,
    pub to: String,
    #[serde(default)]
    pub event: String,
    /// Absent where the collector could not tell, and then nobody takes it for old.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

/// One event told to the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRecord {
    pub id: i64,
    pub stock: i64,
    pub received: i64,
    pub held: i64,
    pub sold: i64,
    /// What orders outside of this record hold and bought; `None` where nobody can say, and then `held` and
    /// `sold` are not recomputed from the orders.
    pub outside: Option<Outside>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    pub held: i64,
    pub sold: i64,
}

/// What Toss says: the body of the sandbox's ledger, or the same made from Toss's list of transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TossLedger {
    pub payments: Vec<TossEntry>,
    /// Approvals of orders that payonce cannot have named: of whoever else sells on this account.
    #[serde(default)]
    pub others: u64,
}

/// One paymentKey at Toss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TossEntry {
    pub order_id: String,
    pub payment_key: String,
    pub status: String,
    /// KRW.
    pub total_amount: i64,
    /// KRW not refunded.
    pub balance_amount: i64,
    /// Requests to confirm that arrived, replays and refused ones included.
    pub confirm_calls: u64,
    /// Approvals executed.
    pub approvals: u64,
    /// All of it happened before the time that the record is about: it is there for the orders that are ours, and may be
    /// nobody's.
    #[serde(skip)]
    pub is_early: bool,
}
