//! The door over real sockets, without anybody behind it: what it refuses by itself, how it refuses, how it closes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Instant;

use actix_web::web;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

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
        max_in_flight: 16,
        body_limit_bytes: 1 << 20,
        patience: Duration::from_secs(1),
        shutdown_s: 5,
        token_secret: [1; 32],
        gateway: "sandbox",
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

#[derive(Debug)]
struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn error(&self, field: &str) -> Value {
        self.json()["error"][field].clone()
    }
}

async fn read(stream: &mut TcpStream, headless: bool) -> Said {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed early"
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut said = Said {
        status,
        head,
        body: String::new(),
    };
    let announced = said.header("content-length").unwrap_or("0");
    let length: usize = if headless {
        0
    } else {
        announced.parse().unwrap()
    };
    while bytes.len() < end + length {
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed early"
        );
    }
    said.body = String::from_utf8(bytes[end..].to_vec()).unwrap();
    said
}

async fn ask_on(stream: &mut TcpStream, line: &str, headers: &str, body: &[u8]) -> Said {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    read(stream, line.starts_with("HEAD")).await
}

async fn ask(door: &Door, line: &str, headers: &str, body: &str) -> Said {
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    ask_on(&mut stream, line, headers, body.as_bytes()).await
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

#[actix_web::test]
async fn every_refusal_is_json_names_its_field_and_may_be_read_by_a_browser() {
    let door = door(&settings());
    let confirm =
        |more: &str| format!(r#"{{"orderId": "{ORDER}", "amount": 1, "paymentKey": "k"{more}}}"#);
    let deep = "[".repeat(5_000);
    let (post_checkout, post_confirm) = (&format!("POST {CHECKOUT}"), &format!("POST {CONFIRM}"));
    let stranger = "GET /api/v1/payments/ORDER-1";
    for (line, headers, body, status, code, field) in [
        ("GET /", "", "", 404, "E99404", ""),
        ("GET /api/v1/payments", "", "", 404, "E99404", ""),
        ("GET /api/v1/products/", "", "", 404, "E99404", ""),
        ("POST /%ff%00/..", "", "", 404, "E99404", ""),
        (&format!("GET {CONFIRM}"), "", "", 405, "E99405", ""),
        (&format!("DELETE {CHECKOUT}"), "", "", 405, "E99405", ""),
        (&format!("OPTIONS {CHECKOUT}"), "", "", 405, "E99405", ""),
        ("POST /health/live", "", "", 405, "E99405", ""),
        ("PATCH /api/v1/products/1", "", "", 405, "E99405", ""),
        (stranger, "", "", 404, "E03001", ""),
        ("GET /api/v1/payments/%2e%2e%2fx", "", "", 404, "E03001", ""),
        ("GET /api/v1/payments/%ff", "", "", 404, "E03001", ""),
        (
            &format!("{stranger}?wait=soon"),
            "",
            "",
            400,
            "E99001",
            "wait",
        ),
        ("GET /api/v1/products/x", "", "", 400, "E99001", "id"),
        ("GET /api/v1/products/0", "", "", 400, "E99001", "id"),
        (post_checkout, "", "{}", 415, "E99001", "Content-Type"),
        (
            post_checkout,
            "Content-Type: text/plain\r\n",
            "{}",
            415,
            "E99001",
            "Content-Type",
        ),
        (post_checkout, JSON, "", 400, "E99001", "body"),
        (post_checkout, JSON, "{", 400, "E99001", "body"),
        (post_checkout, JSON, &deep, 400, "E99001", "body"),
        (post_checkout, JSON, "{}", 400, "E99001", "userId"),
        (
            post_checkout,
            JSON,
            r#"{"userId": 1}"#,
            400,
            "E99001",
            "orderedProductList",
        ),
        (post_confirm, JSON, &confirm(""), 400, "E99001", "userId"),
        (
            post_confirm,
            JSON,
            &confirm(r#", "userId": {}"#),
            400,
            "E99001",
            "userId",
        ),
        (
            post_confirm,
            JSON,
            &confirm(r#", "orderToken": "x""#),
            403,
            "E99403",
            "",
        ),
        (
            post_confirm,
            JSON,
            &confirm("").replace(ORDER, "x"),
            404,
            "E03001",
            "",
        ),
        (
            post_confirm,
            "Authorization: Bearer x\r\n",
            "{}",
            401,
            "E99401",
            "",
        ),
        ("PUT /api/v1/products/1", JSON, "{}", 401, "E99401", ""),
        (
            "POST /api/v1/products/1/stock",
            JSON,
            "{}",
            401,
            "E99401",
            "",
        ),
        // Whatever passes the door finds nobody behind it here.
        ("GET /api/v1/products", "", "", 500, "E99999", ""),
        (
            &format!("GET /api/v1/payments/{ORDER}"),
            "",
            "",
            500,
            "E99999",
            "",
        ),
        (
            post_confirm,
            JSON,
            &confirm(r#", "userId": 1"#),
            500,
            "E99999",
            "",
        ),
    ] {
        let said = ask(
            &door,
            line,
            &format!("Origin: https://shop.example\r\n{headers}"),
            body,
        )
        .await;
        let found = (said.status, said.error("code"));
        assert_eq!(found, (status, Value::from(code)), "{line} {said:?}");
        if !field.is_empty() {
            assert_eq!(said.error("field"), field, "{line} {said:?}");
            assert!(said.error("wants").is_string(), "{line} {said:?}");
        }
        is_framed(&said);
    }
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
    door.drain();
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
