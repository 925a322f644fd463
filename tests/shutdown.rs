//! Shutdown: SIGTERM under load resets no request that was accepted, ends in time, and leaves nothing that a restart
//! does not settle.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use std::time::{Duration, Instant};

use common::{House, Order};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);
const PRODUCT: i64 = 900;

/// What came back on a line.
#[derive(Clone, Debug)]
struct Said {
    status: u16,
    /// The server says that it was the last answer on this line.
    last: bool,
    body: Value,
}

impl Said {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
}

/// One keep-alive connection, without any client's habit of trying again.
struct Line(TcpStream);

impl Line {
    async fn open(url: &str) -> std::io::Result<Line> {
        let address = url.trim_start_matches("http://");
        Ok(Line(TcpStream::connect(address).await?))
    }

    /// The whole answer, or how the line broke.
    async fn ask(&mut self, head: &str, body: &str) -> std::io::Result<Said> {
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await?;
        let mut heard = Vec::new();
        let head = loop {
            if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut heard).await?;
        };
        let text = String::from_utf8_lossy(&heard[..head]).to_ascii_lowercase();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let length: usize = field("content-length:").map_or(0, |length| length.parse().unwrap());
        while heard.len() < head + length {
            self.more(&mut heard).await?;
        }
        Ok(Said {
            status: text.split(' ').nth(1).unwrap().parse().unwrap(),
            last: field("connection:").is_some_and(|word| word == "close"),
            body: serde_json::from_slice(&heard[head..]).unwrap_or(Value::Null),
        })
    }

    async fn more(&mut self, heard: &mut Vec<u8>) -> std::io::Result<()> {
        match self.0.read_buf(heard).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn confirm(&mut self, order: &Order, key: &str) -> std::io::Result<Said> {
        let body = House::confirm_body(order, key).to_string();
        self.ask("POST /api/v1/payments/confirm", &body).await
    }
}

fn confirm_on(mut line: Line, order: &(Order, String)) -> JoinHandle<std::io::Result<Said>> {
    let (order, key) = order.clone();
    tokio::spawn(async move { line.confirm(&order, &key).await })
}

async fn slow_toss(house: &House, millis: u64) {
    house
        .faults(json!([{"on": "confirm", "do": {"kind": "delay", "millis": millis}}]))
        .await;
}

/// The health check of a load balancer says so.
async fn until_draining(url: &str) {
    let until = Instant::now() + SOON;
    loop {
        let mut line = Line::open(url).await.expect("the door is open still");
        let said = line.ask("GET /health/ready", "").await.unwrap();
        if said.status == 503 {
            assert!(said.last, "{said:?}");
            return;
        }
        assert!(Instant::now() < until, "not draining: {said:?}");
    }
}

/// Each time on a new connection, for a leaving house answers each once.
async fn keep_talking(url: String) {
    loop {
        if let Ok(mut line) = Line::open(&url).await {
            _ = line.ask("GET /health/live", "").await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Rows of `nodes` that were not closed by their owner.
async fn open_nodes(house: &House) -> i64 {
    let sql = "SELECT COUNT(*) FROM nodes WHERE closed_at IS NULL";
    house.rows(sql).await[0].try_get_by(0).unwrap()
}

/// What one line saw of the end: its answers, and whether it broke.
#[derive(Default)]
struct Seen {
    answers: Vec<(usize, Said)>,
    broken: Option<String>,
}

/// Confirms one order after the other on one connection, until the server says that it was the last one.
async fn keep_confirming(mut line: Line, share: Vec<(usize, (Order, String))>) -> Seen {
    let mut seen = Seen::default();
    for (number, (order, key)) in share {
        match line.confirm(&order, &key).await {
            Ok(said) => {
                let last = said.last;
                seen.answers.push((number, said));
                if last {
                    break;
                }
            }
            Err(broken) => {
                seen.broken = Some(format!("order {number}: {broken}"));
                break;
            }
        }
    }
    seen
}

/// Every request on a connection that was open when the signal came gets its whole answer.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_resets_no_request_and_leaves_a_clean_house() {
    const LINES: usize = 64;
    let mut house = House::plan().own_toss().start();
    house.put_product(PRODUCT, 100, 100_000).await;
    let all = house.orders(PRODUCT, 40 * LINES).await;
    slow_toss(&house, 60).await;
    let mut lines = Vec::new();
    for first in 0..LINES {
        let share = all.iter().cloned().enumerate().skip(first).step_by(LINES);
        let line = Line::open(&house.server.url).await.unwrap();
        lines.push(tokio::spawn(keep_confirming(line, share.collect())));
    }
    // The load is on: a good part of the orders is paid, and the rest is on its way.
    let (middle, _) = &all[5 * LINES];
    house.wait_for(middle, &["DONE"], SOON).await;
    house.server.signal_term();
    let mut answers = Vec::new();
    for line in lines {
        let seen = line.await.unwrap();
        assert_eq!(seen.broken, None, "after {} answers", seen.answers.len());
        assert!(
            seen.answers.last().unwrap().1.last,
            "a line that was not told of the end"
        );
        answers.extend(seen.answers);
    }
    assert_eq!(house.server.wait(SOON), Some(0));
    assert_eq!(open_nodes(&house).await, 0);
    let (mut paid, mut refused) = (Vec::new(), Vec::new());
    for (number, said) in answers {
        match (said.status, said.code()) {
            (200, _) => paid.push(number),
            (503, "E99004") => refused.push(number),
            _ => panic!("order {number}: {said:?}"),
        }
    }
    println!("{} paid, {} refused", paid.len(), refused.len());
    assert!(paid.len() > LINES, "{} paid", paid.len());
    house.heal().await;
    house.restart(&[]);
    for number in paid {
        let seen = house.status(&all[number].0).await;
        assert_eq!(seen["status"], "DONE", "answered 200: {seen:#}");
    }
    for number in refused {
        let (order, key) = &all[number];
        assert_eq!(house.counted(order, "confirmCalls").await, 0);
        assert_eq!(house.status(order).await["status"], "READY");
        assert_eq!(house.confirm(order, key).await.status, 200);
    }
    house.audit();
}

/// A closing house begins nothing, and forgets nobody: what is in flight is joined, what is settled is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_closing_house_takes_no_new_confirm_and_still_answers_the_others() {
    let mut house = House::plan().own_toss().start();
    house.put_product(PRODUCT, 100, 1_000).await;
    let all = house.orders(PRODUCT, 3).await;
    let [paid, flying, new] = &all[..] else {
        unreachable!()
    };
    let url = house.server.url.clone();
    assert_eq!(house.confirm(&paid.0, &paid.1).await.status, 200);
    slow_toss(&house, 3_000).await;
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.push(Line::open(&url).await.unwrap());
    }
    let first = confirm_on(lines.remove(0), flying);
    house.wait_for(&flying.0, &["IN_PROGRESS"], SOON).await;
    let began = Instant::now();
    house.server.signal_term();
    // A door on which nobody says anything for a moment is shut: somebody always does.
    let company = tokio::spawn(keep_talking(url.clone()));
    until_draining(&url).await;
    let joined = confirm_on(lines.remove(0), flying);
    let told = confirm_on(lines.remove(0), paid);
    let refused = confirm_on(lines.remove(0), new);
    let look = format!("GET /api/v1/payments/{}?wait=60", new.0.id);
    let status = lines.remove(0).ask(&look, "").await.unwrap();
    let told = told.await.unwrap().unwrap();
    assert_eq!((told.status, told.last), (200, true), "{told:?}");
    let refused = refused.await.unwrap().unwrap();
    company.abort();
    assert_eq!(
        (refused.status, refused.code(), refused.last),
        (503, "E99004", true),
        "{refused:?}"
    );
    assert_eq!(status.body["data"]["status"], "READY", "{status:?}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "a reader's patience was waited for"
    );
    for said in [
        first.await.unwrap().unwrap(),
        joined.await.unwrap().unwrap(),
    ] {
        assert_eq!((said.status, said.last), (200, true), "{said:?}");
    }
    assert_eq!(house.server.wait(SOON), Some(0));
    assert_eq!(house.counted(&new.0, "confirmCalls").await, 0);
    assert_eq!(house.counted(&flying.0, "confirmCalls").await, 1);
    assert_eq!(open_nodes(&house).await, 0);
    house.heal().await;
    house.restart(&[]);
    assert_eq!(house.confirm(&new.0, &new.1).await.status, 200);
    house.audit();
}

/// What Toss does not answer in time is left for recovery; its callers are told, and the node's row stays open.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_without_an_answer_hears_pending_before_the_house_is_closed() {
    const BOUND: Duration = Duration::from_secs(4);
    let mut house = House::plan()
        .own_toss()
        .env("SERVER__SHUTDOWN_MS", BOUND.as_millis())
        .start();
    house.put_product(PRODUCT, 100, 1_000).await;
    let all = house.orders(PRODUCT, 8).await;
    house
        .faults(json!([{"on": "any", "do": {"kind": "hang_after", "millis": 25_000}}]))
        .await;
    let mut calls = Vec::new();
    for order in &all {
        calls.push(confirm_on(
            Line::open(&house.server.url).await.unwrap(),
            order,
        ));
    }
    for (order, _) in &all {
        house.wait_for(order, &["IN_PROGRESS"], SOON).await;
    }
    let began = Instant::now();
    house.server.signal_term();
    for call in calls {
        let said = call.await.unwrap().expect("a whole answer");
        assert_eq!(
            (said.status, said.code(), said.last),
            (503, "E03009", true),
            "{said:?}"
        );
    }
    assert_eq!(house.server.wait(SOON), Some(0));
    let took = began.elapsed();
    assert!(took < BOUND + Duration::from_secs(20), "{took:?}");
    assert_eq!(
        open_nodes(&house).await,
        1,
        "a call is out: the node is not closed"
    );
    // Toss approved them all, and its answers never arrived. The sandbox is healed, its hangs are not over.
    house.heal().await;
    house.restart(&[]);
    for (order, _) in &all {
        house.wait_for(order, &["DONE"], SOON).await;
        assert_eq!(house.approvals(order).await, 1);
    }
    assert_eq!(house.shelf(PRODUCT).await, (992, 0, 8, 1_000));
    house.audit();
}

/// Where the server is now (it moves with every restart), and since when it was asked to go from where.
#[derive(Debug)]
struct Place {
    url: String,
    left: HashMap<String, Instant>,
}

type Sign = Arc<RwLock<Place>>;

/// A connection, and where and when it was opened.
struct Opened {
    line: Line,
    url: String,
    since: Instant,
}

/// A buyer's page on a connection of its own: it asks until it is told how its order ended, wherever the house is now.
/// Returned is what broke on a connection that was open before the house was asked to go.
async fn insist(line: &mut Option<Opened>, sign: &Sign, order: &(Order, String)) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(120);
    let mut lost = Vec::new();
    while Instant::now() < until {
        let Some(mut opened) = next_line(line, sign).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        match opened.line.confirm(&order.0, &order.1).await {
            Ok(said) => {
                *line = (!said.last).then_some(opened);
                match (said.status, said.code()) {
                    (200, _) => return lost,
                    (503, "E99004" | "E03009") => {}
                    _ => lost.push(format!("{said:?}")),
                }
            }
            // Whoever connects to a house that is leaving may find that nobody accepts any more.
            Err(broken) => {
                let sign = sign.read().unwrap();
                let left = sign.left.get(&opened.url);
                if left.is_none_or(|left| opened.since < *left) {
                    lost.push(format!("{broken}"));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} never settled", order.0.id);
}

async fn connect(sign: &Sign) -> Option<Opened> {
    let (url, since) = (sign.read().unwrap().url.clone(), Instant::now());
    let line = Line::open(&url).await.ok()?;
    Some(Opened { line, url, since })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rolling_restarts_under_load_lose_nothing() {
    const CALLERS: usize = 32;
    const ORDERS: usize = 1_500;
    let mut house = House::plan()
        .own_toss()
        .env("SERVER__SHUTDOWN_MS", 8_000)
        .start();
    house.put_product(PRODUCT, 100, 100_000).await;
    let all = house.orders(PRODUCT, ORDERS).await;
    slow_toss(&house, 100).await;
    let sign = Place {
        url: house.server.url.clone(),
        left: HashMap::new(),
    };
    let sign: Sign = Arc::new(RwLock::new(sign));
    let callers = (0..CALLERS).map(|first| {
        let share: Vec<_> = all.iter().skip(first).step_by(CALLERS).cloned().collect();
        let sign = sign.clone();
        tokio::spawn(async move {
            let (mut lost, mut line) = (Vec::new(), None);
            for order in share {
                lost.extend(insist(&mut line, &sign, &order).await);
            }
            lost
        })
    });
    let callers: Vec<_> = callers.collect();
    for restart in 1..=3 {
        let (middle, _) = &all[restart * ORDERS / 5];
        house.wait_for(middle, &["DONE"], SOON).await;
        let url = house.server.url.clone();
        sign.write().unwrap().left.insert(url, Instant::now());
        house.server.signal_term();
        assert_eq!(house.server.wait(SOON), Some(0));
        assert_eq!(open_nodes(&house).await, 0, "restart {restart}");
        house.restart(&[]);
        sign.write().unwrap().url.clone_from(&house.server.url);
    }
    let mut lost = Vec::new();
    for caller in callers {
        lost.extend(caller.await.unwrap());
    }
    assert!(lost.is_empty(), "{} broken: {lost:?}", lost.len());
    for (order, _) in &all {
        assert_eq!(house.counted(order, "approvals").await, 1);
    }
    let sold = i64::try_from(ORDERS).unwrap();
    assert_eq!(
        house.shelf(PRODUCT).await,
        (100_000 - sold, 0, sold, 100_000)
    );
    house.audit();
}

async fn next_line(line: &mut Option<Opened>, sign: &Sign) -> Option<Opened> {
    match line.take() {
        Some(opened) => Some(opened),
        None => connect(sign).await,
    }
}
