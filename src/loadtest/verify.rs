//! The audit of a run, as any customer could do it: every order's status, the products, Toss's ledger, compared.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::LoadtestArgs;
use super::buyer::{Attempt, Buyer, Line, OrderStatus, Product};
use super::pace::closed_loop;
use super::phases::Ticket;
use crate::audit::{
    self, AttemptRecord, AttemptResult, OrderRecord, OurRecord, Outside, ProductRecord, Terms,
    TossLedger, Violation,
};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub ok: bool,
    pub orders: u64,
    pub products: u64,
    /// Orders whose record could not be read, or not wholly: an audit that did not look found nothing.
    pub unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_unread: Option<String>,
    pub violations: Vec<Violation>,
}

pub async fn audit(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
    shelf: Vec<Product>,
) -> anyhow::Result<Audit> {
    let read = read_orders(buyer, args, tickets).await?;
    let mut unread = 0;
    let mut why_unread = None;
    let mut ours = OurRecord::default();
    for order in read {
        match order {
            Ok(order) => ours.orders.push(order),
            Err(error) => {
                unread += 1;
                why_unread.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    ours.products = read_products(buyer, args, shelf, unread == 0).await?;
    let ledger = buyer
        .ledger(None)
        .await
        .context("cannot read Toss's ledger")?;
    let mut ledger: TossLedger = ledger.plain()?;
    let of_this_run: HashSet<&str> = tickets.iter().map(|t| t.order_id.as_str()).collect();
    ledger
        .payments
        .retain(|entry| of_this_run.contains(entry.order_id.as_str()));

    let terms = Terms {
        settled: true,
        complete: false,
    };
    let violations = audit::compare(&ours, &ledger, terms);
    Ok(Audit {
        ok: violations.is_empty() && unread == 0,
        orders: ours.orders.len() as u64,
        products: ours.products.len() as u64,
        unread,
        why_unread,
        violations,
    })
}

async fn read_orders(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Vec<anyhow::Result<OrderRecord>>> {
    let (buyer, asked) = (Arc::clone(buyer), Arc::clone(tickets));
    let lap = closed_loop("audit", tickets.len(), args.callers().min(64), move |at| {
        let (buyer, asked) = (Arc::clone(&buyer), Arc::clone(&asked));
        async move {
            let answer = buyer.status(&asked[at].order_id).await?;
            record_of(answer.data()?)
        }
    });
    Ok(lap.await?.results)
}

/// Refuses what an audit could not judge by: a status without history looks like a clean one.
fn record_of(order: OrderStatus) -> anyhow::Result<OrderRecord> {
    const HIDDEN: &str = "the server hides attempts and history (pass --api-key)";
    let attempts = order.attempts.context(HIDDEN)?;
    let history = order.history.context(HIDDEN)?;
    let stock_held = order
        .stock_held
        .context("the status does not tell stockHeld")?;
    anyhow::ensure!(!order.lines.is_empty(), "the status shows no lines");
    let line = |line: &Line| audit::Line {
        product_id: line.product_id,
        quantity: line.quantity,
    };
    Ok(OrderRecord {
        order_id: order.order_id,
        status: order.status,
        total: order.total_amount,
        stock_held,
        lines: order.lines.iter().map(line).collect(),
        attempts: attempts.into_iter().map(attempt_of).collect(),
        history: Some(history),
        outbox: None,
    })
}

fn attempt_of(attempt: Attempt) -> AttemptRecord {
    let result = match attempt.status.as_str() {
        "APPROVED" | "DONE" => AttemptResult::Approved,
        "DECLINED" | "FAILED" => AttemptResult::Declined,
        _ => AttemptResult::Open,
    };
    AttemptRecord {
        payment_key: attempt.payment_key,
        result,
    }
}

/// `before` is the shelf before the run: what was held or sold then belongs to orders that are not in the record.
async fn read_products(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    before: Vec<Product>,
    all_orders_read: bool,
) -> anyhow::Result<Vec<ProductRecord>> {
    let (buyer, shelf) = (Arc::clone(buyer), Arc::<[Product]>::from(before));
    let jobs = shelf.len();
    let lap = closed_loop("audit", jobs, args.callers().min(32), move |at| {
        let (buyer, before) = (Arc::clone(&buyer), shelf[at]);
        async move {
            let now: Product = buyer.product(before.id).await?.data()?;
            // Orders of a former run that still held goods may settle during this one: then nobody can say.
            let quiet = before.held == 0 && all_orders_read;
            Ok(ProductRecord {
                id: now.id,
                stock: now.stock,
                received: now.received,
                held: now.held,
                sold: now.sold,
                outside: quiet.then_some(Outside {
                    held: before.held,
                    sold: before.sold,
                }),
            })
        }
    });
    lap.await?.results.into_iter().collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn order(text: &str) -> OrderStatus {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_status_without_history_is_unread_and_not_clean() {
        let bare = order(r#"{"orderId":"o","status":"DONE","totalAmount":5}"#);
        let why = record_of(bare).unwrap_err().to_string();
        assert!(why.contains("--api-key"), "{why}");

        let full = order(
            r#"{"orderId":"o","status":"DONE","totalAmount":5,"stockHeld":true,
                "lines":[{"productId":1,"quantity":2}],
                "attempts":[{"paymentKey":"tpayo2…bCd1","status":"APPROVED"}],
                "history":[{"version":1,"from":null,"to":"READY"}]}"#,
        );
        let record = record_of(full).unwrap();
        assert_eq!(record.attempts[0].result, AttemptResult::Approved);
        assert_eq!(record.lines[0].quantity, 2);
    }
}
