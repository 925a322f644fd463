//! Ten times too many: a shop in front of a slow Toss is offered far more than fits, and does as much as before.
//! A file of its own, so that nobody else's load is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{House, Reader, Run, crowd, report, run};
use serde_json::{Value, json};

/// What a house that is looked at again and again lets see.
#[derive(Default)]
struct Watch {
    looks: usize,
    not_ready: Vec<Value>,
    /// The node's heartbeats, each counted once.
    beats: BTreeSet<i64>,
    /// How many orders were paid, and when that was seen.
    paid: Vec<(Instant, i64)>,
}

impl Watch {
    async fn look(&mut self, house: &House, reader: &Reader) {
        let ready = house.get("/health/ready").await;
        self.looks += 1;
        let is_ready = ready.status == 200;
        self.not_ready.extend((!is_ready).then_some(ready.body));
        let beat = reader.number("SELECT MAX(heartbeat_at) FROM nodes").await;
        self.beats.insert(beat);
        let paid = "SELECT count(*) FROM payments WHERE status = 'DONE'";
        let paid = reader.number(paid).await;
        self.paid.push((Instant::now(), paid));
    }

    /// Orders paid in the third worst of the seconds in which any were. A machine that stands still for a moment spoils one or
    /// two of them.
    fn usual_goodput(&self) -> f64 {
        let counts = self.paid.iter().map(|(_, paid)| *paid);
        let (none, all) = (counts.clone().min().unwrap(), counts.max().unwrap());
        let mut during = self
            .paid
            .iter()
            .filter(|(_, paid)| (none + 1..all).contains(paid));
        let (mut since, mut before) = *during.next().expect("a look while orders are paid");
        let mut rates = Vec::new();
        for (at, paid) in during {
            let took = at.duration_since(since).as_secs_f64();
            if took >= 1.0 {
                rates.push((paid - before) as f64 / took);
                (since, before) = (*at, *paid);
            }
        }
        rates.sort_by(f64::total_cmp);
        rates[2]
    }
}

/// A crowd beside which somebody looks.
async fn run_watched(house: &House, words: &str) -> (Run, Watch) {
    let file = house.folder.path().join("watched.json");
    let words = format!("{words} --json {}", file.display());
    let crowd = crowd(house, &[&house.server.url], &words);
    let crowd = tokio::task::spawn_blocking(|| crowd.wait_with_output().unwrap());
    let (reader, mut watch) = (Reader::of(house).await, Watch::default());
    while !crowd.is_finished() {
        watch.look(house, &reader).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    reader.close().await;
    (report(crowd.await.unwrap(), &file), watch)
}

/// Few slots at a slow Toss, so that these and not the processor are the bound, and ten times as many buyers as they
/// take. A debug build shows no speed: it is held to the closed-loop peak of the same run.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_too_many_are_refused_and_those_who_fit_are_paid_as_before() {
    const SLOTS: u32 = 4;
    const CALM: i64 = 100;
    let house = House::plan()
        .own_toss()
        .env("TOSS__CONCURRENCY", SLOTS)
        .env("TOSS__WAITING", SLOTS)
        // Not ready as soon as 4.8 s pass without a heartbeat: longer than a disk stands still.
        .env("NODE__HEARTBEAT_MS", 200)
        .env("NODE__DEAD_AFTER_MS", 6_000)
        .start();
    let slow = json!({"kind": "delay", "millis": 120});
    house.faults(json!([{"on": "confirm", "do": slow}])).await;
    // As many wait as are served: no slot is ever empty.
    let callers = 2 * SLOTS;
    let words = format!("--orders {CALM} --concurrency {callers} --products 20");
    let calm = run(&house, &words);
    assert!(calm.clean, "{}", calm.table);
    assert_eq!(calm.json["outcomes"]["done"], CALM, "{}", calm.table);
    let peak = &calm.json["phases"]["confirm"]["per_second"];
    let peak = peak.as_f64().unwrap();

    let rate = peak * 10.0;
    let words = format!("--rate {rate:.0} --duration 8 --concurrency 200 --products 20");
    let (crowd, watch) = run_watched(&house, &words).await;
    let Run { clean, table, json } = &crowd;
    let number = |name: &str| json[name].as_f64().unwrap();
    let [offered, on_average] = ["offered_per_second", "goodput_per_second"].map(number);
    let goodput = watch.usual_goodput();
    let refusals = &json["refusals"];
    println!(
        "peak {peak:.0}/s, offered {offered:.0}/s, paid {goodput:.0}/s ({:.0} %), refusals: {refusals}, \
         {} looks, {} heartbeats\n{table}",
        goodput / peak * 100.0,
        watch.looks,
        watch.beats.len(),
    );
    // Neither lost nor doubled, and nobody heard what he should not.
    assert!(clean, "{table}");
    let [done, refused, unsent] =
        ["done", "refused", "unsent"].map(|name| json["outcomes"][name].as_i64().unwrap());
    assert_eq!(done + refused + unsent, json["orders"].as_i64().unwrap());
    assert!(refused > 2 * done, "no crowd: {table}");
    assert!(
        goodput >= 0.8 * peak,
        "{goodput} of {peak} a second\n{table}"
    );
    // What it can do it does to the end.
    assert!(
        on_average >= 0.65 * peak,
        "{on_average} of {peak} a second\n{table}"
    );
    // A release build refuses within milliseconds; this one shares two cores with its crowd, and they may stand still.
    assert!(refusals["p90_ms"].as_f64().unwrap() < 1_000.0, "{table}");
    assert!(watch.not_ready.is_empty(), "{:?}", watch.not_ready);
    assert!(watch.beats.len() >= 20, "{:?}", watch.beats);
    assert_eq!(house.totals().await.approvals, CALM + done);
    house.audit();
}
