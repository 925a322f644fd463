//! The due queue: what recovery looks at, earliest first within a status.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut index = Index::create();
        index
            .name("payments_due")
            .table("payments")
            .col("status")
            .col("next_attempt_at");
        manager.create_index(index).await
    }
}
