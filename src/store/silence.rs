//! A database server that says nothing at all: a host that has lost its power, a network that has. A file has no such silence.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use tokio::time::timeout;

use super::{Store, StoreFault};

/// Longer than any lock is waited for, and than any disk takes that is worth waiting for.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(20);
#[cfg(test)]
pub const PATIENCE: Duration = Duration::from_secs(8);

/// For a connection to show that it still lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// The database server has not answered.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database has not answered within {} s", PATIENCE.as_secs())]
pub(super) struct Silent;

impl From<Silent> for StoreFault {
    fn from(silent: Silent) -> StoreFault {
        StoreFault::Unavailable(silent.to_string())
    }
}

/// When somebody last waited in vain.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    fn noted(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_recent(&self) -> bool {
        let noted = *self.noted();
        noted.is_some_and(|noted| noted.elapsed() < 2 * PATIENCE)
    }

    /// Whether a connection may go back into its pool. The pool would ask it itself, and for ever: one on which somebody
    /// has waited in vain would keep its place until the kernel gives it up, a quarter of an hour later.
    pub async fn lets_go_of(
        &self,
        sign: impl Future<Output = Result<(), sqlx::Error>> + Send,
    ) -> Result<bool, sqlx::Error> {
        if !self.is_recent() {
            return Ok(true);
        }
        match timeout(SIGN_OF_LIFE, sign).await {
            Ok(alive) => alive.map(|()| true),
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

impl Store {
    /// What a database server answers, if it does. A connection that waits for a dead host would wait for ever.
    pub(super) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, Silent> {
        if !self.0.sql.shared {
            return Ok(work.await);
        }
        let mut work = std::pin::pin!(work);
        // Noted before the work is dropped, and its connection with it.
        timeout(PATIENCE, &mut work).await.map_err(|_| {
            *self.0.silence.noted() = Some(Instant::now());
            Silent
        })
    }
}
