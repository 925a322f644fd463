//! What is written beside the journal: demo data and this database's secrets at a start, and that the orphans of a dead
//! node are due.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, FromQueryResult};

use super::dialect::{ErrorClass, Sql};
use super::fault::error_class;

use super::rows::{ListingRow, StockRow};
use super::{Line, Store, StoreFault, execute, rows, rows_of, transaction};
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
    #[cfg(test)]
    pub async fn is_empty(&self) -> Result<bool, StoreFault> {
        let found: Vec<EmptyRow> = self.rows(self.0.sql.is_empty, []).await?;
        Ok(found.first().is_some_and(|row| row.empty))
    }

    /// Two buyers and two products, only into an empty database; tells whether it did.
    pub async fn load_demo_data(&self) -> Result<bool, StoreFault> {
        let writer = self.writer()?;
        let loaded = self.answered(&writer, async {
            let txn = transaction::begin(&writer.pool).await?;
            let loaded = demo_data(&txn, self.0.sql).await;
            match loaded {
                Ok(true) => txn.commit().await?,
                Ok(false) | Err(_) => _ = txn.rollback().await,
            }
            loaded
        });
        match loaded.await? {
            // Another node of a new database was quicker.
            Err(error) if error_class(&error) == ErrorClass::Taken => Ok(false),
            Err(error) => Err(error.into()),
            Ok(loaded) => Ok(loaded),
        }
    }

    /// What nodes that live no more were working on is due now. Where the lock on a file is ours, that is everybody else.
    /// On a server some at a time, so that whoever wants one of the rows does not wait for all of them. Returns how many
    /// payments that were.
    pub async fn make_orphans_due(
        &self,
        me: Incarnation,
        now: Timestamp,
        dead_after: Duration,
    ) -> Result<u64, StoreFault> {
        let mut orphans = 0;
        loop {
            let writer = self.writer()?;
            let step = self.make_some_orphans_due(&writer, me, now, dead_after);
            match self.answered(&writer, step).await?? {
                0 => return Ok(orphans),
                some => orphans += some,
            }
        }
    }

    async fn make_some_orphans_due(
        &self,
        writer: &Line,
        me: Incarnation,
        now: Timestamp,
        dead_after: Duration,
    ) -> Result<u64, StoreFault> {
        let txn = transaction::begin(&writer.pool).await?;
        let age = self.age(dead_after);
        let mut orphans = 0;
        for sql in self.0.sql.make_orphans_due {
            let values = [now.micros().into(), me.to_string().into(), age.clone()];
            match execute(&txn, sql, values).await {
                Ok(rows) => orphans += rows,
                Err(error) => {
                    let _ = txn.rollback().await;
                    return Err(error.into());
                }
            }
        }
        fault_point!(OrphansMarked);
        txn.commit().await?;
        Ok(orphans)
    }

    /// Random bytes under a name, made when they are first asked for and the same ever after, for every node.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], StoreFault> {
        if let Some(known) = self.known_secret(name).await? {
            return Ok(known);
        }
        let bytes: [u8; 32] = rand::random();
        let writer = self.writer()?;
        let values = [name.into(), hex::encode(bytes).into()];
        let made = self.answered(&writer, async {
            let txn = transaction::begin(&writer.pool).await?;
            match execute(&txn, self.0.sql.insert_secret, values).await {
                Ok(_) => txn.commit().await,
                Err(error) => {
                    let _ = txn.rollback().await;
                    Err(error)
                }
            }
        });
        match made.await? {
            Ok(()) => Ok(bytes),
            // Somebody else has made it meanwhile, or it could not be made.
            Err(error) => {
                let known = self.known_secret(name).await?;
                known.ok_or_else(|| error.into())
            }
        }
    }

    async fn known_secret(&self, name: &str) -> Result<Option<[u8; 32]>, StoreFault> {
        let known: Vec<SecretRow> = self.rows(self.0.sql.secret, [name.into()]).await?;
        known.first().map(|row| row.bytes(name)).transpose()
    }
}

async fn demo_data(txn: &DatabaseTransaction, sql: &'static Sql) -> Result<bool, DbErr> {
    let found: Vec<EmptyRow> = rows_of(txn, sql.is_empty, []).await?;
    if !found.first().is_some_and(|row| row.empty) {
        return Ok(false);
    }
    for (id, name) in DEMO_USERS {
        execute(txn, sql.insert_user, [id.into(), name.into()]).await?;
    }
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
    let listings = sql.batch.values(&listings).map_err(DbErr::Custom)?;
    let stock = sql.batch.values(&stock).map_err(DbErr::Custom)?;
    execute(txn, sql.put_listings, listings).await?;
    execute(txn, sql.move_stock, stock).await?;
    Ok(true)
}

impl SecretRow {
    fn bytes(&self, name: &str) -> Result<[u8; 32], StoreFault> {
        rows::hash(&self.value).map_err(|why| StoreFault::Broken {
            row: format!("secret {name}"),
            why,
        })
    }
}
