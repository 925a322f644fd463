//! The one place where actors take time, chance and fresh names from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::domain::{Dice, Incarnation, Moment, OrderId, Rules, Timestamp, TransitionId};

/// The wall clock and the rules that read it. Deadlines within a process use `tokio::time::Instant` instead:
/// the wall clock may jump.
///
/// Where several nodes share a database, the time is the database's, asked for now and then and counted on by the monotonic
/// clock: whether a confirm window has passed must not depend on which host looks, nor on its wall clock. And where the time
/// jumps ahead all the same, what Toss does not know is not believed for a while.
#[derive(Clone, Debug)]
pub struct Clock {
    rules: Arc<Rules>,
    run: Arc<Mutex<Run>>,
}

/// How the time runs.
#[derive(Debug)]
struct Run {
    /// Until the shared time is known, the host's own is asked.
    anchor: Option<Anchor>,
    pace: Pace,
}

/// The shared time at an instant, and what the host's clocks said then; in microseconds.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    time: i64,
    at: Instant,
    wall: i64,
}

impl Anchor {
    fn here(time: i64) -> Anchor {
        let (at, wall) = (Instant::now(), host_micros());
        Anchor { time, at, wall }
    }

    fn passed(&self) -> i64 {
        micros_of(self.at.elapsed())
    }
}

impl Run {
    fn now(&self) -> i64 {
        self.anchor.map_or_else(host_micros, |anchor| {
            anchor.time.saturating_add(anchor.passed())
        })
    }

    /// The monotonic clock stands still while a host is suspended; its wall clock does not.
    fn latest(&self) -> i64 {
        self.anchor.map_or_else(host_micros, |anchor| {
            let slept = host_micros().saturating_sub(anchor.wall);
            anchor.time.saturating_add(anchor.passed().max(slept))
        })
    }
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// More than the wall clock may gain on the monotonic one from one look to the next.
const JUMP: Duration = Duration::from_secs(2);

/// Longer than a question and the writing of its answer may take: what was asked too early is written within it.
const OLDEST_ANSWER: Duration = Duration::from_secs(120);

/// How the wall clock goes, in microseconds, by the monotonic one.
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
        let passed = now.saturating_duration_since(self.seen);
        let gained = wall
            .saturating_sub(self.wall)
            .saturating_sub(micros_of(passed));
        if gained > micros_of(JUMP) {
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
        let pace = Pace::new(host_micros(), Instant::now());
        let anchor = None;
        Clock {
            rules: Arc::new(rules),
            run: Arc::new(Mutex::new(Run { anchor, pace })),
        }
    }

    /// Held for a few instructions, never across an await.
    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.lock().now())
    }

    /// Not earlier than now, for the end of a right to send: journaled too early, others would believe that nothing can arrive
    /// any more. It may be as much later as the host's clock was set forward a moment ago.
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_micros(self.lock().latest())
    }

    /// As [`Clock::set`], before anything was decided by this clock: however far it is off is no jump.
    pub fn start(&self, theirs: Timestamp, sent: Instant) {
        self.set(theirs, sent);
        let mut run = self.lock();
        run.pace = Pace::new(run.now(), Instant::now());
    }

    /// The clock that all go by said so; it was asked at `sent`.
    pub fn set(&self, theirs: Timestamp, sent: Instant) {
        let mut run = self.lock();
        let on_the_way = micros_of(sent.elapsed());
        let (theirs, ours) = (theirs.micros().saturating_add(on_the_way / 2), run.now());
        let behind = theirs.saturating_sub(ours);
        let is_off = behind.saturating_abs() > NOISE.saturating_add(on_the_way / 2);
        if is_off {
            tracing::info!(
                behind_ms = behind / 1_000,
                "our clock is not the database's; going by the database's"
            );
        }
        // Each time: what the host's own clocks have done until now is past.
        run.anchor = Some(Anchor::here(if is_off { theirs } else { ours }));
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
        let window = window + OLDEST_ANSWER;
        let mut run = self.lock();
        let before = Instant::now();
        let now = run.now();
        let after = Instant::now();
        // Stopped between the two clocks, a process would see the wall clock jump.
        if after - before < JUMP / 4 {
            run.pace.see(now, before);
        }
        let steady = run.pace.is_steady(after, window);
        (Timestamp::from_micros(now), steady)
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
fn host_micros() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
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

    fn ahead(seconds: i64) -> Timestamp {
        Timestamp::from_micros(host_micros() + seconds * 1_000_000)
    }

    #[test]
    fn a_moment_after_a_jump_is_not_steady() {
        let clock = Clock::new(Rules::default());
        for seconds in [-900, 900, 0] {
            clock.start(ahead(seconds), Instant::now());
            assert!(clock.moment().steady, "whatever it is at the start");
        }
        clock.set(ahead(-900), Instant::now());
        assert!(clock.moment().steady, "set back");
        clock.set(ahead(0), Instant::now());
        assert!(!clock.moment().steady);
    }

    #[test]
    fn a_host_whose_clock_is_off_goes_by_the_one_that_all_share() {
        let clock = Clock::new(Rules::default());
        let off = |clock: &Clock, seconds| clock.now().ms_since(ahead(seconds)).abs();
        for seconds in [300, -420, 0] {
            clock.set(ahead(seconds), Instant::now());
            assert!(off(&clock, seconds) < 1_000, "{seconds}");
        }
        let noise = Timestamp::from_micros(host_micros() + NOISE / 2);
        clock.set(noise, Instant::now());
        assert!(
            clock.now() < Timestamp::from_micros(host_micros() + NOISE / 4),
            "noise"
        );
        // A host that was suspended: the monotonic clock stood still.
        clock.lock().anchor = Some(Anchor {
            wall: host_micros() - 60_000_000,
            ..Anchor::here(host_micros())
        });
        assert!(off(&clock, 0) < 1_000);
        assert!(clock.latest().ms_since(ahead(60)).abs() < 1_000);
        clock.set(ahead(0), Instant::now());
        assert!(clock.latest().ms_since(ahead(0)).abs() < 1_000);
        // An answer that took a minute says little about seconds.
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        clock.set(ahead(-20), long_ago);
        assert!(off(&clock, 0) < 1_000);
    }
}
