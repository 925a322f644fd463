//! What became of a write whose COMMIT was not acknowledged: looked for by its own id, and believed once it stays.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, FromQueryResult, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Restock, stock};
use crate::domain::{OrderId, TransitionId};
use crate::store::dialect::Sql;
use crate::store::fault::is_worth_another_try;
use crate::store::{Line, One, Store, StoreFault, execute, rows_of, transaction};

/// What became of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFate {
    /// It is in the history. `held` is the payment's `stock_held` now.
    Landed { held: bool },
    /// The payment moved on without it: it can never land.
    Absent,
    /// The payment still is as the transition wanted to find it: the original may still land.
    Undecided,
}

/// How often a witness is called before nobody believes what was seen: a line that loses one COMMIT loses others, and its
/// pool has more connections that are dead.
const WITNESSES: u32 = 8;

/// After this no other witness is called: everybody waits.
const HEARING: Duration = Duration::from_secs(3);

impl Store {
    /// What became of one transition; what has landed stays. Seen twice, with a witness between: one that the database has
    /// forgotten in a crash before the witness is not seen again, and what came before the witness is not forgotten.
    pub async fn read_back(
        &self,
        order: OrderId,
        transition: TransitionId,
        replaces: i64,
    ) -> Result<WriteFate, StoreFault> {
        let seen = self.look_for(order, transition, replaces).await?;
        if !matches!(seen, WriteFate::Landed { .. }) || self.shows_only_what_stays() {
            return Ok(seen);
        }
        self.harden().await?;
        self.look_for(order, transition, replaces).await
    }

    /// What is to be seen of a transition: one that has landed may be forgotten again, as [`Store::read_back`] has it. Reads
    /// under the writer's lock, so that no commit of our own can be half done meanwhile.
    pub async fn look_for(
        &self,
        order: OrderId,
        transition: TransitionId,
        replaces: i64,
    ) -> Result<WriteFate, StoreFault> {
        #[cfg(test)]
        self.0.sabotage.see()?;
        let writer = self.writer()?;
        let key = [
            Value::from(order.to_string()),
            Value::from(transition.0.hyphenated().to_string()),
        ];
        let found = self.answered(&writer, async {
            let txn = transaction::begin(&writer.pool).await?;
            let found = landing(&txn, self.0.sql, key).await;
            let _ = txn.rollback().await;
            found
        });
        Ok(match found.await??.first() {
            Some(row) if row.landed => WriteFate::Landed {
                held: row.stock_held,
            },
            Some(row) if row.version != replaces => WriteFate::Absent,
            Some(_) | None => WriteFate::Undecided,
        })
    }

    /// Whether a change of stock is to be seen, as [`Store::look_for`] sees. If it is not, this uses its id up: a row of
    /// quantity 0 stands where the original would have to go, so that it can never land.
    pub async fn settle_restock(&self, restock: &Restock) -> Result<bool, StoreFault> {
        #[cfg(test)]
        self.0.sabotage.see()?;
        let writer = self.writer()?;
        let settled = self.try_settle_restock(&writer, restock);
        self.answered(&writer, settled).await?
    }

    async fn try_settle_restock(
        &self,
        writer: &Line,
        restock: &Restock,
    ) -> Result<bool, StoreFault> {
        let txn = transaction::begin(&writer.pool).await?;
        let values = [restock.id.hyphenated().to_string().into()];
        let found: Result<Vec<QuantityRow>, _> =
            rows_of(&txn, self.0.sql.stock_change, values).await;
        let known = match found {
            Ok(rows) => rows,
            Err(error) => {
                let _ = txn.rollback().await;
                return Err(error.into());
            }
        };
        if let Some(row) = known.first() {
            let _ = txn.rollback().await;
            return Ok(row.quantity != 0);
        }
        let nothing = Restock {
            change: 0,
            ..restock.clone()
        };
        match stock::put_changes(&txn, self.0.sql, &[&nothing]).await {
            Ok(()) => txn.commit().await?,
            Err(aborted) => {
                let _ = txn.rollback().await;
                return Err(StoreFault::Unavailable(aborted.fault.to_string()));
            }
        }
        Ok(false)
    }

    /// Whether neither a crash of the database nor a failover can take back what somebody has seen.
    pub fn shows_only_what_stays(&self) -> bool {
        #[cfg(test)]
        if self.0.sabotage.forgets() {
            return false;
        }
        self.0.sql.witness.is_empty()
    }

    /// Once this has answered, what was seen before it and is still to be seen after it stays: a witness was committed in
    /// between, and nothing is durable before what came before it. The COMMIT of a witness may be lost like any other; then the
    /// next one is called.
    pub async fn harden(&self) -> Result<(), StoreFault> {
        #[cfg(test)]
        self.0.sabotage.harden(self).await?;
        let (mut called, began) = (1, Instant::now());
        loop {
            let writer = self.writer()?;
            let error = match self.answered(&writer, self.witness(&writer)).await? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let is_over = called == WITNESSES || began.elapsed() > HEARING;
            if is_over || !is_worth_another_try(&error) {
                return Err(error.into());
            }
            tracing::debug!(%error, called, "a witness was lost; another");
            called += 1;
        }
    }

    async fn witness(&self, writer: &Line) -> Result<(), DbErr> {
        let txn = transaction::begin(&writer.pool).await?;
        let id = Value::from(Uuid::now_v7().hyphenated().to_string());
        for text in self.0.sql.witness {
            if let Err(error) = execute(&txn, text, [id.clone()]).await {
                let _ = txn.rollback().await;
                return Err(error);
            }
        }
        txn.commit().await
    }
}

/// The lock first, by itself: a statement sees what was there when it began, and not what its lock has waited for.
async fn landing(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    [order, transition]: [Value; 2],
) -> Result<Vec<LandingRow>, DbErr> {
    let _: Vec<One> = rows_of(txn, sql.lock_payment, [order.clone()]).await?;
    rows_of(txn, sql.read_back, [order, transition]).await
}

#[derive(FromQueryResult)]
struct LandingRow {
    version: i64,
    stock_held: bool,
    landed: bool,
}

#[derive(FromQueryResult)]
struct QuantityRow {
    quantity: i64,
}
