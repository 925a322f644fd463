//! Shutdown: SIGTERM under load resets no request that was accepted, ends in time, and leaves nothing that a restart
//! does not settle.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod line;
mod restarts;

use std::time::{Duration, Instant};

use common::{House, Order};
use line::{Line, Said};
use serde_json::json;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(60);
const PRODUCT: i64 = 900;

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
    slow_toss(&house, 150).await;
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
    house.toss_stands_still();
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
    house.toss_goes_on();
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
    println!("gone {took:?} after the signal");
    // Neither the callers' patience nor Toss is waited for.
    assert!(took < BOUND + Duration::from_secs(3), "{took:?}");
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
