//! One payment an order: the facts of the order, where the payment rests, and when to look at it next.

use sea_orm_migration::prelude::*;

use super::{
    USER_CHARS, UUID_CHARS, WORD_CHARS, at_least, flag, id, integer, keyed_table, maybe_text, text,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "payments");
        table
            .col(id(manager, "order_id").primary_key())
            .col(text(manager, "user_id", USER_CHARS))
            .col(text(manager, "order_name", 200))
            .col(text(manager, "status", WORD_CHARS))
            .col(flag("stock_held"))
            .col(integer("total_amount"))
            .col(integer("version"))
            .col(maybe_text(manager, "owner", UUID_CHARS))
            .col(ColumnDef::new("next_attempt_at").big_integer())
            .col(integer("expires_at"))
            .col(integer("rounds"))
            .col(integer("questions"))
            .col(maybe_text(manager, "quarantine", WORD_CHARS))
            .col(integer("created_at"))
            .check(at_least("total_amount", 0))
            .check(at_least("version", 1));
        manager.create_table(table).await
    }
}
