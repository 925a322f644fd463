//! The one place where actors take time, chance and fresh names from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::{Dice, Incarnation, Moment, OrderId, Rules, Timestamp, TransitionId};

/// The wall clock and the rules that read it. Deadlines within a process use `tokio::time::Instant` instead:
/// the wall clock may jump.
///
/// Where several nodes share a database, the wall clock is the database's: whether a confirm window has passed must not
/// depend on which host looks.
#[derive(Clone, Debug)]
pub struct Clock {
    rules: Arc<Rules>,
    /// How far this host's clock is behind, in microseconds.
    behind: Arc<AtomicI64>,
}

/// What is less than this far off, in microseconds, may as well be the way to the database and back.
const NOISE: i64 = 50_000;

impl Clock {
    pub fn new(rules: Rules) -> Clock {
        Clock {
            rules: Arc::new(rules),
            behind: Arc::new(AtomicI64::new(0)),
        }
    }

    pub fn now(&self) -> Timestamp {
        let behind = self.behind.load(Ordering::Relaxed);
        Timestamp::from_micros(host_micros().saturating_add(behind))
    }

    /// The clock that all go by said so, asked at `sent` by this host's own and heard now.
    pub fn set(&self, theirs: Timestamp, sent: i64) {
        let heard = host_micros();
        let on_the_way = heard.saturating_sub(sent);
        let middle = sent.saturating_add(on_the_way / 2);
        let behind = theirs.micros().saturating_sub(middle);
        let before = self.behind.load(Ordering::Relaxed);
        if behind.abs_diff(before) > NOISE.unsigned_abs() + on_the_way.unsigned_abs() / 2 {
            tracing::info!(
                behind_ms = behind / 1_000,
                "this host's clock is not the database's; going by the database's"
            );
            self.behind.store(behind, Ordering::Relaxed);
        }
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

/// This host's own clock.
pub fn host_micros() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_whose_clock_is_off_goes_by_the_one_that_all_share() {
        let clock = Clock::new(Rules::default());
        let off = |clock: &Clock| clock.now().micros() - host_micros();
        for minutes in [5_i64, -7, 0] {
            let sent = host_micros();
            clock.set(Timestamp::from_micros(sent + minutes * 60_000_000), sent);
            let wrong = off(&clock) - minutes * 60_000_000;
            assert!(wrong.abs() < 1_000_000, "{wrong} us off");
        }
        let sent = host_micros();
        clock.set(Timestamp::from_micros(sent + 30_000), sent);
        assert!(off(&clock) <= 0, "what is within the noise changes nothing");
        // An answer that took a minute says little about seconds.
        let long_ago = host_micros() - 60_000_000;
        clock.set(Timestamp::from_micros(host_micros() - 20_000_000), long_ago);
        assert!(off(&clock).abs() < 1_000_000);
    }
}
