//! The one query parameter that the door knows: `wait`, in whole seconds.

use crate::domain::Rejection;

/// `None` without it. Others are ignored; a second `wait` is refused, since which one counts would be a guess.
pub fn wait_s(query: &str) -> Result<Option<u64>, Rejection> {
    let wants = || Rejection::invalid("wait", "whole seconds, once (60 at the most are waited)");
    let mut values = query
        .split('&')
        .filter_map(|pair| match pair.split_once('=') {
            Some(("wait", value)) => Some(value),
            None if pair == "wait" => Some(""),
            Some(_) | None => None,
        });
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    if !plain || values.next().is_some() {
        return Err(wants());
    }
    Ok(Some(value.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_whole_seconds_or_nothing() {
        for (query, expected) in [
            ("", Some(None)),
            ("wait=20", Some(Some(20))),
            ("x=1&wait=0&y", Some(Some(0))),
            ("waiting=1&=&&", Some(None)),
            ("wait=99999999999999999999999", Some(Some(u64::MAX))),
            ("wait", None),
            ("wait=", None),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("wait=%32", None),
            ("wait=1&wait=1", None),
        ] {
            assert_eq!(wait_s(query).ok(), expected, "{query:?}");
        }
    }
}
