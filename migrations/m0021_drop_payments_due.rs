//! [`super::m0020_index_payments_open`] has taken its place on PostgreSQL.

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
