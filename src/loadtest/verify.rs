//! The audit of a run, as any customer could do it: every order's status at every node, the products, Toss's ledger,
//! compared with each other and with what the buyers were told.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::args::LoadtestArgs;
use super::buyer::{Attempt, Buyer, Line, OrderStatus, Product};
use super::crowd::{Ticket, closed_loop};
use super::measure::Calls;
use crate::audit::{
    self, AttemptRecord, AttemptResult, OrderRecord, OurRecord, Outside, ProductRecord, Terms,
    TossLedger, Violation,
};

mod told;

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
    /// What buyers were told that is not so, what nodes tell differently, what the scenario promised.
    pub broken_promises: Vec<String>,
}

impl Audit {
    pub fn add(&mut self, broken: Vec<String>) {
        self.ok &= broken.is_empty();
        self.broken_promises.extend(broken);
    }
}

/// All that can be read once everything rests.
pub struct Books {
    ours: OurRecord,
    ledger: TossLedger,
    unread: u64,
    why_unread: Option<String>,
    /// The shelf as the first node has it.
    pub shelf: Vec<Product>,
    disagreements: Vec<String>,
}

/// What an order or a product is, and whether another node tells something else.
struct Told<T> {
    record: T,
    differs: Option<String>,
}

pub async fn read(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
    shelf: &[Product],
) -> anyhow::Result<Books> {
    let orders = read_orders(buyer, args, tickets).await?;
    let (mut unread, mut why_unread) = (0, None);
    let (mut ours, mut disagreements) = (OurRecord::default(), Vec::new());
    for order in orders {
        match order {
            Ok(told) => {
                ours.orders.push(told.record);
                disagreements.extend(told.differs);
            }
            Err(error) => {
                unread += 1;
                why_unread.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    let mut now = Vec::with_capacity(shelf.len());
    for told in read_products(buyer, args, shelf).await? {
        now.push(told.record);
        disagreements.extend(told.differs);
    }
    ours.products = now
        .iter()
        .zip(shelf)
        .map(|(now, before)| product_record(*now, *before, unread == 0))
        .collect();
    let ledger = buyer
        .ledger(None)
        .await
        .context("cannot read Toss's ledger")?;
    let mut ledger: TossLedger = ledger.plain()?;
    let of_this_run: HashSet<&str> = tickets.iter().map(|t| t.order_id.as_str()).collect();
    ledger
        .payments
        .retain(|entry| of_this_run.contains(entry.order_id.as_str()));
    Ok(Books {
        ours,
        ledger,
        unread,
        why_unread,
        shelf: now,
        disagreements,
    })
}

impl Books {
    pub fn audit(&self, calls: &Calls, tickets: &[Ticket]) -> Audit {
        let terms = Terms {
            settled: true,
            settled_before: None,
            complete: false,
            // A day, the shortest that anything is kept, is longer than a run.
            kept: audit::Kept::default(),
        };
        let violations = audit::compare(&self.ours, &self.ledger, terms);
        let mut audit = Audit {
            ok: violations.is_empty() && self.unread == 0,
            orders: self.ours.orders.len() as u64,
            products: self.ours.products.len() as u64,
            unread: self.unread,
            why_unread: self.why_unread.clone(),
            violations,
            broken_promises: Vec::new(),
        };
        audit.add(self.disagreements.clone());
        let orders = &self.ours.orders;
        audit.add(told::broken(&calls.all, tickets, orders, &self.ledger));
        audit
    }

    /// Confirms that Toss heard beyond one for each payment.
    pub fn repeated_confirms(&self) -> u64 {
        let calls = self.ledger.payments.iter().map(|entry| entry.confirm_calls);
        calls.map(|calls| calls.saturating_sub(1)).sum()
    }
}

async fn read_orders(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Vec<anyhow::Result<Told<OrderRecord>>>> {
    let (buyer, asked) = (Arc::clone(buyer), Arc::clone(tickets));
    closed_loop("audit", tickets.len(), args.callers().min(64), move |at| {
        let (buyer, asked) = (Arc::clone(&buyer), Arc::clone(&asked));
        async move {
            let id = &asked[at].order_id;
            everywhere(&buyer, &format!("order {id}"), |node| async move {
                record_of(node.status(id).await?.data()?)
            })
            .await
        }
    })
    .await
}

/// What the first node says, and who contradicts it.
async fn everywhere<T: PartialEq, Reading: Future<Output = anyhow::Result<T>>>(
    buyer: &Buyer,
    what: &str,
    read: impl Fn(Buyer) -> Reading,
) -> anyhow::Result<Told<T>> {
    let record = read(buyer.at(0)).await?;
    let mut differs = None;
    for node in 1..buyer.nodes() {
        if read(buyer.at(node)).await? != record {
            differs = Some(format!(
                "{what}: URL {} tells it differently than the first one.",
                node + 1
            ));
        }
    }
    Ok(Told { record, differs })
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
        started_at: None,
    }
}

async fn read_products(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    shelf: &[Product],
) -> anyhow::Result<Vec<Told<Product>>> {
    let (buyer, shelf) = (Arc::clone(buyer), Arc::<[Product]>::from(shelf));
    let jobs = shelf.len();
    let told = closed_loop("audit", jobs, args.callers().min(32), move |at| {
        let (buyer, id) = (Arc::clone(&buyer), shelf[at].id);
        async move {
            everywhere(&buyer, &format!("product {id}"), |node| async move {
                node.product(id).await?.data()
            })
            .await
        }
    });
    told.await?.into_iter().collect()
}

/// `before` is the shelf before the run: what was held or sold then belongs to orders that are not in the record.
fn product_record(now: Product, before: Product, all_orders_read: bool) -> ProductRecord {
    // Orders of a former run that still held goods may settle during this one: then nobody can say.
    let quiet = before.held == 0 && all_orders_read;
    ProductRecord {
        id: now.id,
        stock: now.stock,
        received: now.received,
        held: now.held,
        sold: now.sold,
        outside: quiet.then_some(Outside {
            held: before.held,
            sold: before.sold,
        }),
    }
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
