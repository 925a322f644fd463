//! What is sold, and how much of it is on the shelf. The database itself refuses a negative stock.

use sea_orm_migration::prelude::*;

use super::{at_least, counted_table, integer, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = counted_table(manager, "products");
        table
            .col(integer("id").primary_key())
            .col(text(manager, "name", 100))
            .col(integer("price"))
            .col(integer("stock"))
            .col(integer("received"))
            .col(integer("seller_id"))
            .check(at_least("price", 0))
            .check(at_least("stock", 0));
        manager.create_table(table).await
    }
}
