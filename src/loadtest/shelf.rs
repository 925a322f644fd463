//! Goods for the crowd: creates the products that the orders want and receives what is missing.

use std::sync::Arc;

use anyhow::Context;

use super::buyer::{Buyer, Product};
use super::pace::closed_loop;
use super::{LoadtestArgs, Scenario};

/// Far from the demo's products, 1 and 2.
const FIRST_PRODUCT: i64 = 1001;
/// KRW.
pub const PRICE: i64 = 10_000;

/// Which product the order at this place wants; one piece of it.
pub fn product_of(args: &LoadtestArgs, order: usize) -> i64 {
    FIRST_PRODUCT + (order % shelf_width(args)) as i64
}

/// `same-order` confirms one order more than it times, to warm the connections.
pub fn orders_of(args: &LoadtestArgs) -> usize {
    let warm_up = match args.scenario {
        Scenario::SameOrder => 1,
        Scenario::Distinct | Scenario::Hot => 0,
    };
    args.orders as usize + warm_up
}

fn shelf_width(args: &LoadtestArgs) -> usize {
    match args.scenario {
        Scenario::Hot => 1,
        Scenario::Distinct | Scenario::SameOrder => (args.products as usize).min(orders_of(args)),
    }
}

/// How many orders want the product at this place of the shelf.
fn wanted_of(args: &LoadtestArgs, place: usize) -> i64 {
    let (orders, width) = (orders_of(args), shelf_width(args));
    (orders / width + usize::from(place < orders % width)) as i64
}

/// The products as they are before the first checkout, with enough of each for every order.
pub async fn stock_up(buyer: &Arc<Buyer>, args: &LoadtestArgs) -> anyhow::Result<Vec<Product>> {
    let wanted: Arc<[i64]> = (0..shelf_width(args))
        .map(|at| wanted_of(args, at))
        .collect();
    let places = wanted.len();
    let buyer = Arc::clone(buyer);
    let lap = closed_loop("products", places, args.callers().min(32), move |at| {
        let (buyer, wanted) = (Arc::clone(&buyer), wanted[at]);
        async move {
            let id = FIRST_PRODUCT + at as i64;
            let stocked = stock_one(&buyer, id, wanted).await;
            stocked.with_context(|| format!("cannot put product {id} on the shelf"))
        }
    });
    lap.await?.results.into_iter().collect()
}

async fn stock_one(buyer: &Buyer, id: i64, wanted: i64) -> anyhow::Result<Product> {
    let name = format!("Load {id}");
    let created = buyer.put_product(id, &name, PRICE).await?;
    anyhow::ensure!(created.is_success(), "refused: {}", created.summary());
    let product: Product = buyer.product(id).await?.data()?;
    let missing = wanted - product.stock;
    if missing <= 0 {
        return Ok(product);
    }
    let received = buyer.receive_stock(id, missing).await?;
    anyhow::ensure!(received.is_success(), "refused: {}", received.summary());
    buyer.product(id).await?.data()
}

#[cfg(test)]
mod tests {
    use super::super::tests::args;
    use super::*;

    #[test]
    fn the_shelf_holds_exactly_what_the_orders_want() {
        for (scenario, orders, products) in [
            (Scenario::Distinct, 1000, 1000),
            (Scenario::Distinct, 1000, 7),
            (Scenario::Distinct, 3, 1000),
            (Scenario::Hot, 1000, 1000),
            (Scenario::SameOrder, 10, 4),
        ] {
            let args = args(scenario, orders, products);
            let mut wanted = std::collections::BTreeMap::new();
            for order in 0..orders_of(&args) {
                *wanted.entry(product_of(&args, order)).or_insert(0) += 1;
            }
            let width = shelf_width(&args);
            let stocked: Vec<i64> = (0..width).map(|at| wanted_of(&args, at)).collect();
            assert_eq!(
                Vec::from_iter(wanted.into_values()),
                stocked,
                "{scenario:?}"
            );
        }
    }
}
