//! The report: what it counts, what it shows, and what it calls a failure.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::super::pace::{latencies, record};
use super::*;

fn phase() -> Phase {
    let mut all = latencies().unwrap();
    for ms in 1..=1000 {
        record(&mut all, Duration::from_millis(ms));
    }
    Phase::of(&all, Duration::from_secs(2))
}

fn report() -> Report {
    Report {
        scenario: Scenario::Distinct,
        orders: 1000,
        concurrency: 32,
        phases: Phases {
            checkout: phase(),
            confirm: phase(),
        },
        outcomes: Tally {
            done: 1000,
            ..Tally::default()
        },
        not_opened: 0,
        settled_later: 0,
        same_order: None,
        open_loop: None,
        steal_percent: Some(0.25),
        audit: Audit {
            ok: true,
            orders: 1000,
            products: 1000,
            ..Audit::default()
        },
        odd: Vec::new(),
    }
}

#[test]
fn percentiles_are_those_of_the_calls() {
    let phase = phase();
    assert_eq!(
        (phase.count, phase.seconds, phase.per_second),
        (1000, 2.0, 500.0)
    );
    // Three significant digits: one part in a thousand.
    for (figure, ms) in [
        (phase.p50_ms, 500.0),
        (phase.p90_ms, 900.0),
        (phase.p99_ms, 990.0),
        (phase.p999_ms, 999.0),
        (phase.max_ms, 1000.0),
    ] {
        assert!((figure - ms).abs() <= ms / 1000.0, "{figure} is not {ms}");
    }
    let nothing = Phase::of(&latencies().unwrap(), Duration::ZERO);
    assert_eq!(
        (nothing.count, nothing.per_second, nothing.max_ms),
        (0, 0.0, 0.0)
    );
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
    let breaks: [fn(&mut Report); 5] = [
        |report| report.audit.ok = false,
        |report| report.outcomes.lost = 1,
        |report| report.outcomes.unexpected = 1,
        |report| report.not_opened = 1,
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
    let text = report.to_string();
    assert!(
        text.lines().all(|line| line.chars().count() <= 84),
        "{text}"
    );
    assert!(text.contains("rate / (1 - steal) = 625 per s"), "{text}");
    assert!(
        text.contains("distinct: 1,000 orders, 32 callers"),
        "{text}"
    );
}
