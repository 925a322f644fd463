//! The connections to a database: who writes, who only reads; and a server that says nothing at all, because its host has
//! lost its power or the network its way. A file has no such silence.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::timeout;

use super::{Store, StoreFault};

/// Longer than any lock is waited for, and than any disk takes that is worth waiting for.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(20);
#[cfg(test)]
pub const PATIENCE: Duration = Duration::from_secs(8);

/// One batch waits for its COMMIT while the next is being written, and a heartbeat goes beside both. One more is there while
/// another is being looked at: a pool asks each one that comes back whether it still lives.
pub(super) const WRITERS: u32 = 4;

/// Pools that were left and still have connections; with so many of them no further one is left. A server that hangs again
/// and again, and takes new connections all the while, is not filled with ours.
const MOST_LEFT: usize = 8;

/// When the kernel has long given up a peer that acknowledges nothing.
const FORGOTTEN: Duration = Duration::from_secs(1_800);

/// The last words to a server are short, or remain unsaid.
const GOODBYE: Duration = Duration::from_secs(2);

/// The database server has not answered.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database has not answered within {} s", PATIENCE.as_secs())]
pub(super) struct Silent;

impl From<Silent> for StoreFault {
    fn from(silent: Silent) -> StoreFault {
        StoreFault::Unavailable(silent.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Reads,
    Writes,
}

/// A pool, as whoever begins something has it until the end.
#[derive(Clone)]
pub(super) struct Line {
    pub pool: DatabaseConnection,
    work: Work,
    generation: u64,
}

impl Line {
    fn new(work: Work, pool: DatabaseConnection) -> Line {
        Line {
            pool,
            work,
            generation: 0,
        }
    }
}

/// Makes a pool that has no connection yet.
type Make = Box<dyn Fn(Work) -> DatabaseConnection + Send + Sync>;

pub(super) struct Pools {
    current: RwLock<Current>,
    make: Option<Make>,
    left: Arc<AtomicUsize>,
    made: Instant,
    /// When a reader was answered last, in microseconds since `made`; 0 for never.
    read_at_us: AtomicU64,
}

#[derive(Clone)]
struct Current {
    /// Absent where nothing may be written.
    writer: Option<Line>,
    readers: Line,
    is_closed: bool,
}

impl Current {
    fn of(&mut self, work: Work) -> Option<&mut Line> {
        match work {
            Work::Reads => Some(&mut self.readers),
            Work::Writes => self.writer.as_mut(),
        }
    }
}

impl Pools {
    pub fn of_a_file(writer: Option<DatabaseConnection>, readers: DatabaseConnection) -> Pools {
        Pools::new(writer, readers, None)
    }

    /// Fails where the server cannot be reached, and says by which `name`.
    pub async fn of_a_server(
        name: &str,
        writes: bool,
        make: impl Fn(Work) -> DatabaseConnection + Send + Sync + 'static,
    ) -> Result<Pools, StoreFault> {
        let readers = make(Work::Reads);
        let writer = writes.then(|| make(Work::Writes));
        for pool in [Some(&readers), writer.as_ref()].into_iter().flatten() {
            match pool.ping().await {
                Ok(()) => {}
                // What refuses a connection for now is asked again and again, until the time is over.
                Err(DbErr::ConnectionAcquire(_)) => {
                    let why = format!("{name} is not there, is starting, or is full");
                    return Err(StoreFault::Unavailable(why));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Pools::new(writer, readers, Some(Box::new(make))))
    }

    fn new(
        writer: Option<DatabaseConnection>,
        readers: DatabaseConnection,
        make: Option<Make>,
    ) -> Pools {
        Pools {
            current: RwLock::new(Current {
                writer: writer.map(|pool| Line::new(Work::Writes, pool)),
                readers: Line::new(Work::Reads, readers),
                is_closed: false,
            }),
            make,
            left: Arc::default(),
            made: Instant::now(),
            read_at_us: AtomicU64::new(0),
        }
    }

    fn age_us(&self, at: Instant) -> u64 {
        let age = at.saturating_duration_since(self.made);
        u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
    }

    pub fn has_read(&self) {
        let now = self.age_us(Instant::now()).max(1);
        self.read_at_us.fetch_max(now, Ordering::Relaxed);
    }

    fn current(&self) -> Current {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    pub fn writer(&self) -> Option<Line> {
        self.current().writer
    }

    pub fn readers(&self) -> Line {
        self.current().readers
    }

    /// Whoever comes from now on asks over new connections. The old ones would not be had back for long: a pool asks each
    /// one that is returned whether it lives, or says goodbye to it, and both wait until the kernel gives the silent peer
    /// up, a quarter of an hour later, or longer where something between still acknowledges. Those that do live end their
    /// work, and go with it.
    fn leave(&self, silent: &Line, make: &Make) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let known = current.of(silent.work).map(|line| line.generation);
        // Many wait in vain together, and leave once.
        if current.is_closed || known != Some(silent.generation) {
            return;
        }
        // What is written is small, and to wait for it in vain is to have no server. What is read may be much.
        let leave: &[Work] = match silent.work {
            Work::Writes => &[Work::Writes, Work::Reads],
            Work::Reads => &[Work::Reads],
        };
        for &work in leave {
            let left = self.left.load(Ordering::Relaxed);
            if left >= MOST_LEFT {
                tracing::error!(
                    left,
                    ?work,
                    "the database is silent once more; its connections stay"
                );
                return;
            }
            if let Some(line) = current.of(work) {
                tracing::warn!(?work, "the database is silent; new connections");
                let old = std::mem::replace(&mut line.pool, make(work));
                line.generation += 1;
                self.see_off(old);
            }
        }
    }

    fn see_off(&self, old: DatabaseConnection) {
        let left = Arc::clone(&self.left);
        left.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            _ = timeout(FORGOTTEN, old.close()).await;
            left.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// The writer last, so that it folds a file's write-ahead log into the file. Nothing is opened any more.
    pub async fn close(&self) {
        let current = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.is_closed = true;
            current.clone()
        };
        let close = async {
            _ = current.readers.pool.close().await;
            if let Some(writer) = current.writer {
                _ = writer.pool.close().await;
            }
        };
        match &self.make {
            None => close.await,
            Some(_) => _ = timeout(GOODBYE, close).await,
        }
    }
}

impl Store {
    /// Whether any reader has been answered after that.
    pub fn has_read_since(&self, since: Instant) -> bool {
        let pools = &self.0.pools;
        pools.read_at_us.load(Ordering::Relaxed) > pools.age_us(since)
    }

    /// What a database server answers over `line`, if it does. A connection that waits for a dead host would wait for ever.
    pub(super) async fn answered<T>(
        &self,
        line: &Line,
        work: impl Future<Output = T>,
    ) -> Result<T, Silent> {
        let Some(make) = &self.0.pools.make else {
            return Ok(work.await);
        };
        timeout(PATIENCE, work).await.map_err(|_| {
            self.0.pools.leave(line, make);
            Silent
        })
    }
}

/// Opens a server, if it answers.
pub(super) async fn in_time<T>(
    open: impl Future<Output = Result<T, StoreFault>>,
) -> Result<T, StoreFault> {
    timeout(PATIENCE, open).await.map_err(|_| Silent)?
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use sea_orm::SqlxSqliteConnector;
    use sea_orm::sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    async fn pools() -> Pools {
        let make = |_| {
            let pool = SqlitePoolOptions::new().max_connections(2);
            let pool = pool.connect_lazy("sqlite::memory:").unwrap();
            SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
        };
        Pools::of_a_server("a test", true, make).await.unwrap()
    }

    impl Pools {
        fn found_silent(&self, line: &Line) {
            self.leave(line, self.make.as_ref().unwrap());
        }

        fn generations(&self) -> (u64, u64) {
            let current = self.current();
            (
                current.writer.unwrap().generation,
                current.readers.generation,
            )
        }
    }

    #[tokio::test]
    async fn many_who_wait_in_vain_leave_once_and_a_slow_read_leaves_the_writers_alone() {
        let pools = pools().await;
        let (writer, reader) = (pools.writer().unwrap(), pools.readers());
        pools.found_silent(&reader);
        pools.found_silent(&reader);
        assert_eq!(pools.generations(), (0, 1));
        pools.found_silent(&writer);
        pools.found_silent(&writer);
        assert_eq!(
            pools.generations(),
            (1, 2),
            "who writes in vain has no server"
        );
        pools.found_silent(&reader);
        assert_eq!(pools.generations(), (1, 2), "a pool that was left already");
        pools.readers().pool.ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_hangs_again_and_again_is_not_filled_with_connections() {
        let pools = pools().await;
        let mut hung = Vec::new();
        for _ in 0..MOST_LEFT {
            let line = pools.readers();
            let pool = line.pool.get_sqlite_connection_pool();
            hung.push(pool.acquire().await.unwrap());
            pools.found_silent(&line);
        }
        let most = MOST_LEFT as u64;
        assert_eq!(pools.generations(), (0, most));
        pools.found_silent(&pools.readers());
        assert_eq!(pools.generations(), (0, most), "so many are enough");
        hung.pop();
        while pools.left.load(Ordering::Relaxed) == MOST_LEFT {
            tokio::task::yield_now().await;
        }
        pools.found_silent(&pools.readers());
        assert_eq!(pools.generations(), (0, most + 1), "one has gone");
    }

    #[tokio::test]
    async fn what_is_closed_is_not_opened_again_by_whoever_still_waits() {
        let pools = pools().await;
        let late = pools.writer().unwrap();
        pools.close().await;
        pools.found_silent(&late);
        assert_eq!(pools.generations(), (0, 0));
        pools.writer().unwrap().pool.ping().await.unwrap_err();
    }
}
