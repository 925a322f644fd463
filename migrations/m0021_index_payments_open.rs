//! The due queue of PostgreSQL without what has ended: nobody looks there for a payment that is done, and of millions of
//! orders all but the last few are. The other databases keep [`super::m0004_index_payments_due`]: they cannot leave
//! rows out of an index, or do not see that a query asks for no other row.
//!
//! It reads all payments, and nobody reads or writes them meanwhile. A large shop has built it already, beside its nodes,
//! with CONCURRENTLY; where that was broken off, something of this name is left that serves nobody.

use sea_orm::{DbBackend, FromQueryResult, Statement};
use sea_orm_migration::prelude::*;

use super::drop_index;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(FromQueryResult)]
struct Found {
    whole: bool,
}

const FIND: &str = "
    SELECT indisvalid AS whole FROM pg_index WHERE indexrelid = to_regclass(quote_ident(current_schema()) || '.payments_open')";

const BUILD: &str = "
    CREATE INDEX payments_open ON payments (status, next_attempt_at)
    WHERE status IN ('READY', 'IN_PROGRESS', 'UNKNOWN', 'QUARANTINED')";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let connection = manager.get_connection();
        let find = Statement::from_string(DbBackend::Postgres, FIND);
        match Found::find_by_statement(find).one(connection).await? {
            Some(found) if found.whole => return Ok(()),
            Some(_) => drop_index(manager, "payments_open", "payments").await?,
            None => {}
        }
        connection.execute_unprepared(BUILD).await.map(drop)
    }
}
