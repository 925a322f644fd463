//! Orders whose actor has fallen: a panic that comes back with every try must not restart the actor again and again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::OrderId;

/// From the second fall on the order rests, ever longer; buyers' own requests are let through all the same.
const REST_MIN: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_secs(300);
/// An order that has stood for so long has no past.
const FORGET: Duration = Duration::from_secs(900);

#[derive(Debug)]
struct Falls {
    count: u32,
    until: Instant,
}

/// Only those that fell within the last minutes; who never falls costs nothing.
#[derive(Debug, Default)]
pub struct Fallen(HashMap<OrderId, Falls>);

impl Fallen {
    /// Whether it may be taken in hand again at once: after its first fall.
    pub fn fell(&mut self, order: OrderId, now: Instant) -> bool {
        self.0.retain(|_, falls| now < falls.until + FORGET);
        let falls = self.0.entry(order).or_insert(Falls {
            count: 0,
            until: now,
        });
        let first = falls.count == 0;
        if !first {
            let doubled = REST_MIN.saturating_mul(2_u32.saturating_pow(falls.count - 1));
            falls.until = now + doubled.min(REST_MAX);
        }
        falls.count += 1;
        first
    }

    /// Whether the timer should leave it alone for now.
    pub fn rests(&self, order: OrderId, now: Instant) -> bool {
        self.0.get(&order).is_some_and(|falls| now < falls.until)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_order_that_falls_again_rests_ever_longer_and_is_forgiven_in_the_end() {
        let (order, other) = (OrderId::new(Uuid::now_v7()), OrderId::new(Uuid::now_v7()));
        let (mut fallen, mut now) = (Fallen::default(), Instant::now());
        assert!(fallen.fell(order, now), "once is an accident");
        assert!(!fallen.rests(order, now));
        for rest in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert!(!fallen.fell(order, now));
            let rest = Duration::from_secs(rest);
            assert!(fallen.rests(order, now + rest - Duration::from_millis(1)));
            now += rest;
            assert!(!fallen.rests(order, now));
            assert!(!fallen.rests(other, now));
        }
        assert!(fallen.fell(order, now + FORGET + FORGET));
    }
}
