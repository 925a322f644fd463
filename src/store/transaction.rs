//! The only way to begin a transaction; `.clippy.toml` bans the others.

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

/// Takes SQLite's write lock at once. One that starts as a reader and wants to write later fails with
/// "database is locked" as soon as somebody else has written, and no busy timeout helps it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the helper that the others must use"
)]
pub(super) async fn begin(writer: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let immediate = writer.get_database_backend() == DbBackend::Sqlite;
    let options = TransactionOptions {
        sqlite_transaction_mode: immediate.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    writer.begin_with_options(options).await
}
