//! The protocol, explored: every interleaving of a small world, with the real rules.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "model/flight.rs"]
mod flight;
#[path = "model/promise.rs"]
mod promise;
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

fn explore(name: &str, size: Size) {
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
    for (property, path) in checked.discoveries() {
        println!("{property} broken after {:#?}", path.clone().into_actions());
        println!("{:#?}", path.last_state());
    }
    checked.assert_properties();
}

#[test]
fn plain() {
    explore("plain", Size::PLAIN);
}
#[test]
fn sizes() {
    let p = Size::PLAIN;
    explore("two nodes", Size { nodes: 2, ..p });
    explore(
        "two keys",
        Size {
            keys: 2,
            eras: 2,
            ..p
        },
    );
    explore(
        "hostile",
        Size {
            declines_stay_open: true,
            forgets_answers: true,
            stale: true,
            hides: true,
            ..p
        },
    );
    explore(
        "commits",
        Size {
            commits_lost: true,
            ..p
        },
    );
    explore("lies", Size { lies: true, ..p });
    explore("mixups", Size { mixups: 1, ..p });
    explore(
        "early",
        Size {
            early_buyer: true,
            eras: 3,
            hides: true,
            ..p
        },
    );
}
