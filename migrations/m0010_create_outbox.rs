//! News for the shop, written with the transition that made it. Its ids count up, but where batches or nodes write beside
//! each other, a smaller one may be seen after a larger one: who reads along them comes back for what was not there yet.

use sea_orm_migration::prelude::*;

use super::{WORD_CHARS, counted_table, id, integer, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut once = Index::create();
        once.unique().col("order_id").col("version");
        let mut table = counted_table(manager, "outbox");
        table
            .col(integer("id").primary_key().auto_increment())
            .col(id(manager, "order_id"))
            .col(integer("version"))
            .col(text(manager, "event", WORD_CHARS))
            .col(ColumnDef::new("payload").text().not_null())
            .col(integer("at"))
            .index(&mut once);
        manager.create_table(table).await
    }
}
