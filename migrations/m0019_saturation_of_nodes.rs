//! Whether a node's journal is saturated: the others' take turns with it. An older node never says so.

use sea_orm_migration::prelude::*;

use super::flag;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // MySQL commits each step by itself: it may have been made, and not noted.
        if manager.has_column("nodes", "saturated").await? {
            return Ok(());
        }
        let mut table = Table::alter();
        table
            .table(Alias::new("nodes"))
            .add_column(flag("saturated").default(false));
        manager.alter_table(table).await
    }
}
