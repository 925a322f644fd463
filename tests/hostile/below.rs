//! What is no HTTP, or two kinds of it at once. The framework answers these below our door: a bare 4xx without a body
//! and the end of the connection; never a 500, never a second answer to what was smuggled in.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use crate::common::House;
use crate::fort::{API_KEY, CHECKOUT, Fort};
use crate::wire::{Said, Wire, request};

/// Sends the bytes on a connection of their own, and hears all answers until its end.
fn throw(fort: &Fort, bytes: &[u8]) -> Vec<Said> {
    let mut wire = Wire::to(fort.address());
    wire.send(bytes);
    _ = wire.stream.shutdown(Shutdown::Write);
    let all = wire.hear_out();
    for said in &all {
        fort.is_discreet(said).unwrap();
    }
    all
}

/// At most one answer: a refusal, bare or ours.
fn is_refused(fort: &Fort, bytes: &[u8]) {
    let all = throw(fort, bytes);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    assert!(all.len() <= 1, "{shown:?}: {all:?}");
    for said in &all {
        assert!((400..500).contains(&said.status), "{shown:?}: {said:?}");
        if !said.body.is_empty() {
            fort.is_ours(said, false).unwrap();
        }
    }
}

#[test]
fn bytes_that_are_no_http_are_refused_and_their_connection_ends() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20);
    let random: Vec<u8> = (0..60_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for garbage in [
        &b"\x00\x00\x00\x00\r\n\r\n"[..],
        &tls,
        &random,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\x7f\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"# / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"%47ET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nspaced : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: nameless\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: \x1b[2J\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x",
        b"\r\n\r\n\r\n\r\n",
    ] {
        is_refused(&fort, garbage);
    }
    for method in ["CONNECT shop:443", "CONNECT /", "OPTIONS *", "TRACE /"] {
        is_refused(
            &fort,
            format!("{method} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
    }
    assert_eq!(fort.state(), before);
    fort.stands();
}

/// Two lengths, or a length and an encoding: what one server takes for a body is another's next request.
#[test]
fn a_request_of_two_lengths_smuggles_nothing_in() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let stolen = br#"{"name": "Stolen", "price": 1, "sellerId": 1}"#;
    let key = format!("Bearer {API_KEY}");
    let headers: [(&str, &[u8]); 2] = [
        ("Content-Type", b"application/json"),
        ("Authorization", key.as_bytes()),
    ];
    let hidden = request("PUT /api/v1/products/1", &headers, stolen);
    let hidden = String::from_utf8(hidden).unwrap();
    let all = hidden.len();
    for lengths in [
        "Content-Length: 0\r\nContent-Length: 5".to_owned(),
        format!("Content-Length: {all}\r\nContent-Length: {all}"),
        format!("Content-Length: 0, {all}"),
        "Content-Length: +0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: 18446744073709551616".to_owned(),
        format!("Content-Length: {all}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked\r\nContent-Length: 0".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: \x0bchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding\r\n : chunked".to_owned(),
    ] {
        let head =
            format!("POST {CHECKOUT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
        for body in [hidden.clone(), format!("0\r\n\r\n{hidden}")] {
            is_refused(&fort, format!("{head}{lengths}\r\n\r\n{body}").as_bytes());
        }
    }
    let old =
        format!("POST {CHECKOUT} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}");
    is_refused(&fort, old.as_bytes());
    assert_eq!(fort.state(), before);
    fort.stands();
}

#[test]
fn chunks_that_are_none_end_the_body_and_the_connection() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let next = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    for chunks in [
        format!("zz\r\n{next}"),
        format!("-1\r\n{next}"),
        format!("FFFFFFFFFFFFFFFFF\r\n{next}"),
        format!("2\r\n{{}}{next}"),
        format!("2\n{{}}\n0\n\n{next}"),
        format!("\r\n{next}"),
        format!("2;{}\r\n{{}}\r\n", "x".repeat(200_000)),
        "7fffffffffffffff\r\n{}".to_owned(),
        "2\r\n{".to_owned(),
    ] {
        let head = format!(
            "POST {CHECKOUT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        is_refused(&fort, format!("{head}{chunks}").as_bytes());
    }
    assert_eq!(fort.state(), before);
    fort.stands();
}

/// A pipeline is served up to the first thing that is no request, and no further.
#[test]
fn a_pipeline_ends_at_its_first_garbage() {
    let fort = Fort::build(House::plan());
    let good = request("GET /health/live", &[], b"");
    let mut wire = Wire::to(fort.address());
    wire.send(&[&good[..], &good, b"\x00\x01nonsense\r\n\r\n", &good].concat());
    let statuses: Vec<u16> = wire.hear_out().iter().map(|said| said.status).collect();
    assert_eq!(statuses, [200, 200, 400]);
    let many = good.repeat(300);
    let mut wire = Wire::to(fort.address());
    wire.send(&many);
    for _ in 0..300 {
        assert_eq!(wire.hear(false).unwrap().status, 200);
    }
    fort.stands();
}

/// However far ahead a client asks, and however late it listens, each request has its answer, in order: what was left
/// unread meanwhile is read when its turn comes. (A request with a body, behind another, ends a pipeline: the framework
/// closes behind the answer before it.)
#[test]
fn a_long_pipeline_is_answered_to_its_end() {
    let fort = Fort::build(House::plan());
    let turn = ["/health/live", "/api/v1/products", "/nowhere"]
        .map(|path| request(&format!("GET {path}"), &[], b""))
        .concat();
    let mut wire = Wire::to(fort.address());
    let mut mouth = wire.stream.try_clone().unwrap();
    let asking = std::thread::spawn(move || mouth.write_all(&turn.repeat(2_000)));
    // Until nothing goes in either direction any more.
    std::thread::sleep(Duration::from_millis(300));
    for turn in 0..2_000 {
        for expected in [200, 200, 404] {
            let said = wire.hear(false).map(|said| said.status);
            assert_eq!(said, Some(expected), "in turn {turn}");
        }
    }
    asking.join().unwrap().unwrap();
    fort.stands();
}

#[test]
fn heads_that_are_too_many_or_too_large_are_refused() {
    let fort = Fort::build(House::plan());
    let head = |headers: &str| format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let many = |n: usize| (0..n).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let one = throw(&fort, head(&many(90)).as_bytes());
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].status, 200, "ninety headers are still a request");
    for flood in [
        head(&many(100)),
        head(&many(10_000)),
        head(&format!("x: {}\r\n", "y".repeat(200_000))),
        head(&format!("Cookie: {}\r\n", "y".repeat(2 << 20))),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)),
        format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(200_000)),
        head("x: y\r\n").replace("x: y", &format!("{}: y", "n".repeat(200_000))),
    ] {
        is_refused(&fort, flood.as_bytes());
    }
    fort.stands();
}

/// The framework panics over a header's name of 64 KiB and more: it never gets to see one.
#[test]
fn a_name_of_a_header_that_is_endless_ends_its_own_connection_alone() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let mut neighbour = Wire::to(fort.address());
    let look = request("GET /health/live", &[], b"");
    neighbour.send(&look);
    assert_eq!(neighbour.hear(false).unwrap().status, 200);
    let name = "n".repeat(70_000);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{name}: y\r\n\r\n");
    for _ in 0..8 {
        is_refused(&fort, head.as_bytes());
    }
    // As the second request of its connection too.
    let all = throw(&fort, &[&look, head.as_bytes()].concat());
    let statuses: Vec<u16> = all.iter().map(|said| said.status).collect();
    assert_eq!(statuses, [200]);
    // And behind a body, in one piece with its end.
    let json: [(&str, &[u8]); 1] = [("Content-Type", b"application/json")];
    let asks = request(&format!("POST {CHECKOUT}"), &json, b"{}");
    let mut wire = Wire::to(fort.address());
    let (begins, ends) = asks.split_at(asks.len() - 2);
    wire.send(begins);
    std::thread::sleep(std::time::Duration::from_millis(100));
    wire.send(&[ends, b"GET / HTTP/1.1\r\nHost: x\r\nn"].concat());
    assert_eq!(wire.hear(false).unwrap().status, 400);
    // Whoever has been cut may or may not notice while he speaks.
    wire.send(format!("{name}: y\r\n\r\n").as_bytes());
    assert!(wire.hear(false).is_none());
    neighbour.send(&look);
    assert_eq!(neighbour.hear(false).unwrap().status, 200);
    assert_eq!(fort.state(), before);
    fort.stands();
}

/// A client that says no more, at any point of a checkout: no order that it is not told of is half there.
#[test]
fn a_client_that_half_closes_at_any_point_leaves_nothing_behind() {
    let fort = Fort::build(House::plan());
    let before = fort.state();
    let body = br#"{"userId": 1, "orderedProductList": [{"productId": 7777, "quantity": 1}]}"#;
    let json: [(&str, &[u8]); 1] = [("Content-Type", b"application/json")];
    let whole = request(&format!("POST {CHECKOUT}"), &json, body);
    let points = (0..whole.len()).step_by(9).chain([whole.len()]);
    for end in points {
        for said in throw(&fort, &whole[..end]) {
            assert!((400..500).contains(&said.status), "{end}: {said:?}");
        }
    }
    assert_eq!(fort.state(), before);
    fort.stands();
}
