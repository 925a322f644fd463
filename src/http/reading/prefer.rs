//! `Prefer` (RFC 7240), as far as a confirm honours it: `respond-async` and `wait`.

use actix_web::http::header::{HeaderMap, HeaderName};

pub const PREFER: HeaderName = HeaderName::from_static("prefer");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    pub respond_async: bool,
    pub wait_s: Option<u64>,
}

/// What the caller prefers. A preference that cannot be read is ignored, as the RFC wants it; of two, the first counts.
pub fn prefers(headers: &HeaderMap) -> Preference {
    let mut preference = Preference::default();
    let mut wait_seen = false;
    let values = headers.get_all(PREFER).filter_map(|v| v.to_str().ok());
    for word in values.flat_map(preferences) {
        // What follows a semicolon are parameters of the preference; ours have none.
        let word = word.split(';').next().unwrap_or_default();
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => (word.trim(), ""),
        };
        if name.eq_ignore_ascii_case("respond-async") {
            preference.respond_async = true;
        } else if name.eq_ignore_ascii_case("wait") && !wait_seen {
            wait_seen = true;
            preference.wait_s = seconds(value);
        }
    }
    preference
}

/// Splits at commas, but not within quotes.
fn preferences(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |c| {
        let separates = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        separates
    })
}

fn seconds(value: &str) -> Option<u64> {
    let unquoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let digits = unquoted.unwrap_or(value);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // More seconds than fit a number are many seconds; the caller's bound cuts them.
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn prefer_is_read_as_the_rfc_wants_it() {
        for (header, respond_async, wait_s) in [
            ("respond-async, wait=10", true, Some(10)),
            ("respond-async,wait=10", true, Some(10)),
            ("Respond-Async;x=1 , WAIT = \"7\"; y", true, Some(7)),
            ("wait=5", false, Some(5)),
            ("respond-async", true, None),
            ("wait=5, wait=9", false, Some(5)),
            ("wait=soon, wait=9", false, None),
            ("wait=-1", false, None),
            ("wait=", false, None),
            ("wait=1.5", false, None),
            ("wait=99999999999999999999999", false, Some(u64::MAX)),
            ("foo=\"respond-async, wait=3\", wait=4", false, Some(4)),
            ("foo=\"a\\\", wait=3\", wait=4", false, Some(4)),
            ("return=minimal", false, None),
            ("not-respond-async", false, None),
            ("", false, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(header));
            let expected = Preference {
                respond_async,
                wait_s,
            };
            assert_eq!(prefers(&headers), expected, "{header:?}");
        }
    }

    #[test]
    fn prefer_may_come_in_many_headers() {
        let mut headers = HeaderMap::new();
        headers.append(PREFER, HeaderValue::from_static("wait=10"));
        headers.append(PREFER, HeaderValue::from_static("respond-async"));
        let expected = Preference {
            respond_async: true,
            wait_s: Some(10),
        };
        assert_eq!(prefers(&headers), expected);
    }
}
