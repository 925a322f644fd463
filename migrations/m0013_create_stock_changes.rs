//! Every change of stock by hand: how much came or went, when and why. The id is its author's, so that whoever lost the
//! answer can tell whether it landed.

use sea_orm_migration::prelude::*;

use super::{id, integer, keyed_table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut product = ForeignKey::create();
        product
            .from("stock_changes", "product_id")
            .to("products", "id");
        let mut table = keyed_table(manager, "stock_changes");
        table
            .col(id(manager, "id").primary_key())
            .col(integer("product_id"))
            .col(integer("quantity"))
            .col(ColumnDef::new("reason").text().not_null())
            .col(integer("at"))
            .foreign_key(&mut product);
        manager.create_table(table).await
    }
}
