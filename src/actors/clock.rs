//! The one place where actors take time, chance and fresh names from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::{Dice, Moment, OrderId, Rules, Timestamp, TransitionId};

/// The wall clock and the rules that read it. Deadlines within a process use `tokio::time::Instant` instead:
/// the wall clock may jump.
#[derive(Clone, Debug)]
pub struct Clock {
    rules: Arc<Rules>,
}

impl Clock {
    pub fn new(rules: Rules) -> Clock {
        Clock {
            rules: Arc::new(rules),
        }
    }

    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Now, for one decision: the dice are thrown and the transition is named afresh. UUID v7, because
    /// names that grow with time keep the database's index writes in one place.
    pub fn moment(&self) -> Moment<'_> {
        Moment {
            at: self.now(),
            dice: Dice(rand::random()),
            transition: TransitionId(Uuid::now_v7()),
            polled: false,
            rules: &self.rules,
        }
    }

    pub fn new_order_id(&self) -> OrderId {
        OrderId::new(Uuid::now_v7())
    }
}

/// A sign of life of something that should go on for ever: it says until when its silence would be no news.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    pub fn beat(&self, next_within: Duration) {
        let until = Instant::now() + next_within;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// False if it never began, or has stopped.
    pub fn beats(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}
