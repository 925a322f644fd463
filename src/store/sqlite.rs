//! Opens a SQLite file: one writer, a pool of readers, everything durable, one server a file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection};
use sea_orm::{DatabaseConnection, DbErr, FromQueryResult, RuntimeErr, SqlxSqliteConnector};

use super::pools::Pools;
use super::{Inner, Opened, StoreFault, StoreSettings, dialect, rows_of};

/// A reader that cannot be had in this time means a database that is not there.
const ACQUIRE_READER: Duration = Duration::from_secs(3);
const ACQUIRE_WRITER: Duration = Duration::from_secs(5);

pub(super) async fn open(settings: StoreSettings, opened: Opened) -> Result<Inner, StoreFault> {
    let path = file_of(&settings.url)?;
    let (path, lock) = tokio::task::spawn_blocking(move || prepare(&path, opened))
        .await
        .map_err(|error| StoreFault::Unavailable(error.to_string()))??;
    let writer = match opened {
        Opened::Serving | Opened::Tool | Opened::Beside => Some(writer(&path, &settings).await?),
        Opened::ReadOnly => None,
    };
    let readers = readers(&path, &settings, opened).await?;
    if let Some(writer) = &writer {
        verify(writer, &path).await?;
    }
    Ok(Inner {
        pools: Pools::of_a_file(writer, readers),
        sql: dialect::SQLITE,
        optimism: Default::default(),
        encrypted: false,
        name: path.display().to_string(),
        lock: Mutex::new(lock),
        #[cfg(test)]
        sabotage: Default::default(),
    })
}

fn file_of(url: &str) -> Result<PathBuf, StoreFault> {
    let wants = "wants a file, such as sqlite://payonce.db or sqlite:///var/lib/payonce.db";
    let options =
        SqliteConnectOptions::from_str(url).map_err(|_| StoreFault::Url(wants.to_owned()))?;
    let path = options.get_filename();
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if in_memory || path.as_os_str().is_empty() {
        return Err(StoreFault::Url(wants.to_owned()));
    }
    Ok(path.to_owned())
}

/// The file under its one true name, so that two spellings of a path find the same lock, and the lock.
fn prepare(path: &Path, opened: Opened) -> Result<(PathBuf, Option<File>), StoreFault> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let folder = parent.canonicalize().map_err(|_| StoreFault::NoFolder {
        path: parent.to_owned(),
    })?;
    let named = folder.join(path.file_name().unwrap_or_default());
    if named.is_dir() {
        let why = "it is a folder".to_owned();
        return Err(StoreFault::Unwritable { path: named, why });
    }
    // A link that leads to the file is the file.
    let file = named.canonicalize().unwrap_or(named);
    match opened {
        Opened::Serving | Opened::Tool => {
            let lock = lock(&file)?;
            writable(&file)?;
            Ok((file, Some(lock)))
        }
        Opened::Beside | Opened::ReadOnly if !file.exists() => {
            Err(StoreFault::NoDatabase { path: file })
        }
        Opened::Beside | Opened::ReadOnly => Ok((file, None)),
    }
}

/// The lock dies with its process, so having it proves that whoever had it before is dead.
fn lock(path: &Path) -> Result<File, StoreFault> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let file = writable(Path::new(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreFault::AlreadyServed {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(unwritable(Path::new(&name), &error)),
    }
}

fn writable(path: &Path) -> Result<File, StoreFault> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreFault {
    StoreFault::Unwritable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

async fn writer(path: &Path, settings: &StoreSettings) -> Result<DatabaseConnection, StoreFault> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // The file was made when the store was opened: one that is gone later was moved away, and an empty one in its
        // place would know nothing of what was paid.
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // On macOS fsync alone leaves the data in the drive's cache; elsewhere this does nothing.
        .pragma("fullfsync", "ON")
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_WRITER)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // After a full disk SQLite has rolled back by itself while sqlx still counts a transaction: what begins
        // on such a connection is a savepoint that takes no lock, so it is thrown away.
        .before_acquire(|connection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        });
    connect(pool, options).await
}

async fn readers(
    path: &Path,
    settings: &StoreSettings,
    opened: Opened,
) -> Result<DatabaseConnection, StoreFault> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(opened == Opened::ReadOnly)
        .pragma("query_only", "ON")
        .busy_timeout(Duration::from_millis(settings.busy_timeout_ms))
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(settings.readers.max(1))
        .acquire_timeout(ACQUIRE_READER)
        .idle_timeout(None)
        .max_lifetime(None);
    connect(pool, options).await
}

async fn connect(
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<DatabaseConnection, StoreFault> {
    let pool = pool
        .connect_with(options)
        .await
        .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

#[derive(FromQueryResult)]
struct Durability {
    journal_mode: String,
    synchronous: i64,
}

/// What was asked for is not always what is there: some file systems cannot have a write-ahead log.
async fn verify(writer: &DatabaseConnection, path: &Path) -> Result<(), StoreFault> {
    let sql = "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous";
    let found: Vec<Durability> = rows_of(writer, sql, []).await?;
    for doubt in found.iter().filter_map(doubt) {
        tracing::warn!(database = %path.display(), "{doubt}");
    }
    Ok(())
}

fn doubt(found: &Durability) -> Option<&'static str> {
    let logged = matches!(
        found.journal_mode.as_str(),
        "wal" | "delete" | "truncate" | "persist"
    );
    if !logged {
        Some("the journal is off: a crash can destroy the database")
    } else if found.synchronous < 2 {
        Some("synchronous is below FULL: a power cut can forget approved payments")
    } else if found.journal_mode != "wal" {
        Some("no write-ahead log here: readers and the writer wait for each other")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt_of(journal_mode: &str, synchronous: i64) -> Option<&'static str> {
        let journal_mode = journal_mode.to_owned();
        doubt(&Durability {
            journal_mode,
            synchronous,
        })
    }

    #[test]
    fn a_database_that_may_forget_is_told_from_one_that_does_not() {
        assert_eq!(doubt_of("wal", 2), None);
        assert_eq!(doubt_of("wal", 3), None);
        assert!(doubt_of("wal", 1).is_some_and(|why| why.contains("power cut")));
        assert!(doubt_of("off", 2).is_some_and(|why| why.contains("journal is off")));
        assert!(doubt_of("memory", 2).is_some_and(|why| why.contains("journal is off")));
        assert!(doubt_of("delete", 2).is_some_and(|why| why.contains("write-ahead")));
    }

    #[test]
    fn a_url_names_a_file_or_is_refused() {
        assert_eq!(
            file_of("sqlite://payonce.db").ok(),
            Some("payonce.db".into())
        );
        assert_eq!(file_of("sqlite:///a/b.db").ok(), Some("/a/b.db".into()));
        for url in [
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://",
            "sqlite://x.db?mode=memory",
            "sqlite://x.db?nonsense=1",
        ] {
            assert!(matches!(file_of(url), Err(StoreFault::Url(_))), "{url}");
        }
    }
}
