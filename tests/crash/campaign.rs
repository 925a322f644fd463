//! Many cells, some at a time, and their count.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use payonce::crash::Point;

use crate::cell::{self, Cell, Ran};
use crate::outcome::Outcome;

/// Cells to try one after another; with `until_hit` those behind a hit are left out.
pub struct Line {
    pub cells: Vec<Cell>,
    pub until_hit: bool,
}

#[derive(Default)]
pub struct Tally {
    pub cells: usize,
    pub deaths: usize,
    pub doubles: usize,
    pub hit: HashSet<Point>,
    pub rests: HashMap<(Outcome, Option<String>), usize>,
    pub slowest: HashMap<Outcome, Duration>,
    pub failures: Vec<String>,
}

impl Tally {
    fn note(&mut self, cell: &Cell, ran: &anyhow::Result<Ran>) {
        self.cells += 1;
        if self.cells.is_multiple_of(200) {
            println!("{} cells", self.cells);
        }
        match ran {
            Ok(ran) => {
                self.deaths += usize::from(ran.hit) + usize::from(cell.first.is_some());
                self.doubles += usize::from(ran.hit && cell.first.is_some());
                let rest = (cell.outcome, ran.rest.clone());
                *self.rests.entry(rest).or_default() += 1;
                let slowest = self.slowest.entry(cell.outcome).or_default();
                *slowest = ran.settled.unwrap_or_default().max(*slowest);
                if ran.hit {
                    self.hit.insert(cell.point);
                }
            }
            Err(fault) => self.failures.push(format!("{cell}: {fault:#}")),
        }
    }

    pub fn report(&self, took: Duration) {
        println!(
            "{} cells, {} deaths, {} of them in a recovery; {} of {} points hit; {:.1} s",
            self.cells,
            self.deaths,
            self.doubles,
            self.hit.len(),
            // But the one of two orders.
            Point::all().len() - 1,
            took.as_secs_f64()
        );
        for outcome in Outcome::ALL {
            let mut rests: Vec<String> = self
                .rests
                .iter()
                .filter(|((of, _), _)| *of == outcome)
                .map(|((_, rest), count)| {
                    format!("{} {count}", rest.as_deref().unwrap_or("never heard of"))
                })
                .collect();
            rests.sort();
            let slowest = self.slowest.get(&outcome).copied().unwrap_or_default();
            let (rests, slowest) = (rests.join(", "), slowest.as_secs_f64());
            println!("  {outcome:?}: {rests}; slowest from ready to settled {slowest:.2} s");
        }
    }

    #[track_caller]
    pub fn is_clean(&self) {
        assert!(
            self.failures.is_empty(),
            "{} cells failed:\n\n{}",
            self.failures.len(),
            self.failures.join("\n\n")
        );
    }
}

/// Houses at a time: most of what a cell does is waiting.
fn workers() -> usize {
    let given = std::env::var("PAYONCE_CRASH_WORKERS").ok();
    given
        .and_then(|workers| workers.parse().ok())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(4, |cores| cores.get() * 3))
}

pub fn run(mut lines: Vec<Line>) -> Tally {
    let began = Instant::now();
    // Those that wait for a confirm window go first, so that they wait beside the others.
    lines.sort_by_key(|line| {
        line.cells
            .first()
            .map(|cell| cell.outcome != Outcome::NotFound)
    });
    let (queue, tally) = (Mutex::new(VecDeque::from(lines)), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| work(&queue, &tally));
        }
    });
    let tally: Tally = tally.into_inner().unwrap();
    tally.report(began.elapsed());
    tally
}

fn work(queue: &Mutex<VecDeque<Line>>, tally: &Mutex<Tally>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    loop {
        let Some(line) = queue.lock().unwrap().pop_front() else {
            return;
        };
        for cell in &line.cells {
            let ran = runtime.block_on(cell::run(cell));
            if let Err(fault) = &ran {
                eprintln!("{cell}: {fault:#}");
            }
            tally.lock().unwrap().note(cell, &ran);
            if line.until_hit && ran.is_ok_and(|ran| ran.hit) {
                break;
            }
        }
    }
}
