//! What is written before the journal runs: demo data, this database's secrets, and the orphans of a dead process.

use sea_orm::{DbErr, FromQueryResult, Value};

use super::dialect::Verdict;
use super::fault::verdict;
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
        let mut tries = 1;
        loop {
            match self.try_demo_data(&listings, &stock).await {
                Err(fault) if tries < TRIES && fault.came_second => tries += 1,
                done => return done.map_err(|fault| fault.fault),
            }
        }
    }

    async fn try_demo_data(&self, listings: &[Value], stock: &[Value]) -> Result<bool, Unmade> {
        let sql = self.0.sql;
        let txn = transaction::begin(self.writer()?).await?;
        let found: Vec<EmptyRow> = rows_of(&txn, sql.is_empty, []).await?;
        if !found.first().is_some_and(|row| row.empty) {
            txn.rollback().await?;
            return Ok(false);
        }
        for (id, name) in DEMO_USERS {
            execute(&txn, sql.insert_user, [id.into(), name.into()]).await?;
        }
        execute(&txn, sql.put_listings, listings.to_vec()).await?;
        execute(&txn, sql.move_stock, stock.to_vec()).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// What a former process of this database was working on is due now, and nobody else can be working on it: the lock on
    /// the file is ours. Returns how many payments that were. Call it before the journal runs.
    pub async fn make_orphans_due(
        &self,
        me: Incarnation,
        now: Timestamp,
    ) -> Result<u64, StoreFault> {
        let txn = transaction::begin(self.writer()?).await?;
        let values = [now.micros().into(), me.to_string().into()];
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
        let mut tries = 1;
        loop {
            match self.try_secret(name).await {
                Err(fault) if tries < TRIES && fault.came_second => tries += 1,
                done => return done.map_err(|fault| fault.fault)?.bytes(name),
            }
        }
    }

    async fn try_secret(&self, name: &str) -> Result<SecretRow, Unmade> {
        let txn = transaction::begin(self.writer()?).await?;
        let known: Vec<SecretRow> = rows_of(&txn, self.0.sql.secret, [name.into()]).await?;
        if let Some(row) = known.into_iter().next() {
            txn.rollback().await?;
            return Ok(row);
        }
        let bytes: [u8; 32] = rand::random();
        let value = hex::encode(bytes);
        let values = [name.into(), value.clone().into()];
        execute(&txn, self.0.sql.insert_secret, values).await?;
        txn.commit().await?;
        Ok(SecretRow { value })
    }
}

/// How often something is made that two nodes make at once.
const TRIES: u32 = 4;

/// Two nodes that start together both find nothing and both write: the one that comes second looks again.
struct Unmade {
    fault: StoreFault,
    came_second: bool,
}

impl From<StoreFault> for Unmade {
    fn from(fault: StoreFault) -> Unmade {
        Unmade {
            fault,
            came_second: false,
        }
    }
}

impl From<DbErr> for Unmade {
    fn from(error: DbErr) -> Unmade {
        let came_second = match verdict(&error) {
            Verdict::Taken | Verdict::Collided => true,
            Verdict::Refused | Verdict::Unwell => false,
        };
        Unmade {
            fault: error.into(),
            came_second,
        }
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
