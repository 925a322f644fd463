//! The door over real sockets, without anybody behind it: what it refuses by itself, how it refuses, how it closes.

#![expect(clippy::unwrap_used, reason = "tests")]

mod wire;

use std::time::Instant;

use actix_web::web;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::*;
use wire::{Said, ask, ask_on, read};

const CHECKOUT: &str = "/api/v1/payments/checkout";
const CONFIRM: &str = "/api/v1/payments/confirm";
const ORDER: &str = "01990000-0000-7000-8000-00000000abcd";
const JSON: &str = "Content-Type: application/json\r\n";

fn settings() -> DoorSettings {
    DoorSettings {
        bind: ([127, 0, 0, 1], 0).into(),
        api_keys: vec![Sha256::digest("pk_test").into()],
        allow_anonymous: true,
        allowed_origins: vec![],
        workers: 1,
        max_connections: 1_000,
        keep_alive: Duration::from_secs(75),
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(20),
        max_in_flight: 16,
        body_limit_bytes: 1 << 20,
        patience: Duration::from_secs(1),
        shutdown_s: 5,
        token_secret: [1; 32],
        gateway: "sandbox",
        metrics: Metrics::new().unwrap(),
    }
}

/// Routes that stumble and dawdle, in the same stack as all others.
fn also(config: &mut ServiceConfig) {
    async fn stumble() -> &'static str {
        tokio::task::yield_now().await;
        std::panic::panic_any("stumbled")
    }
    async fn dawdle() -> &'static str {
        tokio::time::sleep(Duration::from_millis(700)).await;
        "done"
    }
    config
        .route("/stumble", web::get().to(stumble))
        .route("/dawdle", web::get().to(dawdle));
}

fn door(settings: &DoorSettings) -> Door {
    serve(settings, also).unwrap()
}

fn is_framed(said: &Said) {
    assert_eq!(
        said.header("content-type"),
        Some("application/json"),
        "{said:?}"
    );
    assert_eq!(said.header("payonce-gateway"), Some("sandbox"), "{said:?}");
    assert_eq!(
        said.header("access-control-allow-origin"),
        Some("*"),
        "{said:?}"
    );
    assert_eq!(said.header("cache-control"), Some("no-store"), "{said:?}");
    let exposed = said.header("access-control-expose-headers").unwrap();
    for name in [
        "Location",
        "Retry-After",
        "traceparent",
        "Payonce-Gateway",
        "Idempotency-Replayed",
    ] {
        assert!(
            exposed.to_lowercase().contains(&name.to_lowercase()),
            "{exposed}"
        );
    }
    let parent = said.header("traceparent").unwrap();
    if said.status >= 400 {
        let json = said.json();
        assert_eq!(json["error"]["traceId"], parent[3..35], "{said:?}");
        assert_eq!(json["code"], json["error"]["code"]);
        assert_eq!(json["message"], json["error"]["message"]);
    }
}

async fn is_refused(door: &Door, line: &str, headers: &str, body: &str, expected: &str) {
    let headers = format!("Origin: https://shop.example\r\n{headers}");
    let said = ask(door, line, &headers, body).await;
    let text = |name| said.error(name).as_str().unwrap_or("-").to_owned();
    let found = format!("{} {} {}", said.status, text("code"), text("field"));
    assert_eq!(found, expected, "{line} {body:.200} {said:?}");
    assert_eq!(
        said.error("wants").is_string(),
        said.error("field").is_string()
    );
    is_framed(&said);
}

#[actix_web::test]
async fn paths_methods_and_queries_are_refused_in_json_that_a_browser_may_read() {
    let door = door(&settings());
    for row in [
        "GET / 404 E99404 -",
        "GET /api/v1/payments 404 E99404 -",
        "GET /api/v1/products/ 404 E99404 -",
        "POST /%ff%00/.. 404 E99404 -",
        "GET /api/v1/payments/confirm 405 E99405 -",
        "DELETE /api/v1/payments/checkout 405 E99405 -",
        "OPTIONS /api/v1/payments/checkout 405 E99405 -",
        "POST /health/live 405 E99405 -",
        "PATCH /api/v1/products/1 405 E99405 -",
        "GET /api/v1/payments/ORDER-1 404 E03001 -",
        "GET /api/v1/payments/%2e%2e%2fx 404 E03001 -",
        "GET /api/v1/payments/%ff 404 E03001 -",
        "GET /api/v1/payments/ORDER-1?wait=soon 400 E99001 wait",
        "GET /api/v1/products/x 400 E99001 id",
        "GET /api/v1/products/0 400 E99001 id",
        "POST /api/v1/payments/checkout 415 E99001 Content-Type",
        "PUT /api/v1/products/1 401 E99401 -",
        "POST /api/v1/products/1/stock 401 E99401 -",
        // Whatever passes the door finds nobody behind it here.
        "GET /api/v1/products 500 E99999 -",
        "GET /api/v1/products/1 500 E99999 -",
        "GET /api/v1/payments/01990000-0000-7000-8000-00000000abcd 500 E99999 -",
        "GET /health/ready 500 E99999 -",
    ] {
        let (method, rest) = row.split_once(' ').unwrap();
        let (path, expected) = rest.split_once(' ').unwrap();
        is_refused(&door, &format!("{method} {path}"), "", "", expected).await;
    }
    door.close().await;
}

#[actix_web::test]
async fn a_body_that_does_not_fit_is_refused_before_anything_is_asked() {
    let door = door(&settings());
    let (checkout, confirm) = (format!("POST {CHECKOUT}"), format!("POST {CONFIRM}"));
    let asks =
        |more: &str| format!(r#"{{"orderId": "{ORDER}", "amount": 1, "paymentKey": "k"{more}}}"#);
    let deep = "[".repeat(5_000);
    let line = r#"{"userId": 1, "orderedProductList": [{"productId": 1, "quantity": 0}]}"#;
    for (request, body, expected) in [
        (&checkout, "", "400 E99001 body"),
        (&checkout, "{", "400 E99001 body"),
        (&checkout, &deep, "400 E99001 body"),
        (&checkout, "{}", "400 E99001 userId"),
        (
            &checkout,
            r#"{"userId": 1}"#,
            "400 E99001 orderedProductList",
        ),
        (&checkout, line, "400 E99001 orderedProductList[0].quantity"),
        (&confirm, &asks(""), "400 E99001 userId"),
        (&confirm, &asks(r#", "userId": {}"#), "400 E99001 userId"),
        (&confirm, &asks(r#", "orderToken": "x""#), "403 E99403 -"),
        (&confirm, &asks("").replace(ORDER, "x"), "404 E03001 -"),
        (&confirm, &asks(r#", "userId": 1"#), "500 E99999 -"),
    ] {
        is_refused(&door, request, JSON, body, expected).await;
    }
    let text = "Content-Type: text/plain\r\n";
    is_refused(&door, &checkout, text, "{}", "415 E99001 Content-Type").await;
    let stranger = "Authorization: Bearer x\r\n";
    is_refused(&door, &confirm, stranger, "{}", "401 E99401 -").await;
    door.close().await;
}

#[actix_web::test]
async fn an_order_token_in_body_or_header_stands_for_the_user() {
    let mut settings = settings();
    settings.allow_anonymous = false;
    let door = door(&settings);
    let order = crate::domain::OrderId::parse(ORDER).unwrap();
    let token = OrderTokens::new(&settings.token_secret).issue(order).0;
    let confirm = format!("POST {CONFIRM}");
    let asks =
        |more: &str| format!(r#"{{"orderId": "{ORDER}", "amount": 1, "paymentKey": "k"{more}}}"#);
    let known = asks(&format!(r#", "orderToken": "{token}""#));
    let bearer = |secret: &str| format!("{JSON}Authorization: Bearer {secret}\r\n");
    is_refused(&door, &confirm, JSON, &known, "500 E99999 -").await;
    is_refused(&door, &confirm, &bearer(&token), &asks(""), "500 E99999 -").await;
    is_refused(
        &door,
        &confirm,
        &bearer("pk_test"),
        &asks(""),
        "500 E99999 -",
    )
    .await;
    let named = asks(r#", "userId": 1"#);
    is_refused(&door, &confirm, JSON, &named, "401 E99401 -").await;
    is_refused(
        &door,
        &format!("POST {CHECKOUT}"),
        JSON,
        "{}",
        "401 E99401 -",
    )
    .await;
    is_refused(&door, "GET /api/v1/products", "", "", "401 E99401 -").await;
    door.close().await;
}

#[actix_web::test]
async fn a_405_says_what_is_allowed_and_a_401_how_to_come_in() {
    let door = door(&settings());
    let said = ask(&door, "DELETE /api/v1/products/1", "", "").await;
    assert_eq!(said.header("allow"), Some("GET, HEAD, PUT"));
    let said = ask(&door, "PUT /api/v1/products/1", "", "").await;
    assert_eq!(said.header("www-authenticate"), Some("Bearer"));
    let order = crate::domain::OrderId::parse(ORDER).unwrap();
    let token = OrderTokens::new(&settings().token_secret).issue(order).0;
    let bearer = format!("{JSON}Authorization: Bearer {token}\r\n");
    let said = ask(&door, "PUT /api/v1/products/1", &bearer, "{}").await;
    assert_eq!(
        said.error("code"),
        "E99403",
        "an order token is known, and not enough"
    );
    let said = ask(
        &door,
        "PUT /api/v1/products/1",
        "Authorization: Bearer pk_test\r\n",
        "",
    )
    .await;
    assert_eq!(said.status, 415, "an API key gets as far as its body");
    door.close().await;
}

#[actix_web::test]
async fn invalid_utf8_is_refused_and_so_is_a_body_that_never_ends() {
    let door = door(&settings());
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    let line = format!("POST {CHECKOUT}");
    let said = ask_on(&mut stream, &line, JSON, b"{\"userId\": \"\xff\"}").await;
    assert_eq!(
        (said.status, said.error("wants")),
        (400, Value::from("UTF-8"))
    );

    // Announced, and sent by a client that listens only after its last byte.
    let huge = vec![b' '; 20 << 20];
    let said = ask_on(&mut stream, &line, JSON, &huge).await;
    assert_eq!(
        (said.status, said.error("field")),
        (413, Value::from("body"))
    );

    // Not announced.
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..40 {
        stream.write_all(&chunk).await.unwrap();
    }
    assert_eq!(read(&mut stream, false).await.status, 413);
    door.close().await;
}

#[actix_web::test]
async fn a_panic_is_a_500_in_json_and_its_connection_lives_on() {
    let door = door(&settings());
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers =
        format!("Origin: https://shop.example\r\ntraceparent: {parent}\r\nAccept-Language: en\r\n");
    for _ in 0..3 {
        let said = ask_on(&mut stream, "GET /stumble", &headers, b"").await;
        assert_eq!(
            (said.status, said.error("code")),
            (500, Value::from("E99999"))
        );
        assert_eq!(said.error("traceId"), parent[3..35]);
        assert_eq!(said.error("message"), "Something went wrong on our side.");
        assert!(
            !said.body.contains("stumbled"),
            "what happened inside stays inside"
        );
        is_framed(&said);
        let said = ask_on(&mut stream, "GET /health/live", "", b"").await;
        assert_eq!(
            (said.status, &*said.body),
            (200, r#"{"data":{"status":"live"}}"#)
        );
    }
    door.close().await;
}

#[actix_web::test]
async fn one_more_than_the_bound_is_told_to_come_back_and_health_is_not() {
    let mut settings = settings();
    settings.max_in_flight = 1;
    let door = door(&settings);
    let mut slow = TcpStream::connect(door.address()).await.unwrap();
    slow.write_all(b"GET /dawdle HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let said = ask(
        &door,
        &format!("POST {CONFIRM}"),
        "Origin: https://shop.example\r\n",
        "",
    )
    .await;
    assert_eq!(
        (said.status, said.error("code")),
        (503, Value::from("E99004"))
    );
    assert_eq!(said.header("retry-after"), Some("1"));
    is_framed(&said);
    assert_eq!(ask(&door, "GET /health/live", "", "").await.status, 200);
    assert_eq!(read(&mut slow, false).await.status, 200);
    assert_eq!(
        ask(&door, "GET /nowhere", "", "").await.status,
        404,
        "the slot is free again"
    );
    door.close().await;
}

#[actix_web::test]
async fn a_buyer_who_leaves_gives_the_slot_back() {
    let mut settings = settings();
    settings.max_in_flight = 1;
    let door = door(&settings);
    let mut gone = TcpStream::connect(door.address()).await.unwrap();
    gone.write_all(b"GET /dawdle HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(gone);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&door, "GET /nowhere", "", "").await.status, 404);
    door.close().await;
}

#[actix_web::test]
async fn a_preflight_is_answered_with_what_is_allowed() {
    let door = door(&settings());
    let wants = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type,idempotency-key,prefer,traceparent,accept-language\r\n";
    let headers = format!("Origin: https://shop.example\r\n{wants}");
    let said = ask(&door, &format!("OPTIONS {CONFIRM}"), &headers, "").await;
    assert_eq!(
        (said.status, said.header("access-control-allow-origin")),
        (200, Some("*"))
    );
    let allowed = said
        .header("access-control-allow-headers")
        .unwrap()
        .to_lowercase();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "prefer",
        "traceparent",
        "accept-language",
    ] {
        assert!(allowed.contains(name), "{allowed}");
    }
    let methods = said.header("access-control-allow-methods").unwrap();
    assert!(
        ["GET", "POST", "PUT"].iter().all(|m| methods.contains(m)),
        "{methods}"
    );
    assert_eq!(said.header("payonce-gateway"), Some("sandbox"));
    let headers = headers.replace("prefer", "x-strange");
    let said = ask(&door, &format!("OPTIONS {CONFIRM}"), &headers, "").await;
    assert_eq!(
        (said.status, said.error("code")),
        (403, Value::from("E99403"))
    );
    door.close().await;
}

#[actix_web::test]
async fn only_named_origins_are_let_in_where_some_are_named() {
    let mut settings = settings();
    settings.allowed_origins = vec!["https://shop.example".to_owned()];
    let door = door(&settings);
    let ours = ask(
        &door,
        "GET /nowhere",
        "Origin: https://shop.example\r\n",
        "",
    )
    .await;
    assert_eq!(
        ours.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    let theirs = ask(
        &door,
        "GET /nowhere",
        "Origin: https://evil.example\r\n",
        "",
    )
    .await;
    assert_eq!(
        (theirs.status, theirs.header("access-control-allow-origin")),
        (404, None)
    );
    let wants = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n";
    let said = ask(&door, &format!("OPTIONS {CONFIRM}"), wants, "").await;
    assert_eq!(
        (said.status, said.error("code")),
        (403, Value::from("E99403"))
    );
    door.close().await;
}

#[actix_web::test]
async fn head_is_get_without_a_body() {
    let door = door(&settings());
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    for _ in 0..2 {
        let said = ask_on(&mut stream, "HEAD /health/live", "", b"").await;
        assert_eq!((said.status, &*said.body), (200, ""));
    }
    door.close().await;
}

#[actix_web::test]
async fn a_draining_door_is_not_ready_but_alive() {
    let door = door(&settings());
    door.drain(tokio::time::Instant::now());
    let said = ask(&door, "GET /health/ready", "", "").await;
    assert_eq!(
        (said.status, said.error("code")),
        (503, Value::from("E99004"))
    );
    assert_eq!(said.error("notReady"), serde_json::json!(["draining"]));
    assert_eq!(ask(&door, "GET /health/live", "", "").await.status, 200);
    door.close().await;
}

#[actix_web::test]
async fn closing_lets_a_request_end_waits_for_no_idle_connection_and_accepts_no_new_one() {
    let mut settings = settings();
    settings.shutdown_s = 20;
    let door = door(&settings);
    let address = door.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask_on(&mut idle, "GET /health/live", "", b"").await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /dawdle HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let (said, ()) = tokio::join!(read(&mut slow, false), door.close());
    assert_eq!((said.status, &*said.body), (200, "done"));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "the idle connection was waited for"
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[actix_web::test]
async fn a_door_without_keys_opens_on_loopback_only() {
    let mut settings = settings();
    settings.api_keys.clear();
    let door = door(&settings);
    let said = ask(&door, "PUT /api/v1/products/1", JSON, "{}").await;
    assert_eq!(said.error("field"), "name", "everybody may");
    let mut taken = settings.clone();
    taken.bind = door.address();
    assert!(matches!(serve(&taken, also), Err(DoorFault::Bind { .. })));
    settings.bind = ([0, 0, 0, 0], 0).into();
    assert!(matches!(
        serve(&settings, also),
        Err(DoorFault::Unguarded(_))
    ));
    door.close().await;
}
