//! Brings the schema up to date, forward only, in one transaction, and says what is still missing. MySQL commits each step by
//! itself: there a lock keeps others out, and a step that was made and not noted is not made again.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, FromQueryResult};
use sea_orm_migration::MigratorTrait;

use super::dialect::ErrorClass;
use super::fault::error_class;
use super::{Store, StoreFault, execute, rows_of, transaction};

#[path = "../../migrations/mod.rs"]
mod numbered;

pub(super) use numbered::Migrator;

/// How often a start tries to change a table that is held, and the pause in between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(FromQueryResult)]
struct Lock {
    had: i64,
}

impl Store {
    /// Applies what is missing and returns how many steps that was. Two that migrate at once take turns: the
    /// second finds nothing to do. Beside nodes that serve, a table may be held: then again, a little later.
    pub async fn migrate(&self) -> Result<usize, StoreFault> {
        let mut tries = 1;
        loop {
            match self.try_to_migrate().await {
                Err(StoreFault::Held(why)) if tries < TRIES => {
                    tracing::warn!(why, tries, "a table is held; the schema waits");
                    tokio::time::sleep(PAUSE).await;
                    tries += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn try_to_migrate(&self) -> Result<usize, StoreFault> {
        let txn = transaction::begin(&self.writer()?.pool).await?;
        let applied = self.apply(&txn).await;
        // This lock belongs to the connection, which may live on.
        if let Some(unlock) = self.0.sql.unlock_schema {
            let _: Vec<Lock> = rows_of(&txn, unlock, []).await?;
        }
        match applied {
            Ok(_) => txn.commit().await?,
            Err(_) => txn.rollback().await?,
        }
        applied
    }

    async fn apply(&self, txn: &DatabaseTransaction) -> Result<usize, StoreFault> {
        if let Some(lock) = self.0.sql.lock_schema {
            let lock: Vec<Lock> = rows_of(txn, lock, []).await?;
            if lock.iter().any(|lock| lock.had == 0) {
                let why = "somebody else has been migrating it for a long time";
                return Err(StoreFault::Unavailable(why.to_owned()));
            }
        }
        if let Some(again) = self.0.sql.impatient_again {
            execute(txn, again, []).await?;
        }
        let pending = Migrator::get_pending_migrations(txn).await;
        let pending = pending.map_err(ahead)?.len();
        Migrator::up(txn, None)
            .await
            .map_err(|error| match error_class(&error) {
                ErrorClass::Blocked | ErrorClass::Collided => StoreFault::Held(error.to_string()),
                ErrorClass::Refused | ErrorClass::Taken | ErrorClass::Unwell => error.into(),
            })?;
        Ok(pending)
    }

    /// Brings up to date what nobody can be serving: a file, which is ours alone, or a database without tables. Elsewhere older
    /// nodes may run, and none of them would start again.
    pub async fn migrate_unserved(&self) -> Result<usize, StoreFault> {
        let missing = self.pending_migrations().await?.len();
        let is_new = missing == Migrator::migrations().len();
        match self.0.sql.shared && missing > 0 && !is_new {
            true => Err(StoreFault::NotMigrated { missing }),
            false => self.migrate().await,
        }
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
        let readers = self.readers();
        let pending = Migrator::get_pending_migrations_read_only(&readers.pool);
        let pending = self.answered(&readers, pending).await?;
        let pending = pending.map_err(ahead)?;
        let name = |migration: &sea_orm_migration::Migration| migration.name().to_owned();
        Ok(pending.iter().map(name).collect())
    }
}

/// The one thing that the question for what is missing complains about by itself: steps that are noted, and not among ours.
fn ahead(error: DbErr) -> StoreFault {
    match error {
        DbErr::Custom(steps) => StoreFault::Ahead(steps),
        error => error.into(),
    }
}
