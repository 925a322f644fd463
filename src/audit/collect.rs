//! The collectors of `payonce audit`: our side from the database, page by page; Toss's side from the sandbox's
//! ledger, or made from Toss's list of transactions.

use std::collections::BTreeMap;

use crate::domain::payment::Settled;
use crate::domain::{Attempt, OrderId, Timestamp};
use crate::gateway::wire::{PaymentStatus, TransactionObject};
use crate::gateway::{GatewayFault, Toss};
use crate::store::{AuditRecord, Counted, Store, StoreFault, Unreadable};

use super::{
    AttemptRecord, AttemptResult, HistoryRow, Line, OrderRecord, OurRecord, OutboxRow, Outside,
    ProductRecord, TossEntry, TossLedger,
};

/// Orders read at once: enough to be quick, few enough to be forgotten soon.
const PAGE: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub enum CollectFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Gateway(#[from] GatewayFault),
    #[error("the sandbox's ledger at {url}: {why}")]
    Ledger { url: String, why: String },
}

/// What we wrote down, and the orders that cannot be read.
pub struct Collected {
    pub ours: OurRecord,
    pub unreadable: Vec<Unreadable>,
    /// When the oldest order was checked out.
    pub since: Option<Timestamp>,
}

pub async fn our_record(store: &Store) -> Result<Collected, CollectFault> {
    let mut collected = Collected {
        ours: OurRecord::default(),
        unreadable: Vec::new(),
        since: None,
    };
    let mut after: Option<OrderId> = None;
    loop {
        let page = store.order_ids_by_pages(after, PAGE).await?;
        collected.unreadable.extend(page.unreadable);
        for found in page.records {
            collected.since.get_or_insert(found.record.created_at);
            collected.ours.orders.push(order(found));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    collected.ours.products = store
        .all_counted()
        .await?
        .into_iter()
        .map(product)
        .collect();
    Ok(collected)
}

fn order(found: AuditRecord) -> OrderRecord {
    let payment = found.record.payment;
    let line = |line: &crate::domain::Line| Line {
        product_id: line.product.get(),
        quantity: i64::from(line.quantity.get()),
    };
    let row = |row: crate::store::HistoryRow| HistoryRow {
        version: row.version,
        from: row.from.map(|status| status.name().to_owned()),
        to: row.to.name().to_owned(),
        event: row.event.into(),
        at: Some(row.at),
    };
    OrderRecord {
        order_id: payment.order.id.to_string(),
        status: payment.status.name().to_owned(),
        total: payment.order.total.get(),
        stock_held: payment.stock_held,
        lines: payment.order.lines.iter().map(line).collect(),
        attempts: payment.attempts.iter().map(attempt).collect(),
        history: Some(found.history.into_iter().map(row).collect()),
        outbox: Some(
            found
                .outbox
                .into_iter()
                .map(|row| OutboxRow {
                    version: row.version,
                })
                .collect(),
        ),
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
    }
}

fn product(counted: Counted) -> ProductRecord {
    ProductRecord {
        id: counted.product.listing.id.get(),
        stock: counted.product.stock,
        received: counted.product.received,
        held: counted.held,
        sold: counted.sold(),
        outside: Some(Outside::default()),
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

/// The ledger as Toss's list of transactions shows it, from one instant to another. It has no calls and no
/// refused attempts, but every approval and every refund.
pub async fn transactions(
    toss: &Toss,
    from: Timestamp,
    to: Timestamp,
) -> Result<TossLedger, CollectFault> {
    let mut entries: BTreeMap<String, TossEntry> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = toss.transactions(from, to, after.take()).await?;
        let more = page.len() >= crate::gateway::TRANSACTIONS_PAGE;
        after = page
            .last()
            .map(|transaction| transaction.transaction_key.clone());
        for transaction in page {
            add(&mut entries, transaction);
        }
        if !more || after.is_none() {
            return Ok(TossLedger {
                payments: entries.into_values().collect(),
            });
        }
    }
}

fn add(entries: &mut BTreeMap<String, TossEntry>, transaction: TransactionObject) {
    let entry = entries.entry(transaction.payment_key.clone()).or_default();
    entry.order_id = transaction.order_id;
    entry.payment_key = transaction.payment_key;
    let amount = transaction.amount;
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
