//! Every transition of every payment: the chain that proves how it came to rest where it rests.

use sea_orm_migration::prelude::*;

use super::{WORD_CHARS, id, integer, keyed_table, maybe_text, of_payment, primary_key, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "payment_history");
        table
            .col(id(manager, "order_id"))
            .col(integer("version"))
            .col(id(manager, "transition_id").unique_key())
            .col(maybe_text(manager, "from_status", WORD_CHARS))
            .col(text(manager, "to_status", WORD_CHARS))
            .col(text(manager, "event", WORD_CHARS))
            .col(ColumnDef::new("reason").text())
            .col(integer("at"))
            .primary_key(&mut primary_key(["order_id", "version"]))
            .foreign_key(&mut of_payment("payment_history"));
        manager.create_table(table).await
    }
}
