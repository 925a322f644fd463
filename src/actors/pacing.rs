//! Pacing: where the journals of several nodes are saturated, each leaves the database to every other for as long as its own
//! last batch was under way. A batch costs the database as much as some thirty of the changes in it, and what arrives
//! meanwhile goes into one instead of two.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Behind a batch of fewer changes nobody waits: the database has time.
const LARGE: usize = 16;
/// A journal that writes large batches for this part (an eighth) of the time that it does not leave to others is saturated.
const SATURATED: u32 = 8;
/// However slow the database is, and however many share it.
const LONGEST: Duration = Duration::from_millis(50);
/// For how long a look at the other nodes tells how they are.
const FRESH: Duration = Duration::from_secs(5);

/// A cheap clone for each of the three who meet here: the journal, the heart, and the timer that looks who lives.
#[derive(Clone, Debug)]
pub struct Pacing {
    standing: Arc<Mutex<Standing>>,
    longest: Duration,
}

#[derive(Debug)]
struct Standing {
    /// What our large batches took since the last heartbeat, which was then; and how long others had their turns.
    took: Duration,
    left: Duration,
    beat: Instant,
    /// Other nodes with a saturated journal, as of then.
    others: u32,
    seen: Instant,
}

impl Default for Pacing {
    fn default() -> Pacing {
        Pacing::of_at_most(LONGEST)
    }
}

impl Pacing {
    pub(super) fn of_at_most(longest: Duration) -> Pacing {
        let now = Instant::now();
        let standing = Standing {
            took: Duration::ZERO,
            left: Duration::ZERO,
            beat: now,
            others: 0,
            seen: now,
        };
        Pacing {
            standing: Arc::new(Mutex::new(standing)),
            longest,
        }
    }

    /// Held for a few instructions, never across an await.
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch was under way for this time: how long the next one waits for others.
    pub fn pause_after(&self, changes: usize, took: Duration, now: Instant) -> Duration {
        if changes < LARGE {
            return Duration::ZERO;
        }
        let mut standing = self.lock();
        standing.took += took;
        if now.saturating_duration_since(standing.seen) >= FRESH {
            return Duration::ZERO;
        }
        let pause = took.saturating_mul(standing.others).min(self.longest);
        standing.left += pause;
        pause
    }

    /// What a heartbeat says: whether the journal was saturated since the one before.
    pub fn take_saturated(&self, now: Instant) -> bool {
        let mut standing = self.lock();
        let since = now.saturating_duration_since(std::mem::replace(&mut standing.beat, now));
        let ours = since.saturating_sub(std::mem::take(&mut standing.left));
        std::mem::take(&mut standing.took) * SATURATED > ours
    }

    /// How many others say so.
    pub fn hear_of(&self, others: usize, now: Instant) {
        let mut standing = self.lock();
        standing.others = u32::try_from(others).unwrap_or(u32::MAX);
        standing.seen = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_batch_waits_as_long_as_each_of_the_others_may_need() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        assert!(pacing.pause_after(100, 8 * MS, now).is_zero(), "nobody");
        for (others, wait) in [(1, 8), (2, 16), (6, 48), (7, 50), (usize::MAX, 50)] {
            pacing.hear_of(others, now);
            assert_eq!(pacing.pause_after(100, 8 * MS, now), wait * MS, "{others}");
        }
        assert!(pacing.pause_after(LARGE - 1, 8 * MS, now).is_zero());
        let later = now + FRESH;
        assert!(pacing.pause_after(LARGE, 8 * MS, later).is_zero(), "old");
        pacing.hear_of(1, later);
        assert_eq!(pacing.pause_after(LARGE, 8 * MS, later), 8 * MS);
        pacing.hear_of(0, later);
        assert!(pacing.pause_after(LARGE, 8 * MS, later).is_zero(), "rest");
    }

    #[test]
    fn a_heartbeat_tells_of_large_batches_since_the_one_before() {
        let pacing = Pacing::default();
        let mut now = Instant::now();
        pacing.take_saturated(now);
        for (large, is_saturated) in [(125, false), (126, true), (0, false)] {
            now += 1_000 * MS;
            pacing.pause_after(LARGE, large * MS, now);
            pacing.pause_after(LARGE - 1, 900 * MS, now);
            assert_eq!(
                pacing.take_saturated(now),
                is_saturated,
                "{large} ms of 1 s"
            );
        }
        // However many take turns, and however little of the time each has.
        for others in [1, 8, 15] {
            for _ in 0..100 {
                pacing.hear_of(others, now);
                let pause = pacing.pause_after(LARGE, 3 * MS, now);
                now += 3 * MS + pause;
            }
            assert!(pacing.take_saturated(now), "{others} others");
        }
    }
}
