//! What was ordered, at the price of the day; written once, at checkout.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::{at_least, id, integer, keyed_table, of_payment, primary_key};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut product = ForeignKey::create();
        product
            .from("order_lines", "product_id")
            .to("products", "id");
        let mut table = keyed_table(manager, "order_lines");
        table
            .col(id(manager, "order_id"))
            .col(integer("product_id"))
            .col(integer("quantity"))
            .col(integer("amount"))
            .primary_key(&mut primary_key(["order_id", "product_id"]))
            .foreign_key(&mut of_payment("order_lines"))
            .check(at_least("quantity", 1))
            .check(at_least("amount", 0));
        // To look at the other end MySQL locks it: a checkout would wait for whoever moves the stock of its products, and
        // deadlock with them, since new lines come in the order of their orders. There the statement that writes lines looks
        // for their products; none is ever deleted.
        if manager.get_database_backend() != DbBackend::MySql {
            table.foreign_key(&mut product);
        }
        manager.create_table(table).await
    }
}
