//! A request's body: JSON by its own word, within the limit, in UTF-8, not nested without end, and not dripping in.

use std::time::Duration;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Payload};

use crate::http::answers::Refusal;

/// The deepest body that we read has three levels; what is far deeper is no honest mistake.
const MOST_DEPTH: u32 = 32;

/// For a megabyte over a poor mobile line; who drips longer holds a slot that others need.
const DEADLINE: Duration = Duration::from_secs(20);

pub async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limit_bytes: usize,
) -> Result<Bytes, Refusal> {
    if !is_json(headers) {
        return Err(Refusal::MediaType);
    }
    let too_large = || Refusal::TooLarge { limit_bytes };
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if announced.is_some_and(|n| n.parse::<usize>().map_or(true, |n| n > limit_bytes)) {
        return Err(too_large());
    }
    match tokio::time::timeout(DEADLINE, payload.to_bytes_limited(limit_bytes)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_broken))) => Err(Refusal::invalid("body", "to arrive whole")),
        Ok(Err(_limit)) => Err(too_large()),
        Err(_elapsed) => {
            let wants = format!("to arrive within {} s", DEADLINE.as_secs());
            Err(Refusal::invalid("body", wants))
        }
    }
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
