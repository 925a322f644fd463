//! One cell of the matrix: one order, one outcome, one or two deaths, a last start, and what must be true then.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use payonce::crash::{Kind, Point};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::Order;
use crate::outcome::{Outcome, follows_the_intent, is_expiry, is_shutdown};
use crate::shop::{Heard, Shop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The server dies here first, while it serves; `point` is then for its recovery.
    pub first: Option<Point>,
    pub point: Point,
    /// Which time of reaching it is the last.
    pub time: u32,
    pub outcome: Outcome,
}

impl Cell {
    fn arm(&self) -> String {
        format!("{}:{}", self.point, self.time)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{:?}", self.point, self.time, self.outcome)?;
        self.first
            .map_or(Ok(()), |first| write!(f, "/after {first}"))
    }
}

#[derive(Clone, Debug)]
pub struct Ran {
    /// The point was on the path: the process died there.
    pub hit: bool,
    /// From "ready" of the last start to the last status.
    pub settled: Option<Duration>,
    /// Where the payment rests; `None` if its buyer never heard of it.
    pub rest: Option<String>,
}

/// What the buyer and the clerk remember.
#[derive(Default)]
struct Story {
    order: Option<Order>,
    /// Checked out and forgotten by its buyer.
    left: Option<Order>,
    key: String,
    confirmed: bool,
    stocked: bool,
    answers: Vec<Heard>,
}

/// 5x slower machines included; what takes long is only the confirm window of an unknown paymentKey.
const SETTLED: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(25);
const SHELF: i64 = 900;
const CONFIRM: &str = "/api/v1/payments/confirm";

fn settings(cell: &Cell) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("ACTORS__SHARDS", "1"),
        ("SERVER__WORKERS", "1"),
        ("RECOVERY__TICK_MS", "40"),
        ("RECOVERY__BACKOFF_MIN_MS", "40"),
        ("RECOVERY__BACKOFF_MAX_MS", "400"),
        // None is ever given up for being asked too often.
        ("RECOVERY__QUESTIONS", "1000"),
        ("RECOVERY__QUARANTINE_ASK_S", "1"),
        ("CONFIRM__WINDOW_S", "1"),
        ("CONFIRM__TRIES", "2"),
        ("CONFIRM__FLIGHT_BUDGET_MS", "600"),
        ("TOSS__CONNECT_TIMEOUT_MS", "500"),
        ("TOSS__READ_TIMEOUT_MS", "1500"),
    ];
    if matches!(cell.point, Point::Batch(_, Kind::Heartbeat)) {
        settings.push(("NODE__HEARTBEAT_MS", "100"));
    }
    if is_expiry(cell.point) {
        settings.push(("CHECKOUT__EXPIRES_AFTER_S", "4"));
    }
    settings
}

pub async fn run(cell: &Cell) -> Result<Ran> {
    let mut shop = Shop::open(&settings(cell));
    let ran = live_and_die(cell, &mut shop).await;
    ran.with_context(|| format!("the server's log ends:\n{}", shop.log()))
}

async fn live_and_die(cell: &Cell, shop: &mut Shop) -> Result<Ran> {
    let faults = cell.outcome.faults(cell.point);
    shop.toss(Method::PUT, "/sandbox/faults", Some(&faults))
        .await?;
    let mut story = Story::default();
    let armed = cell.first.map_or(cell.arm(), |first| first.to_string());
    let mut died = serve(cell, &armed, shop, &mut story).await?;
    if let Some(first) = cell.first {
        ensure!(died, "{first} was not reached");
        died = recover(cell, shop, &story).await?;
    }
    let names: Vec<String> = [cell.first, died.then_some(cell.point)]
        .into_iter()
        .flatten()
        .map(|point| point.to_string())
        .collect();
    ensure!(
        shop.crashes() == names,
        "died at {:?}, not at {names:?}",
        shop.crashes()
    );

    ensure!(shop.start(None)?, "no last start");
    let ready = Instant::now();
    let rest = settle(cell, shop, &story).await?;
    let settled = rest
        .as_deref()
        .is_some_and(|rest| rest == cell.outcome.rest().0);
    let settled = settled.then(|| ready.elapsed());
    check(cell, shop, &story, rest.as_deref(), died).await?;
    Ok(Ran {
        hit: died,
        settled,
        rest,
    })
}

/// A process with buyers and a clerk, until it dies or leaves in order. `true`: it died.
async fn serve(cell: &Cell, armed: &str, shop: &mut Shop, story: &mut Story) -> Result<bool> {
    if !shop.start(Some(armed))? {
        return Ok(true);
    }
    if ask(cell, shop, story).await?.is_none() {
        return Ok(true);
    }
    shop.stop().await
}

/// `None` as soon as the server is dead.
async fn ask(cell: &Cell, shop: &mut Shop, story: &mut Story) -> Result<Option<()>> {
    if stock(shop, story).await?.is_none() {
        return Ok(None);
    }
    story.order = shop.checkout().await?;
    let Some(order) = story.order.clone() else {
        return Ok(None);
    };
    story.key = authorize(cell, shop, &order).await?;
    story.confirmed = true;
    let body =
        json!({"userId": 1, "orderId": order.id, "amount": order.total, "paymentKey": story.key});
    if cell.first.is_none() && is_shutdown(cell.point) {
        let caller = shop.call_aside(CONFIRM, body);
        until_begun(shop, &order).await?;
        let died = shop.stop().await?;
        story.answers.extend(caller.await?);
        return Ok((!died).then_some(()));
    }
    let Some(heard) = shop.insist(CONFIRM, &body).await? else {
        return Ok(None);
    };
    story.answers.push(heard);
    if is_expiry(cell.point) {
        story.left = shop.checkout().await?;
        if story.left.is_none() {
            return Ok(None);
        }
    }
    rest_or_die(cell, shop, story).await
}

/// The confirm is out, or over already.
async fn until_begun(shop: &mut Shop, order: &Order) -> Result<()> {
    let until = Instant::now() + SETTLED;
    while shop.status(order).await?.as_deref() == Some("READY") {
        ensure!(Instant::now() < until, "nothing was begun in {SETTLED:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn stock(shop: &mut Shop, story: &mut Story) -> Result<Option<()>> {
    let path = format!("/api/v1/products/{SHELF}");
    let product = json!({"name": "Shelf", "price": 100, "sellerId": 2});
    let Some(heard) = shop.call(Method::PUT, &path, Some(&product)).await? else {
        return Ok(None);
    };
    ensure!((200..300).contains(&heard.status), "{heard:?}");
    let (path, change) = (
        format!("{path}/stock"),
        json!({"change": 5, "reason": "test"}),
    );
    let Some(heard) = shop.call(Method::POST, &path, Some(&change)).await? else {
        return Ok(None);
    };
    ensure!(heard.status == 200, "{heard:?}");
    story.stocked = true;
    Ok(Some(()))
}

async fn authorize(cell: &Cell, shop: &Shop, order: &Order) -> Result<String> {
    if cell.outcome == Outcome::NotFound {
        return Ok(format!("tgen_{}", order.id.replace('-', "")));
    }
    let body = json!({"orderId": order.id, "amount": order.total});
    let path = "/sandbox/authorizations";
    let authorized = shop.toss(Method::POST, path, Some(&body)).await?;
    let key = authorized["paymentKey"].as_str();
    Ok(key.context("a paymentKey")?.to_owned())
}

/// Until everything rests, or the server is dead. A heartbeat needs a moment of its own.
async fn rest_or_die(cell: &Cell, shop: &mut Shop, story: &Story) -> Result<Option<()>> {
    let until = Instant::now() + SETTLED;
    let beats = matches!(cell.point, Point::Batch(_, Kind::Heartbeat));
    loop {
        let Some(busy) = is_busy(shop, story).await? else {
            return Ok(None);
        };
        if !busy && !beats {
            return Ok(Some(()));
        }
        ensure!(Instant::now() < until, "nothing rests within {SETTLED:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Whether anything is still to happen by itself; `None`: the server died.
async fn is_busy(shop: &mut Shop, story: &Story) -> Result<Option<bool>> {
    let mut busy = false;
    if let Some(order) = &story.order {
        let Some(status) = shop.status(order).await? else {
            return Ok(None);
        };
        busy |= ["IN_PROGRESS", "UNKNOWN", "QUARANTINED"].contains(&status.as_str());
        // Toss lied about a payment that was never confirmed: nothing is sent for it any more, until it has ended there.
        if status == "QUARANTINED" && shop.counted(order, "confirmCalls").await? == 0 {
            shop.let_authorizations_expire().await?;
        }
    }
    if let Some(order) = &story.left {
        let Some(status) = shop.status(order).await? else {
            return Ok(None);
        };
        busy |= status != "EXPIRED";
    }
    Ok(Some(busy))
}

/// A process that nobody asks for anything. `true`: it died.
async fn recover(cell: &Cell, shop: &mut Shop, story: &Story) -> Result<bool> {
    if !shop.start(Some(&cell.arm()))? {
        return Ok(true);
    }
    // A shutdown meets the recovery at its work.
    if !is_shutdown(cell.point) && rest_or_die(cell, shop, story).await?.is_none() {
        return Ok(true);
    }
    shop.stop().await
}

/// After the last start: nobody asks, and everything comes to rest.
async fn settle(cell: &Cell, shop: &mut Shop, story: &Story) -> Result<Option<String>> {
    let until = Instant::now() + SETTLED;
    while is_busy(shop, story).await?.context("it died unarmed")? {
        ensure!(Instant::now() < until, "{cell}: unsettled for {SETTLED:?}");
        tokio::time::sleep(POLL).await;
    }
    match &story.order {
        Some(order) => shop.status(order).await,
        None => Ok(None),
    }
}

async fn check(
    cell: &Cell,
    shop: &mut Shop,
    story: &Story,
    rest: Option<&str>,
    died: bool,
) -> Result<()> {
    if let (Some(order), Some(rest)) = (&story.order, rest) {
        let calls = shop.counted(order, "confirmCalls").await?;
        let approvals = shop.counted(order, "approvals").await?;
        let (wanted, approved) = match cell.outcome {
            Outcome::Quarantined if calls == 0 && shop.expired => ("FAILED", 0),
            outcome => outcome.rest(),
        };
        let untouched = ["READY", "EXPIRED"].contains(&rest);
        if untouched {
            let point = cell.first.unwrap_or(cell.point);
            // Where orders expire soon, a slow machine confirms too late.
            let late =
                |heard: &Heard| is_expiry(point) && heard.body["error"]["code"] == json!("E03008");
            let in_order = |heard: &Heard| heard.status >= 500 || late(heard);
            ensure!(
                calls == 0 && story.answers.iter().all(in_order),
                "{rest} after {calls} calls and {:?}",
                story.answers
            );
            // A node that could not say in time that it lives refuses a confirm, and never comes to the point.
            let reached = died || cell.first.is_some();
            ensure!(
                !story.confirmed || !reached || !follows_the_intent(point),
                "{rest}, and the intent was durable"
            );
        } else {
            ensure!(rest == wanted, "rests {rest}, not {wanted}");
            ensure!(approvals == approved, "{approvals} approvals");
            same_answers(shop, story, order).await?;
        }
    }
    let sold = i64::from(rest == Some("DONE"));
    let shelf = shelf(shop, 1).await?;
    ensure!(
        shelf == Some([59 - sold, 0, sold, 59]),
        "the shelf is {shelf:?}"
    );
    let other = self::shelf(shop, SHELF).await?;
    let known = match other {
        Some(other) => other == [5, 0, 0, 5] || !story.stocked && other == [0; 4],
        None => !story.stocked,
    };
    ensure!(known, "the other shelf is {other:?}");
    shop.audit().await
}

/// The buyer comes back, twice: what was ever said about this paymentKey is said again.
async fn same_answers(shop: &mut Shop, story: &Story, order: &Order) -> Result<()> {
    let body =
        json!({"userId": 1, "orderId": order.id, "amount": order.total, "paymentKey": story.key});
    let settled = story.answers.iter().filter(|heard| heard.status < 500);
    let mut said: Vec<Heard> = settled
        .filter(|heard| [200, 402].contains(&heard.status))
        .cloned()
        .collect();
    for _ in 0..2 {
        let heard = shop.call(Method::POST, CONFIRM, Some(&body)).await?;
        said.push(heard.context("it died unarmed")?);
    }
    let core = |heard: &Heard| -> (u16, Value) {
        let error = &heard.body["error"];
        let parts = [&heard.body["data"], &error["code"], &error["gateway"]];
        (heard.status, json!(parts))
    };
    ensure!(
        said.iter().all(|heard| core(heard) == core(&said[0])),
        "answers differ: {said:#?}"
    );
    ensure!([200, 402].contains(&said[0].status), "{said:#?}");
    Ok(())
}

/// stock, held, sold and received, if the product is known.
pub async fn shelf(shop: &mut Shop, product: i64) -> Result<Option<[i64; 4]>> {
    let path = format!("/api/v1/products/{product}");
    let heard = shop.call(Method::GET, &path, None).await?;
    let heard = heard.context("it died unarmed")?;
    let number = |name: &str| heard.body["data"][name].as_i64().unwrap_or(-1);
    let shelf = ["stock", "held", "sold", "received"].map(number);
    ensure!(
        heard.status == 404 || shelf[3] == shelf[0] + shelf[1] + shelf[2],
        "{heard:?}"
    );
    Ok((heard.status == 200).then_some(shelf))
}
