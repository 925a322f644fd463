//! The one place where actors take time, chance and fresh names from.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::{Dice, Incarnation, Moment, OrderId, Rules, Timestamp, TransitionId};

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

    pub fn new_change_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    pub fn new_incarnation(&self) -> Incarnation {
        Incarnation(Uuid::now_v7())
    }

    pub fn new_order_id(&self) -> OrderId {
        OrderId::new(Uuid::now_v7())
    }
}
