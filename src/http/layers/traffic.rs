//! Who is on the line, all counted as one, and when somebody last said something: what a closing door has to know. It
//! misses nobody and cuts nobody; whom to cut is decided one by one, in `connections`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Traffic(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    began: Instant,
    connections: AtomicUsize,
    fresh: AtomicUsize,
    last_ms: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic(Arc::new(Seen {
            began: Instant::now(),
            connections: AtomicUsize::new(0),
            fresh: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
        }))
    }
}

/// One open connection, counted until it is dropped; fresh until its first request.
#[derive(Debug)]
pub struct Connected {
    traffic: Traffic,
    heard: AtomicBool,
}

impl Connected {
    /// A request has come in.
    pub fn heard(&self) {
        let seen = &self.traffic.0;
        if !self.heard.swap(true, Ordering::AcqRel) {
            seen.fresh.fetch_sub(1, Ordering::AcqRel);
        }
        seen.last_ms
            .fetch_max(self.traffic.now_ms(), Ordering::AcqRel);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let seen = &self.traffic.0;
        if !*self.heard.get_mut() {
            seen.fresh.fetch_sub(1, Ordering::AcqRel);
        }
        seen.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Traffic {
    pub fn connected(&self) -> Connected {
        self.0.connections.fetch_add(1, Ordering::AcqRel);
        self.0.fresh.fetch_add(1, Ordering::AcqRel);
        Connected {
            traffic: self.clone(),
            heard: AtomicBool::new(false),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Somebody has connected and not said a word yet.
    pub fn has_fresh(&self) -> bool {
        self.0.fresh.load(Ordering::Acquire) > 0
    }

    /// Somebody is on the line, and a request has come within `quiet`.
    pub fn is_lively(&self, quiet: Duration) -> bool {
        let last = self.0.last_ms.load(Ordering::Acquire);
        let silent = self.now_ms().saturating_sub(last);
        self.0.connections.load(Ordering::Acquire) > 0 && u128::from(silent) < quiet.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_lively_while_it_is_open_and_not_silent() {
        let (traffic, long) = (Traffic::default(), Duration::from_secs(3_600));
        assert!(!traffic.is_lively(long), "nobody is on the line");
        let line = traffic.connected();
        line.heard();
        assert!(traffic.is_lively(long));
        assert!(
            !traffic.is_lively(Duration::ZERO),
            "silence is not waited for"
        );
        drop(line);
        assert!(!traffic.is_lively(long));
    }

    #[test]
    fn a_line_is_fresh_until_its_first_request() {
        let traffic = Traffic::default();
        let (first, second) = (traffic.connected(), traffic.connected());
        first.heard();
        first.heard();
        assert!(traffic.has_fresh());
        drop(second);
        assert!(!traffic.has_fresh());
        drop(first);
        assert!(!traffic.has_fresh());
    }
}
