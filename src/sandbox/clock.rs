//! The sandbox's time: the machine's, moved forward on request so that ten minutes can pass in a test.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

const MILLIS_PER_S: i64 = 1_000;
/// Toss speaks Korean time, always.
const KOREA: UtcOffset = time::macros::offset!(+9);

/// Epoch milliseconds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Instant(pub i64);

impl Instant {
    pub fn plus_s(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(MILLIS_PER_S)))
    }

    /// `2026-11-23T10:20:47+09:00`.
    pub fn rfc3339(self) -> String {
        let at = self.in_korea();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+09:00",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }

    /// `20261123102047`, as paymentKeys carry it.
    pub fn digits(self) -> String {
        let at = self.in_korea();
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }

    /// Reads a date (midnight), a time without offset (Korea's) or with one.
    pub fn parse(text: &str) -> Option<Self> {
        let date = time::macros::format_description!("[year]-[month]-[day]");
        let local = time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]"
        );
        let at = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
            .or_else(|_| PrimitiveDateTime::parse(text, &local).map(|at| at.assume_offset(KOREA)))
            .or_else(|_| Date::parse(text, &date).map(|at| at.midnight().assume_offset(KOREA)))
            .ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000)
            .ok()
            .map(Self)
    }

    fn in_korea(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(MILLIS_PER_S))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(KOREA)
    }
}

#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: i64,
}

impl Clock {
    pub fn now(&self) -> Instant {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let machine_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Instant(machine_ms.saturating_add(self.ahead_ms))
    }

    /// Time never goes back: an expired payment must not come to life again.
    pub fn advance(&mut self, seconds: u32) {
        self.ahead_ms = self
            .ahead_ms
            .saturating_add(i64::from(seconds) * MILLIS_PER_S);
    }

    pub fn ahead_s(&self) -> i64 {
        self.ahead_ms / MILLIS_PER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_korean_time_with_its_offset() {
        let at = Instant(1_763_860_847_999);
        assert_eq!(at.rfc3339(), "2025-11-23T10:20:47+09:00");
        assert_eq!(at.digits(), "20251123102047");
    }

    #[test]
    fn times_are_read_with_and_without_offset() {
        for (text, wanted) in [
            ("2025-11-23T10:20:47+09:00", Some(1_763_860_847_000)),
            ("2025-11-23T01:20:47Z", Some(1_763_860_847_000)),
            ("2025-11-23T10:20:47", Some(1_763_860_847_000)),
            ("2025-11-23T10:20:47.500", Some(1_763_860_847_500)),
            ("2025-11-23", Some(1_763_823_600_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(Instant::parse(text), wanted.map(Instant), "{text}");
        }
    }

    #[test]
    fn the_clock_moves_forward_only() {
        let mut clock = Clock::default();
        let before = clock.now();
        clock.advance(600);
        assert!(clock.now() >= before.plus_s(600));
        assert_eq!(clock.ahead_s(), 600);
    }
}
