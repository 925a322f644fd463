//! The client against a server that does exactly what a script says, wrong things included.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use uuid::Uuid;

use super::*;
use crate::domain::{Charge, Decline, Report, TossStatus};

const SECRET: &str = "test_sk_zXLkKEypNArWmo50nX3lmeaxYG5R";
const KEY: &str = "tgen_20260102210202h9Oy0";

/// What the server does with one request that it has read.
#[derive(Clone)]
enum Does {
    /// Sends these bytes; the connection stays open.
    Says(String),
    /// Sends these bytes and hangs up.
    Breaks(String),
    /// Sends these bytes and then nothing more.
    Stalls(String),
}

use Does::{Breaks, Says, Stalls};

fn http(status: u16, body: &str) -> Does {
    let length = body.len();
    Says(format!(
        "HTTP/1.1 {status} X\r\nx-tosspayments-trace-id: trace-1\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

fn error(status: u16, code: &str) -> Does {
    let body = json!({"code": code, "message": "안내"}).to_string();
    http(status, &body)
}

fn payment(status: &str) -> Value {
    json!({
        "paymentKey": KEY, "orderId": order().to_string(), "status": status, "currency": "KRW",
        "totalAmount": 210_000, "approvedAt": "2026-01-02T00:30:00+09:00", "method": "카드",
    })
}

fn paid() -> Does {
    http(200, &payment("DONE").to_string())
}

fn report() -> Report {
    Report {
        payment_key: key(KEY),
        order_id: order().to_string().into(),
        status: TossStatus::Done,
        total: Charge::Won(210_000),
        approved_at: Some(Timestamp::from_micros(1_767_281_400_000_000)),
        method: Some("카드".into()),
        receipt_url: None,
        failure: None,
        account: None,
    }
}

fn order() -> OrderId {
    OrderId::new(Uuid::from_u128(7))
}

fn key(text: &str) -> PaymentKey {
    PaymentKey::parse(text).unwrap()
}

fn call() -> ConfirmCall {
    ConfirmCall {
        payment_key: key(KEY),
        order: order(),
        amount: Won::new(210_000).unwrap(),
        idempotency_key: format!("{}:1:1", order()),
    }
}

fn toss_at(base_url: String) -> Toss {
    Toss::new(TossSettings {
        base_url,
        secret_key: SECRET.into(),
        connect_timeout_ms: 300,
        read_timeout_ms: 600,
    })
    .unwrap()
}

/// Every request that arrived, whole.
type Seen = Arc<Mutex<Vec<String>>>;

/// Request number i, over whichever connection, is treated by line i of the script; the last line repeats.
async fn server(script: Vec<Does>) -> (Toss, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let toss = toss_at(format!("http://{}", listener.local_addr().unwrap()));
    let seen = Seen::default();
    let noted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone(), noted.clone()));
        }
    });
    (toss, seen)
}

async fn serve(mut stream: TcpStream, script: Vec<Does>, seen: Seen) {
    while let Some(request) = request(&mut stream).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len()
        };
        let (bytes, more) = match &script[(number - 1).min(script.len() - 1)] {
            Says(bytes) => (bytes, true),
            Breaks(bytes) => (bytes, false),
            Stalls(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok();
                std::future::pending::<()>().await;
                return;
            }
        };
        stream.write_all(bytes.as_bytes()).await.ok();
        if !more {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split_once("content-length: ");
            let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut chunk = [0; 4_096];
        match stream.read(&mut chunk).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&chunk[..read]),
            Ok(0) | Err(_) => return None,
        }
    }
}

async fn confirmed(does: Does) -> Reply {
    let (toss, seen) = server(vec![does]).await;
    let reply = toss.confirm(&call()).await.said;
    assert_eq!(seen.lock().unwrap().len(), 1, "one call is one request");
    reply
}

async fn found(does: Does) -> Finding {
    let (toss, seen) = server(vec![does]).await;
    let finding = toss.look_up(&key(KEY)).await.said;
    assert_eq!(seen.lock().unwrap().len(), 1, "one call is one request");
    finding
}

fn unknown(why: &str, answered: bool) -> Reply {
    let outcome = Outcome::Unknown(why.into());
    Reply { outcome, answered }
}

#[tokio::test]
async fn a_confirm_carries_all_that_toss_needs_and_nothing_else() {
    let (toss, seen) = server(vec![paid()]).await;
    toss.confirm(&call()).await;
    let request = seen.lock().unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /v1/payments/confirm http/1.1\r\n"));
    let basic = STANDARD.encode(format!("{SECRET}:")).to_lowercase();
    for line in [
        format!("authorization: basic {basic}"),
        format!("idempotency-key: {}:1:1", order()),
        "content-type: application/json".to_owned(),
        format!("user-agent: payonce/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|sent| sent == line), "{line} in {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    let order = order().to_string();
    assert_eq!(
        body,
        json!({"paymentKey": KEY, "orderId": order, "amount": 210_000})
    );
}

/// Each answer to a confirm, and whether Toss will replay it.
#[tokio::test]
async fn each_answer_to_a_confirm_means_one_thing() {
    let declined = Outcome::Declined(Decline::new("REJECT_CARD_PAYMENT", "안내"));
    let reply = |outcome, answered| Reply { outcome, answered };
    let processing = "IDEMPOTENT_REQUEST_PROCESSING (HTTP 409)".into();
    let table = [
        (paid(), reply(Outcome::Approved(report()), true)),
        (error(403, "REJECT_CARD_PAYMENT"), reply(declined, true)),
        (
            error(400, "PROVIDER_ERROR"),
            reply(Outcome::Temporary("PROVIDER_ERROR (HTTP 400)".into()), true),
        ),
        (
            error(409, "IDEMPOTENT_REQUEST_PROCESSING"),
            reply(Outcome::InProgress(processing), false),
        ),
        (
            error(400, "ALREADY_PROCESSED_PAYMENT"),
            unknown("ALREADY_PROCESSED_PAYMENT (HTTP 400)", true),
        ),
        (
            error(404, "NOT_FOUND_PAYMENT_SESSION"),
            unknown("NOT_FOUND_PAYMENT_SESSION (HTTP 404)", true),
        ),
        (
            error(401, "UNAUTHORIZED_KEY"),
            unknown("UNAUTHORIZED_KEY (HTTP 401)", true),
        ),
        (
            error(500, "REJECT_CARD_PAYMENT"),
            unknown("REJECT_CARD_PAYMENT (HTTP 500)", true),
        ),
        (
            http(200, &payment("WAITING_FOR_DEPOSIT").to_string()),
            unknown("status WAITING_FOR_DEPOSIT (HTTP 200)", true),
        ),
        (
            http(502, "<html>Bad Gateway</html>"),
            unknown("unreadable answer (HTTP 502)", false),
        ),
        (
            http(200, "{\"paymentKey\": \"half"),
            unknown("unreadable answer (HTTP 200)", false),
        ),
        (
            error(429, "TOO_MANY_REQUESTS"),
            unknown("too many requests (HTTP 429)", false),
        ),
    ];
    for (does, expected) in table {
        assert_eq!(confirmed(does).await, expected);
    }
}

/// Whatever breaks after the request left is unknown, and none of it is repeated here.
#[tokio::test]
async fn a_call_that_breaks_after_sending_is_unknown_and_not_repeated() {
    let head = "HTTP/1.1 200 X\r\ncontent-length: 900\r\n\r\n{";
    let endless = format!("HTTP/1.1 200 X\r\n\r\n{}", "x".repeat(BODY_BYTES + 1));
    for (does, why) in [
        (Breaks(String::new()), "connection lost"),
        (Breaks("no HTTP at all\r\n\r\n".into()), "connection lost"),
        (Breaks(head.into()), "connection lost (HTTP 200)"),
        (Stalls(String::new()), "timeout"),
        (Stalls(head.into()), "timeout (HTTP 200)"),
        (Stalls(endless), "the answer does not end (HTTP 200)"),
    ] {
        assert_eq!(confirmed(does).await, unknown(why, false));
    }
}

#[tokio::test]
async fn a_reused_connection_that_breaks_under_a_call_does_not_send_it_twice() {
    let (toss, seen) = server(vec![paid(), Breaks(String::new()), paid()]).await;
    assert_eq!(
        toss.confirm(&call()).await.said.outcome,
        Outcome::Approved(report())
    );
    assert_eq!(
        toss.confirm(&call()).await.said,
        unknown("connection lost", false)
    );
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = "HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let reply = confirmed(Says(elsewhere.into())).await;
    assert_eq!(reply, unknown("unreadable answer (HTTP 307)", false));
}

/// Only a connection that was never made proves that nothing left.
#[tokio::test]
async fn without_a_connection_nothing_was_attempted() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let toss = toss_at(format!("http://{address}"));
    let outcome = Outcome::NotAttempted("no connection".into());
    let answered = false;
    let told = toss.confirm(&call()).await;
    assert_eq!(told.said, Reply { outcome, answered });
    assert_eq!(told.health, Health::Faulty);
    let lost = Finding::NoAnswer("no connection".into());
    assert_eq!(toss.look_up(&key(KEY)).await.said, lost);
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_was_not_attempted() {
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let fill = (0..8).map(|_| tokio::spawn(TcpStream::connect(address)));
    let fill: Vec<_> = fill.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = toss_at(format!("http://{address}")).confirm(&call()).await;
    let reply = told.said;
    let outcome = Outcome::NotAttempted("connect timeout".into());
    let answered = false;
    assert_eq!(reply, Reply { outcome, answered });
    fill.into_iter().for_each(|connect| connect.abort());
}

/// A look-up finds, finds nothing in Toss's own words, or has no answer.
#[tokio::test]
async fn each_answer_to_a_look_up_means_one_thing() {
    let lost = |why: &str| Finding::NoAnswer(why.into());
    let table = [
        (paid(), Finding::Found(report())),
        (error(404, "NOT_FOUND_PAYMENT"), Finding::NotFound),
        (error(404, "NOT_FOUND"), Finding::NotFound),
        (
            http(404, "<html>not here</html>"),
            lost("unreadable answer (HTTP 404)"),
        ),
        (http(404, ""), lost("unreadable answer (HTTP 404)")),
        (
            error(403, "FORBIDDEN_CONSECUTIVE_REQUEST"),
            lost("FORBIDDEN_CONSECUTIVE_REQUEST (HTTP 403)"),
        ),
        (
            error(401, "UNAUTHORIZED_KEY"),
            lost("UNAUTHORIZED_KEY (HTTP 401)"),
        ),
        (
            error(500, "NOT_FOUND_PAYMENT"),
            lost("NOT_FOUND_PAYMENT (HTTP 500)"),
        ),
        (
            error(429, "NOT_FOUND"),
            lost("too many requests (HTTP 429)"),
        ),
        (Breaks(String::new()), lost("connection lost")),
        (Stalls(String::new()), lost("timeout")),
    ];
    for (does, expected) in table {
        assert_eq!(found(does).await, expected);
    }
}

#[tokio::test]
async fn look_ups_ask_for_the_payment_and_for_nothing_that_its_key_smuggles_in() {
    let (toss, seen) = server(vec![paid()]).await;
    toss.look_up(&key(KEY)).await;
    toss.look_up(&key("../x?y")).await;
    let by_order = toss.look_up_order(order()).await;
    assert_eq!(by_order.said, Finding::Found(report()));
    let seen = seen.lock().unwrap();
    let lines: Vec<_> = seen
        .iter()
        .map(|request| request.lines().next().unwrap())
        .collect();
    let by_key = format!("GET /v1/payments/{KEY} HTTP/1.1");
    let by_order = format!("GET /v1/payments/orders/{} HTTP/1.1", order());
    assert_eq!(
        lines,
        [&by_key, "GET /v1/payments/..%2Fx%3Fy HTTP/1.1", &by_order]
    );
}

#[tokio::test]
async fn each_call_tells_whether_the_line_is_well() {
    let table = [
        (error(403, "REJECT_CARD_PAYMENT"), Health::Well),
        (error(401, "UNAUTHORIZED_KEY"), Health::KeyRefused),
        (Breaks(String::new()), Health::Faulty),
        (Stalls(String::new()), Health::Faulty),
    ];
    for (does, health) in table {
        let (toss, _) = server(vec![does]).await;
        assert_eq!(toss.confirm(&call()).await.health, health);
        assert_eq!(toss.look_up(&key(KEY)).await.health, health);
    }
}

#[tokio::test]
async fn transactions_are_read_page_by_page_in_korean_time() {
    let line = json!({
        "transactionKey": "t2", "paymentKey": KEY, "orderId": "order-1", "status": "DONE",
        "amount": 210_000, "currency": "KRW", "transactionAt": "2026-01-02T00:30:00+09:00",
    });
    let script = vec![
        http(200, &json!([line]).to_string()),
        error(401, "UNAUTHORIZED_KEY"),
    ];
    let (toss, seen) = server(script).await;
    let from = Timestamp::from_micros(1_767_281_400_000_000);
    let page = toss
        .transactions(from, from.plus_ms(1), Some("t1".into()))
        .await;
    let page = page.unwrap();
    assert_eq!(page[0].transaction_key, "t2");
    assert_eq!(page[0].executed_at(), Some(from));
    let line = seen.lock().unwrap()[0].lines().next().unwrap().to_owned();
    let from_to = "startDate=2026-01-02T00%3A30%3A00&endDate=2026-01-02T00%3A30%3A01";
    assert_eq!(
        line,
        format!("GET /v1/transactions?{from_to}&limit=1000&startingAfter=t1 HTTP/1.1")
    );
    let fault = toss.transactions(from, from, None).await.unwrap_err();
    assert!(fault.to_string().ends_with("UNAUTHORIZED_KEY (HTTP 401)"));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_secret_nor_payment_key_is_ever_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut shown = String::new();
    for does in [
        paid(),
        error(403, "REJECT_CARD_PAYMENT"),
        error(401, "UNAUTHORIZED_KEY"),
        error(400, KEY),
        http(500, &payment("DONE").to_string()),
        Breaks(String::new()),
        Stalls(String::new()),
    ] {
        let (toss, _) = server(vec![does]).await;
        let reply = toss.confirm(&call()).await;
        let findings = (
            toss.look_up(&key(KEY)).await,
            toss.look_up_order(order()).await,
        );
        shown += &format!("{toss:?} {:?} {reply:?} {findings:?}", call());
    }
    let toss = toss_at("http://127.0.0.1:9".to_owned());
    shown += &format!("{:?} {}", toss.confirm(&call()).await, toss.identity());
    let settings = TossSettings {
        base_url: "http://127.0.0.1:9".into(),
        secret_key: SECRET.into(),
        connect_timeout_ms: 1,
        read_timeout_ms: 1,
    };
    shown += &format!("{settings:?}");
    drop(guard);
    shown += &String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let masked = key(KEY).masked();
    for told in [
        "op=\"confirm\"",
        "http_status=401",
        "WARN",
        "trace-1",
        masked.as_str(),
    ] {
        assert!(
            shown.contains(told),
            "the log must be told of {told}: {shown}"
        );
    }
    let basic = STANDARD.encode(format!("{SECRET}:"));
    for secret in [SECRET, KEY, basic.as_str()] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}
