//! Every transition of every payment: the chain that proves how it came to rest where it rests.

use sea_orm_migration::prelude::*;

use super::{WORD_CHARS, id, integer, keyed_table, of_payment, primary_key, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "payment_history");
        table
            .col(id("order_id"))
            .col(integer("version"))
            .col(id("transition_id").unique_key())
            .col(ColumnDef::new("from_status").string_len(WORD_CHARS))
            .col(text("to_status", WORD_CHARS))
            .col(text("event", WORD_CHARS))
            .col(ColumnDef::new("reason").text())
            .col(integer("at"))
            .primary_key(&mut primary_key(["order_id", "version"]))
            .foreign_key(&mut of_payment("payment_history"));
        manager.create_table(table).await
    }
}
