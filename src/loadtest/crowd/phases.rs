//! The untimed and the timed way to the confirms: everybody checks out, then pays in Toss's window.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::pace::{Load, Turn, closed_loop, paced};
use super::shelf::Shelf;
use crate::loadtest::args::LoadtestArgs;
use crate::loadtest::buyer::{Authorized, Buyer, Confirm, Line, OrderStatus};
use crate::loadtest::measure::{Oddities, Phase, latencies};

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
    /// What a buyer makes of it who would like to pay less.
    less: String,
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

    pub fn tampered(&self) -> Confirm<'_> {
        Confirm {
            amount: &self.less,
            ..self.confirm()
        }
    }
}

pub struct CheckedOut {
    pub opened: Vec<Opened>,
    pub not_opened: u64,
    pub phase: Phase,
    pub odd: Vec<String>,
}

/// Timed.
pub async fn checkout(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    shelf: &Shelf,
) -> anyhow::Result<CheckedOut> {
    let products: Arc<[i64]> = (0..shelf.orders).map(|at| shelf.product_of(at)).collect();
    let jobs = products.len();
    let buyer = Arc::clone(buyer);
    let load = Load::closed(args.callers());
    let lap = paced("checkout", jobs, load, move |turn: Turn| {
        let (buyer, product) = (Arc::clone(&buyer), products[turn.at]);
        async move { turn.answered(check_out(&buyer, turn.at, product).await) }
    });
    let lap = lap.await?;
    let all = latencies(lap.results.iter().map(|timed| timed.latency))?;
    let mut opened = Vec::with_capacity(jobs);
    let mut odd = Oddities::default();
    for timed in lap.results {
        match timed.result {
            Ok(order) => opened.push(order),
            Err(error) => odd.keep_text(format!("checkout: {error:#}")),
        }
    }
    let odd = odd.into_vec();
    if opened.is_empty() {
        bail!("nobody could check out: {}", odd.join("; "));
    }
    Ok(CheckedOut {
        not_opened: (jobs - opened.len()) as u64,
        opened,
        phase: Phase::of(&all, lap.took).with_cpu(lap.cpu),
        odd,
    })
}

/// One piece of this product.
pub async fn check_out(buyer: &Buyer, order: usize, product_id: i64) -> anyhow::Result<Opened> {
    let user = user_of(order);
    let line = Line {
        product_id,
        quantity: 1,
    };
    let answer = buyer.checkout(user, &[line]).await?;
    let order: OrderStatus = answer.data()?;
    Ok(Opened {
        order_id: order.order_id,
        user,
        total: order.total_amount,
    })
}

/// The two users whom a shop with demo data knows; other shops know everybody.
fn user_of(order: usize) -> u64 {
    1 + (order % 2) as u64
}

/// Not timed: it is Toss's work, not ours.
pub async fn authorize(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    orders: Vec<Opened>,
) -> anyhow::Result<Arc<[Ticket]>> {
    let jobs = orders.len();
    let (buyer, orders) = (Arc::clone(buyer), Arc::<[Opened]>::from(orders));
    let paid = closed_loop("authorize", jobs, args.callers().min(128), move |at| {
        let (buyer, orders) = (Arc::clone(&buyer), Arc::clone(&orders));
        async move { pay_in_window(&buyer, &orders[at]).await }
    });
    paid.await?.into_iter().collect()
}

pub async fn pay_in_window(buyer: &Buyer, order: &Opened) -> anyhow::Result<Ticket> {
    let answer = buyer.authorize(&order.order_id, order.total).await?;
    let paid = answer.plain();
    let Authorized { payment_key } =
        paid.context("a buyer could not pay in the sandbox's window")?;
    Ok(Ticket {
        order_id: order.order_id.clone(),
        user: order.user,
        amount: order.total.to_string(),
        less: (order.total / 2).to_string(),
        payment_key,
    })
}
