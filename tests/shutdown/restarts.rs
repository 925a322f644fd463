//! Rolling restarts: buyers who insist while the house moves from process to process.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use crate::common::{House, Order};
use crate::line::Line;
use crate::{PRODUCT, SOON, open_nodes, slow_toss};

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
