//! Whole runs of the crowd against a shop that keeps its promises, and against shops that break one each.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::fake_shop::{self, Lie};
use super::*;

async fn report_of(lie: Lie, scenario: Scenario) -> Report {
    let url = fake_shop::open(lie).await.unwrap();
    let mut args = tests::args(scenario, 20, 6);
    (args.url, args.sandbox) = (url.clone(), url);
    let buyer = Arc::new(Buyer::new(&args.url, &args.sandbox, None).unwrap());
    find_everyone(&buyer, &args).await.unwrap();
    load(&buyer, &args).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_keeps_its_promises_is_clean_in_every_scenario() {
    for (scenario, done, products) in [
        (Scenario::Distinct, 20, 6),
        (Scenario::Hot, 20, 1),
        (Scenario::SameOrder, 80, 6),
    ] {
        let report = report_of(Lie::None, scenario).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.outcomes.done, done, "{report}");
        assert_eq!(report.phases.confirm.count, done);
        let orders = if scenario == Scenario::SameOrder {
            21
        } else {
            20
        };
        assert_eq!(report.phases.checkout.count, orders);
        assert_eq!(
            (report.audit.orders, report.audit.products),
            (orders, products)
        );
        assert_eq!(report.same_order.is_some(), scenario == Scenario::SameOrder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_clock_every_order_is_confirmed_once_and_the_report_tells_the_pace() {
    let url = fake_shop::open(Lie::None).await.unwrap();
    let mut args = tests::args(Scenario::Distinct, 20, 6);
    (args.url, args.sandbox, args.rate) = (url.clone(), url, Some(100.0));
    let buyer = Arc::new(Buyer::new(&args.url, &args.sandbox, None).unwrap());
    let report = load(&buyer, &args).await.unwrap();
    assert!(report.is_clean(), "{report}");
    let open = report.open_loop.as_ref().unwrap();
    assert_eq!((open.paid.count, open.refusals.count), (20, 0), "{report}");
    // Twenty turns of 10 ms: it cannot have been quicker.
    assert!(open.offered_per_second <= 101.0, "{report}");
    assert!(
        report
            .to_string()
            .contains("by the clock: 100 per s wanted"),
        "{report}"
    );

    args.scenario = Scenario::SameOrder;
    let why = run(args).await.unwrap_err().to_string();
    assert!(why.starts_with("--rate"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_breaks_a_promise_is_found_out() {
    use crate::audit::Invariant::{I1, I2, I3, I4, I7};
    for (lie, invariant) in [
        (Lie::ApprovesTwice, I1),
        (Lie::LosesApproval, I2),
        (Lie::InventsApproval, I3),
        (Lie::LosesStock, I4),
        (Lie::SkipsVersion, I7),
    ] {
        let report = report_of(lie, Scenario::Distinct).await;
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
    let report = report_of(Lie::HidesHistory, Scenario::Distinct).await;
    assert!(report.audit.violations.is_empty(), "{report}");
    assert_eq!(report.audit.unread, 20);
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_counted_as_lost_even_if_the_order_was_paid() {
    let report = report_of(Lie::HangsUp, Scenario::Distinct).await;
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
    let report = report_of(Lie::SettlesLater, Scenario::Distinct).await;
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
    let report = report_of(Lie::TellsEachAnother, Scenario::SameOrder).await;
    assert_eq!(report.same_order.as_ref().unwrap().unequal, 20, "{report}");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_writes_its_json_and_a_second_one_lives_with_the_stock_of_the_first() {
    let url = fake_shop::open(Lie::None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut args = tests::args(Scenario::Distinct, 20, 6);
        (args.url, args.sandbox) = (url.clone(), url.clone());
        args.json = Some(folder.path().join("report.json"));
        assert!(run(args).await.unwrap());
    }
    let json = tokio::fs::read(folder.path().join("report.json"))
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["outcomes"]["done"], 20);
    assert_eq!(json["audit"]["ok"], true);
}

#[tokio::test]
async fn nobody_at_home_is_said_before_any_load() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut args = tests::args(Scenario::Distinct, 20, 6);
    (args.url, args.sandbox) = (url.clone(), url);
    let why = format!("{:#}", run(args).await.unwrap_err());
    assert!(why.starts_with("no payonce at http://127.0.0.1:"), "{why}");
}
