//! Products, how much of each is held, whether a buyer is known, and the orders that checkout keys have made.

use std::collections::BTreeMap;

use sea_orm::FromQueryResult;

use super::broken;
use crate::domain::{OrderId, Product, ProductId, Timestamp, UserId};
use crate::store::commit::{CheckoutKey, CheckoutKeyRow};
use crate::store::rows::ProductRow;
use crate::store::{One, Store, StoreFault};

/// A product, and how much of it is off the shelf without being sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub product: Product,
    pub held: i64,
}

impl Counted {
    /// What was received and is neither on the shelf nor held.
    pub fn sold(&self) -> i64 {
        self.product.received - self.product.stock - self.held
    }
}

#[derive(FromQueryResult)]
struct CountedRow {
    #[sea_orm(nested)]
    product: ProductRow,
    held: i64,
}

/// A product beside what all its orders say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    pub counted: Counted,
    /// By the lines of the orders that are paid.
    pub sold: i64,
}

#[derive(FromQueryResult)]
struct BookedRow {
    #[sea_orm(nested)]
    counted: CountedRow,
    sold: i64,
}

impl Store {
    /// Those of the products that exist.
    pub async fn shelf(
        &self,
        products: &[ProductId],
    ) -> Result<BTreeMap<ProductId, Product>, StoreFault> {
        let found: Vec<ProductRow> = self
            .rows(self.0.sql.products, [self.ids(products)?])
            .await?;
        let by_id = |row| product(row).map(|product| (product.listing.id, product));
        found.into_iter().map(by_id).collect()
    }

    /// The products that exist, each with what is held of it, in one view: the numbers of a product add up.
    pub async fn counted(&self, products: &[ProductId]) -> Result<Vec<Counted>, StoreFault> {
        let found: Vec<CountedRow> = self.rows(self.0.sql.counted, [self.ids(products)?]).await?;
        found.into_iter().map(counted).collect()
    }

    pub async fn all_counted(&self) -> Result<Vec<Counted>, StoreFault> {
        let found: Vec<CountedRow> = self.rows(self.0.sql.all_counted, []).await?;
        found.into_iter().map(counted).collect()
    }

    /// The products that exist, each with its whole book, in one view: beside whatever is written, the sums agree. Reads all
    /// lines of all orders.
    pub async fn booked(&self, products: &[ProductId]) -> Result<Vec<Booked>, StoreFault> {
        let found: Vec<BookedRow> = self.rows(self.0.sql.booked, [self.ids(products)?]).await?;
        let booked = |row: BookedRow| {
            let sold = row.sold;
            counted(row.counted).map(|counted| Booked { counted, sold })
        };
        found.into_iter().map(booked).collect()
    }

    pub async fn user_exists(&self, user: &UserId) -> Result<bool, StoreFault> {
        let found: Vec<One> = self.rows(self.0.sql.user, [user.as_str().into()]).await?;
        Ok(!found.is_empty())
    }

    /// The order that the buyer's key made within the last day, and the hash of what was asked for.
    pub async fn checkout_key(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<(OrderId, [u8; 32])>, StoreFault> {
        let values = [user.as_str().into(), key.into()];
        let found: Vec<CheckoutKeyRow> = self.rows(self.0.sql.checkout_key, values).await?;
        let made = found.first().map(CheckoutKeyRow::made).transpose();
        let made = made.map_err(broken(format!("a checkout key of user {}", user.as_str())))?;
        Ok(made
            .filter(|made| CheckoutKey::lives(made.at, now))
            .map(|made| (made.order, made.body_hash)))
    }
}

fn product(row: ProductRow) -> Result<Product, StoreFault> {
    let name = format!("product {}", row.id);
    row.product().map_err(broken(name))
}

fn counted(row: CountedRow) -> Result<Counted, StoreFault> {
    let held = row.held;
    product(row.product).map(|product| Counted { product, held })
}
