//! Buyers that the shop told us about; only read where `checkout.known_users_only` asks for it.

use sea_orm_migration::prelude::*;

use super::{USER_CHARS, keyed_table, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "users");
        table
            .col(text(manager, "id", USER_CHARS).primary_key())
            .col(text(manager, "name", 100));
        manager.create_table(table).await
    }
}
