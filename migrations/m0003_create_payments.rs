//! One payment an order: the facts of the order, where the payment rests, and when to look at it next.

use sea_orm_migration::prelude::*;

use super::{USER_CHARS, UUID_CHARS, WORD_CHARS, at_least, flag, id, integer, keyed_table, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "payments");
        table
            .col(id("order_id").primary_key())
            .col(text("user_id", USER_CHARS))
            .col(text("order_name", 200))
            .col(text("status", WORD_CHARS))
            .col(flag("stock_held"))
            .col(integer("total_amount"))
            .col(integer("version"))
            .col(ColumnDef::new("owner").string_len(UUID_CHARS))
            .col(ColumnDef::new("next_attempt_at").big_integer())
            .col(integer("expires_at"))
            .col(integer("rounds"))
            .col(integer("questions"))
            .col(ColumnDef::new("quarantine").string_len(WORD_CHARS))
            .col(integer("created_at"))
            .check(at_least("total_amount", 0))
            .check(at_least("version", 1));
        manager.create_table(table).await
    }
}
