//! Time and chance as arguments: what a rule may know about "now", handed in by those who have a clock.

use super::payment::TransitionId;
use super::retry::Rules;

/// An instant: UTC, microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    pub const fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Milliseconds from `earlier` to here; negative when `earlier` is later.
    pub const fn ms_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

/// One throw of chance, for jitter: uniform over the whole range of `u32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dice(pub u32);

impl Dice {
    /// A value from 0 to `most_ms`, both included.
    pub fn up_to_ms(self, most_ms: i64) -> i64 {
        let most = i128::from(most_ms.max(0));
        let scaled = most * i128::from(self.0) / i128::from(u32::MAX);
        i64::try_from(scaled).unwrap_or(most_ms)
    }
}

/// Now, as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub at: Timestamp,
    pub dice: Dice,
    /// The name that the next transition will bear.
    pub transition: TransitionId,
    /// A caller's polling led to this: it spends no question and slows no pace.
    pub polled: bool,
    /// False after the clock has jumped ahead, for one confirm window: that so much time has passed is not known then.
    pub steady: bool,
    pub rules: &'a Rules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_cover_the_whole_range_and_never_leave_it() {
        assert_eq!(Dice(0).up_to_ms(1_000), 0);
        assert_eq!(Dice(u32::MAX).up_to_ms(1_000), 1_000);
        assert_eq!(Dice(u32::MAX / 2).up_to_ms(1_000), 499);
        assert_eq!(Dice(u32::MAX).up_to_ms(-5), 0);
        assert_eq!(Dice(u32::MAX).up_to_ms(i64::MAX), i64::MAX);
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.plus_ms(1), end);
        assert_eq!(
            Timestamp::default()
                .plus_ms(5)
                .ms_since(Timestamp::default()),
            5
        );
    }
}
