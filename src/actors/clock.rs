//! The one place where actors take time, chance and fresh names from.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::{Dice, Incarnation, Moment, OrderId, Rules, Timestamp, TransitionId};

/// The wall clock and the rules that read it. Deadlines within a process use `tokio::time::Instant` instead:
/// the wall clock may jump.
///
/// Where several nodes share a database, the wall clock is the database's: whether a confirm window has passed must not
/// depend on which host looks. Nor on a clock that jumps: where it has run ahead of the monotonic one, what Toss does not
/// know is not believed for a while.
#[derive(Clone, Debug)]
pub struct Clock {
    rules: Arc<Rules>,
    pace: Arc<Mutex<Pace>>,
    /// How far this host's clock is behind, in microseconds.
    behind: Arc<AtomicI64>,
}

/// More than the wall clock may gain on the monotonic one from one look to the next.
const JUMP: Duration = Duration::from_secs(2);

/// How the wall clock goes, by the monotonic one.
#[derive(Debug)]
struct Pace {
    wall: i64,
    seen: Instant,
    jumped: Option<Instant>,
}

impl Pace {
    const fn new(wall: i64, seen: Instant) -> Pace {
        let jumped = None;
        Pace { wall, seen, jumped }
    }

    fn see(&mut self, wall: i64, now: Instant) {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let passed = now.saturating_duration_since(self.seen);
        let gained = wall.saturating_sub(self.wall) - micros(passed);
        if gained > micros(JUMP) {
            tracing::warn!(
                ahead_ms = gained / 1_000,
                "the clock jumped; until a confirm window has passed, what Toss does not know is not taken for unpaid"
            );
            self.jumped = Some(now);
        }
        (self.wall, self.seen) = (wall, now);
    }

    fn is_steady(&self, now: Instant, window: Duration) -> bool {
        self.jumped
            .is_none_or(|jumped| now.saturating_duration_since(jumped) > window)
    }
}

/// What is less than this far off, in microseconds, may as well be the way to the database and back.
const NOISE: i64 = 50_000;

impl Clock {
    pub fn new(rules: Rules) -> Clock {
        Clock {
            rules: Arc::new(rules),
            pace: Arc::new(Mutex::new(Pace::new(host_micros(), Instant::now()))),
            behind: Arc::new(AtomicI64::new(0)),
        }
    }

    pub fn now(&self) -> Timestamp {
        let behind = self.behind.load(Ordering::Relaxed);
        Timestamp::from_micros(host_micros().saturating_add(behind))
    }

    /// As [`Clock::set`], before anything was decided by this clock: however far it is off is no jump.
    pub fn start(&self, theirs: Timestamp, sent: i64) {
        self.set(theirs, sent);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Pace::new(self.now().micros(), Instant::now());
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
        let (at, steady) = self.look();
        Moment {
            at,
            dice: Dice(rand::random()),
            transition: TransitionId(Uuid::now_v7()),
            polled: false,
            steady,
            rules: &self.rules,
        }
    }

    /// The time, and whether it came here step by step.
    fn look(&self) -> (Timestamp, bool) {
        let window = Duration::from_millis(self.rules.confirm_window_ms.unsigned_abs());
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Instant::now();
        let now = self.now();
        let after = Instant::now();
        // Stopped between the two clocks, a process would see the wall clock jump.
        if after - before < JUMP / 4 {
            pace.see(now.micros(), before);
        }
        (now, pace.is_steady(after, window))
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
    fn a_clock_that_jumps_ahead_proves_no_window_until_one_has_passed() {
        const SECOND: i64 = 1_000_000;
        let (start, window) = (Instant::now(), Duration::from_secs(660));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(0, start);
        // Slow steps of any length, and what is set back.
        for (wall, seconds) in [
            (SECOND, 1),
            (901 * SECOND, 900),
            (10 * SECOND, 901),
            (110 * SECOND, 1_001),
        ] {
            pace.see(wall, at(seconds));
            assert!(pace.is_steady(at(seconds), window), "{wall} {seconds}");
        }
        pace.see(1_010 * SECOND, at(1_002));
        assert!(!pace.is_steady(at(1_002), window));
        pace.see(1_668 * SECOND, at(1_660));
        assert!(!pace.is_steady(at(1_662), window));
        assert!(pace.is_steady(at(1_663), window));
    }

    #[test]
    fn a_moment_after_a_jump_is_not_steady() {
        let clock = Clock::new(Rules::default());
        let sent = host_micros();
        clock.start(Timestamp::from_micros(sent - 900_000_000), sent);
        clock.start(Timestamp::from_micros(sent + 30), sent);
        assert!(clock.moment().steady);
        clock.set(Timestamp::from_micros(sent + 900_000_000), sent);
        assert!(!clock.moment().steady);
    }

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
