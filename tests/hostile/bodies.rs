//! Bodies to be sent: of no kind at all, or almost right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// JSON that stands where something else is wanted.
fn value() -> impl Strategy<Value = String> {
    let edges = [
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e5",
        "1E400",
        "-1e400",
        "9007199254740991",
        "9007199254740992",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "999999999999999999999999999999999999999999",
        "\"\"",
        "\" \"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udfff\\ud800\"",
        "\"a\\r\\nSet-Cookie: x\"",
        "\"' OR 1=1 --\"",
        "\"../../etc/passwd\"",
        "\"%00\"",
        "\"9223372036854775807\"",
        "\"-1\"",
        "\"1e5\"",
        "\"\u{202e}\u{feff}\"",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        "[{\"productId\": null, \"quantity\": null}]",
    ];
    prop_oneof![
        6 => select(edges.to_vec()).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<String>().prop_map(|s| serde_json::json!(s).to_string()),
        1 => (0_usize..3_000).prop_map(|n| "[".repeat(n) + &"]".repeat(n)),
        1 => (60_usize..300).prop_map(|n| format!("\"{}\"", "k".repeat(n))),
    ]
}

/// The fields of an object, changed, removed and doubled.
fn changed(fields: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let change = (any::<Index>(), value(), 0_u8..4);
    vec(change, 1..4).prop_map(move |changes| {
        let mut fields: Vec<(String, String)> = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        for (index, value, how) in changes {
            let at = index.index(fields.len().max(1)).min(fields.len());
            match how {
                0 | 1 if at < fields.len() => fields[at].1 = value,
                2 if at < fields.len() => {
                    fields.remove(at);
                }
                _ => {
                    let name = fields.get(at).map_or("amount", |(name, _)| name).to_owned();
                    fields.push((name, value));
                }
            }
        }
        let fields = fields.iter().map(|(k, v)| format!("\"{k}\": {v}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    })
}

/// A confirm of this order whose amount is one too much: whatever is changed, nobody may pay by it.
pub fn confirm(order: &str, key: &str, total: i64) -> impl Strategy<Value = String> + use<> {
    changed(vec![
        ("userId", "1".to_owned()),
        ("orderId", format!("\"{order}\"")),
        ("amount", (total + 1).to_string()),
        ("paymentKey", format!("\"{key}\"")),
    ])
}

/// A checkout: the whole of it changed, or one of its lines.
pub fn checkout() -> impl Strategy<Value = String> {
    let line = "[{\"productId\": 1, \"quantity\": 1}]";
    let whole = changed(vec![
        ("userId", "1".to_owned()),
        ("orderedProductList", line.to_owned()),
    ]);
    let lines = changed(vec![
        ("productId", "1".to_owned()),
        ("quantity", "1".to_owned()),
    ]);
    let lines = vec(lines, 0..4).prop_map(|lines| {
        format!(
            "{{\"userId\": 1, \"orderedProductList\": [{}]}}",
            lines.join(", ")
        )
    });
    prop_oneof![whole, lines]
}

pub fn listing() -> impl Strategy<Value = String> {
    changed(vec![
        ("name", "\"Ogu T\"".to_owned()),
        ("price", "50000".to_owned()),
        ("sellerId", "2".to_owned()),
    ])
}

pub fn change_of_stock() -> impl Strategy<Value = String> {
    changed(vec![
        ("change", "7".to_owned()),
        ("reason", "\"count\"".to_owned()),
    ])
}

/// The same with bytes flipped, lost and doubled.
pub fn spoiled(body: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let spoil = (any::<Index>(), any::<u8>(), 0_u8..3);
    (body, vec(spoil, 1..4)).prop_map(|(body, spoils)| {
        let mut bytes = body.into_bytes();
        for (index, byte, how) in spoils {
            let at = index.index(bytes.len().max(1)).min(bytes.len());
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// What a header may carry at all: visible, opaque and blank bytes, few or very many.
pub fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![8 => 0x21_u8..0x7f, 2 => 0x80_u8..=0xff, 1 => Just(b' '), 1 => Just(b'\t')];
    let known = select(vec![
        "Bearer",
        "Bearer ",
        "Bearer pk_house_under_attack_012345678",
        "Basic cGs6",
        "wait=99999999999999999999",
        "respond-async, wait=0",
        "respond-async;;;,,,\"\\",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "en;q=NaN",
        "en;q=inf, ko;q=-1",
        "*;q=1e999",
        "",
        "application/json",
        "application/json; charset=utf-7",
        "gzip",
        "null",
        "https://shop.example",
        "POST",
        "content-type, x-evil",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        4 => vec(byte.clone(), 0..80),
        1 => (byte, 3_000_usize..9_000).prop_map(|(byte, times)| vec![byte; times]),
    ]
}
