//! Each try to pay with one paymentKey, and how it ended.

use sea_orm_migration::prelude::*;

use super::{
    WORD_CHARS, flag, id, integer, keyed_table, maybe_text, of_payment, primary_key, text,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "attempts");
        table
            .col(id(manager, "order_id"))
            .col(integer("number"))
            .col(text(manager, "payment_key", 200))
            .col(integer("n"))
            .col(flag("answered"))
            .col(text(manager, "gateway", 500))
            .col(integer("started_at"))
            .col(integer("may_send_until"))
            .col(id(manager, "owner"))
            .col(flag("many_owners"))
            .col(flag("foreign_seen"))
            .col(text(manager, "approval_sign", WORD_CHARS))
            .col(ColumnDef::new("doubted_code").text())
            .col(ColumnDef::new("doubted_message").text())
            .col(maybe_text(manager, "outcome", WORD_CHARS))
            .col(ColumnDef::new("gateway_code").text())
            .col(ColumnDef::new("gateway_message").text())
            .col(ColumnDef::new("approved_at").big_integer())
            .col(ColumnDef::new("method").text())
            .col(ColumnDef::new("receipt_url").text())
            .primary_key(&mut primary_key(["order_id", "number"]))
            .foreign_key(&mut of_payment("attempts"));
        manager.create_table(table).await
    }
}
