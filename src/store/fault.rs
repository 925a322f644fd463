//! How remembering can fail. The texts name paths, tables and constraints, never the values of a row.

use std::path::PathBuf;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use super::dialect::{self, ErrorClass};

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreFault {
    #[error("database.url: {0}")]
    Url(String),
    #[error(
        "another payonce serves {}; a SQLite file has one server",
        path.display()
    )]
    AlreadyServed { path: PathBuf },
    #[error("the folder {} of the database does not exist", path.display())]
    NoFolder { path: PathBuf },
    #[error("there is no database at {}", path.display())]
    NoDatabase { path: PathBuf },
    #[error("{} cannot be written: {why}", path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error(
        "its tables lack {missing} steps of this payonce: run `payonce migrate` (on SQLite with the server stopped)"
    )]
    NotMigrated { missing: usize },
    #[error(
        "its tables are those of a newer payonce than this one, or another program notes its own steps there: {0}"
    )]
    Ahead(String),
    #[error("opened for reading only")]
    ReadOnly,
    /// A row that cannot be what we wrote. The others are not affected.
    #[error("the record of {row} is broken: {why}")]
    Broken { row: String, why: String },
    /// Locked, closed, out of space, out of connections: may pass.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A step of the schema waits for somebody's table, and everybody else would wait behind it.
    #[error("somebody holds a table that is to be changed: {0}")]
    Held(String),
    /// The statement itself was refused: a bug, or a schema that was not migrated.
    #[error("the database refused: {0}")]
    Refused(String),
}

/// Why a batch was not acknowledged. After `Doubtful` alone it may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitFault {
    /// Something in the batch itself cannot be written: split it until the poison is alone.
    #[error("refused: {0}")]
    Refused(String),
    /// Somebody holds a row of it and does not let go: split it, so that the others need not wait.
    #[error("blocked: {0}")]
    Blocked(String),
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// COMMIT was sent and not acknowledged: it may have happened. Read back before deciding anything.
    #[error("doubtful: {0}")]
    Doubtful(String),
}

/// What went wrong with *this* statement, or with the database as a whole.
pub(super) fn error_class(error: &DbErr) -> ErrorClass {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                sqlx::Error::Database(answer) => dialect::error_class(&**answer),
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed
                | sqlx::Error::InvalidSavePointStatement => ErrorClass::Unwell,
                _ => ErrorClass::Refused,
            }
        }
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => ErrorClass::Unwell,
        _ => ErrorClass::Refused,
    }
}

/// Whether the line broke, or somebody was in the way: asked again, the database may do it.
pub(super) fn is_worth_another_try(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => match &**error {
            sqlx::Error::Database(answer) => {
                dialect::error_class(&**answer) == ErrorClass::Collided
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the database, asked to commit, answered that it did not.
pub(super) fn refuses_commit(error: &DbErr) -> bool {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => {
            matches!(&**error, sqlx::Error::Database(answer) if dialect::is_no_commit(&**answer))
        }
        _ => false,
    }
}

impl From<DbErr> for StoreFault {
    fn from(error: DbErr) -> StoreFault {
        match error_class(&error) {
            ErrorClass::Refused | ErrorClass::Taken => StoreFault::Refused(error.to_string()),
            ErrorClass::Collided | ErrorClass::Blocked | ErrorClass::Unwell => {
                StoreFault::Unavailable(error.to_string())
            }
        }
    }
}

impl From<DbErr> for CommitFault {
    /// For errors before COMMIT only.
    fn from(error: DbErr) -> CommitFault {
        match error_class(&error) {
            ErrorClass::Refused | ErrorClass::Taken => CommitFault::Refused(error.to_string()),
            ErrorClass::Blocked => CommitFault::Blocked(error.to_string()),
            ErrorClass::Collided | ErrorClass::Unwell => {
                CommitFault::Unavailable(error.to_string())
            }
        }
    }
}
