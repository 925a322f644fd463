//! How long to wait before asking Toss again, and how often: the policy, as numbers with reasons.

use super::moment::{Dice, Timestamp};

/// The numbers behind the rules of the payment; all of them settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long after the last possible send a confirm may still be approved: Toss's 10 minutes and a margin.
    pub confirm_window_ms: i64,
    /// Answered questions before a human is called; never before the confirm window has passed.
    pub questions: u32,
    pub backoff_min_ms: i64,
    pub backoff_max_ms: i64,
    /// How often a quarantined payment asks again, and how often a silent Toss is asked after the budget is spent.
    pub quarantine_ask_ms: i64,
}

impl Rules {
    /// How old an attempt may be when its confirm is sent, or sent again; an older one is only looked up. Toss takes a confirm
    /// for ten minutes after the buyer's authorization, and forgets an idempotency key after 15 days [toss: auth.md]; and each
    /// send begins a new confirm window, in which nothing ends.
    pub const SENT_FOR_MS: i64 = 3_600 * 1_000;

    /// How old an attempt is when a question that Toss leaves unanswered calls a human: no outage lasts so long.
    pub const SILENCE_MS: i64 = 24 * 3_600 * 1_000;

    /// How long after its hard deadline an attempt is nobody's, though its owner lives: that node's heart beats, and nobody
    /// there looks after it.
    pub const LONG_OVER_MS: i64 = 120_000;

    /// paymentKeys that one order may use; it bounds what an order costs us in memory and in calls.
    pub const MOST_ATTEMPTS: usize = 10;

    /// When to ask again after the `round`-th inconclusive round (counted from 0): full jitter, so that
    /// payments that became unknown together do not ask together.
    pub fn ask_at(&self, round: u32, now: Timestamp, dice: Dice) -> Timestamp {
        now.plus_ms(dice.up_to_ms(self.ceiling_ms(round)))
    }

    fn ceiling_ms(&self, round: u32) -> i64 {
        let doubled = 1_i64.checked_shl(round.min(62)).unwrap_or(i64::MAX);
        self.backoff_min_ms
            .saturating_mul(doubled)
            .min(self.backoff_max_ms)
    }

    /// Whether a call that left at `sent` at the latest can no longer be approved.
    pub fn window_over(&self, sent: Timestamp, now: Timestamp) -> bool {
        now.ms_since(sent) > self.confirm_window_ms
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            confirm_window_ms: 660_000,
            questions: 12,
            backoff_min_ms: 1_000,
            backoff_max_ms: 300_000,
            quarantine_ask_ms: 600_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_from_the_first_round_and_stays_below_its_cap() {
        let rules = Rules::default();
        let ceilings: Vec<i64> = (0..11).map(|round| rules.ceiling_ms(round)).collect();
        let expected = [
            1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000,
        ];
        assert_eq!(ceilings, expected);
        assert_eq!(rules.ceiling_ms(u32::MAX), 300_000);
    }

    #[test]
    fn jitter_uses_the_whole_range_so_that_no_herd_thunders() {
        let rules = Rules::default();
        let now = Timestamp::from_micros(0);
        let wait = |dice| rules.ask_at(3, now, Dice(dice)).ms_since(now);
        assert_eq!(
            (wait(0), wait(u32::MAX / 2), wait(u32::MAX)),
            (0, 3_999, 8_000)
        );
    }

    #[test]
    fn the_window_is_over_only_after_its_last_millisecond() {
        let rules = Rules::default();
        let sent = Timestamp::from_micros(0);
        assert!(!rules.window_over(sent, sent.plus_ms(660_000)));
        assert!(rules.window_over(sent, sent.plus_ms(660_001)));
    }
}
