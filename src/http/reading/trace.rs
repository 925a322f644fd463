//! W3C trace context: the trace that a request belongs to, or a new one, and our own place in it.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::actors::TraceId;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Bit 0: the caller may have recorded its part. Bit 1: the trace id is random. All others are reserved.
const KNOWN_FLAGS: u8 = 0b11;

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// What caused the work at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    pub trace: TraceId,
    flags: u8,
}

impl Cause {
    /// The caller's trace where its header is valid and alone, else a new one.
    pub fn of(headers: &HeaderMap) -> Cause {
        let mut parents = headers.get_all(TRACEPARENT);
        let parent = match (parents.next(), parents.next()) {
            (Some(parent), None) => Cause::parse(parent.as_bytes()),
            _ => None,
        };
        parent.unwrap_or_else(|| Cause {
            trace: TraceId(rand::random_range(1..=u128::MAX)),
            flags: KNOWN_FLAGS,
        })
    }

    fn parse(text: &[u8]) -> Option<Cause> {
        let (version, rest) = (text.get(..3)?, text.get(3..LENGTH)?);
        let version = match version {
            [high, low, b'-'] => hex(&[*high, *low])?,
            _ => return None,
        };
        // A later version may add fields behind ours, never change ours.
        let ends = match version {
            0xff => false,
            0 => text.len() == LENGTH,
            _ => text.len() == LENGTH || text.get(LENGTH) == Some(&b'-'),
        };
        let dashes = rest.get(32) == Some(&b'-') && rest.get(49) == Some(&b'-');
        let trace = hex(rest.get(..32)?)?;
        let parent = hex(rest.get(33..49)?)?;
        let flags = u8::try_from(hex(rest.get(50..52)?)?).ok()?;
        let valid = ends && dashes && trace != 0 && parent != 0;
        valid.then_some(Cause {
            trace: TraceId(trace),
            flags: flags & KNOWN_FLAGS,
        })
    }

    /// The header of the answer: the same trace, and this request as the parent.
    pub fn header(self) -> Option<HeaderValue> {
        let own: u64 = rand::random_range(1..=u64::MAX);
        let text = format!("00-{}-{own:016x}-{:02x}", self.trace, self.flags);
        HeaderValue::from_maybe_shared(text).ok()
    }
}

/// Lower case only, as the standard wants it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

    #[test]
    fn a_valid_traceparent_is_followed_and_any_other_is_replaced() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, follows) in [
            (good.to_owned(), true),
            (good.replacen("00-", "cc-", 1), true),
            (good.replacen("00-", "cc-", 1) + "-what-comes-later", true),
            (good.replacen("00-", "cc-", 1) + "x", false),
            (good.to_owned() + "-more", false),
            (good.replacen("00-", "ff-", 1), false),
            (good.to_uppercase(), false),
            (good.replace('-', "_"), false),
            (good.replace("b7ad6b7169203331", "0000000000000000"), false),
            (
                good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
                false,
            ),
            (good[..54].to_owned(), false),
            ("".to_owned(), false),
            ("é".repeat(40), false),
        ] {
            let found = Cause::parse(text.as_bytes());
            assert_eq!(
                found.map(|c| c.trace.0),
                follows.then_some(TRACE),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_answer_names_the_trace_and_a_new_parent() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-f1";
        let cause = Cause::parse(text.as_bytes()).unwrap();
        let header = cause.header().unwrap();
        let header = header.to_str().unwrap();
        assert!(header.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert!(
            header.ends_with("-01") && !header.contains("b7ad6b7169203331"),
            "{header}"
        );
        assert_eq!(
            Cause::parse(header.as_bytes()),
            Some(cause),
            "and is valid itself"
        );
    }

    #[test]
    fn two_traceparents_are_none() {
        let mut headers = HeaderMap::new();
        let value =
            HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.append(TRACEPARENT, value.clone());
        assert_eq!(Cause::of(&headers).trace.0, TRACE);
        headers.append(TRACEPARENT, value);
        assert_ne!(Cause::of(&headers).trace.0, TRACE);
        assert_ne!(
            Cause::of(&headers),
            Cause::of(&headers),
            "each time a new one"
        );
    }
}
