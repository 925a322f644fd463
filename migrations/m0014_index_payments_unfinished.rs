//! The due queue again, without what is finished: that is nearly all, and PostgreSQL writes a row into every index whenever
//! a payment moves. The others write only into those that change, and keep the first one.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEX: &str = "
    CREATE INDEX payments_unfinished ON payments (status, next_attempt_at)
    WHERE status IN ('READY', 'IN_PROGRESS', 'UNKNOWN', 'QUARANTINED')";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let connection = manager.get_connection();
        connection.execute_unprepared(INDEX).await.map(drop)
    }
}
