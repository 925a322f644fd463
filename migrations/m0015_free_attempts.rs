//! See [`super::drop_key_to_payment`].

use sea_orm_migration::prelude::*;

use super::drop_key_to_payment;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_key_to_payment(manager, "attempts").await
    }
}
