//! Brings the schema up to date, forward only, in one transaction, and says what is still missing.

use sea_orm_migration::MigratorTrait;

use super::{One, Store, StoreFault, rows_of, transaction};

#[path = "../../migrations/mod.rs"]
mod numbered;

use numbered::Migrator;

impl Store {
    /// Applies what is missing and returns how many steps that was. Two that migrate at once take turns: the
    /// second finds nothing to do.
    pub async fn migrate(&self) -> Result<usize, StoreFault> {
        let writer = self.writer()?;
        let txn = transaction::begin(writer).await?;
        if let Some(lock) = self.0.sql.lock_schema {
            let _: Vec<One> = rows_of(&txn, lock, []).await?;
        }
        let pending = Migrator::get_pending_migrations(&txn).await?.len();
        Migrator::up(&txn, None).await?;
        txn.commit().await?;
        Ok(pending)
    }

    /// Whoever writes beside a server must not change the tables under it, and must not write into other ones.
    pub(super) async fn must_be_migrated(&self) -> Result<(), StoreFault> {
        match self.pending_migrations().await?.len() {
            0 => Ok(()),
            missing => Err(StoreFault::NotMigrated { missing }),
        }
    }

    /// The names of the steps that this database has not seen yet; reads only.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreFault> {
        let pending = Migrator::get_pending_migrations_read_only(self.readers()).await?;
        let name = |migration: &sea_orm_migration::Migration| migration.name().to_owned();
        Ok(pending.iter().map(name).collect())
    }
}
