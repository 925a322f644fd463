//! The untimed and the timed way to the confirms: everybody checks out, then pays in Toss's window.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::LoadtestArgs;
use super::buyer::{Answer, Authorized, Buyer, Confirm, Line, OrderStatus, Silence};
use super::pace::{Latencies, closed_loop};
use super::shelf::{orders_of, product_of};
use super::tally::Oddities;

/// One order, checked out.
#[derive(Clone, Debug)]
pub struct Opened {
    order_id: String,
    user: u64,
    total: i64,
}

/// An order in its buyer's hand, on the way back from Toss's window.
pub struct Ticket {
    pub order_id: String,
    user: u64,
    amount: String,
    payment_key: String,
}

impl Ticket {
    pub fn confirm(&self) -> Confirm<'_> {
        Confirm {
            user_id: self.user,
            order_id: &self.order_id,
            amount: &self.amount,
            payment_key: &self.payment_key,
        }
    }
}

pub struct CheckedOut {
    pub opened: Vec<Opened>,
    pub not_opened: u64,
    pub latencies: Latencies,
    pub took: Duration,
    pub odd: Vec<String>,
}

/// Timed.
pub async fn checkout(buyer: &Arc<Buyer>, args: &LoadtestArgs) -> anyhow::Result<CheckedOut> {
    let products: Arc<[i64]> = (0..orders_of(args))
        .map(|at| product_of(args, at))
        .collect();
    let jobs = products.len();
    let buyer = Arc::clone(buyer);
    let lap = closed_loop("checkout", jobs, args.callers(), move |at| {
        let (buyer, product_id) = (Arc::clone(&buyer), products[at]);
        async move {
            let line = Line {
                product_id,
                quantity: 1,
            };
            let user = user_of(at);
            opened(user, buyer.checkout(user, &[line]).await)
        }
    });
    let lap = lap.await?;
    let mut orders = Vec::with_capacity(lap.results.len());
    let mut odd = Oddities::default();
    for order in lap.results {
        match order {
            Ok(order) => orders.push(order),
            Err(error) => odd.keep_text(format!("checkout: {error:#}")),
        }
    }
    let odd = odd.into_vec();
    if orders.is_empty() {
        bail!("nobody could check out: {}", odd.join("; "));
    }
    Ok(CheckedOut {
        not_opened: (jobs - orders.len()) as u64,
        opened: orders,
        latencies: lap.latencies,
        took: lap.took,
        odd,
    })
}

/// The two users whom a shop with demo data knows; other shops know everybody.
fn user_of(order: usize) -> u64 {
    1 + (order % 2) as u64
}

fn opened(user: u64, heard: Result<Answer, Silence>) -> anyhow::Result<Opened> {
    let answer = heard?;
    let order: OrderStatus = answer.data()?;
    Ok(Opened {
        order_id: order.order_id,
        user,
        total: order.total_amount,
    })
}

/// Not timed: it is Toss's work, not ours.
pub async fn authorize(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    orders: Vec<Opened>,
) -> anyhow::Result<Arc<[Ticket]>> {
    let jobs = orders.len();
    let (buyer, orders) = (Arc::clone(buyer), Arc::<[Opened]>::from(orders));
    let lap = closed_loop("authorize", jobs, args.callers().min(128), move |at| {
        let (buyer, orders) = (Arc::clone(&buyer), Arc::clone(&orders));
        async move {
            let paid = pay_in_window(&buyer, &orders[at]).await;
            paid.context("a buyer could not pay in the sandbox's window")
        }
    });
    lap.await?.results.into_iter().collect()
}

async fn pay_in_window(buyer: &Buyer, order: &Opened) -> anyhow::Result<Ticket> {
    let answer = buyer.authorize(&order.order_id, order.total).await?;
    let Authorized { payment_key } = answer.plain()?;
    Ok(Ticket {
        order_id: order.order_id.clone(),
        user: order.user,
        amount: order.total.to_string(),
        payment_key,
    })
}
