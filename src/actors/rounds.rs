//! Rounds: who of the loaded is to be looked at next. All are, once a round, and never all at once: on the arbiter on which
//! others confirm, tens of thousands of questions in one go would be tens of milliseconds for everybody.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::OrderId;

/// In so many steps at the longest, each as small as the number of the loaded allows.
const STEPS: u32 = 256;
const STEP_MIN: usize = 64;

/// One stay of an order in memory. The next one has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay(u64);

/// Holds one entry for each stay; those that have ended meanwhile are found out when their turn comes.
#[derive(Debug, Default)]
pub struct Rounds {
    ring: VecDeque<(OrderId, Stay)>,
    begun: u64,
}

impl Rounds {
    /// How often `step` wants to be called for a round to last for `round`.
    pub fn pace(round: Duration) -> Duration {
        (round / STEPS).max(Duration::from_millis(5))
    }

    pub fn begin(&mut self, order: OrderId) -> Stay {
        self.begun += 1;
        let stay = Stay(self.begun);
        self.ring.push_back((order, stay));
        stay
    }

    /// Looks at the next few. `look` tells whether they stay.
    pub fn step(&mut self, mut look: impl FnMut(OrderId, Stay) -> bool) {
        let few = (self.ring.len() / STEPS as usize + 1).max(STEP_MIN);
        for _ in 0..few.min(self.ring.len()) {
            let Some((order, stay)) = self.ring.pop_front() else {
                return;
            };
            if look(order, stay) {
                self.ring.push_back((order, stay));
            }
        }
        if self.ring.capacity() > 4 * self.ring.len().max(1_024) {
            self.ring.shrink_to(self.ring.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn everyone_is_looked_at_once_a_round_and_few_at_a_time() {
        let mut rounds = Rounds::default();
        for _ in 0..100_000 {
            rounds.begin(OrderId::new(Uuid::now_v7()));
        }
        let mut looks: HashMap<OrderId, u32> = HashMap::new();
        for _ in 0..STEPS {
            let before = looks.len();
            rounds.step(|order, _| {
                *looks.entry(order).or_default() += 1;
                true
            });
            assert!(looks.len() - before <= 100_000 / STEPS as usize + 1);
        }
        assert_eq!(looks.len(), 100_000);
        assert!(looks.values().all(|&times| times <= 2));
    }

    #[test]
    fn who_has_gone_is_not_looked_at_again_and_takes_no_room() {
        let mut rounds = Rounds::default();
        let order = OrderId::new(Uuid::now_v7());
        let first = rounds.begin(order);
        let second = rounds.begin(order);
        assert_ne!(first, second);
        for _ in 0..10_000 {
            rounds.begin(order);
        }
        while rounds.ring.len() > 1 {
            rounds.step(|_, stay| stay == second);
        }
        assert!(rounds.ring.capacity() <= 4 * 1_024);
        let mut seen = Vec::new();
        rounds.step(|_, stay| {
            seen.push(stay);
            true
        });
        assert_eq!(seen, [second]);
    }
}
