//! The slice that every run takes, the whole, and single cells for who looks for a cause.

use payonce::crash::Point;

use crate::campaign::{Line, Tally, run};
use crate::cell::Cell;
use crate::common::seed;
use crate::outcome::{Outcome, is_taking_up, needs_a_request};

/// Where a process dies first, if its recovery is to die as well: before anything has left, and after Toss has acted.
const FIRST: [Point; 2] = [Point::Opened, Point::ConfirmAnswered];

/// One is between two batches: `pair` is about it.
fn of_one_order() -> impl Iterator<Item = Point> {
    let all = Point::all().into_iter();
    all.filter(|point| *point != Point::Overlapped)
}

#[track_caller]
fn all_are_hit(tally: &Tally) {
    tally.is_clean();
    let missed: Vec<String> = of_one_order()
        .filter(|point| !tally.hit.contains(point))
        .map(|point| point.to_string())
        .collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

/// Each point once, its outcome chosen by the seed; where the path of an outcome leads past the point, the next one.
#[test]
fn whoever_is_killed_at_any_point_settles_after_a_restart_with_nobody_asking() {
    let seed = usize::try_from(seed() % 1_000_000).unwrap();
    let line = |(index, point): (usize, Point)| {
        let outcomes = Outcome::leading_to(point);
        let choice = |turn: usize| Cell {
            first: is_taking_up(point).then(|| FIRST[(seed + index + turn) % FIRST.len()]),
            point,
            time: 1,
            outcome: outcomes[(seed + index + turn) % outcomes.len()],
        };
        let cells = (0..outcomes.len().max(FIRST.len())).map(choice).collect();
        Line {
            cells,
            until_hit: true,
        }
    };
    let lines = of_one_order().enumerate().map(line);
    // Where a recovery comes by as well, once more within one.
    let again = of_one_order().enumerate().map(|(index, point)| {
        let outcomes = Outcome::leading_to(point);
        let cell = Cell {
            first: Some(FIRST[(seed + index) % FIRST.len()]),
            point,
            time: 1,
            outcome: outcomes[(seed + index + 1) % outcomes.len()],
        };
        let wanted = !is_taking_up(point) && !needs_a_request(point);
        Line {
            cells: Vec::from_iter(wanted.then_some(cell)),
            until_hit: false,
        }
    });
    all_are_hit(&run(lines.chain(again).collect()));
}

/// Every point with every outcome, while it serves, and while it recovers from each first death.
#[test]
#[ignore = "the whole matrix takes a while; the slice above hits every point"]
fn the_whole_matrix() {
    let mut cells = Vec::new();
    for point in of_one_order() {
        for outcome in Outcome::ALL {
            let cell = |first, time| Cell {
                first,
                point,
                time,
                outcome,
            };
            cells.extend([cell(None, 1), cell(None, 2)]);
            if !needs_a_request(point) {
                cells.extend(FIRST.map(|first| cell(Some(first), 1)));
            }
        }
    }
    let wanted = std::env::var("PAYONCE_CRASH_CELL").unwrap_or_default();
    cells.retain(|cell| cell.to_string().starts_with(&wanted));
    let lone = |cell| Line {
        cells: vec![cell],
        until_hit: false,
    };
    let tally = run(cells.into_iter().map(lone).collect());
    match wanted.is_empty() {
        true => all_are_hit(&tally),
        false => tally.is_clean(),
    }
}
