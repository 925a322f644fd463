//! Every error code that this Toss can answer with: its HTTP status, its message in two languages, and whether it
//! ends the payment when it answers a confirm. The rows are in `codes.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::Language;

static TABLE: LazyLock<HashMap<&'static str, Row>> = LazyLock::new(|| {
    include_str!("codes.txt")
        .lines()
        .filter_map(Row::read)
        .map(|row| (row.name, row))
        .collect()
});

#[derive(Debug)]
struct Row {
    name: &'static str,
    status: u16,
    declines: bool,
    korean: &'static str,
    english: &'static str,
}

impl Row {
    fn read(line: &'static str) -> Option<Self> {
        let mut cells = line.split('|');
        Some(Self {
            name: cells.next().filter(|name| !name.starts_with('#'))?,
            status: cells.next()?.parse().ok()?,
            declines: cells.next()? == "D",
            korean: cells.next()?,
            english: cells.next()?,
        })
    }
}

/// A code of Toss, as it is written in an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    pub const ALREADY_CANCELED_PAYMENT: Self = Self("ALREADY_CANCELED_PAYMENT");
    pub const ALREADY_PROCESSED_PAYMENT: Self = Self("ALREADY_PROCESSED_PAYMENT");
    pub const ALREADY_PROCESSING_REQUEST: Self = Self("ALREADY_PROCESSING_REQUEST");
    pub const EXPIRED_PAYMENT: Self = Self("EXPIRED_PAYMENT");
    pub const FAILED_INTERNAL_SYSTEM_PROCESSING: Self = Self("FAILED_INTERNAL_SYSTEM_PROCESSING");
    pub const FORBIDDEN_REQUEST: Self = Self("FORBIDDEN_REQUEST");
    pub const IDEMPOTENT_REQUEST_PROCESSING: Self = Self("IDEMPOTENT_REQUEST_PROCESSING");
    pub const INCORRECT_BASIC_AUTH_FORMAT: Self = Self("INCORRECT_BASIC_AUTH_FORMAT");
    pub const INVALID_IDEMPOTENCY_KEY: Self = Self("INVALID_IDEMPOTENCY_KEY");
    pub const INVALID_REQUEST: Self = Self("INVALID_REQUEST");
    pub const INVALID_TEST_CODE: Self = Self("INVALID_TEST_CODE");
    pub const NOT_CANCELABLE_AMOUNT: Self = Self("NOT_CANCELABLE_AMOUNT");
    pub const NOT_CANCELABLE_PAYMENT: Self = Self("NOT_CANCELABLE_PAYMENT");
    pub const NOT_FOUND: Self = Self("NOT_FOUND");
    pub const NOT_FOUND_HTTP_METHOD: Self = Self("NOT_FOUND_HTTP_METHOD");
    pub const NOT_FOUND_PAYMENT: Self = Self("NOT_FOUND_PAYMENT");
    pub const NOT_FOUND_PAYMENT_SESSION: Self = Self("NOT_FOUND_PAYMENT_SESSION");
    pub const NOT_MATCHES_REFUNDABLE_AMOUNT: Self = Self("NOT_MATCHES_REFUNDABLE_AMOUNT");
    pub const UNAUTHORIZED_KEY: Self = Self("UNAUTHORIZED_KEY");

    pub fn named(name: &str) -> Option<Self> {
        TABLE.get(name).map(|row| Self(row.name))
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The HTTP status that Toss answers this code with.
    pub fn status(self) -> u16 {
        self.row().map_or(500, |row| row.status)
    }

    /// A confirm that is answered so ends the payment: the buyer must start again.
    /// INVALID_REQUEST and the 404s are not among them: they say that the request was wrong, not that a bank said no.
    pub fn declines(self) -> bool {
        self.row().is_some_and(|row| row.declines)
    }

    pub fn message(self, language: Language) -> &'static str {
        self.row().map_or(self.0, |row| match language {
            Language::Korean => row.korean,
            Language::English => row.english,
        })
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.get(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("code: Toss has no code {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_row_of_the_table_can_be_read_and_none_is_there_twice() {
        let rows = include_str!("codes.txt")
            .lines()
            .filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for line in rows {
            let row = Row::read(line).unwrap_or_else(|| panic!("cannot read {line:?}"));
            assert!((400..=500).contains(&row.status), "{line}");
            assert!(
                !row.korean.is_empty() && row.english.is_ascii() && !row.english.contains('|'),
                "{line}"
            );
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{line}"
            );
            count += 1;
        }
        assert_eq!(count, TABLE.len(), "a code appears twice");
        assert!(count > 85);
    }

    #[test]
    fn every_code_that_the_rules_use_is_in_the_table() {
        for code in [
            Code::ALREADY_CANCELED_PAYMENT,
            Code::ALREADY_PROCESSED_PAYMENT,
            Code::ALREADY_PROCESSING_REQUEST,
            Code::EXPIRED_PAYMENT,
            Code::FAILED_INTERNAL_SYSTEM_PROCESSING,
            Code::FORBIDDEN_REQUEST,
            Code::IDEMPOTENT_REQUEST_PROCESSING,
            Code::INCORRECT_BASIC_AUTH_FORMAT,
            Code::INVALID_IDEMPOTENCY_KEY,
            Code::INVALID_REQUEST,
            Code::INVALID_TEST_CODE,
            Code::NOT_CANCELABLE_AMOUNT,
            Code::NOT_CANCELABLE_PAYMENT,
            Code::NOT_FOUND,
            Code::NOT_FOUND_HTTP_METHOD,
            Code::NOT_FOUND_PAYMENT,
            Code::NOT_FOUND_PAYMENT_SESSION,
            Code::NOT_MATCHES_REFUNDABLE_AMOUNT,
            Code::UNAUTHORIZED_KEY,
        ] {
            assert!(code.row().is_some(), "{}", code.as_str());
        }
    }

    #[test]
    fn statuses_and_declines_are_those_of_toss() {
        for (name, status, declines) in [
            ("REJECT_CARD_PAYMENT", 403, true),
            ("INVALID_STOPPED_CARD", 400, true),
            ("PROVIDER_ERROR", 400, false),
            ("INVALID_REQUEST", 400, false),
            ("NOT_FOUND_PAYMENT_SESSION", 404, false),
            ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", 500, false),
            ("IDEMPOTENT_REQUEST_PROCESSING", 409, false),
            ("DUPLICATED_ORDER_ID", 400, false),
            ("COMMON_ERROR", 500, false),
        ] {
            let code = Code::named(name).unwrap();
            assert_eq!(
                (code.status(), code.declines()),
                (status, declines),
                "{name}"
            );
        }
    }
}
