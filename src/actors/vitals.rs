//! Vitals: signs of life. Whoever keeps the house going says for how long its word holds; after that, silence means
//! that it has stopped, or was never started.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One clone for each who gives a sign, one for those who look.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// A write was committed.
    pub journal: Pulse,
    /// The node's heart beats, whether or not anybody takes its beats down.
    pub node: Pulse,
    /// The timer looks for the unfinished.
    pub recovery: Pulse,
}

/// The last word of somebody, and until when it holds. Nobody has spoken yet: it does not hold.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    pub fn good_for(&self, span: Duration) {
        let until = Instant::now() + span;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub fn is_good(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}
