//! The connections to a database: who writes, who only reads; and a server that says nothing at all, because its host has
//! lost its power or the network its way. A file has no such silence.

use std::future::Future;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::timeout;

use super::{Store, StoreFault};

/// Longer than any lock is waited for, and than any disk takes that is worth waiting for.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(20);
#[cfg(test)]
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The database server has not answered.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database has not answered within {} s", PATIENCE.as_secs())]
pub(super) struct Silent;

impl From<Silent> for StoreFault {
    fn from(silent: Silent) -> StoreFault {
        StoreFault::Unavailable(silent.to_string())
    }
}

/// A pool for each kind of work. Clones are the same pools.
#[derive(Clone)]
pub(super) struct Ends {
    /// Absent where nothing may be written.
    pub writer: Option<DatabaseConnection>,
    pub readers: DatabaseConnection,
}

impl Ends {
    async fn answer(&self) -> Result<(), DbErr> {
        self.readers.ping().await?;
        match &self.writer {
            Some(writer) => writer.ping().await,
            None => Ok(()),
        }
    }
}

type Make = Box<dyn Fn() -> Ends + Send + Sync>;

pub(super) struct Pools {
    now: RwLock<Now>,
    /// Makes others like them that have no connection yet.
    make: Option<Make>,
}

struct Now {
    ends: Ends,
    generation: u64,
}

impl Pools {
    pub fn of_a_file(ends: Ends) -> Pools {
        Pools::new(ends, None)
    }

    /// Fails where the server cannot be reached, and says by which `name`.
    pub async fn of_a_server(
        name: &str,
        make: impl Fn() -> Ends + Send + Sync + 'static,
    ) -> Result<Pools, StoreFault> {
        let ends = make();
        match ends.answer().await {
            Ok(()) => Ok(Pools::new(ends, Some(Box::new(make)))),
            // A server that refuses connections is asked again and again, until the time is over.
            Err(DbErr::ConnectionAcquire(_)) => {
                let why = format!("nobody answers at {name}");
                Err(StoreFault::Unavailable(why))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn new(ends: Ends, make: Option<Make>) -> Pools {
        let generation = 0;
        Pools {
            now: RwLock::new(Now { ends, generation }),
            make,
        }
    }

    pub fn ends(&self) -> Ends {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.ends.clone()
    }

    fn generation(&self) -> u64 {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.generation
    }

    /// Whoever comes from now on asks over new connections. The old ones would never be had back: a pool asks each one that
    /// is returned whether it lives, or says goodbye to it, and both wait until the kernel gives the silent peer up, a
    /// quarter of an hour later. Those that do live end their work, and go with it.
    fn leave(&self, generation: u64, make: &Make) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        // Many wait in vain together, and leave once.
        if now.generation == generation {
            *now = Now {
                ends: make(),
                generation: generation + 1,
            };
        }
    }
}

impl Store {
    /// What a database server answers, if it does. A connection that waits for a dead host would wait for ever.
    pub(super) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, Silent> {
        let pools = &self.0.pools;
        let Some(make) = &pools.make else {
            return Ok(work.await);
        };
        let generation = pools.generation();
        timeout(PATIENCE, work).await.map_err(|_| {
            pools.leave(generation, make);
            Silent
        })
    }
}
