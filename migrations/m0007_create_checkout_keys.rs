//! Which order an Idempotency-Key of a buyer made; after a day the next order under the key takes its place.

use sea_orm_migration::prelude::*;

use super::{HASH_CHARS, USER_CHARS, id, integer, keyed_table, of_payment, primary_key, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "checkout_keys");
        table
            .col(text(manager, "user_id", USER_CHARS))
            .col(text(manager, "key", 255))
            .col(text(manager, "body_hash", HASH_CHARS))
            .col(id(manager, "order_id"))
            .col(integer("created_at"))
            .primary_key(&mut primary_key(["user_id", "key"]))
            .foreign_key(&mut of_payment("checkout_keys"));
        manager.create_table(table).await
    }
}
