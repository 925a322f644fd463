//! Nobody asks for the orders of one buyer, and PostgreSQL writes every index anew whenever a payment moves.

use sea_orm_migration::prelude::*;

use super::drop_index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "payments_user", "payments").await
    }
}
