//! Bodies to be read: a true answer, the same with fields changed, the same with bytes spoiled; statuses and codes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub const ORDER: &str = "01990000-0000-7000-8000-00000000abcd";
pub const KEY: &str = "tgen_20260102210202h9Oy0";
pub const TOTAL: i64 = 210_000;

/// The fields of a true answer, as Toss writes them.
const FIELDS: [(&str, &str); 12] = [
    ("paymentKey", "\"tgen_20260102210202h9Oy0\""),
    ("orderId", "\"01990000-0000-7000-8000-00000000abcd\""),
    ("status", "\"DONE\""),
    ("currency", "\"KRW\""),
    ("totalAmount", "210000"),
    ("balanceAmount", "210000"),
    ("method", "\"카드\""),
    ("approvedAt", "\"2026-01-02T00:30:00+09:00\""),
    ("receipt", "{\"url\": \"https://r.toss/1\"}"),
    ("failure", "null"),
    ("cancels", "null"),
    ("card", "{\"amount\": 210000}"),
];

fn object(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let fields = fields.into_iter().map(|(k, v)| format!("\"{k}\": {v}"));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn truth() -> Vec<(String, String)> {
    let field = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
    FIELDS.map(field).to_vec()
}

/// The true answer, with `more` behind it; what `more` says of fields that decide nothing replaces them.
pub fn answer(more: &str) -> String {
    let decide = truth().into_iter().take(5);
    let body = object(decide);
    if more.is_empty() {
        return body;
    }
    format!("{}, {more}}}", &body[..body.len() - 1])
}

fn words() -> impl Strategy<Value = String> {
    let known = select(vec![
        "\"DONE\"",
        "\"done\"",
        "\"\\u0044ONE\"",
        "\"DONE \"",
        "\"ABORTED\"",
        "\"EXPIRED\"",
        "\"CANCELED\"",
        "\"PARTIAL_CANCELED\"",
        "\"WAITING_FOR_DEPOSIT\"",
        "\"IN_PROGRESS\"",
        "\"READY\"",
        "\"KRW\"",
        "\"USD\"",
        "\"\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "\"01990000-0000-7000-8000-00000000ABCD\"",
        "\"tgen_20260102210202h9Oy1\"",
        "[\"DONE\"]",
        "{\"DONE\": null}",
        "null",
        "true",
    ]);
    let numbers = select(vec![
        "0",
        "-0",
        "-1",
        "-210000",
        "209999",
        "210000.0",
        "2.1e5",
        "210000.5",
        "\"210000\"",
        "9007199254740991",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "99999999999999999999999999",
        "1e308",
        "1e309",
        "-1e999",
        "1e-999",
    ]);
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        4 => numbers.prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| serde_json::json!(n).to_string()),
        1 => any::<String>().prop_map(|s| serde_json::json!(s).to_string()),
        1 => (0_usize..3_000).prop_map(|n| "[".repeat(n) + &"]".repeat(n)),
        1 => (0_usize..3_000).prop_map(|n| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n))),
    ]
}

/// A true answer with some fields changed, removed, doubled or moved to the front.
pub fn body() -> impl Strategy<Value = String> {
    // The first five are those that decide.
    let place = prop_oneof![3 => 0_usize..5, 1 => 0_usize..FIELDS.len()];
    let change = (place, words(), 0_u8..4);
    vec(change, 0..4).prop_map(|changes| {
        let mut fields = truth();
        for (place, value, how) in changes {
            let at = place.min(fields.len() - 1);
            match how {
                0 | 1 => fields[at].1 = value,
                2 => {
                    fields.remove(at);
                }
                _ => {
                    let name = fields[at].0.clone();
                    fields.insert(0, (name, value));
                }
            }
        }
        object(fields)
    })
}

/// Bytes of a true answer or an error, cut, flipped and doubled.
pub fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let error = r#"{"code": "REJECT_CARD_PAYMENT", "message": "한도 초과"}"#;
    let whole = prop_oneof![Just(object(truth())), Just(error.to_owned()), body()];
    let spoil = (any::<Index>(), any::<u8>(), 0_u8..4);
    (whole, vec(spoil, 1..4)).prop_map(|(whole, spoils)| {
        let mut bytes = whole.into_bytes();
        for (index, byte, how) in spoils {
            let at = index.index(bytes.len().max(1)).min(bytes.len());
            match (how, bytes.get(at).copied()) {
                (0, Some(_)) => bytes[at] = byte,
                (1, _) => bytes.truncate(at),
                (2, _) => bytes.insert(at, byte),
                (_, Some(old)) => bytes[at] = old ^ (1 << (byte % 8)),
                (_, None) => bytes.push(byte),
            }
        }
        bytes
    })
}

/// What HTTP can express; often what Toss uses.
pub fn status() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200), 2 => select(vec![400, 401, 403, 404, 409, 429, 500, 503]), 1 => 100_u16..1_000]
}

/// Listed codes, codes that are almost listed, and anything.
pub fn code() -> impl Strategy<Value = String> {
    let listed = select(vec![
        "REJECT_CARD_PAYMENT",
        "PROVIDER_ERROR",
        "ALREADY_PROCESSED_PAYMENT",
        "UNAUTHORIZED_KEY",
        "IDEMPOTENT_REQUEST_PROCESSING",
        "NOT_FOUND_PAYMENT",
        "NOT_FOUND",
        "INVALID_PASSWORD",
    ]);
    let almost = (listed.clone(), 0_u8..5).prop_map(|(code, how)| match how {
        0 => code.to_lowercase(),
        1 => format!("{code} "),
        2 => format!("{code}\u{0}"),
        3 => code[1..].to_owned(),
        _ => format!("{code}_"),
    });
    prop_oneof![
        listed.prop_map(str::to_owned),
        almost,
        "[A-Z_]{1,70}",
        any::<String>()
    ]
}
