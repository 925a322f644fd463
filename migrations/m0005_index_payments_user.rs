//! The orders of one buyer, oldest first: order ids grow with time.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut index = Index::create();
        index
            .name("payments_user")
            .table("payments")
            .col("user_id")
            .col("order_id");
        manager.create_index(index).await
    }
}
