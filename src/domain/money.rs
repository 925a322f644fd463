//! Money: whole South Korean won, never negative, never more than `Won::MAX`, never wrapping.

use std::fmt;

/// An amount in won. KRW has no minor unit, so this is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Won(i64);

impl Won {
    pub const ZERO: Won = Won(0);

    /// The largest amount that survives a trip through JSON in every client: 2^53 - 1.
    pub const MAX: Won = Won((1 << 53) - 1);

    pub fn new(won: i64) -> Option<Won> {
        (0..=Won::MAX.0).contains(&won).then_some(Won(won))
    }

    /// Plain decimal digits without sign, point, exponent, space or leading zero.
    pub fn parse(text: &str) -> Option<Won> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let canonical = plain && (text.len() == 1 || !text.starts_with('0'));
        canonical
            .then(|| text.parse().ok())
            .flatten()
            .and_then(Won::new)
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    pub fn checked_add(self, other: Won) -> Option<Won> {
        self.0.checked_add(other.0).and_then(Won::new)
    }

    pub fn checked_mul(self, times: u32) -> Option<Won> {
        self.0.checked_mul(i64::from(times)).and_then(Won::new)
    }

    /// The sum, or `None` where it does not fit.
    pub fn total(amounts: impl IntoIterator<Item = Won>) -> Option<Won> {
        amounts.into_iter().try_fold(Won::ZERO, Won::checked_add)
    }
}

impl fmt::Display for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KRW", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_an_amount() {
        assert_eq!(Won::parse("210000").map(Won::get), Some(210_000));
        assert_eq!(Won::parse("0"), Some(Won::ZERO));
        for text in [
            "",
            " 1",
            "1 ",
            "-1",
            "+1",
            "1.0",
            "210000.0",
            "1e5",
            "0x10",
            "007",
            "１",
            "9007199254740992",
            "99999999999999999999",
        ] {
            assert_eq!(Won::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn arithmetic_refuses_what_does_not_fit() {
        assert_eq!(Won::MAX.checked_add(Won(1)), None);
        assert_eq!(Won::MAX.checked_mul(2), None);
        assert_eq!(Won::total([Won(1), Won(2), Won(3)]), Some(Won(6)));
        assert_eq!(Won::total([Won::MAX, Won(1)]), None);
        assert_eq!(Won::new(-1), None);
    }
}
