//! The protocol, explored: every interleaving of a small world in which all decisions are the real `next_step`,
//! `after`, `judge_reply`, `judge_finding` and `add_finding_by_order`. The promise holds in every state; and with one
//! rule broken on purpose (`model/rules.rs`) the model finds how it is lost (`model/bites.rs`).
//!
//! The world: one order with one unit of goods; one or two nodes with a flight each; a journal that takes a write only
//! if it names the version that it replaces; a Toss with up to two payment windows; calls on their way, in any order,
//! repeated, late or lost. Anybody may crash, pause and be taken over at any point. What is assumed of the world:
//!
//! - Time passes in eras, each longer than the confirm window after the last claim. A window that was authorized in one
//!   era has expired in the next, so a confirm that still travels then changes nothing and counts as lost. An answer
//!   that has been given may be heard eras later: the node slept.
//! - Timers may always fire: nothing waits for its backoff. How many questions were asked does count, up to the budget.
//! - A call is executed in the instant in which it arrives. That another one is being processed shows as an answer.
//! - A buyer authenticates before the confirm (except where `early_buyer` says otherwise), and comes with the second
//!   paymentKey only after the first was tried. Toss takes money at most once for a paymentKey; where it does not
//!   (`charges_again`), it does so once for an idempotency key of one merchant key, which it remembers for 15 days.
//! - Answers that are final (approved, declined) are kept under their idempotency key; the others may not be.
//! - A look-up by paymentKey may be seconds old or say 404 just after a change, but not once the window is over: a Toss
//!   that denied an approval forever, before anybody heard of it, could not be survived by anyone. Where it lies all
//!   the same (`lies`), "at most one approval" and "no lost approval" ask only that an approval which was heard and
//!   written down, or was about to be by a living flight, is never forgotten.
//! - An operator reads a quarantined payment and asks Toss about every attempt and about the order, one question after
//!   the other; whatever else may happen, may happen between two of them and before the write.
//! - A wrong amount and a mix-up of answers happen once. A look-up by order may return any payment of the order.
//! - A commit of unknown fate lands later only if nothing else was written meanwhile: it names a version. Whoever looks
//!   for it by its own name learns whether it is there.
//! - A flight that gives up its turn is like one that goes on asking, so none does; a resting node's old copy is
//!   not modelled, since its writes are refused.
//!
//! `cargo test --release --test model -- --ignored --nocapture` explores the larger sizes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "model/bites.rs"]
mod bites;
#[path = "model/broken.rs"]
mod broken;
#[path = "model/flight.rs"]
mod flight;
#[path = "model/operator.rs"]
mod operator;
#[path = "model/possible.rs"]
mod possible;
#[path = "model/promise.rs"]
mod promise;
#[path = "model/report.rs"]
mod report;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/size.rs"]
mod size;
#[path = "model/toss.rs"]
mod toss;
#[path = "model/world.rs"]
mod world;

use std::time::Instant;

use rules::Rulebook;
use size::Size;
use stateright::{Checker, HasDiscoveries, Model};
use world::World;

/// Says how many states were seen; stops at the first that breaks the promise, with the way to it.
fn explore(name: &str, size: Size) -> usize {
    let began = Instant::now();
    let checked = World::new(size, Rulebook::whole())
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::Any)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} of them different, {} steps deep, {:.1} s",
        checked.state_count(),
        checked.unique_state_count(),
        checked.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    checked.assert_properties();
    checked.unique_state_count()
}

#[test]
fn the_promise_holds_in_every_state_of_the_small_worlds() {
    let states: usize = Size::ALL
        .map(|(name, size)| explore(name, size))
        .iter()
        .sum();
    println!("{states} different states");
    assert!(
        states > 100_000,
        "the worlds have become too small: {states}"
    );
}

#[test]
#[ignore = "minutes, and best in a release build"]
fn the_promise_holds_in_every_state_of_the_large_worlds() {
    let states: usize = Size::LARGE
        .map(|(name, size)| explore(name, size))
        .iter()
        .sum();
    println!("{states} different states");
}
