//! Every first answer of the confirms, with its times: what all figures of a run are made from.

use std::time::Duration;

use super::cpu::CpuPercent;
use super::figures::{Phase, latencies};
use super::tally::{Outcome, Tally};
use crate::loadtest::crowd::{Manner, Timed, Visit};

#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The place of the order.
    pub order: usize,
    pub manner: Manner,
    pub outcome: Outcome,
    /// When it should have left, since the first one.
    pub due: Duration,
    pub left: Duration,
    /// From when it was due to the answer.
    pub latency: Duration,
}

impl Call {
    pub fn of(order: usize, visit: &Timed<Visit>) -> Call {
        Call {
            order,
            manner: visit.result.manner,
            outcome: visit.result.outcome,
            due: visit.due,
            left: visit.left,
            latency: visit.latency,
        }
    }

    fn answered(&self) -> Duration {
        self.due + self.latency
    }
}

/// In the order of the orders.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub all: Vec<Call>,
    pub took: Duration,
    pub cpu: Option<CpuPercent>,
}

impl Calls {
    pub fn phase(&self) -> anyhow::Result<Phase> {
        let all = latencies(self.all.iter().map(|call| call.latency))?;
        Ok(Phase::of(&all, self.took).with_cpu(self.cpu))
    }

    /// Of all the time that the calls took, those that ended so.
    pub fn phase_of(&self, outcome: Outcome) -> anyhow::Result<Phase> {
        let such = self.all.iter().filter(|call| call.outcome == outcome);
        let such = latencies(such.map(|call| call.latency))?;
        Ok(Phase::of(&such, self.took))
    }

    /// Those that ended so, from when the first of them left to when the last of them was answered.
    pub fn spell_of(&self, outcome: Outcome) -> anyhow::Result<Phase> {
        let such = || self.all.iter().filter(|call| call.outcome == outcome);
        let first = such().map(|call| call.due).min().unwrap_or_default();
        let last = such().map(Call::answered).max().unwrap_or_default();
        let took = last.saturating_sub(first);
        Ok(Phase::of(
            &latencies(such().map(|call| call.latency))?,
            took,
        ))
    }

    /// Those that were due when the load had its full size.
    #[must_use]
    pub fn after(&self, ramp: Duration) -> Calls {
        let such = self.all.iter().filter(|call| call.due >= ramp);
        Calls {
            all: such.copied().collect(),
            took: self.took.saturating_sub(ramp),
            cpu: None,
        }
    }

    /// Calls a second that left, from the first one to the last one.
    pub fn offered_per_second(&self) -> f64 {
        let left = || self.all.iter().map(|call| call.left);
        let spread = left().max().zip(left().min());
        let spread = spread.map_or(Duration::ZERO, |(last, first)| last - first);
        let gaps = self.all.len().saturating_sub(1) as f64;
        gaps / spread.as_secs_f64().max(f64::EPSILON)
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for call in &self.all {
            tally.count(call.outcome);
        }
        tally
    }

    /// The places of the orders that may be anywhere, each once.
    pub fn open_orders(&self) -> Vec<usize> {
        let open = self.all.iter().filter(|call| call.outcome.is_open());
        let mut open: Vec<usize> = open.map(|call| call.order).collect();
        open.sort_unstable();
        open.dedup();
        open
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const fn call(order: usize, outcome: Outcome, due_ms: u64, latency_ms: u64) -> Call {
        let due = Duration::from_millis(due_ms);
        Call {
            order,
            manner: Manner::Plain,
            outcome,
            due,
            left: due,
            latency: Duration::from_millis(latency_ms),
        }
    }

    #[test]
    fn figures_are_made_of_the_calls_that_they_name() {
        let calls = Calls {
            all: vec![
                call(0, Outcome::Done, 0, 100),
                call(1, Outcome::OutOfStock, 500, 10),
                call(2, Outcome::OutOfStock, 900, 100),
                call(3, Outcome::Pending, 1_000, 1_000),
                call(3, Outcome::Lost, 1_000, 900),
            ],
            took: Duration::from_secs(2),
            cpu: None,
        };
        assert_eq!(calls.phase().unwrap().count, 5);
        let paid = calls.phase_of(Outcome::Done).unwrap();
        assert_eq!((paid.count, paid.per_second), (1, 0.5));
        // From 500 to 1,000 ms.
        let sold_out = calls.spell_of(Outcome::OutOfStock).unwrap();
        assert_eq!((sold_out.seconds, sold_out.per_second), (0.5, 4.0));
        let later = calls.after(Duration::from_millis(900)).phase().unwrap();
        assert_eq!((later.count, later.seconds), (3, 1.1));
        assert!((calls.offered_per_second() - 4.0).abs() < 1e-9);
        assert_eq!(calls.open_orders(), [3]);
        assert_eq!(calls.tally().out_of_stock, 2);
    }

    #[test]
    fn no_calls_give_figures_of_nothing() {
        let calls = Calls::default();
        assert_eq!(calls.spell_of(Outcome::Done).unwrap().count, 0);
        assert_eq!(calls.phase().unwrap().per_second, 0.0);
    }
}
