//! What is known of one connection, by its line, by the requests on it and by the reaper.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// No moment: the client takes what it is given.
const NEVER: u64 = u64::MAX;

/// One connection. Dropped with it: its line and its requests hold it.
pub struct Connection {
    began: Instant,
    has_asked: AtomicBool,
    asking: AtomicUsize,
    /// Requests in hand whose bodies are awaited.
    listening: AtomicUsize,
    /// When the last request ended, in ms since `began`.
    quiet_since_ms: AtomicU64,
    /// Since when the client takes nothing of what it is given, in ms since `began`.
    deaf_since_ms: AtomicU64,
    /// There was something to read, and it was left where it is.
    has_more: AtomicBool,
    is_cut: AtomicBool,
    /// Whoever drives the line.
    pub driver: AtomicWaker,
}

impl Connection {
    pub fn new() -> Connection {
        Connection {
            began: Instant::now(),
            has_asked: AtomicBool::new(false),
            asking: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
            quiet_since_ms: AtomicU64::new(0),
            deaf_since_ms: AtomicU64::new(NEVER),
            has_more: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            driver: AtomicWaker::new(),
        }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn since(&self, moment_ms: u64) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(moment_ms))
    }

    /// A request is in hand.
    pub fn is_asked(&self) -> bool {
        self.asking.load(Ordering::Acquire) > 0
    }

    pub fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Acquire)
    }

    /// How long no request has been in hand.
    pub fn quiet(&self) -> Duration {
        if self.asking.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        self.since(self.quiet_since_ms.load(Ordering::Acquire))
    }

    /// How long an answer has been waiting for the client to take more of it.
    pub fn deaf(&self) -> Duration {
        match self.deaf_since_ms.load(Ordering::Acquire) {
            NEVER => Duration::ZERO,
            since => self.since(since),
        }
    }

    pub fn is_deaf(&self) -> bool {
        self.deaf_since_ms.load(Ordering::Acquire) != NEVER
    }

    /// Nothing that the client says now is wanted yet: its last words are in hand, or not even their answers are taken.
    pub fn has_enough(&self) -> bool {
        let busy = self.asking.load(Ordering::Acquire) > 0;
        busy && self.listening.load(Ordering::Acquire) == 0 || self.is_deaf()
    }

    /// More has come and is left unread until [`Connection::read_on`].
    pub fn leave_the_rest(&self) {
        self.has_more.store(true, Ordering::Release);
    }

    fn read_on(&self) {
        if self.has_more.load(Ordering::Acquire) && !self.has_enough() {
            self.has_more.store(false, Ordering::Release);
            self.driver.wake();
        }
    }

    /// The client has taken something, or nothing, of what it is given.
    pub fn takes(&self, something: bool) {
        if !something {
            // Once: it is deaf since the first time, however often it is offered something more.
            let (never, now) = (NEVER, self.age_ms());
            let order = (Ordering::AcqRel, Ordering::Acquire);
            _ = self
                .deaf_since_ms
                .compare_exchange(never, now, order.0, order.1);
        } else if self.is_deaf() {
            self.deaf_since_ms.store(NEVER, Ordering::Release);
            self.read_on();
        }
    }

    /// The line breaks at its next turn, which is now.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }
}

/// What a request finds of its connection.
pub struct Watched(pub Arc<Connection>);

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
        self.0.read_on();
    }
}

/// A request in hand whose body is awaited.
pub struct Listening(Arc<Connection>);

impl Listening {
    pub fn to(connection: Option<&Watched>) -> Option<Listening> {
        let connection = Arc::clone(&connection?.0);
        connection.listening.fetch_add(1, Ordering::AcqRel);
        connection.read_on();
        Some(Listening(connection))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, Ordering::AcqRel);
    }
}
