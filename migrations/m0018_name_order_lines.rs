//! What a product was called when it was ordered: the shop may call it otherwise tomorrow. Lines of before have none, nor have
//! those that an older node still writes.

use sea_orm_migration::prelude::*;

use super::maybe_text;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // MySQL commits each step by itself: it may have been made, and not noted.
        if manager.has_column("order_lines", "name").await? {
            return Ok(());
        }
        let mut table = Table::alter();
        table
            .table(Alias::new("order_lines"))
            .add_column(maybe_text(manager, "name", 100));
        manager.alter_table(table).await
    }
}
