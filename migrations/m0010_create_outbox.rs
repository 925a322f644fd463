//! News for the shop, written with the transition that made it; its ids count in the order of the commits.

use sea_orm_migration::prelude::*;

use super::{WORD_CHARS, id, integer, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut once = Index::create();
        once.unique().col("order_id").col("version");
        let mut table = Table::create();
        table
            .table("outbox")
            .col(integer("id").primary_key().auto_increment())
            .col(id("order_id"))
            .col(integer("version"))
            .col(text("event", WORD_CHARS))
            .col(ColumnDef::new("payload").text().not_null())
            .col(integer("at"))
            .index(&mut once);
        manager.create_table(table).await
    }
}
