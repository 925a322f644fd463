//! Goods for the crowd: creates the products that the orders want, and receives or takes off what is missing or too
//! much.

use std::sync::Arc;

use anyhow::Context;

use super::pace::closed_loop;
use crate::loadtest::args::{LoadtestArgs, MOST_ORDERS};
use crate::loadtest::buyer::{Buyer, Product};
use crate::loadtest::scenario::Scenario;

/// Far from the demo's products, 1 and 2.
const FIRST_PRODUCT: i64 = 1001;
/// Whose stock is exact: no other scenario leaves goods on it.
const LAST_ITEM: i64 = 1000;
/// KRW.
const PRICE: i64 = 10_000;

/// Which goods, and how many of them, this run's orders want.
#[derive(Clone, Copy, Debug)]
pub struct Shelf {
    /// How many orders there will be at most.
    pub orders: usize,
    first: i64,
    width: usize,
    /// `last-item`: fewer pieces than buyers, and not one more.
    pub items: Option<u32>,
}

impl Shelf {
    pub fn of(args: &LoadtestArgs) -> Shelf {
        let prepared = args.prepared().unwrap_or(MOST_ORDERS as usize);
        let (first, width) = match args.scenario {
            Scenario::Hot => (FIRST_PRODUCT, 1),
            Scenario::LastItem => (LAST_ITEM, 1),
            Scenario::Distinct | Scenario::SameOrder | Scenario::Mixed => {
                (FIRST_PRODUCT, args.products as usize)
            }
        };
        let warm_up = match args.scenario {
            // It confirms one order more than it times, to warm the connections.
            Scenario::SameOrder => 1,
            Scenario::Distinct | Scenario::Hot | Scenario::LastItem | Scenario::Mixed => 0,
        };
        let orders = prepared + warm_up;
        let half = u32::try_from(orders.div_ceil(2)).unwrap_or(MOST_ORDERS);
        let last_item = args.scenario == Scenario::LastItem;
        Shelf {
            orders,
            first,
            width: width.min(orders),
            items: last_item.then(|| args.items.unwrap_or(half)),
        }
    }

    /// Which product the order at this place wants; one piece of it.
    pub const fn product_of(&self, order: usize) -> i64 {
        self.first + (order % self.width) as i64
    }

    /// How many orders want the product at this place of the shelf.
    fn wanted_of(&self, place: usize) -> i64 {
        (self.orders / self.width + usize::from(place < self.orders % self.width)) as i64
    }

    /// How much is missing for the orders that want the product; below zero: how much is too much.
    fn change_of(&self, place: usize, stock: i64) -> i64 {
        match self.items {
            Some(items) => i64::from(items) - stock,
            None => (self.wanted_of(place) - stock).max(0),
        }
    }

    /// The products as they are before the first checkout, with what this run wants of each.
    pub async fn stock_up(
        self,
        buyer: &Arc<Buyer>,
        args: &LoadtestArgs,
    ) -> anyhow::Result<Vec<Product>> {
        let buyer = Arc::clone(buyer);
        let stocked = closed_loop("products", self.width, args.callers().min(32), move |at| {
            let buyer = Arc::clone(&buyer);
            async move {
                let id = self.product_of(at);
                let stocked = self.stock_one(&buyer, at, id).await;
                stocked.with_context(|| format!("cannot put product {id} on the shelf"))
            }
        });
        stocked.await?.into_iter().collect()
    }

    async fn stock_one(&self, buyer: &Buyer, place: usize, id: i64) -> anyhow::Result<Product> {
        let name = format!("Load {id}");
        let created = buyer.put_product(id, &name, PRICE).await?;
        anyhow::ensure!(created.is_success(), "refused: {}", created.summary());
        let product: Product = buyer.product(id).await?.data()?;
        let change = self.change_of(place, product.stock);
        if change == 0 {
            return Ok(product);
        }
        let received = buyer.receive_stock(id, change).await?;
        anyhow::ensure!(received.is_success(), "refused: {}", received.summary());
        buyer.product(id).await?.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::args::tests::parsed;

    #[test]
    fn the_shelf_holds_exactly_what_the_orders_want() {
        for words in [
            "--orders 1000 --products 1000",
            "--orders 1000 --products 7",
            "--orders 3 --products 1000",
            "--scenario hot --orders 1000",
            "--scenario same-order --orders 10 --products 4",
            "--scenario mixed --orders 1000 --products 7",
        ] {
            let shelf = Shelf::of(&parsed(words));
            let mut wanted = std::collections::BTreeMap::new();
            for order in 0..shelf.orders {
                *wanted.entry(shelf.product_of(order)).or_insert(0) += 1;
            }
            let stocked: Vec<i64> = (0..shelf.width).map(|at| shelf.wanted_of(at)).collect();
            assert_eq!(Vec::from_iter(wanted.into_values()), stocked, "{words}");
            assert_eq!(shelf.change_of(0, 0), stocked[0]);
            // What former runs left is not in the way.
            assert_eq!(shelf.change_of(0, 10_000), 0);
        }
    }

    #[test]
    fn the_last_items_are_counted_whatever_former_runs_left() {
        for (words, items) in [("--orders 9", 5), ("--orders 9 --items 2", 2)] {
            let shelf = Shelf::of(&parsed(&format!("--scenario last-item {words}")));
            assert_eq!((shelf.width, shelf.product_of(8)), (1, LAST_ITEM));
            for stock in [0, 1, items, 50] {
                assert_eq!(shelf.change_of(0, stock), items - stock, "{words}");
            }
        }
    }

    #[test]
    fn who_orders_on_the_way_finds_goods_for_all_there_can_be() {
        let shelf = Shelf::of(&parsed("--duration 5 --products 10"));
        assert_eq!(shelf.wanted_of(9), i64::from(MOST_ORDERS) / 10);
    }
}
