//! A request's body: JSON by its own word, within the limit, in UTF-8, not nested without end, and not dripping in.

use std::time::Duration;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use crate::http::answers::Refusal;

/// The deepest body that we read has three levels; what is far deeper is no honest mistake.
const MOST_DEPTH: u32 = 32;

/// No body that we understand is longer: a hundred lines of an order fit twice.
const SMALL_BYTES: usize = 16 << 10;

/// Bodies beyond that may be on their way at once; the memory for them is bounded by this, not by who connects.
const LARGE_AT_ONCE: usize = 64;

/// What a body may cost us.
pub struct BodyLimits {
    bytes: usize,
    /// Who drips longer is not a buyer on a poor line.
    timeout: Duration,
    large: Semaphore,
}

impl BodyLimits {
    pub const fn new(bytes: usize, timeout: Duration) -> BodyLimits {
        BodyLimits {
            bytes,
            timeout,
            large: Semaphore::const_new(LARGE_AT_ONCE),
        }
    }

    const fn too_large(&self) -> Refusal {
        Refusal::TooLarge {
            limit_bytes: self.bytes,
        }
    }
}

pub async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limits: &BodyLimits,
) -> Result<Bytes, Refusal> {
    if !is_json(headers) {
        return Err(Refusal::MediaType);
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if announced.is_some_and(|n| n.parse::<usize>().map_or(true, |n| n > limits.bytes)) {
        return Err(limits.too_large());
    }
    let arriving = collect(payload, limits);
    match tokio::time::timeout(limits.timeout, arriving).await {
        Ok(arrived) => arrived,
        Err(_elapsed) => {
            let wants = format!("to arrive within {} ms", limits.timeout.as_millis());
            Err(Refusal::invalid("body", wants))
        }
    }
}

async fn collect(mut payload: Payload, limits: &BodyLimits) -> Result<Bytes, Refusal> {
    let mut body = BytesMut::new();
    let mut large = None;
    while let Some(chunk) = payload.next().await {
        let Ok(chunk) = chunk else {
            return Err(Refusal::invalid("body", "to arrive whole"));
        };
        let length = body.len() + chunk.len();
        if length > limits.bytes {
            return Err(limits.too_large());
        }
        if length > SMALL_BYTES && large.is_none() {
            large = Some(limits.large.try_acquire().map_err(|_| Refusal::BUSY)?);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The text of a body that is worth parsing.
pub fn text(body: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::invalid("body", "UTF-8"))?;
    if text.trim_ascii().is_empty() {
        return Err(Refusal::invalid("body", "a JSON object"));
    }
    if is_deep(text) {
        let wants = format!("JSON nested at most {MOST_DEPTH} deep");
        return Err(Refusal::invalid("body", wants));
    }
    Ok(text)
}

fn is_json(headers: &HeaderMap) -> bool {
    let encoded = headers.contains_key(CONTENT_ENCODING);
    let said = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let Some(said) = said.filter(|_| !encoded) else {
        return false;
    };
    let mut parts = said.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        Some(_) | None => true,
    });
    essence.eq_ignore_ascii_case("application/json") && utf8
}

/// Fields that nobody reads are skipped without recursion, so depth is counted here, once, for all of the body.
fn is_deep(text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn only_json_in_utf8_is_json() {
        for (said, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"; x=y", true),
            ("application/json; charset=euc-kr", false),
            ("text/json", false),
            ("application/json-patch+json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(said));
            assert_eq!(is_json(&headers), expected, "{said:?}");
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(!is_json(&headers));
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!is_deep(&nested(32)) && is_deep(&nested(33)) && is_deep(&"{".repeat(500_000)));
        assert!(!is_deep(&format!("\"{}\"", "[".repeat(100))));
        assert!(
            !is_deep(&format!("\"\\\"{}\"", "[".repeat(100))),
            "an escaped quote ends nothing"
        );
        assert!(
            is_deep(&format!("\"\\\\\"{}", "[".repeat(100))),
            "an escaped backslash does not hide it"
        );
        assert!(!is_deep(&"[]".repeat(1_000)), "long is not deep");
    }

    #[test]
    fn a_body_that_is_no_text_says_what_it_wants() {
        let wants = |body: &[u8]| match text(body) {
            Err(Refusal::Rejected(crate::domain::Rejection::InvalidInput { field, wants })) => {
                format!("{field}: {wants}")
            }
            other => format!("{other:?}"),
        };
        assert_eq!(wants(b"{\"a\": \"\xff\"}"), "body: UTF-8");
        assert_eq!(wants(b" \r\n"), "body: a JSON object");
        assert_eq!(
            wants("[".repeat(99).as_bytes()),
            "body: JSON nested at most 32 deep"
        );
        assert_eq!(wants(b"{}"), "Ok(\"{}\")");
    }
}
