//! The promise under everything that may go wrong at once: random stories of a small world (lost, late and
//! repeated calls, crashes, pauses, take-overs, a hostile Toss), told with the real rules and checked after every action.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::Config;

mod actions;
mod checks;
mod flight;
mod heal;
mod journal;
mod toss;
mod world;

use actions::{Action, opening, story, verdict};
use toss::Verdict;
use world::{Opening, World};

fn live_through(opening: &Opening, story: &[Action], last: Verdict) -> Result<(), String> {
    let mut world = World::new(opening);
    for (number, action) in story.iter().enumerate() {
        let told = |broken| format!("{broken}, after action {number}");
        world.perform(action).map_err(told)?;
        checks::check(&mut world).map_err(told)?;
    }
    world.heal(last)
}

proptest! {
    #![proptest_config(Config {
        // PROPTEST_CASES asks for more.
        cases: Config::default().cases.max(3_000),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn the_promise_holds_whatever_happens(
        opening in opening(),
        story in story(),
        last in verdict(),
    ) {
        let lived = live_through(&opening, &story, last);
        prop_assert!(lived.is_ok(), "{}", lived.unwrap_err());
    }
}

#[test]
fn coverage() {
    use proptest::strategy::ValueTree;
    use std::collections::BTreeMap;
    let mut runner = proptest::test_runner::TestRunner::default();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..3000 {
        let opening = opening().new_tree(&mut runner).unwrap().current();
        let story = story().new_tree(&mut runner).unwrap().current();
        let last = verdict().new_tree(&mut runner).unwrap().current();
        let mut world = World::new(&opening);
        for a in &story {
            world.perform(a).unwrap();
            checks::check(&mut world).unwrap();
        }
        let before: Vec<usize> = world.journal.rows.iter().map(Vec::len).collect();
        for (o, rows) in world.journal.rows.iter().enumerate() {
            for r in &rows[..before[o]] {
                *seen
                    .entry(format!(
                        "{} {}->{}",
                        r.history.event,
                        r.history.from.map_or("-", |f| f.name()),
                        r.history.to.name()
                    ))
                    .or_default() += 1;
            }
        }
        for p in &world.journal.payments {
            if let Some(q) = p.quarantine {
                *seen.entry(format!("quarantine {}", q.name())).or_default() += 1;
            }
            for a in &p.attempts {
                if a.many_owners {
                    *seen.entry("many owners".into()).or_default() += 1;
                }
                if a.doubted_decline.is_some() {
                    *seen.entry("doubted".into()).or_default() += 1;
                }
                if a.n > 1 {
                    *seen.entry("n>1".into()).or_default() += 1;
                }
                *seen.entry(format!("attempt {}", a.number)).or_default() += 1;
            }
        }
        *seen.entry("calls".into()).or_default() += world.toss.calls.len() as u64;
        world.heal(last).unwrap();
        for p in &world.journal.payments {
            *seen.entry(format!("END {}", p.status.name())).or_default() += 1;
        }
    }
    for (k, v) in seen {
        println!("{v:8} {k}");
    }
}
