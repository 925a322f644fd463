//! The small words of the sandbox: shared ids, 128-bit keys, and the language of an answer.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A paymentKey, an orderId or an order's name: one allocation, however many tables know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Arc<str>);

impl Id {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Arc::from(text)))
    }
}

/// 128 bits, written as 32 hexadecimal digits: transaction keys, trace ids, idempotency identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hex(pub u128);

impl Hex {
    pub fn random() -> Self {
        Self(rand::random())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not 32 hexadecimal digits"))
    }
}

/// The language of messages and method names: Korean, unless `Accept-Language` begins with English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[serde(rename = "ko")]
    Korean,
    #[serde(rename = "en")]
    English,
}

impl Language {
    pub fn of(accept_language: Option<&str>) -> Self {
        let first = accept_language.unwrap_or_default().trim_start().as_bytes();
        if first
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"en"))
        {
            Self::English
        } else {
            Self::Korean
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_keys_read_back_what_was_written() {
        let key = Hex::random();
        assert_eq!(Hex::parse(&key.to_string()), Some(key));
        assert_eq!(Hex::parse("+1"), None);
        assert_eq!(Hex::parse("+1234567890123456789012345678901"), None);
        assert_eq!(Hex::parse(""), None);
    }

    #[test]
    fn english_is_spoken_only_when_it_is_asked_for_first() {
        for (header, wanted) in [
            (None, Language::Korean),
            (Some(""), Language::Korean),
            (Some("ko-KR,en"), Language::Korean),
            (Some("en"), Language::English),
            (Some("EN-us, ko;q=0.5"), Language::English),
        ] {
            assert_eq!(Language::of(header), wanted, "{header:?}");
        }
    }
}
