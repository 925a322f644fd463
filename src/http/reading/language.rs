//! Which language the words of an answer are in: Korean, unless the caller likes English better.

use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Korean,
    English,
}

/// How much a language is liked, in thousandths, and by which word of the header it was named.
type Liking = Option<(u16, usize)>;

impl Language {
    pub fn of(headers: &HeaderMap) -> Language {
        let mut ranges = headers
            .get_all(ACCEPT_LANGUAGE)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .peekable();
        match ranges.peek() {
            Some(_) => Language::preferred(ranges),
            None => Language::Korean,
        }
    }

    fn preferred<'a>(ranges: impl Iterator<Item = &'a str>) -> Language {
        let (mut korean, mut english, mut any): (Liking, Liking, Liking) = (None, None, None);
        for (place, range) in ranges.enumerate() {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let Some(thousandths) = quality(parameters) else {
                continue;
            };
            let primary = tag.trim().split('-').next().unwrap_or_default();
            let named = if primary.eq_ignore_ascii_case("ko") {
                &mut korean
            } else if primary.eq_ignore_ascii_case("en") {
                &mut english
            } else if primary == "*" {
                &mut any
            } else {
                continue;
            };
            if named.is_none_or(|(best, _)| best < thousandths) {
                *named = Some((thousandths, place));
            }
        }
        let english_named = english.is_some();
        let (english, english_at) = english.or(any).unwrap_or_default();
        let (korean, korean_at) = korean.or(any).unwrap_or_default();
        let earlier = english_named && english_at < korean_at;
        if english > korean || (english == korean && english > 0 && earlier) {
            Language::English
        } else {
            Language::Korean
        }
    }
}

/// `q=0.8` is 800; no q at all is 1000; a q that is none makes the range unreadable.
fn quality(parameters: &str) -> Option<u16> {
    let q = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, value)) = q else {
        return Some(1_000);
    };
    let value: f32 = value.trim().parse().ok()?;
    // Within 0 to 1000, so the cast neither wraps nor saturates.
    (0.0..=1.0)
        .contains(&value)
        .then_some((value * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn english_is_spoken_only_to_those_who_like_it_better() {
        use Language::{English, Korean};
        for (header, expected) in [
            ("en", English),
            ("EN-us", English),
            ("en-US,en;q=0.9,ko;q=0.8", English),
            ("en, ko", English),
            ("ko, en", Korean),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Korean),
            ("fr, en;q=0.5", English),
            ("en;q=0.5, ko;q=0.50", English),
            ("en;q=0.5, ko;q=0.6", Korean),
            ("en;q=0", Korean),
            ("en;q=nonsense", Korean),
            ("en;q=7", Korean),
            ("fr, de;q=0.5", Korean),
            ("*", Korean),
            ("en, *", English),
            ("*, en;q=0.2", Korean),
            ("*, ko;q=0.2", English),
            ("ko;q=0, *", English),
            ("english", Korean),
            ("", Korean),
            (";;;,,,=", Korean),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(header));
            assert_eq!(Language::of(&headers), expected, "{header:?}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Korean);
    }
}
