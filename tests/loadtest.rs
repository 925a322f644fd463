//! `payonce loadtest` as the shop's engineer runs it: the real crowd against the real house, one scenario each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{House, crowd, run, run_at};
use reqwest::Method;
use serde_json::{Value, json};

async fn faults_of(house: &House) -> Value {
    house.toss(Method::GET, "/sandbox/faults", None).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_items_are_sold_and_everybody_else_is_refused() {
    let house = House::start();
    // The second run finds what the first one left: nothing.
    for (words, items) in [("", 100), ("--items 30 --ramp 0.2", 30)] {
        let run = run(
            &house,
            &format!("--scenario last-item --orders 200 {words}"),
        );
        assert!(run.clean, "{}", run.table);
        assert_eq!(run.json["outcomes"]["done"], items);
        assert_eq!(run.json["outcomes"]["out_of_stock"], 200 - items);
        let item = &run.json["last_item"];
        assert_eq!((&item["sold"], &item["left"]), (&json!(items), &json!(0)));
        assert_eq!(item["sold_out"]["count"], 200 - items);
        assert!(item["sold_out"]["per_second"].as_f64().unwrap() > 0.0);
    }
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_day_ends_with_every_promise_kept_and_the_sandbox_as_it_was() {
    let house = House::start();
    let own = json!([{"on": "lookup", "do": {"kind": "delay", "millis": 1}}]);
    house.faults(own.clone()).await;
    let run = run(
        &house,
        "--scenario mixed --orders 400 --products 20 --declines 20 --lost-answers 20 --reloads 40 --wrong-amounts 10",
    );
    assert!(run.clean, "{}", run.table);
    assert_eq!(faults_of(&house).await, own);
    let mixed = &run.json["mixed"];
    for share in ["reloads_at_once", "reloads_later", "wrong_amounts"] {
        let count = mixed[share]["count"].as_i64().unwrap();
        let wanted = mixed[share]["percent"].as_f64().unwrap() * 4.0;
        assert!(
            (count as f64 - wanted).abs() <= 8.0,
            "{share}: {}",
            run.table
        );
    }
    // By chance: of 360, none in 10^35 runs.
    assert!(run.json["outcomes"]["declined"].as_i64().unwrap() > 0);
    assert!(mixed["lost_answers"]["count"].as_i64().unwrap() > 0);
    assert_eq!(mixed["unequal"], 0);
    let answers = ["done", "declined", "wrong_amount", "pending"];
    let answers = answers.map(|name| run.json["outcomes"][name].as_i64().unwrap());
    assert_eq!(answers.iter().sum::<i64>(), 400, "{}", run.table);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_crowd_takes_its_faults_along() {
    let house = House::start();
    let words = "--scenario mixed --duration 600 --concurrency 2 --products 5";
    for signal in ["-INT", "-TERM"] {
        let mut crowd = crowd(&house, &[&house.server.url], words);
        let until = Instant::now() + Duration::from_secs(60);
        while faults_of(&house).await == json!([]) {
            assert!(Instant::now() < until, "no faults were played");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pid = crowd.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(sent.unwrap().success());
        let ended = tokio::task::block_in_place(|| crowd.wait().unwrap());
        assert_eq!(ended.code(), Some(1), "{signal}");
        assert_eq!(faults_of(&house).await, json!([]), "{signal}");
    }
}

/// Minutes of load for a report that has no place would be found out at their end.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_has_no_place_is_refused_before_the_crowd_comes() {
    let house = House::start();
    for flag in ["--json", "--plot"] {
        let file = house.folder.path().join("no-such-folder/report");
        let words = format!("--orders 10 {flag} {}", file.display());
        let ended = crowd(&house, &[&house.server.url], &words);
        let ended = ended.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{flag}");
        let complaint = String::from_utf8(ended.stderr).unwrap();
        assert!(complaint.contains("no-such-folder/report"), "{complaint}");
        assert_eq!(
            house.get("/metrics").await.body.as_str().map(checkouts),
            Some("0")
        );
    }
}

/// How many orders were made, by the metrics.
fn checkouts(metrics: &str) -> &str {
    let series = r#"payonce_transitions_total{from="",to="READY"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.expect("the series")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shop_by_two_addresses_is_loaded_by_the_clock_drawn_and_audited_at_both() {
    let house = House::start();
    let other = house.server.url.replace("127.0.0.1", "localhost");
    let svg = house.folder.path().join("report.svg");
    let words = format!(
        "--rate 100 --ramp 0.5 --duration 2 --products 10 --plot {}",
        svg.display()
    );
    let run = run_at(&house, &[&house.server.url, &other], &words);
    assert!(run.clean, "{}", run.table);
    // 25 in the ramp, 150 after it.
    assert_eq!(
        (&run.json["orders"], &run.json["nodes"]),
        (&json!(175), &json!(2))
    );
    assert_eq!(run.json["outcomes"]["done"], 175);
    assert_eq!(run.json["phases"]["after_ramp"]["count"], 150);
    let cpu = &run.json["phases"]["confirm"]["cpu_percent"];
    if cfg!(target_os = "linux") {
        let shares = ["user", "system", "iowait", "idle", "steal"];
        let all: f64 = shares
            .iter()
            .map(|share| cpu[share].as_f64().unwrap())
            .sum();
        assert!((all - 100.0).abs() < 0.1, "{cpu}");
    }
    let windows = run.json["curve"]["windows"].as_array().unwrap();
    let counted: i64 = windows
        .iter()
        .map(|window| window["count"].as_i64().unwrap())
        .sum();
    assert_eq!(counted, 175);
    assert!(run.table.contains("percentile"), "{}", run.table);
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.contains("distinct: 175 orders, 32 callers, 2 nodes"));
    house.audit();
}
