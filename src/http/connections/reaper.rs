//! Who holds a connection for nothing is cut.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpStream;

use super::line::Line;
use super::state::Connection;

/// The framework times the idleness of a connection, but not a later head that drips, nor an unwanted body that does: no
/// request is in hand, and yet the connection stays. Nor does it time an answer that is not taken.
/// A first head the framework would time, and answer with 408; to a client whose pool has opened a connection and not used
/// it yet, that is an answer to nothing, just as it may begin to ask. So we time it here, and say nothing: a client that
/// finds its connection closed before it has asked opens another.
#[derive(Clone)]
pub struct Reaper {
    watched: Arc<Mutex<Vec<Weak<Connection>>>>,
    /// Until the first request, and for an answer to be taken on.
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
    pub fn watch(&self, io: TcpStream) -> Line {
        let connection = Arc::new(Connection::new());
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Arc::downgrade(&connection));
        drop(watched);
        Line::new(io, connection)
    }

    /// Cuts who has been quiet or deaf for too long, until it is dropped.
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
            let most = match connection.has_asked() {
                true => self.most_quiet,
                false => self.head_timeout,
            };
            let stays = connection.quiet() < most && connection.deaf() < self.head_timeout;
            if !stays {
                tracing::debug!("a connection that neither asked nor heard is cut");
                connection.cut();
            }
            stays
        });
        if watched.capacity() > 4 * watched.len().max(1_024) {
            watched.shrink_to_fit();
        }
    }
}
