//! The promise under everything that may go wrong at once: random stories of a small world (lost, late and
//! repeated calls, crashes, pauses, take-overs, a hostile Toss), told with the real rules and checked after every action.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};

mod actions;
mod beginnings;
mod checks;
mod flight;
mod heal;
mod journal;
mod operator;
mod toss;
mod world;

use actions::{Action, What, opening, story, verdict};
use beginnings::{beginning, not_found_while_travelling};
use flight::Line;
use journal::Commit;
use toss::{Verdict, View};
use world::{Opening, World};

use crate::chance::cases;

fn live_through(
    world: &mut World,
    story: &[Action],
    last: Verdict,
    view: View,
) -> Result<(), String> {
    for (number, action) in story.iter().enumerate() {
        let told = |broken| format!("{broken}, after action {number}");
        world.perform(action).map_err(told)?;
        checks::check(world).map_err(told)?;
    }
    world.heal(last, view)
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn the_promise_holds_whatever_happens(
        opening in opening(),
        beginning in beginning(),
        story in story(),
        last in verdict(),
        view in prop_oneof![Just(View::Fresh), Just(View::Hidden), Just(View::Lagging)],
    ) {
        let story = [beginning, story].concat();
        let lived = live_through(&mut World::new(&opening), &story, last, view);
        prop_assert!(lived.is_ok(), "{}", lived.unwrap_err());
    }
}

#[test]
fn the_same_seed_tells_the_same_stories() {
    let stories = |seed: u64| {
        let mut runner = TestRunner::new(Config {
            rng_seed: RngSeed::Fixed(seed),
            ..cases(1)
        });
        let mut told = || story().new_tree(&mut runner).unwrap().current();
        format!("{:?}", [told(), told()])
    };
    assert_eq!(stories(7), stories(7));
    assert_ne!(stories(7), stories(8));
}

/// A node sends, hears nothing, asks, and is told "not found"; before it can act on that it sleeps for twelve
/// minutes (a suspended machine, a stopped container), in which the call arrives and is approved. The old
/// "not found" must not be believed because the window is over by the time it is heard.
#[test]
fn a_not_found_from_within_the_window_is_no_evidence_after_it() {
    let action = |what| Action {
        what,
        pick: 0,
        node: 0,
        dice: 1,
        commit: Commit::Heard,
    };
    let mut story = not_found_while_travelling();
    story.extend([
        action(What::Arrive(Verdict::Approve)),
        action(What::Finish),
        action(What::Wait { ms: 720_000 }),
        action(What::Hear(Line::Clean)),
    ]);
    let opening = Opening {
        orders: vec![(1, 0)],
        shelf: (1, 1),
        skews_ms: (0, 0),
    };
    let mut world = World::new(&opening);
    world.hears_late = true;
    let lived = live_through(&mut world, &story, Verdict::Approve, View::Fresh);
    assert_eq!(lived, Ok(()));
}
