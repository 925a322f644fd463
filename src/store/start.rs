//! What is written before the journal runs: demo data, this database's secrets, and the orphans of a dead process.

use std::time::Duration;

use sea_orm::FromQueryResult;

use super::rows::{ListingRow, StockRow};
use super::{Store, StoreFault, execute, rows, rows_of, transaction};
use crate::domain::{Incarnation, Timestamp};

/// The seed's own catalogue: id, name, price in won.
const DEMO_PRODUCTS: [(i64, &str, i64); 2] = [(1, "Ogu T", 50_000), (2, "Baby Ogu T", 30_000)];
const DEMO_STOCK: i64 = 59;
const DEMO_SELLER: i64 = 2;
const DEMO_USERS: [(&str, &str); 2] = [("1", "ogu"), ("2", "dduzy")];

#[derive(FromQueryResult)]
struct EmptyRow {
    empty: bool,
}

#[derive(FromQueryResult)]
struct SecretRow {
    value: String,
}

impl Store {
    /// No users, no products, no payments.
    pub async fn is_empty(&self) -> Result<bool, StoreFault> {
        let found: Vec<EmptyRow> = self.rows(self.0.sql.is_empty, []).await?;
        Ok(found.first().is_some_and(|row| row.empty))
    }

    /// Two buyers and two products, only into an empty database; tells whether it did.
    pub async fn load_demo_data(&self) -> Result<bool, StoreFault> {
        let txn = transaction::begin(self.writer()?).await?;
        let found: Vec<EmptyRow> = rows_of(&txn, self.0.sql.is_empty, []).await?;
        if !found.first().is_some_and(|row| row.empty) {
            txn.rollback().await?;
            return Ok(false);
        }
        for (id, name) in DEMO_USERS {
            execute(&txn, self.0.sql.insert_user, [id.into(), name.into()]).await?;
        }
        let sql = self.0.sql;
        let listings = DEMO_PRODUCTS.map(|(id, name, price)| ListingRow {
            id,
            name,
            price,
            seller_id: DEMO_SELLER,
        });
        let stock = DEMO_PRODUCTS.map(|(id, _, _)| StockRow {
            id,
            stock: DEMO_STOCK,
            received: DEMO_STOCK,
        });
        let refused = StoreFault::Refused;
        let listings = sql.batch.values(&listings).map_err(refused)?;
        let stock = sql.batch.values(&stock).map_err(refused)?;
        execute(&txn, sql.put_listings, listings).await?;
        execute(&txn, sql.move_stock, stock).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// What nodes that live no more were working on is due now. Where the lock on a file is ours, that is everybody else.
    /// Returns how many payments that were.
    pub async fn make_orphans_due(
        &self,
        me: Incarnation,
        now: Timestamp,
        dead_after: Duration,
    ) -> Result<u64, StoreFault> {
        let txn = transaction::begin(self.writer()?).await?;
        let age = self.age(dead_after);
        let values = [now.micros().into(), me.to_string().into(), age];
        let orphans = execute(&txn, self.0.sql.make_orphans_due, values).await?;
        fault_point!(OrphansMarked);
        txn.commit().await?;
        Ok(orphans)
    }

    /// Random bytes under a name, made when they are first asked for and the same ever after.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], StoreFault> {
        let known: Vec<SecretRow> = self.rows(self.0.sql.secret, [name.into()]).await?;
        if let Some(row) = known.first() {
            return row.bytes(name);
        }
        let txn = transaction::begin(self.writer()?).await?;
        let known: Vec<SecretRow> = rows_of(&txn, self.0.sql.secret, [name.into()]).await?;
        if let Some(row) = known.first() {
            txn.rollback().await?;
            return row.bytes(name);
        }
        let bytes: [u8; 32] = rand::random();
        let value = hex::encode(bytes);
        execute(&txn, self.0.sql.insert_secret, [name.into(), value.into()]).await?;
        txn.commit().await?;
        Ok(bytes)
    }
}

impl SecretRow {
    fn bytes(&self, name: &str) -> Result<[u8; 32], StoreFault> {
        rows::hash(&self.value).map_err(|why| StoreFault::Broken {
            row: format!("secret {name}"),
            why,
        })
    }
}
