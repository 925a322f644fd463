//! Membership: which incarnation this process is, and until when it may act as one. Others declare a node dead by its
//! heartbeat; a node that could not renew its own stops acting well before that, by its own monotonic clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Incarnation;

/// A cheap clone for each who acts; the NodeActor renews it.
#[derive(Clone, Debug)]
pub struct Membership {
    standing: Arc<Mutex<Standing>>,
    dead_after: Duration,
}

#[derive(Debug)]
struct Standing {
    incarnation: Incarnation,
    until: Until,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    /// The lock on the database's file says so: nobody else can declare us dead.
    Always,
    /// Its row has not been written yet.
    Unregistered,
    /// Of the last heartbeat that was written. Once it has passed, the incarnation never comes back.
    Instant(Instant),
}

impl Membership {
    /// `shared`: other nodes may be at work on the same database.
    pub fn new(incarnation: Incarnation, shared: bool, dead_after: Duration) -> Membership {
        let until = match shared {
            true => Until::Unregistered,
            false => Until::Always,
        };
        let standing = Standing { incarnation, until };
        Membership {
            standing: Arc::new(Mutex::new(standing)),
            dead_after,
        }
    }

    /// Held for a few instructions, never across an await.
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From which age on a heartbeat is a dead node's, by the database's clock.
    pub fn dead_after(&self) -> Duration {
        self.dead_after
    }

    /// For how long a heartbeat lets us act: it ends before anybody may take us for dead.
    pub fn proof(&self) -> Duration {
        self.dead_after * 4 / 5
    }

    /// The incarnation that may act now, if there is one.
    pub fn current(&self) -> Option<Incarnation> {
        let standing = self.lock();
        match standing.until {
            Until::Always => Some(standing.incarnation),
            Until::Instant(until) if Instant::now() < until => Some(standing.incarnation),
            Until::Unregistered | Until::Instant(_) => None,
        }
    }

    /// The incarnation that acted last, or will first.
    pub fn latest(&self) -> Incarnation {
        self.lock().incarnation
    }

    pub fn has_lapsed(&self) -> bool {
        matches!(self.lock().until, Until::Instant(until) if Instant::now() >= until)
    }

    /// A heartbeat of this incarnation was written that left at `sent`. False if it was too late: others may have
    /// taken its payments over already.
    pub fn renew(&self, incarnation: Incarnation, sent: Instant) -> bool {
        let (now, until) = (Instant::now(), sent + self.proof());
        let mut standing = self.lock();
        let same = standing.incarnation == incarnation;
        let lapsed = match standing.until {
            Until::Always => return same,
            Until::Unregistered => false,
            Until::Instant(until) => same && now >= until,
        };
        if lapsed || now >= until {
            return false;
        }
        *standing = Standing {
            incarnation,
            until: Until::Instant(until),
        };
        true
    }

    /// Its row is gone: it counts as dead from now on.
    pub fn lapse(&self) {
        let mut standing = self.lock();
        standing.until = match standing.until {
            Until::Always => Until::Always,
            Until::Unregistered => Until::Unregistered,
            Until::Instant(_) => Until::Instant(Instant::now()),
        };
    }
}

/// The right to send, asked for before every single try: the claim's deadline has not passed, the incarnation that
/// claimed still is this process, and the flight still flies.
#[derive(Clone, Debug)]
pub struct Warrant {
    pub send_by: Instant,
    pub owner: Incarnation,
    pub membership: Membership,
    pub flight: Weak<()>,
}

impl Warrant {
    pub fn holds(&self) -> bool {
        Instant::now() < self.send_by
            && self.membership.current() == Some(self.owner)
            && self.flight.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;

    const DEAD: Duration = Duration::from_secs(5);

    fn incarnation(n: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(n))
    }

    fn ago(seconds: u64) -> Instant {
        Instant::now()
            .checked_sub(Duration::from_secs(seconds))
            .unwrap()
    }

    #[test]
    fn alone_a_node_is_always_itself() {
        let (me, other) = (incarnation(1), incarnation(2));
        let alone = Membership::new(me, false, DEAD);
        alone.lapse();
        assert_eq!((alone.current(), alone.has_lapsed()), (Some(me), false));
        assert!(!alone.renew(other, Instant::now()));
        assert_eq!(alone.latest(), me);
    }

    #[test]
    fn among_others_an_incarnation_acts_from_its_first_heartbeat_until_one_is_late_and_never_again()
    {
        let (me, next) = (incarnation(1), incarnation(2));
        let node = Membership::new(me, true, DEAD);
        assert_eq!((node.current(), node.has_lapsed()), (None, false));
        assert!(!node.renew(me, ago(4)), "as good as dead when it was heard");
        assert_eq!(node.current(), None);
        assert!(node.renew(me, ago(3)));
        assert_eq!(node.current(), Some(me));
        node.lapse();
        assert_eq!((node.current(), node.has_lapsed()), (None, true));
        assert!(!node.renew(me, Instant::now()), "the dead stay dead");
        assert!(node.renew(next, Instant::now()));
        assert_eq!((node.current(), node.latest()), (Some(next), next));
    }

    #[test]
    fn a_warrant_ends_with_its_deadline_its_incarnation_or_its_flight() {
        let (me, next) = (incarnation(1), incarnation(2));
        let membership = Membership::new(me, true, DEAD);
        let flight = Arc::new(());
        let warrant = |send_by| Warrant {
            send_by,
            owner: me,
            membership: membership.clone(),
            flight: Arc::downgrade(&flight),
        };
        let later = Instant::now() + Duration::from_secs(60);
        assert!(!warrant(later).holds(), "not registered yet");
        assert!(membership.renew(me, Instant::now()));
        assert!(warrant(later).holds());
        assert!(!warrant(ago(0)).holds());
        let held = warrant(later);
        membership.lapse();
        assert!(!held.holds());
        assert!(membership.renew(next, Instant::now()));
        assert!(
            !held.holds(),
            "another incarnation's membership is not ours"
        );
        let held = Warrant {
            owner: next,
            ..warrant(later)
        };
        assert!(held.holds());
        drop(flight);
        assert!(!held.holds());
    }
}
