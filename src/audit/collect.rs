//! The collectors of `payonce audit`: our side from the database, page by page; Toss's side from the sandbox's
//! ledger, or made from Toss's list of transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::payment::Settled;
use crate::domain::{Attempt, OrderId, Payment, ProductId, Timestamp};
use crate::gateway::wire::{PaymentStatus, TransactionObject};
use crate::gateway::{GatewayFault, Toss};
use crate::store::{AuditRecord, Booked, Counted, Store, StoreFault, Unreadable};

use super::{
    AttemptRecord, AttemptResult, Comparison, HistoryRow, Kept, Line, OrderRecord, OutboxRow,
    Outside, ProductRecord, TossEntry, TossLedger, Violation, stock_violations,
};

/// Orders read at once: enough to be quick, few enough to be forgotten soon.
const PAGE: u32 = 500;

/// So far Toss's clock may be behind the database's, and the clocks of two hosts that name orders may be apart.
const CLOCKS_APART_MS: i64 = 60 * 60 * 1_000;

#[derive(Debug, thiserror::Error)]
pub enum CollectFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Gateway(#[from] GatewayFault),
    #[error(
        "the sandbox's ledger at {url}: {why} (it is told by a running sandbox: `payonce` or `payonce sandbox`)"
    )]
    Ledger { url: String, why: String },
}

/// Which orders are looked at, and what of them must still be there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// Only orders that were checked out since; all, without an instant.
    pub since: Option<Timestamp>,
    /// How long the history is kept, and news for the shop; forever, without a time.
    pub history: Option<Duration>,
    pub outbox: Option<Duration>,
}

impl Scope {
    async fn kept(self, store: &Store) -> Result<Kept, StoreFault> {
        let now = store.now().await?;
        let ago = |kept: Duration| {
            let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            now.plus_ms(-kept_ms)
        };
        Ok(Kept {
            history_since: self.history.map(ago),
            outbox_since: self.outbox.map(ago),
        })
    }
}

/// How much of our side was read, and the orders that cannot be.
#[derive(Debug, Default)]
pub struct Read {
    pub orders: u64,
    pub products: u64,
    /// Approvals at Toss that were left out, see [`TossLedger::others`].
    pub others: u64,
    pub unreadable: Vec<Unreadable>,
}

/// When the oldest order was checked out, as their names have it.
pub async fn oldest(store: &Store) -> Result<Option<Timestamp>, CollectFault> {
    let mut after = String::new();
    loop {
        let page = store.audit_page(&after, 10).await?;
        if let Some(oldest) = page.records.first() {
            return Ok(Some(oldest.record.created_at));
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(None),
        }
    }
}

/// Reads our side into a comparison, page by page: each order is forgotten once it is compared.
pub async fn read_into(
    comparison: &mut Comparison<'_>,
    store: &Store,
    scope: Scope,
) -> Result<Read, CollectFault> {
    let mut read = Read::default();
    let since = scope.since.map(OrderId::earliest_of);
    let mut after = since.map_or_else(String::new, |order| order.to_string());
    loop {
        let page = store.audit_page(&after, PAGE).await?;
        // By the time after the reading: what was deleted before it was old by then.
        comparison.keep(scope.kept(store).await?);
        for found in page.records {
            comparison.order(&remembered(found));
            read.orders += 1;
        }
        for unreadable in page.unreadable {
            comparison.unreadable(&unreadable.order_id);
            read.unreadable.push(unreadable);
        }
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    if scope.since.is_some() {
        read_older(comparison, store, &mut read).await?;
    }
    for counted in store.all_counted().await? {
        comparison.product(&product(counted, scope));
        read.products += 1;
    }
    Ok(read)
}

/// Orders that Toss approved in our time and that are older: as they are now, without their past.
async fn read_older(
    comparison: &mut Comparison<'_>,
    store: &Store,
    read: &mut Read,
) -> Result<(), CollectFault> {
    let older: Vec<OrderId> = comparison.strangers().filter_map(OrderId::parse).collect();
    for some in older.chunks(PAGE as usize) {
        for (id, payment) in store.load_all(some).await? {
            match payment {
                Ok(payment) => {
                    comparison.order(&order(&payment));
                    read.orders += 1;
                }
                Err(why) => {
                    let (order_id, why) = (id.to_string(), why.to_string());
                    comparison.unreadable(&order_id);
                    read.unreadable.push(Unreadable { order_id, why });
                }
            }
        }
    }
    Ok(())
}

fn remembered(found: AuditRecord) -> OrderRecord {
    let row = |row: crate::store::HistoryRow| HistoryRow {
        version: row.version,
        from: row.from.map(|status| status.name().to_owned()),
        to: row.to.name().to_owned(),
        event: row.event.into(),
        at: Some(row.at),
    };
    let news = |row: crate::store::OutboxRow| OutboxRow {
        version: row.version,
    };
    OrderRecord {
        history: Some(found.history.into_iter().map(row).collect()),
        outbox: Some(found.outbox.into_iter().map(news).collect()),
        ..order(&found.record.payment)
    }
}

fn order(payment: &Payment) -> OrderRecord {
    let line = |line: &crate::domain::Line| Line {
        product_id: line.product.get(),
        quantity: i64::from(line.quantity.get()),
    };
    OrderRecord {
        order_id: payment.order.id.to_string(),
        status: payment.status.name().to_owned(),
        total: payment.order.total.get(),
        stock_held: payment.stock_held,
        lines: payment.order.lines.iter().map(line).collect(),
        attempts: payment.attempts.iter().map(attempt).collect(),
        history: None,
        outbox: None,
    }
}

fn attempt(attempt: &Attempt) -> AttemptRecord {
    let result = match &attempt.settled {
        // Told declined, and yet it paid: the order stands on its approval.
        Some(Settled::Approved(_) | Settled::Overruled { .. }) => AttemptResult::Approved,
        Some(Settled::Declined(_)) => AttemptResult::Declined,
        None => AttemptResult::Open,
    };
    AttemptRecord {
        payment_key: attempt.payment_key.reveal().to_owned(),
        result,
        started_at: Some(attempt.started_at),
    }
}

/// What is wrong with these products, each held against its whole book in one view: it may sell meanwhile.
pub async fn booked(store: &Store, products: &BTreeSet<i64>) -> Result<Vec<Violation>, StoreFault> {
    let products = products.iter().copied().filter_map(ProductId::new);
    let products: Vec<ProductId> = products.collect();
    let against = |booked: Booked| {
        let (held, sold) = (booked.counted.held, booked.sold);
        let outside = Some(Outside { held, sold });
        let said = product(booked.counted, Scope::default());
        stock_violations(&ProductRecord { outside, ..said })
    };
    let booked = store.booked(&products).await?;
    Ok(booked.into_iter().flat_map(against).collect())
}

fn product(counted: Counted, scope: Scope) -> ProductRecord {
    ProductRecord {
        id: counted.product.listing.id.get(),
        stock: counted.product.stock,
        received: counted.product.received,
        held: counted.held,
        sold: counted.sold(),
        outside: scope.since.is_none().then(Outside::default),
    }
}

/// The ledger of a sandbox, as its control API tells it.
pub async fn sandbox_ledger(base_url: &str) -> Result<TossLedger, CollectFault> {
    let url = format!("{base_url}/sandbox/ledger");
    let fault = |error: reqwest::Error| CollectFault::Ledger {
        url: url.clone(),
        why: error.without_url().to_string(),
    };
    let answer = reqwest::get(&url)
        .await
        .and_then(reqwest::Response::error_for_status);
    answer.map_err(fault)?.json().await.map_err(fault)
}

/// The ledger as Toss's list of transactions shows it, from one instant to another, and from somewhat earlier by its clock.
/// It has no calls and no refused attempts, but every approval and every refund.
pub async fn transactions(
    toss: &Toss,
    from: Timestamp,
    to: Timestamp,
) -> Result<TossLedger, CollectFault> {
    let (mut listed, mut after) = (Listed::default(), None);
    let earlier = from.plus_ms(-CLOCKS_APART_MS);
    loop {
        let page = toss.transactions(earlier, to, after.take()).await?;
        let more = page.len() >= crate::gateway::TRANSACTIONS_PAGE;
        after = page
            .last()
            .map(|transaction| transaction.transaction_key.clone());
        for transaction in page {
            listed.add(transaction, from);
        }
        if !more || after.is_none() {
            return Ok(listed.ledger());
        }
    }
}

/// What the list of transactions has said so far.
#[derive(Default)]
struct Listed {
    /// By paymentKey.
    entries: BTreeMap<String, TossEntry>,
    others: u64,
}

impl Listed {
    fn ledger(self) -> TossLedger {
        TossLedger {
            payments: self.entries.into_values().collect(),
            others: self.others,
        }
    }

    fn add(&mut self, transaction: TransactionObject, from: Timestamp) {
        if !OrderId::may_be_ours(&transaction.order_id) {
            self.others += u64::from(transaction.status == PaymentStatus::Done);
            return;
        }
        let is_early = transaction.executed_at().is_some_and(|at| at < from);
        let entry = self.entries.entry(transaction.payment_key.clone());
        let entry = entry.or_insert_with(|| TossEntry {
            is_early,
            ..TossEntry::default()
        });
        entry.is_early &= is_early;
        entry.order_id = transaction.order_id;
        entry.payment_key = transaction.payment_key;
        // In another currency it is no amount of ours, and the order says so.
        let is_won = ["", "KRW"].contains(&&*transaction.currency);
        let amount = transaction.amount.filter(|_| is_won).unwrap_or(0);
        match transaction.status {
            PaymentStatus::Done => {
                entry.approvals += 1;
                entry.total_amount += amount;
                entry.balance_amount += amount;
            }
            // A refund is listed with the amount that went back.
            PaymentStatus::Canceled | PaymentStatus::PartialCanceled => {
                entry.balance_amount -= amount.abs();
            }
            PaymentStatus::Ready
            | PaymentStatus::InProgress
            | PaymentStatus::WaitingForDeposit
            | PaymentStatus::Aborted
            | PaymentStatus::Expired => {}
        }
        entry.status = transaction.status.as_str().to_owned();
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
