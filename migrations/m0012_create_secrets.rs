//! Random bytes, in hexadecimal, made once for this database, such as the key that signs order tokens.

use sea_orm_migration::prelude::*;

use super::{HASH_CHARS, keyed_table, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "secrets");
        table
            .col(text(manager, "name", 100).primary_key())
            .col(text(manager, "value", HASH_CHARS));
        manager.create_table(table).await
    }
}
