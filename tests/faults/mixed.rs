//! The mixed faults: 64 callers at once, several hundred orders, every call to Toss in danger; declines and shortages in
//! between, pages that are reloaded, buyers who click twice. Then Toss is healed, and everything must add up.
//! `PAYONCE_TEST_SEED` replays a run's choices, `PAYONCE_FAULT_ORDERS` makes it longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::common::{House, Order, Reply, number, seed, without_breaker};
use crate::kinds::named;

const CALLERS: usize = 64;
const ORDERS: usize = 240;
const PLENTY: i64 = 710;
const SCARCE: i64 = 711;
const SETTLED: Duration = Duration::from_secs(120);

/// What may befall a confirm. Nothing that Toss could not do: a lie about what was approved is the table's business.
const ON_CONFIRM: [&str; 19] = [
    "delay a little",
    "delay beyond the patience",
    "PROVIDER_ERROR",
    "NOT_AVAILABLE_BANK",
    "ALREADY_PROCESSING_REQUEST",
    "IDEMPOTENT_REQUEST_PROCESSING",
    "NOT_FOUND_PAYMENT_SESSION",
    "FAILED_INTERNAL_SYSTEM_PROCESSING",
    "500 with a declining code",
    "429",
    "502 HTML",
    "200 empty",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "garbled",
    "orderId",
    "paymentKey",
];

/// What may befall a look-up.
const ON_LOOKUP: [&str; 14] = [
    "delay a little",
    "delay beyond the patience",
    "PROVIDER_ERROR",
    "NOT_FOUND_PAYMENT",
    "FAILED_INTERNAL_SYSTEM_PROCESSING",
    "429",
    "502 HTML",
    "200 empty",
    "reset_before",
    "hang_before",
    "hang_after",
    "garbled",
    "status READY",
    "paymentKey",
];

/// Calls of each kind, for each order, over whose fate the dice decide. Later ones are left alone.
const CALLS: usize = 8;

/// What is to happen to one order, drawn before it begins: so the seed replays it, whoever comes first.
struct Fate {
    product: i64,
    rules: Vec<(&'static str, &'static str)>,
    declined: bool,
    /// How often the buyer's page asks, and whether a second one asks beside it.
    asks: usize,
    second: bool,
}

fn fate(dice: &mut StdRng, probability: f64, product: i64) -> Fate {
    let mut rules = Vec::new();
    let declined = dice.random_bool(0.1);
    for (on, kinds) in [("confirm", &ON_CONFIRM[..]), ("lookup", &ON_LOOKUP[..])] {
        for _ in 0..CALLS {
            let faulty = dice.random_bool(probability);
            let kind = *kinds.choose(dice).unwrap();
            rules.push((on, if faulty { kind } else { "quiet" }));
        }
    }
    Fate {
        product,
        rules,
        declined,
        asks: dice.random_range(1..=3),
        second: dice.random_bool(0.2),
    }
}

/// One rule a call. Where nothing is drawn, a rule that does nothing holds the place; a declined order is declined
/// by every call that gets through.
fn rules(order: &Order, fate: &Fate) -> Vec<Value> {
    let rule = |on: &str, times: Option<u32>, what: Value| {
        let mut rule = json!({"on": on, "orderId": order.id, "do": what});
        if let Some(times) = times {
            rule["times"] = json!(times);
        }
        rule
    };
    let decline = || named("REJECT_CARD_PAYMENT");
    let calls = fate.rules.iter().map(|(on, kind)| {
        let what = match (*kind, *on) {
            ("quiet", "confirm") if fate.declined => decline(),
            ("quiet", _) => json!({"kind": "delay", "millis": 0}),
            (kind, _) => named(kind),
        };
        rule(on, Some(1), what)
    });
    let always = fate.declined.then(|| rule("confirm", None, decline()));
    calls.chain(always).collect()
}

struct Buyer {
    order: Order,
    key: String,
    fate: Fate,
}

async fn buyers(house: &House, dice: &mut StdRng, probability: f64, count: usize) -> Vec<Buyer> {
    let fates: Vec<Fate> = (0..count)
        .map(|at| fate(dice, probability, if at % 4 == 0 { SCARCE } else { PLENTY }))
        .collect();
    let place = async |fate: Fate| {
        let order = house.checkout(&[(fate.product, 1)]).await;
        let key = house.authorize(&order).await;
        Buyer { order, key, fate }
    };
    stream::iter(fates.into_iter().map(place))
        .buffered(32)
        .collect()
        .await
}

/// Every settled answer that anybody heard.
async fn buy(house: &House, buyer: &Buyer) -> Vec<Reply> {
    let page = async |asks: usize| {
        let mut heard = Vec::new();
        for _ in 0..asks {
            heard.push(house.confirm(&buyer.order, &buyer.key).await);
        }
        heard
    };
    let second = usize::from(buyer.fate.second);
    let (mut heard, others) = tokio::join!(page(buyer.fate.asks), page(second));
    heard.extend(others);
    for reply in &heard {
        let known = [
            (200, ""),
            (402, "E03010"),
            (503, "E03009"),
            (503, "E99004"),
            (409, "E03013"),
            (409, "E03017"),
        ];
        assert!(
            known.contains(&(reply.status.as_u16(), reply.code())),
            "{reply:?}"
        );
    }
    heard
}

fn is_settled(reply: &Reply) -> bool {
    matches!(reply.status.as_u16(), 200 | 402)
}

/// Status, code, amounts and Toss's code are for ever; the advice may change.
fn settled_part(reply: &Reply) -> (u16, Value, String, Value) {
    let (data, error) = (reply.data().clone(), &reply.body["error"]);
    (
        reply.status.as_u16(),
        data,
        reply.code().to_owned(),
        error["gateway"].clone(),
    )
}

/// The status that each order has come to rest at; nothing may be left unsettled.
async fn at_rest(house: &House, buyers: &[Buyer]) -> Vec<String> {
    let until = Instant::now() + SETTLED;
    let mut all = Vec::new();
    for buyer in buyers {
        loop {
            let seen = house.status(&buyer.order).await;
            let status = seen["status"].as_str().unwrap().to_owned();
            if !matches!(status.as_str(), "IN_PROGRESS" | "UNKNOWN") {
                all.push(status);
                break;
            }
            assert!(Instant::now() < until, "not settled: {seen:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    all
}

async fn mixed(probability: f64) {
    let count = number("PAYONCE_FAULT_ORDERS").map_or(ORDERS, |count| count as usize);
    let mut dice = StdRng::seed_from_u64(seed() ^ probability.to_bits());
    let plan = House::plan()
        .env("TOSS__READ_TIMEOUT_MS", 1_000)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 2_500)
        .env("CONFIRM__PATIENCE_MS", 4_000)
        .env("RECOVERY__TICK_MS", 50)
        .env("RECOVERY__BACKOFF_MIN_MS", 50)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
        .env("TOSS__RECOVERY_SHARE_PERCENT", 100)
        .env("LOG__FILTER", "warn");
    let house = without_breaker(plan).start();
    // Each fourth wants the scarce ones, whatever the dice say: a third of them goes home without, or more are declined than
    // ever were.
    let scarce = i64::try_from(count / 6).unwrap();
    house.put_product(PLENTY, 100, 100_000).await;
    house.put_product(SCARCE, 100, scarce).await;
    let buyers = buyers(&house, &mut dice, probability, count).await;
    let faults = buyers
        .iter()
        .flat_map(|buyer| rules(&buyer.order, &buyer.fate));
    house.faults(faults.collect()).await;
    let heard: Vec<Vec<Reply>> = stream::iter(buyers.iter().map(|buyer| buy(&house, buyer)))
        .buffered(CALLERS)
        .collect()
        .await;
    house.heal().await;
    let rests = at_rest(&house, &buyers).await;
    answers_are_stable(&house, &buyers, &heard).await;
    let figures = figures(&house, &buyers, &rests).await;
    println!("{probability}: {figures:?}");
    let count_of = |status: &str| figures.get(status).copied().unwrap_or(0);
    assert_eq!((count_of("duplicate approvals"), count_of("drift")), (0, 0));
    assert!(
        count_of("DONE") > 0 && count_of("FAILED") > 0,
        "{figures:?}"
    );
    assert!(
        count_of("out of stock") > 0,
        "nobody was short: {figures:?}"
    );
    house.audit();
}

async fn answers_are_stable(house: &House, buyers: &[Buyer], heard: &[Vec<Reply>]) {
    for (buyer, heard) in buyers.iter().zip(heard) {
        let settled: Vec<_> = heard
            .iter()
            .filter(|reply| is_settled(reply))
            .map(settled_part)
            .collect();
        if settled.is_empty() {
            continue;
        }
        let again = settled_part(&house.confirm(&buyer.order, &buyer.key).await);
        let same = settled.iter().all(|said| *said == again);
        assert!(same, "{}: {settled:?}, now {again:?}", buyer.order.id);
    }
}

/// How it ended, counted; the goods are compared with what Toss has approved.
async fn figures(house: &House, buyers: &[Buyer], rests: &[String]) -> BTreeMap<&'static str, i64> {
    let mut figures = BTreeMap::new();
    let mut count = |name: &'static str, more: i64| *figures.entry(name).or_insert(0) += more;
    let (mut paid, mut quarantined) = (BTreeMap::new(), 0);
    for (buyer, rest) in buyers.iter().zip(rests) {
        let name = ["DONE", "FAILED", "QUARANTINED"]
            .into_iter()
            .find(|name| name == rest);
        count(name.unwrap_or("out of stock"), 1);
        let entries = house.ledger(&buyer.order).await;
        let sum = |counter: &str| {
            entries
                .iter()
                .map(|e| e[counter].as_i64().unwrap())
                .sum::<i64>()
        };
        let approvals = sum("approvals");
        count("approvals", approvals);
        count("confirm calls", sum("confirmCalls"));
        count("look-ups", sum("lookups"));
        count("duplicate approvals", (approvals - 1).max(0));
        quarantined += i64::from(rest == "QUARANTINED");
        *paid.entry(buyer.fate.product).or_insert(0) += i64::from(rest == "DONE");
    }
    let mut held_in_all = 0;
    for (product, paid) in paid {
        let (stock, held, sold, received) = house.shelf(product).await;
        count(
            "drift",
            (sold - paid).abs() + (received - stock - held - sold).abs(),
        );
        held_in_all += held;
    }
    count("drift", (held_in_all - quarantined).abs());
    figures
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_in_twenty_goes_wrong_and_everything_adds_up() {
    mixed(0.05).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_in_seven_goes_wrong_and_everything_adds_up() {
    mixed(0.15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_calls_in_ten_go_wrong_and_everything_adds_up() {
    mixed(0.30).await;
}
