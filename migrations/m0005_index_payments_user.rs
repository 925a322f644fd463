//! The orders of one buyer, oldest first: order ids grow with time.

use sea_orm_migration::prelude::*;

use super::create_index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["user_id", "order_id"];
        create_index(manager, "payments_user", "payments", columns).await
    }
}
