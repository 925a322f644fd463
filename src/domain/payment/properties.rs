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
use toss::{Verdict, View};
use world::{Opening, World};

fn live_through(opening: &Opening, story: &[Action], last: (Verdict, View)) -> Result<(), String> {
    let mut world = World::new(opening);
    for (number, action) in story.iter().enumerate() {
        let told = |broken| format!("{broken}, after action {number}");
        world.perform(action).map_err(told)?;
        checks::check(&mut world).map_err(told)?;
    }
    world.heal(last.0, last.1)
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
        last in (verdict(), prop_oneof![Just(View::Fresh), Just(View::Hidden)]),
    ) {
        let lived = live_through(&opening, &story, last);
        prop_assert!(lived.is_ok(), "{}", lived.unwrap_err());
    }
}
