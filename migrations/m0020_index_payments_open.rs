//! The due queue of PostgreSQL without what has ended: nobody looks there for a payment that is done, and of millions of
//! orders all but the last few are. The other databases keep [`super::m0004_index_payments_due`]: they cannot leave
//! rows out of an index, or do not see that a query asks for no other row.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let index = "CREATE INDEX IF NOT EXISTS payments_open ON payments (status, next_attempt_at)
                     WHERE status IN ('READY', 'IN_PROGRESS', 'UNKNOWN', 'QUARANTINED')";
        let connection = manager.get_connection();
        connection.execute_unprepared(index).await.map(drop)
    }
}
