//! Whole runs of the crowd against a shop that keeps its promises, and against shops that break one each.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::args::tests::parsed;
use super::fake_shop::{self, Lie};
use super::*;

mod promises;

/// Twenty orders by four callers, unless the words say something else.
fn at(urls: &[String], words: &str) -> LoadtestArgs {
    let mut usual = String::new();
    for (flag, number) in [("--orders", 20), ("--products", 6), ("--concurrency", 4)] {
        if !words.contains(flag) {
            usual += &format!("{flag} {number} ");
        }
    }
    let mut args = parsed(&(usual + words));
    (args.urls, args.sandbox) = (urls.to_vec(), urls[0].clone());
    args
}

async fn report_of(lie: Lie, words: &str) -> Report {
    report_at(&fake_shop::open_doors(lie, 1).await.unwrap(), words).await
}

async fn report_at(urls: &[String], words: &str) -> Report {
    let args = at(urls, words);
    args.check().unwrap();
    let buyer = Arc::new(Buyer::of_nodes(&args.urls, &args.sandbox, None).unwrap());
    find_everyone(&buyer, &args).await.unwrap();
    load(&buyer, &args, &args.scenario.faults(&args))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_keeps_its_promises_is_clean_in_every_scenario() {
    for (scenario, confirmed, orders, products) in [
        ("distinct", 20, 20, 6),
        ("hot", 20, 20, 1),
        ("same-order", 80, 21, 6),
        ("last-item", 10, 20, 1),
        // One tampers with the amount.
        ("mixed", 19, 20, 6),
    ] {
        let report = report_of(Lie::None, &format!("--scenario {scenario}")).await;
        assert!(report.is_clean(), "{report}");
        let settled = report.outcomes.done + report.outcomes.declined;
        assert_eq!(settled, confirmed, "{report}");
        assert_eq!(report.phases.checkout.count, orders);
        let audited = (report.audit.orders, report.audit.products);
        assert_eq!(audited, (orders, products), "{report}");
        assert_eq!(report.same_order.is_some(), scenario == "same-order");
        assert_eq!(report.last_item.is_some(), scenario == "last-item");
        assert_eq!(report.mixed.is_some(), scenario == "mixed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_clock_every_order_is_confirmed_once_and_the_report_tells_the_pace() {
    let report = report_of(Lie::None, "--rate 100 --ramp 0.1").await;
    assert!(report.is_clean(), "{report}");
    let open = report.open_loop.as_ref().unwrap();
    assert_eq!((open.paid.count, open.refusals.count), (20, 0), "{report}");
    // Five calls in the ramp of 100 ms, fifteen turns of 10 ms: it cannot have been quicker.
    assert!(report.phases.confirm.seconds >= 0.24, "{report}");
    assert_eq!(report.phases.after_ramp.as_ref().unwrap().count, 15);
    assert!(
        report
            .to_string()
            .contains("by the clock: 100 per s wanted"),
        "{report}"
    );

    let why = run(parsed("--scenario same-order --rate 5")).await;
    let why = why.unwrap_err().to_string();
    assert!(why.starts_with("--rate"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_which_only_the_time_is_known_makes_its_orders_on_the_way() {
    for words in ["--scenario distinct", "--scenario mixed --reloads 50"] {
        let url = fake_shop::open(Lie::None).await.unwrap();
        let words = format!("--duration 0.3 --products 6 --concurrency 4 {words}");
        let mut args = parsed(&words);
        (args.urls, args.sandbox) = (vec![url.clone()], url);
        let buyer = Arc::new(Buyer::of_nodes(&args.urls, &args.sandbox, None).unwrap());
        let report = load(&buyer, &args, &args.scenario.faults(&args))
            .await
            .unwrap();
        assert!(report.is_clean(), "{report}");
        assert!(report.phases.confirm.seconds >= 0.3, "{report}");
        let orders = u64::from(report.orders);
        assert!(orders > 0 && report.audit.orders == orders, "{report}");
        let counts = (report.phases.checkout.count, report.phases.confirm.count);
        assert_eq!(counts, (orders, orders), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_orders_for_which_the_time_was_too_short_are_audited_as_well() {
    let report = report_of(Lie::None, "--rate 10 --duration 0.5 --orders 9").await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.orders, report.phases.confirm.count), (5, 5));
    let words = "--concurrency 1 --duration 0.1 --orders 500";
    let url = fake_shop::open(Lie::None).await.unwrap();
    let report = report_at(&[url], words).await;
    assert!(report.is_clean(), "{report}");
    assert!(report.phases.confirm.count < 500, "{report}");
    assert_eq!(report.audit.orders, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_breaks_a_promise_is_found_out() {
    use crate::audit::Invariant::{
        AtMostOneApproval, NoLostApproval, NoPhantom, StockConserved, WholeHistory,
    };
    for (lie, invariant) in [
        (Lie::ApprovesTwice, AtMostOneApproval),
        (Lie::LosesApproval, NoLostApproval),
        (Lie::InventsApproval, NoPhantom),
        (Lie::LosesStock, StockConserved),
        (Lie::SkipsVersion, WholeHistory),
    ] {
        let report = report_of(lie, "").await;
        assert!(!report.is_clean(), "{lie:?}: {report}");
        let found = &report.audit.violations;
        assert!(
            found.iter().any(|v| v.invariant == invariant),
            "{lie:?}: {report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_could_not_look_is_not_clean() {
    let report = report_of(Lie::HidesHistory, "").await;
    assert!(report.audit.violations.is_empty(), "{report}");
    assert_eq!(report.audit.unread, 20);
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_counted_as_lost_even_if_the_order_was_paid() {
    let report = report_of(Lie::HangsUp, "").await;
    assert_eq!(
        (report.outcomes.done, report.outcomes.lost),
        (19, 1),
        "{report}"
    );
    assert!(report.audit.ok, "{report}");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_answer_is_asked_again_until_the_order_rests() {
    let report = report_of(Lie::SettlesLater, "").await;
    assert_eq!(
        (report.outcomes.done, report.outcomes.pending),
        (19, 1),
        "{report}"
    );
    assert_eq!(report.settled_later, 1);
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_one_order_must_hear_the_same() {
    let report = report_of(Lie::TellsEachAnother, "--scenario same-order").await;
    assert_eq!(report.same_order.as_ref().unwrap().unequal, 20, "{report}");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_writes_its_json_and_a_second_one_lives_with_the_stock_of_the_first() {
    let url = fake_shop::open(Lie::None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut args = at(std::slice::from_ref(&url), "");
        args.json = Some(folder.path().join("report.json"));
        args.plot = Some(folder.path().join("report.svg"));
        assert!(run(args).await.unwrap());
    }
    let json = tokio::fs::read(folder.path().join("report.json"))
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["outcomes"]["done"], 20);
    assert_eq!(json["audit"]["ok"], true);
    let svg = folder.path().join("report.svg");
    let svg = tokio::fs::read_to_string(svg).await.unwrap();
    assert!(svg.contains("distinct: 20 orders, 4 callers"), "{svg}");
}

#[tokio::test]
async fn no_load_goes_where_money_moves() {
    let url = fake_shop::open(Lie::PaysElsewhere).await.unwrap();
    let why = format!("{:#}", run(at(&[url], "")).await.unwrap_err());
    assert!(why.contains("does not pay at a sandbox"), "{why}");
}

#[tokio::test]
async fn nobody_at_home_is_said_before_any_load() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let why = format!("{:#}", run(at(&[url], "")).await.unwrap_err());
    assert!(why.starts_with("no payonce at http://127.0.0.1:"), "{why}");
}
