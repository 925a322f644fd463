//! What is HTTP and makes no sense: every answer is ours, in JSON, and nothing was written.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::bodies;
use crate::common::{House, cases as at_least};
use crate::fort::{API_KEY, CHECKOUT, CONFIRM, Fort};
use crate::wire::{Said, request};

const JSON: (&str, &[u8]) = ("Content-Type", b"application/json");

fn bearer() -> Vec<u8> {
    format!("Bearer {API_KEY}").into_bytes()
}

/// Sends each case and holds the answer against what every answer must be; then nothing but accepted checkouts is new.
fn attack<S: Strategy>(fort: &Fort, least: u32, cases: S, send: impl Fn(&S::Value) -> Vec<u8>)
where
    S::Value: std::fmt::Debug,
{
    let before = fort.state();
    let accepted = Cell::new(0);
    let ran = TestRunner::new(at_least(least)).run(&cases, |case| {
        let bytes = send(&case);
        let said = fort.ask(&bytes);
        let headless = bytes.starts_with(b"HEAD ");
        let told = |why: String| {
            TestCaseError::fail(format!("{why}\n{:.600}", String::from_utf8_lossy(&bytes)))
        };
        fort.is_ours(&said, headless).map_err(told)?;
        let is_checkout = said.status == 201 && said.body.contains("\"orderToken\"");
        accepted.set(accepted.get() + i64::from(is_checkout));
        Ok(())
    });
    assert!(ran.is_ok(), "{}", ran.unwrap_err());
    let after = fort.state();
    assert_eq!(after.rows, before.rows);
    assert_eq!(after.ledger, before.ledger);
    assert_eq!(
        after.orders,
        before.orders + accepted.get(),
        "an order that nobody was told of"
    );
}

#[test]
fn bodies_without_sense_are_refused_by_name_and_change_nothing() {
    let fort = Fort::build(House::plan());
    let paths = [CHECKOUT, CONFIRM];
    let bytes = (select(paths.to_vec()), vec(any::<u8>(), 0..300));
    attack(&fort, 400, bytes, |(path, body)| {
        request(&format!("POST {path}"), &[JSON], body)
    });
    let confirm = || bodies::confirm(&fort.order.id, &fort.payment_key, fort.order.total);
    attack(&fort, 500, confirm(), |body| {
        request(&format!("POST {CONFIRM}"), &[JSON], body.as_bytes())
    });
    attack(&fort, 300, bodies::spoiled(confirm()), |body| {
        request(&format!("POST {CONFIRM}"), &[JSON], body)
    });
    attack(&fort, 500, bodies::checkout(), |body| {
        request(&format!("POST {CHECKOUT}"), &[JSON], body.as_bytes())
    });
    attack(&fort, 300, bodies::spoiled(bodies::checkout()), |body| {
        request(&format!("POST {CHECKOUT}"), &[JSON], body)
    });
    fort.stands();
}

/// The shop's own calls: the product that they are about may change, and stays conserved; no other does.
#[test]
fn a_shop_that_talks_nonsense_breaks_no_shelf() {
    let fort = Fort::build(House::plan());
    let key = bearer();
    let key = || ("Authorization", &*key);
    let path = "/api/v1/products/900";
    let first = br#"{"name": "Nine hundred", "price": 1, "sellerId": 2}"#;
    let said = fort.ask(&request(&format!("PUT {path}"), &[JSON, key()], first));
    assert_eq!(said.status, 201, "{said:?}");
    attack(&fort, 300, bodies::listing(), |body| {
        request(&format!("PUT {path}"), &[JSON, key()], body.as_bytes())
    });
    attack(&fort, 300, bodies::change_of_stock(), |body| {
        request(
            &format!("POST {path}/stock"),
            &[JSON, key()],
            body.as_bytes(),
        )
    });
    attack(
        &fort,
        200,
        bodies::spoiled(bodies::change_of_stock()),
        |body| request(&format!("POST {path}/stock"), &[JSON, key()], body),
    );
    // Without the key not even the product that it is about.
    let look = request(&format!("GET {path}"), &[], b"");
    let before = fort.ask(&look).body;
    attack(&fort, 100, bodies::listing(), |body| {
        request(&format!("PUT {path}"), &[JSON], body.as_bytes())
    });
    assert_eq!(fort.ask(&look).body, before);
    fort.runtime.block_on(fort.house.shelf(900));
    fort.stands();
}

#[test]
fn headers_of_any_bytes_change_no_answer_into_a_fault() {
    let fort = Fort::build(House::plan());
    let names = [
        "Authorization",
        "Idempotency-Key",
        "Prefer",
        "traceparent",
        "Accept-Language",
        "Origin",
        "Accept",
        "Content-Encoding",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Expect",
        "Upgrade",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "Range",
        "If-None-Match",
        "x",
        "tracestate",
    ];
    let headers = vec((select(names.to_vec()), bodies::header_value()), 1..6);
    let order = format!("GET /api/v1/payments/{}", fort.order.id);
    let lines = [
        format!("POST {CHECKOUT}"),
        format!("POST {CONFIRM}"),
        format!("OPTIONS {CONFIRM}"),
        order,
        "GET /api/v1/products".to_owned(),
        "GET /health/ready".to_owned(),
        "PUT /api/v1/products/1".to_owned(),
    ];
    let wrong = format!(
        r#"{{"userId": 1, "orderId": "{}", "amount": 1, "paymentKey": "k",
            "orderedProductList": [{{"productId": 1, "quantity": 1}}], "name": "", "price": 1, "sellerId": 1}}"#,
        fort.order.id
    );
    attack(
        &fort,
        600,
        (select(lines.to_vec()), headers),
        |(line, headers)| {
            let mut all: Vec<(&str, &[u8])> = headers.iter().map(|(k, v)| (*k, &**v)).collect();
            let has_body = !line.starts_with("GET") && !line.starts_with("OPTIONS");
            all.push(JSON);
            request(line, &all, if has_body { wrong.as_bytes() } else { b"" })
        },
    );
    fort.stands();
}

/// Path segments that climb, hide, end strings or name no order; all of them are a 400, 404 or 405 in JSON.
#[test]
fn paths_and_methods_of_any_kind_are_answered_and_do_nothing() {
    let fort = Fort::build(House::plan());
    let segment = prop_oneof![
        4 => select(vec![
            "..", ".", "%2e%2e", "%2E%2E%2F", "..%2f..%2fetc%2fpasswd", "..%5c", "%00", "a%00b", "%0d%0aX-Evil:%201",
            "%ff", "%c0%af", "%ed%a0%80", "%", "%2", "%zz", "%25", "%2525", "~", "*", ";a=b", "%F0%9F%92%A9", "ORDER-1",
            "01990000-0000-7000-8000-00000000abcd", "{01990000-0000-7000-8000-00000000abcd}", "0", "-1",
            "9007199254740992", "9223372036854775808", "+1", "1%20", "%31", "0x1", "1e3", "stock", "checkout", "confirm",
            "'%20OR%201=1--", "%EF%BC%91", "",
        ]).prop_map(str::to_owned),
        2 => "[!-\\.0-;=@-Z_a-z~]{0,40}",
        1 => vec(any::<u8>(), 0..30).prop_map(|bytes| bytes.iter().map(|b| format!("%{b:02X}")).collect()),
        1 => (1_000_usize..20_000).prop_map(|n| "a".repeat(n)),
    ];
    let start = select(vec![
        "/api/v1/payments",
        "/api/v1/products",
        "/health",
        "",
        "/api",
        "/sandbox",
        "/api/v1/payments/..",
    ]);
    let query = select(vec![
        "",
        "?",
        "?wait=0",
        "?wait=%00",
        "?wait=-1",
        "?wait",
        "?%ff=%ff&wait=1e9",
        "?wait=0&wait=0",
    ]);
    let method = prop_oneof![
        3 => select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"]).prop_map(str::to_owned),
        // The rest of what may stand in a method is refused by the framework, below our door.
        1 => "[A-Za-z!*+.^_`|~0-9-]{1,30}".prop_filter("a tunnel is another test", |m| m != "CONNECT"),
    ];
    let target = (start, vec(segment, 0..4), query).prop_map(|(start, segments, query)| {
        let path = segments
            .iter()
            .fold(start.to_owned(), |path, segment| path + "/" + segment);
        format!("{}{query}", if path.is_empty() { "/" } else { &path })
    });
    attack(&fort, 800, (method, target), |(method, target)| {
        request(&format!("{method} {target}"), &[], b"")
    });
    fort.stands();
}

/// What the door says today of ids that cannot be ours: to a confirm and to a look the same, and nothing of the id.
#[test]
fn an_order_id_that_is_no_uuid_is_an_order_that_is_not_there() {
    let fort = Fort::build(House::plan());
    let id = &fort.order.id;
    for (shown, raw) in [
        ("%2e%2e%2fproducts", "../products"),
        ("ORDER-1", "ORDER-1"),
        ("a%00b", "a\\u0000b"),
        ("%0d%0aSet-Cookie:x", "\\r\\nSet-Cookie:x"),
        (&*id.to_uppercase(), &*id.to_uppercase()),
        (&*id.replace('-', ""), &*id.replace('-', "")),
        (&*format!("%7B{id}%7D"), &*format!("{{{id}}}")),
        (&*"a".repeat(9_000), &*"a".repeat(9_000)),
    ] {
        let look = request(&format!("GET /api/v1/payments/{shown}"), &[], b"");
        let body =
            format!(r#"{{"userId": 1, "orderId": "{raw}", "amount": 1, "paymentKey": "k"}}"#);
        let confirm = request(&format!("POST {CONFIRM}"), &[JSON], body.as_bytes());
        for asked in [look, confirm] {
            let said = fort.ask(&asked);
            assert_eq!(
                (said.status, &*said.code()),
                (404, "E03001"),
                "{shown:.60} {said:?}"
            );
            fort.is_ours(&said, false).unwrap();
            assert!(said.error("orderId").is_null(), "{said:?}");
        }
    }
    fort.stands();
}

fn refused(fort: &Fort, path: &str, body: &[u8], status: u16, field: &str) -> Said {
    let said = fort.ask(&request(&format!("POST {path}"), &[JSON], body));
    assert_eq!((said.status, &*said.code()), (status, "E99001"), "{said:?}");
    assert_eq!(said.error("field"), field, "{said:?}");
    fort.is_ours(&said, false).unwrap();
    said
}

#[test]
fn bodies_that_are_huge_or_deep_are_refused_without_being_worked_through() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let line = r#"{"productId": 1, "quantity": 1}"#;
    let lines = vec![line; 10_000].join(",");
    let order = format!(r#"{{"userId": 1, "orderedProductList": [{lines}]}}"#);
    refused(&fort, CHECKOUT, order.as_bytes(), 400, "orderedProductList");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!(
            "{{\"userId\": {}1{}}}",
            open.repeat(10_000),
            close.repeat(10_000)
        );
        for path in [CHECKOUT, CONFIRM] {
            refused(&fort, path, deep.as_bytes(), 400, "body");
            refused(&fort, path, open.repeat(200_000).as_bytes(), 400, "body");
        }
    }
    let nulls = r#"{"userId": null, "orderedProductList": null, "orderId": null, "amount": null, "paymentKey": null, "orderToken": null}"#;
    refused(&fort, CHECKOUT, nulls.as_bytes(), 400, "userId");
    refused(&fort, CONFIRM, nulls.as_bytes(), 400, "orderId");
    let wide = vec![b' '; (1 << 20) + 1];
    refused(&fort, CHECKOUT, &wide, 413, "body");
    let fits = vec![b' '; 1 << 20];
    refused(&fort, CHECKOUT, &fits, 400, "body");
    assert_eq!(fort.state(), before);
    fort.stands();
}
