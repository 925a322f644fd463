//! The names of the faults, as the sandbox wants to be told of them.

use serde_json::{Value, json};

/// Longer than any read timeout of these houses (those are long enough for a slow machine: an answer that comes too late is
/// another fault than the one in question), shorter than a test's patience.
pub const HANG_MS: u64 = 3_500;

/// What the sandbox does for a fault of the table.
pub fn named(fault: &str) -> Value {
    let name = fault.trim_end_matches(", once");
    if let Some(code) = name.strip_suffix(", open") {
        return json!({"kind": "error", "code": code, "keepOpen": true});
    }
    if let Some(status) = name.strip_prefix("status ") {
        return json!({"kind": "tamper", "field": "status", "value": status});
    }
    let answer =
        |status: u16, body: &str| json!({"kind": "status", "status": status, "body": body});
    let tamper =
        |field: &str, value: Value| json!({"kind": "tamper", "field": field, "value": value});
    match name {
        "delay a little" => json!({"kind": "delay", "millis": 30}),
        "delay beyond the patience" => json!({"kind": "delay", "millis": HANG_MS}),
        "hang_before" | "hang_after" => json!({"kind": name, "millis": HANG_MS}),
        "reset_before" | "reset_after" | "garbled" => json!({"kind": name}),
        "429" => answer(429, ""),
        "502 HTML" => answer(502, "<html><body>Bad Gateway</body></html>"),
        "200 empty" => answer(200, ""),
        "500 with a declining code" => {
            answer(500, r#"{"code":"REJECT_CARD_PAYMENT","message":"no"}"#)
        }
        "400 with a code of next year" => {
            answer(400, r#"{"code":"A_CODE_OF_NEXT_YEAR","message":"?"}"#)
        }
        "totalAmount" => tamper("totalAmount", json!(1)),
        "orderId" => tamper("orderId", json!("somebody-elses-order")),
        "paymentKey" => tamper("paymentKey", json!("tgen_somebody_elses_payment_key")),
        code => {
            assert!(
                code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{fault:?}"
            );
            json!({"kind": "error", "code": code})
        }
    }
}

/// The rules that let this order meet the fault at the calls of `hits`.
pub fn rules(order: &str, fault: &str, on: &str, hits: &str) -> Vec<Value> {
    let rule = |on: &str, times: Option<u32>, what: Value| {
        let mut rule = json!({"on": on, "orderId": order, "do": what});
        if let Some(times) = times {
            rule["times"] = json!(times);
        }
        rule
    };
    let temporary = || json!({"kind": "error", "code": "PROVIDER_ERROR", "keepOpen": true});
    let before = match hits.trim_end_matches('+') {
        "first" => vec![],
        "again" => vec![rule("confirm", Some(1), named("reset_before"))],
        "next" | "open" => vec![rule("confirm", Some(1), temporary())],
        "lost" => vec![rule("confirm", None, named("reset_after"))],
        other => panic!("{other:?}"),
    };
    let quiet = hits
        .ends_with('+')
        .then(|| rule("lookup", Some(1), named("status READY")));
    let times = fault.ends_with(", once").then_some(1);
    let on = if on == "look-up" { "lookup" } else { on };
    let meets = rule(on, times, named(fault));
    before.into_iter().chain(quiet).chain([meets]).collect()
}
