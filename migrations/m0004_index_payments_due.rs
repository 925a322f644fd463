//! The due queue: what recovery looks at, earliest first within a status.

use sea_orm_migration::prelude::*;

use super::create_index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = ["status", "next_attempt_at"];
        create_index(manager, "payments_due", "payments", columns).await
    }
}
