//! The connections of the door, each for itself and by its socket: how many there may be, and how long one may be held
//! by a client that neither asks nor hears. One whose socket cannot be had twice goes unwatched; so what a closing door
//! asks about all of them together, the last words of those who have left included, is `layers::Traffic`'s to know.

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use tokio::net::TcpSocket;

/// Each connection has two descriptors, ours and the framework's; half of all are left for the store and for Toss.
const DESCRIPTORS_EACH: u64 = 4;

/// How many connections each worker may hold: as set, but never so many that the house itself runs out of files.
pub fn most_each(wanted: usize, workers: usize) -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    let bearable = usize::try_from(files / DESCRIPTORS_EACH).unwrap_or(usize::MAX);
    if bearable < wanted {
        tracing::warn!(
            wanted,
            bearable,
            files,
            "fewer connections than server.max_connections: the limit of open files is low"
        );
    }
    (wanted.min(bearable) / workers.max(1)).max(1)
}

/// What the kernel takes of a connection before we read it. The framework makes requests of all that it has read, up to
/// 128 KiB, before it answers the first: of the smallest ones that is 3,000 and some 20 MB. Five hundred clients that
/// ask without listening cost 160 MB with this window and 860 MB with the kernel's own.
const UNREAD_BYTES: u32 = 8 << 10;

/// How many may wait to be accepted while the workers are busy. What overflows is not refused but asked again by the
/// client's kernel, a second later and then twice that: the kernel's own bound (net.core.somaxconn) since Linux 5.4.
const BACKLOG: u32 = 4_096;

/// Must be called within a runtime; fails where the address cannot be had.
pub fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = if bind.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Each connection inherits it.
    socket.set_recv_buffer_size(UNREAD_BYTES)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)?.into_std()
}

/// One connection. Dropped with it, since the framework holds the only strong reference beside its requests.
struct Connection {
    /// The same socket under another descriptor: the framework gives its own away to nobody.
    socket: TcpStream,
    began: Instant,
    has_asked: AtomicBool,
    asking: AtomicUsize,
    /// When the last request ended, in ms since `began`.
    quiet_since_ms: AtomicU64,
}

impl Connection {
    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long no request has been in hand.
    fn quiet(&self) -> Duration {
        if self.asking.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let since = self.quiet_since_ms.load(Ordering::Acquire);
        Duration::from_millis(self.age_ms().saturating_sub(since))
    }
}

/// A request in hand on a connection.
pub struct Asking(Arc<Connection>);

impl Asking {
    /// `None` where there is no connection, as in a test without sockets.
    pub fn on(connection: Option<&Watched>) -> Option<Asking> {
        let connection = Arc::clone(&connection?.0);
        connection.asking.fetch_add(1, Ordering::AcqRel);
        connection.has_asked.store(true, Ordering::Release);
        Some(Asking(connection))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let now = self.0.age_ms();
        self.0.quiet_since_ms.store(now, Ordering::Release);
        self.0.asking.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a request finds of its connection.
pub struct Watched(Arc<Connection>);

/// The framework times the idleness of a connection, but not a later head that drips, nor an unwanted body that does, nor
/// an answer that is not taken. All three look the same from here: no request is in hand, and yet the connection stays.
/// A first head the framework does time, and answers with 408; to a client whose pool has opened a connection and not used
/// it yet, that is an answer to nothing, just as it may begin to ask. So we are quicker, and say nothing.
#[derive(Clone)]
pub struct Reaper {
    watched: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// Until the first request.
    head_timeout: Duration,
    most_quiet: Duration,
}

impl Reaper {
    pub fn new(head_timeout: Duration, keep_alive: Duration) -> Reaper {
        Reaper {
            watched: Arc::default(),
            head_timeout,
            // Who begins a request at the very end of an idle time may still send its head.
            most_quiet: keep_alive + head_timeout,
        }
    }

    /// For each new connection.
    pub fn watch(&self, io: &dyn Any, data: &mut Extensions) {
        let stream = io.downcast_ref::<actix_web::rt::net::TcpStream>();
        let Some(Ok(own)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) else {
            return;
        };
        let connection = Arc::new(Connection {
            socket: TcpStream::from(own),
            began: Instant::now(),
            has_asked: AtomicBool::new(false),
            asking: AtomicUsize::new(0),
            quiet_since_ms: AtomicU64::new(0),
        });
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Arc::downgrade(&connection));
        drop(watched);
        data.insert(Watched(connection));
    }

    /// Cuts who has been quiet for too long, until it is dropped.
    pub async fn run(self) {
        let pause =
            (self.head_timeout / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            tokio::time::sleep(pause).await;
            self.cut();
        }
    }

    fn cut(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|connection| {
            let Some(connection) = connection.upgrade() else {
                return false;
            };
            let most = match connection.has_asked.load(Ordering::Acquire) {
                true => self.most_quiet,
                false => self.head_timeout,
            };
            let stays = connection.quiet() < most;
            if !stays {
                tracing::debug!("a connection that neither asked nor heard is cut");
                _ = connection.socket.shutdown(Shutdown::Both);
            }
            stays
        });
        if watched.capacity() > 4 * watched.len().max(1_024) {
            watched.shrink_to_fit();
        }
    }
}
