//! One row a running process: who may still be at work.

use sea_orm_migration::prelude::*;

use super::{id, integer, keyed_table, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = keyed_table(manager, "nodes");
        table
            .col(id(manager, "incarnation").primary_key())
            .col(text(manager, "name", 255))
            .col(integer("started_at"))
            .col(integer("heartbeat_at"))
            .col(ColumnDef::new("closed_at").big_integer());
        manager.create_table(table).await
    }
}
