//! What the newer scenarios promise, and shops that break it: goods, reloads, amounts, doors, words.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_sells_what_it_does_not_have_or_keeps_what_it_has_is_found_out() {
    for (lie, what) in [
        (Lie::Oversells, "oversold: 11 sold of 10."),
        (Lie::RefusesTheLastBuyer, "nothing is left, but 1 are."),
    ] {
        let report = report_of(lie, "--scenario last-item").await;
        assert!(!report.is_clean(), "{lie:?}: {report}");
        let found = &report.audit.broken_promises;
        assert!(found.iter().any(|text| text.contains(what)), "{report}");
    }
    let report = report_of(Lie::None, "--scenario last-item --items 3").await;
    let item = report.last_item.as_ref().unwrap();
    assert_eq!((item.items, item.sold, item.left), (3, 3, 0), "{report}");
    assert_eq!(
        (report.outcomes.out_of_stock, item.sold_out.count),
        (17, 17)
    );
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reloads_must_hear_what_was_said_before() {
    let words = "--scenario mixed --reloads 100 --wrong-amounts 0";
    let report = report_of(Lie::None, words).await;
    assert!(report.is_clean(), "{report}");
    let mixed = report.mixed.as_ref().unwrap();
    assert_eq!(mixed.reloads.count, 20, "{report}");
    let reloaded = mixed.reloads_at_once.count + mixed.reloads_later.count;
    assert_eq!((reloaded, report.outcomes.declined), (20, 4), "{report}");

    let report = report_of(Lie::TellsEachAnother, words).await;
    // Who is declined hears no amount.
    assert_eq!(report.mixed.as_ref().unwrap().unequal, 16, "{report}");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_amount_is_refused_and_leaves_the_order_as_it_was() {
    let words = "--scenario mixed --wrong-amounts 50 --reloads 0";
    let report = report_of(Lie::None, words).await;
    assert!(report.is_clean(), "{report}");
    let wrong = report.outcomes.wrong_amount;
    assert!((5..=15).contains(&wrong), "{report}");
    assert_eq!(report.mixed.as_ref().unwrap().wrong_amounts.count, wrong);

    let report = report_of(Lie::EndsAtWrongAmount, words).await;
    let found = &report.audit.broken_promises;
    assert_eq!(found.len() as u64, report.outcomes.wrong_amount, "{report}");
    assert!(!report.is_clean(), "{report}");

    let report = report_of(Lie::TakesWrongAmount, words).await;
    assert_eq!(report.outcomes.wrong_amount, 0, "{report}");
    assert!(
        report.outcomes.unexpected >= 5 && !report.is_clean(),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_has_its_own_faults_back_when_a_mixed_run_ends_however_it_ends() {
    let own = serde_json::json!([{"on": "confirm", "do": {"kind": "delay", "millis": 1}}]);
    for (lie, words, clean) in [
        (Lie::None, "", Some(true)),
        (Lie::TellsEachAnother, "", Some(false)),
        (Lie::HidesHistory, "--json /nowhere/report.json", None),
    ] {
        let urls = fake_shop::open_doors(lie, 1).await.unwrap();
        let clerk = Buyer::new(&urls[0], &urls[0], None).unwrap();
        clerk.set_faults(&own).await.unwrap();
        let words = format!("--scenario mixed --reloads 50 {words}");
        let ended = run(at(&urls, &words)).await;
        assert_eq!(ended.ok(), clean, "{lie:?}");
        let left: serde_json::Value = clerk.faults().await.unwrap().plain().unwrap();
        assert_eq!(left, own, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_doors_of_a_shop_are_used_and_must_tell_the_same() {
    for words in [
        "--scenario mixed --reloads 100 --wrong-amounts 0",
        "--scenario same-order",
        "--scenario last-item",
    ] {
        let doors = fake_shop::open_doors(Lie::None, 3).await.unwrap();
        let report = report_at(&doors, words).await;
        assert!(report.is_clean() && report.nodes == 3, "{report}");
        assert!(report.to_string().contains("callers, 3 nodes"), "{report}");
    }
    let doors = fake_shop::open_doors(Lie::DoorsDisagree, 2).await.unwrap();
    let report = report_at(&doors, "").await;
    assert_eq!(report.audit.broken_promises.len(), 20, "{report}");
    assert!(report.audit.violations.is_empty(), "{report}");
    assert!(!report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_buyer_was_told_must_be_so() {
    let report = report_of(Lie::TellsPaidAsDeclined, "").await;
    assert!(report.audit.violations.is_empty(), "{report}");
    let found = &report.audit.broken_promises;
    assert_eq!(found.len(), 1, "{report}");
    assert!(
        found[0].contains("heard declined, but it is DONE"),
        "{report}"
    );
    assert!(!report.is_clean(), "{report}");
}
