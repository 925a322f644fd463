//! The report: what it counts, what it shows, and what it calls a failure.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::loadtest::measure::{CpuPercent, latencies, stalled_in_the_third_second};
use crate::loadtest::scenario::Share;

fn phase() -> Phase {
    let all = latencies((1..=1000).map(Duration::from_millis)).unwrap();
    Phase::of(&all, Duration::from_secs(2)).with_cpu(Some(CpuPercent {
        user: 60.5,
        system: 20.0,
        iowait: 1.25,
        idle: 18.0,
        steal: 0.25,
    }))
}

fn report() -> Report {
    Report {
        scenario: Scenario::Distinct,
        orders: 1000,
        concurrency: 32,
        nodes: 1,
        phases: Phases {
            checkout: phase(),
            confirm: phase(),
            after_ramp: None,
        },
        outcomes: Tally {
            done: 1000,
            ..Tally::default()
        },
        not_opened: 0,
        settled_later: 0,
        same_order: None,
        open_loop: None,
        last_item: None,
        mixed: None,
        steal_percent: Some(0.25),
        audit: Audit {
            ok: true,
            orders: 1000,
            products: 1000,
            ..Audit::default()
        },
        odd: Vec::new(),
        curve: Curve::default(),
        is_plotted: false,
    }
}

fn mixed() -> Mixed {
    let share = Share {
        percent: 12.5,
        count: 1_234_567,
        of: 10_000_000,
    };
    Mixed {
        declines: share,
        lost_answers: share,
        reloads_at_once: share,
        reloads_later: share,
        wrong_amounts: share,
        unequal: 0,
        incomparable: 1_000,
        reloads: phase(),
    }
}

#[test]
fn the_json_has_the_documented_shape() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["scenario"], "distinct");
    assert_eq!(
        (&json["orders"], &json["concurrency"]),
        (&json!(1000), &json!(32))
    );
    for phase in ["checkout", "confirm"] {
        for key in [
            "count",
            "seconds",
            "per_second",
            "p50_ms",
            "p90_ms",
            "p99_ms",
            "p999_ms",
            "max_ms",
        ] {
            assert!(json["phases"][phase][key].is_number(), "{phase}.{key}");
        }
        assert_eq!(json["phases"][phase]["cpu_percent"]["user"], 60.5);
    }
    for key in [
        "done",
        "declined",
        "out_of_stock",
        "pending",
        "refused",
        "unsent",
        "lost",
    ] {
        assert!(json["outcomes"][key].is_u64(), "{key}");
    }
    assert_eq!(json["steal_percent"], 0.25);
    assert_eq!(json["audit"]["ok"], true);
    assert_eq!(json["audit"]["violations"], json!([]));
    assert_eq!(json.get("last_answer_p50_ms"), None);

    let mut same = report();
    same.scenario = Scenario::SameOrder;
    same.steal_percent = None;
    same.same_order = Some(SameOrder {
        last_answer_p50_ms: 312.5,
        last_answer_max_ms: 340.0,
        unequal: 0,
    });
    let json = serde_json::to_value(&same).unwrap();
    assert_eq!(json["scenario"], "same-order");
    assert_eq!(json["last_answer_p50_ms"], 312.5);
    assert_eq!(json["steal_percent"], Value::Null);
}

#[test]
fn a_run_is_clean_only_if_nothing_was_found_lost_or_unheard_of() {
    assert!(report().is_clean());
    let breaks: [fn(&mut Report); 7] = [
        |report| report.audit.ok = false,
        |report| report.outcomes.lost = 1,
        |report| report.outcomes.unexpected = 1,
        |report| report.not_opened = 1,
        |report| report.audit.add(vec!["oversold".into()]),
        |report| {
            report.mixed = Some(Mixed {
                unequal: 1,
                ..mixed()
            });
        },
        |report| {
            report.same_order = Some(SameOrder {
                last_answer_p50_ms: 1.0,
                last_answer_max_ms: 1.0,
                unequal: 1,
            });
        },
    ];
    for (at, break_it) in breaks.into_iter().enumerate() {
        let mut report = report();
        break_it(&mut report);
        assert!(!report.is_clean(), "break {at}");
        assert!(report.to_string().ends_with("NOT CLEAN\n"), "break {at}");
    }
    // Refusals and calls that never left are no failures.
    let mut refused = report();
    (
        refused.outcomes.refused,
        refused.outcomes.unsent,
        refused.outcomes.pending,
    ) = (3, 2, 1);
    assert!(refused.is_clean());
}

#[test]
fn the_table_is_narrow_and_says_what_was_stolen() {
    let mut report = report();
    report.steal_percent = Some(20.0);
    report.outcomes.wrong_amount = 5;
    report.last_item = Some(LastItem {
        items: 1_000_000,
        sold: 1_000_000,
        left: 0,
        sold_out: phase(),
    });
    report.mixed = Some(mixed());
    report.phases.after_ramp = Some(phase());
    report.curve = Curve::of(&stalled_in_the_third_second(20)).unwrap();
    report.is_plotted = true;
    let text = report.to_string();
    assert!(
        text.lines().all(|line| line.chars().count() <= 84),
        "{text}"
    );
    for words in [
        "rate / (1 - steal) = 625 per s",
        "distinct: 1,000 orders, 32 callers",
        "0 left; then 500 refusals per s",
        "wrong amount 5",
        "user 60.5,",
        "full load",
        "percentile",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    report.is_plotted = false;
    assert!(!report.to_string().contains("percentile"));
}
