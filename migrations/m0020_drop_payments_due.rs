//! On PostgreSQL [`super::m0021_index_payments_open`] takes its place. It goes first: whoever holds the table is met before
//! there is anything built to lose, and nobody can write between the two, as both are of one transaction there.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::drop_index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Postgres => drop_index(manager, "payments_due", "payments").await,
            _ => Ok(()),
        }
    }
}
