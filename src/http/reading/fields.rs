//! The fields of a JSON object, each with its place as the client spells it (`orderedProductList[0].quantity`), read
//! one by one from the untouched text: nothing is coerced, and what nobody asks for is skipped.

use std::borrow::Cow;

use serde::de::DeserializeSeed;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::body;
use super::scan::{Items, Named};
use crate::domain::{Rejection, UserId, Won};
use crate::http::answers::Refusal;

/// Where an object stands in the body.
#[derive(Clone, Copy, Debug)]
pub enum Within {
    Body,
    List { name: &'static str, index: usize },
}

impl Within {
    fn field(self, name: &str) -> String {
        match self {
            Within::Body => name.to_owned(),
            Within::List { name: list, index } => format!("{list}[{index}].{name}"),
        }
    }

    fn itself(self) -> String {
        match self {
            Within::Body => "body".to_owned(),
            Within::List { name, index } => format!("{name}[{index}]"),
        }
    }
}

/// One field that the body may have. `raw` is its JSON, untouched; `null` counts as absent.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    within: Within,
    name: &'static str,
    raw: Option<&'a str>,
}

/// The named fields of the body, in the order of their names.
pub fn fields<'a, const N: usize>(
    bytes: &'a [u8],
    names: &'static [&'static str; N],
) -> Result<[Field<'a>; N], Refusal> {
    Ok(object(body::text(bytes)?, names, Within::Body)?)
}

fn object<'a, const N: usize>(
    text: &'a str,
    names: &'static [&'static str; N],
    within: Within,
) -> Result<[Field<'a>; N], Rejection> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Named(names).deserialize(&mut json);
    let found = found.and_then(|found| json.end().map(|()| found));
    let found = found.map_err(|broken| {
        let wants = match broken.classify() {
            Category::Data => "a JSON object".to_owned(),
            Category::Syntax | Category::Eof | Category::Io => {
                let (line, column) = (broken.line(), broken.column());
                format!("valid JSON (error at line {line}, column {column})")
            }
        };
        Rejection::invalid(within.itself(), wants)
    })?;
    if let Some(name) = found.twice {
        return Err(Rejection::invalid(
            within.field(name),
            "to appear only once",
        ));
    }
    let mut fields = names.map(|name| Field {
        within,
        name,
        raw: None,
    });
    for (field, raw) in fields.iter_mut().zip(found.values) {
        field.raw = raw.map(RawValue::get).filter(|raw| *raw != "null");
    }
    Ok(fields)
}

impl<'a> Field<'a> {
    pub fn refuse(&self, wants: impl Into<String>) -> Rejection {
        Rejection::invalid(self.within.field(self.name), wants)
    }

    pub const fn is_absent(&self) -> bool {
        self.raw.is_none()
    }

    /// A JSON string.
    pub fn text(&self) -> Result<Cow<'a, str>, Rejection> {
        let wants = "a string";
        match self.raw {
            Some(raw) if raw.starts_with('"') => string(raw).ok_or_else(|| self.refuse(wants)),
            Some(_) | None => Err(self.refuse(wants)),
        }
    }

    /// A JSON integer: no point, no exponent, no quotes.
    pub fn whole(&self, wants: &str) -> Result<i64, Rejection> {
        let whole = self.raw.filter(|raw| is_whole(raw));
        let number = whole.and_then(|raw| raw.parse().ok());
        number.ok_or_else(|| self.refuse(wants))
    }

    /// Won: a JSON integer or a string of plain decimal digits.
    pub fn won(&self) -> Result<Won, Rejection> {
        let raw = self.raw.unwrap_or_default();
        let digits = match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
            Some(digits) => digits,
            None => raw,
        };
        Won::parse(digits).ok_or_else(|| {
            let most = Won::MAX.get();
            self.refuse(format!("whole won, plain digits only: 0 to {most}"))
        })
    }

    /// The shop's name of a buyer: a string, or an integer that is kept as its text.
    pub fn user(&self) -> Result<UserId, Rejection> {
        let text = match self.raw {
            Some(raw) if is_whole(raw) => Some(Cow::Borrowed(raw)),
            Some(raw) if raw.starts_with('"') => string(raw),
            Some(_) | None => None,
        };
        // Not every database tells a name from the same name with spaces behind it.
        let trimmed = text.filter(|text| text.trim() == text);
        trimmed.and_then(|text| UserId::parse(&text)).ok_or_else(|| {
            let most = UserId::CHARS;
            let wants = format!(
                "an integer, or 1 to {most} characters without control characters or spaces at its ends"
            );
            self.refuse(wants)
        })
    }

    /// The objects of a JSON list, `most` at most, each with its named fields.
    pub fn objects<const N: usize>(
        &self,
        names: &'static [&'static str; N],
        most: usize,
    ) -> Result<Vec<[Field<'a>; N]>, Rejection> {
        let wants = || self.refuse(format!("a list of 1 to {most}"));
        let raw = self.raw.filter(|raw| raw.starts_with('['));
        let mut json = serde_json::Deserializer::from_str(raw.ok_or_else(wants)?);
        let items = Items { most }.deserialize(&mut json);
        let items = items.ok().flatten().filter(|items| !items.is_empty());
        let within = |index| Within::List {
            name: self.name,
            index,
        };
        let each = items.ok_or_else(wants)?.into_iter().enumerate();
        each.map(|(index, item)| object(item.get(), names, within(index)))
            .collect()
    }
}

fn is_whole(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A string without escapes is borrowed; one that names no text (a lone surrogate) is none.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    if let Some(plain) = raw.get(1..raw.len() - 1).filter(|s| !s.contains('\\')) {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn complaint(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Rejected(Rejection::InvalidInput { field, wants }) => {
                format!("{field}: {wants}")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_body_that_is_no_object_says_where_and_why() {
        for (body, expected) in [
            ("[]", "body: a JSON object"),
            ("7", "body: a JSON object"),
            ("null", "body: a JSON object"),
            ("\"x\"", "body: a JSON object"),
            ("{", "body: valid JSON (error at line 1, column 1)"),
            ("{\"a\": }", "body: valid JSON (error at line 1, column 7)"),
            (
                "{\"a\": 1,}",
                "body: valid JSON (error at line 1, column 9)",
            ),
            ("{'a': 1}", "body: valid JSON (error at line 1, column 2)"),
            (
                "{\"a\": 1} x",
                "body: valid JSON (error at line 1, column 10)",
            ),
            (
                "{\"a\": 01}",
                "body: valid JSON (error at line 1, column 8)",
            ),
            (
                "{\"z\": \"\\x\"}",
                "body: valid JSON (error at line 1, column 9)",
            ),
            ("{\"a\": 1, \"a\": 1}", "a: to appear only once"),
            ("{\"a\": 1, \"\\u0061\": 1}", "a: to appear only once"),
        ] {
            let refusal = fields(body.as_bytes(), &["a"]).unwrap_err();
            assert_eq!(complaint(&refusal), expected, "{body}");
        }
        let [a] = fields(b" {\"z\": {}, \"z\": [1, {}], \"a\" : null}\n", &["a"]).unwrap();
        assert!(
            a.is_absent(),
            "what nobody reads may be anything, and null is nothing"
        );
    }

    #[test]
    fn amounts_are_whole_won_in_plain_digits() {
        let won = |raw: &str| {
            let body = format!("{{\"amount\": {raw}}}");
            let [amount] = fields(body.as_bytes(), &["amount"]).unwrap();
            amount.won().map(Won::get)
        };
        for (raw, expected) in [
            ("210000", Some(210_000)),
            ("\"210000\"", Some(210_000)),
            ("0", Some(0)),
            ("9007199254740991", Some(9_007_199_254_740_991)),
            ("9007199254740992", None),
            ("210000.0", None),
            ("2.1e5", None),
            ("-1", None),
            ("-0", None),
            ("\"210000.0\"", None),
            ("\"1e5\"", None),
            ("\" 1\"", None),
            ("\"-1\"", None),
            ("\"007\"", None),
            ("\"\"", None),
            ("\"\\u0031\"", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
            ("{}", None),
        ] {
            assert_eq!(won(raw).ok(), expected, "{raw}");
        }
        let wants = won("-1").unwrap_err();
        let expected = "whole won, plain digits only: 0 to 9007199254740991";
        assert_eq!(wants, Rejection::invalid("amount", expected));
    }

    #[test]
    fn a_user_is_a_number_or_a_string_and_kept_as_text() {
        let user = |raw: &str| {
            let body = format!("{{\"userId\": {raw}}}");
            let [user] = fields(body.as_bytes(), &["userId"]).unwrap();
            user.user().ok().map(|user| user.as_str().to_owned())
        };
        let most = "x".repeat(64);
        for (raw, expected) in [
            ("1", Some("1")),
            ("\"1\"", Some("1")),
            ("-7", Some("-7")),
            ("\"김구매\"", Some("김구매")),
            ("\"\\uae40\"", Some("김")),
            (&*format!("\"{most}\""), Some(&*most)),
            (&*format!("\"{most}x\""), None),
            (&*"1".repeat(65), None),
            ("1.0", None),
            ("1e3", None),
            ("\"\"", None),
            ("\"a\\u0000b\"", None),
            ("\"a b\"", Some("a b")),
            ("\"a \"", None),
            ("\" a\"", None),
            ("\"\\ud800\"", None),
            ("true", None),
            ("null", None),
            ("[]", None),
        ] {
            assert_eq!(user(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn strings_are_strings_and_integers_are_integers() {
        let body = b"{\"s\": \"a\\n\\\"\", \"n\": 5, \"f\": 5.0, \"q\": \"5\", \"big\": 99999999999999999999}";
        let [s, n, f, q, big] = fields(body, &["s", "n", "f", "q", "big"]).unwrap();
        assert_eq!(s.text().unwrap(), "a\n\"");
        assert_eq!(n.text(), Err(Rejection::invalid("n", "a string")));
        assert_eq!(n.whole("1 to 9"), Ok(5));
        for field in [s, f, q, big] {
            assert_eq!(field.whole("1 to 9"), Err(field.refuse("1 to 9")));
        }
    }

    #[test]
    fn items_of_a_list_are_named_by_their_place() {
        let list = |raw: &str| {
            let body = format!("{{\"list\": {raw}}}");
            let [list] = fields(body.as_bytes(), &["list"])?;
            let items = list.objects(&["a", "b"], 3)?;
            let whole = |item: &[Field<'_>; 2]| item[1].whole("an integer");
            let read: Result<Vec<i64>, Rejection> = items.iter().map(whole).collect();
            Ok::<_, Refusal>(read?)
        };
        assert_eq!(list("[{\"b\": 1}, {\"b\": 2, \"c\": []}]"), Ok(vec![1, 2]));
        for (raw, expected) in [
            ("[]", "list: a list of 1 to 3"),
            ("{}", "list: a list of 1 to 3"),
            ("null", "list: a list of 1 to 3"),
            ("\"[]\"", "list: a list of 1 to 3"),
            ("[{},{},{},{}]", "list: a list of 1 to 3"),
            ("[{\"b\":1}, 7]", "list[1]: a JSON object"),
            ("[null]", "list[0]: a JSON object"),
            ("[[]]", "list[0]: a JSON object"),
            (
                "[{\"b\":1}, {\"b\":1, \"b\":2}]",
                "list[1].b: to appear only once",
            ),
            ("[{\"b\":1}, {\"b\":null}]", "list[1].b: an integer"),
            ("[{\"b\":1}, {}]", "list[1].b: an integer"),
        ] {
            assert_eq!(complaint(&list(raw).unwrap_err()), expected, "{raw}");
        }
    }
}
