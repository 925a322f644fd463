//! Times as Toss and its merchants write them: RFC 3339 with `+09:00`, to the second or the millisecond.

use serde::{Serialize, Serializer};
use time::{OffsetDateTime, UtcOffset};

use crate::domain::Timestamp;

/// Korea has had one offset since 1988, so no time zone database is needed.
const OFFSET_S: i64 = 9 * 3_600;

/// An instant, shown in Korean time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kst(pub Timestamp);

impl std::fmt::Display for Kst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.micros().div_euclid(1_000);
        let (seconds, fraction) = (millis.div_euclid(1_000), millis.rem_euclid(1_000));
        // Four digits of year are all that RFC 3339 has; nothing of ours lies outside of them.
        let local = OffsetDateTime::from_unix_timestamp(seconds.saturating_add(OFFSET_S))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .to_offset(UtcOffset::UTC);
        let (year, month, day) = local.to_calendar_date();
        let (hour, minute, second) = local.to_hms();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if fraction != 0 {
            write!(f, ".{fraction:03}")?;
        }
        f.write_str("+09:00")
    }
}

impl Serialize for Kst {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_korea_and_never_lose_their_offset() {
        let shown = |micros| Kst(Timestamp::from_micros(micros)).to_string();
        assert_eq!(shown(0), "1970-01-01T09:00:00+09:00");
        assert_eq!(
            shown(1_707_794_294_000_000),
            "2024-02-13T12:18:14+09:00",
            "the example of Toss's own reference"
        );
        assert_eq!(
            shown(1_735_657_200_123_999),
            "2025-01-01T00:00:00.123+09:00"
        );
        assert_eq!(shown(-1), "1970-01-01T08:59:59.999+09:00");
        assert_eq!(shown(i64::MAX), "1970-01-01T00:00:00.775+09:00");
    }
}
