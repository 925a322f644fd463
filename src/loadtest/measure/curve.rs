//! Latencies as a curve: by the time at which the calls were due, and by percentile.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::calls::Call;
use super::figures::{latencies, millis, per_second, rounded};
use crate::loadtest::buyer::grouped;

const MOST_WINDOWS: u32 = 30;
const WINDOWS_S: [f64; 14] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
];
/// Percent. Towards the end, where the few slow ones are, in ever smaller steps.
const PERCENTILES: [f64; 12] = [
    10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
];

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curve {
    pub window_s: f64,
    pub windows: Vec<Window>,
    pub percentiles: Vec<Percentile>,
}

/// The calls that were due in one window; empty ones are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    pub from_s: f64,
    pub count: u64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentile {
    pub percent: f64,
    pub ms: f64,
}

impl Curve {
    pub fn of(calls: &[Call]) -> anyhow::Result<Curve> {
        let last = calls.iter().map(|call| call.due).max().unwrap_or_default();
        let window_s = window_of(last);
        // What is left at the end is a window of its own if it is at least half of one.
        let last_window = ((last.as_secs_f64() / window_s).round() as usize).saturating_sub(1);
        let mut by_window: Vec<Vec<Duration>> = vec![Vec::new(); last_window + 1];
        for call in calls {
            let at = (call.due.as_secs_f64() / window_s) as usize;
            by_window[at.min(last_window)].push(call.latency);
        }
        let mut windows = Vec::new();
        for (at, took) in by_window.into_iter().enumerate() {
            let from_s = at as f64 * window_s;
            let (gaps, length_s) = if at == last_window {
                // The last call of all ends its last gap, and begins none.
                (took.len().saturating_sub(1), last.as_secs_f64() - from_s)
            } else {
                (took.len(), window_s)
            };
            if !took.is_empty() {
                let rate = per_second(gaps as u64, Duration::from_secs_f64(length_s));
                windows.push(Window::of(from_s, rate, took)?);
            }
        }
        let all = latencies(calls.iter().map(|call| call.latency))?;
        let percentile = |percent: f64| Percentile {
            percent,
            ms: millis(all.value_at_quantile(percent / 100.0)),
        };
        // One call in ten thousand says nothing about a thousand calls.
        let told =
            |percent: &f64| *percent == 100.0 || all.len() as f64 * (100.0 - percent) >= 99.9;
        Ok(Curve {
            window_s,
            windows,
            percentiles: PERCENTILES
                .into_iter()
                .filter(told)
                .map(percentile)
                .collect(),
        })
    }
}

fn window_of(last: Duration) -> f64 {
    let fits = |window: &f64| last.as_secs_f64() / window < f64::from(MOST_WINDOWS);
    let fitting = WINDOWS_S.into_iter().find(fits);
    fitting.unwrap_or_else(|| (last.as_secs_f64() / f64::from(MOST_WINDOWS)).ceil() + 1.0)
}

impl Window {
    fn of(from_s: f64, per_second: f64, took: Vec<Duration>) -> anyhow::Result<Window> {
        let took = latencies(took)?;
        let at = |quantile| millis(took.value_at_quantile(quantile));
        Ok(Window {
            from_s: rounded(from_s),
            count: took.len(),
            per_second: rounded(per_second),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: millis(took.max()),
        })
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>10} {:>9} {:>8}  {:>8} {:>8} {:>8} {:>8}",
            "from s", "count", "per s", "p50 ms", "p90", "p99", "max"
        )?;
        for window in &self.windows {
            let count = grouped(window.count);
            let per_second = grouped(window.per_second.round() as u64);
            write!(f, "{:>10.1} {count:>9} {per_second:>8} ", window.from_s)?;
            for ms in [window.p50_ms, window.p90_ms, window.p99_ms, window.max_ms] {
                write!(f, " {ms:>8.1}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\n{:>10} {:>9}", "percentile", "ms")?;
        for Percentile { percent, ms } in &self.percentiles {
            writeln!(f, "{percent:>10} {ms:>9.1}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub mod tests {
    use super::*;
    use crate::loadtest::crowd::Manner;
    use crate::loadtest::measure::Outcome;

    /// Ten calls a second for as many seconds; in the third second each takes 500 ms, otherwise 10 ms.
    pub fn stalled_in_the_third_second(seconds: u64) -> Vec<Call> {
        let call = |at: u64| Call {
            order: 0,
            manner: Manner::Plain,
            outcome: Outcome::Done,
            due: Duration::from_millis(at * 100),
            left: Duration::ZERO,
            latency: Duration::from_millis(if at / 10 == 2 { 500 } else { 10 }),
        };
        (0..seconds * 10).map(call).collect()
    }

    #[test]
    fn a_stall_shows_in_its_window_and_in_the_last_percentiles() {
        let curve = Curve::of(&stalled_in_the_third_second(20)).unwrap();
        assert_eq!((curve.window_s, curve.windows.len()), (1.0, 20));
        for (at, window) in curve.windows.iter().enumerate() {
            assert_eq!(window.count, 10);
            assert!((window.per_second - 10.0).abs() < 0.01, "{window:?}");
            assert_eq!(window.p50_ms >= 500.0, at == 2, "{window:?}");
        }
        let ms = |percent| {
            let found = curve.percentiles.iter().find(|one| one.percent == percent);
            found.map(|one| one.ms)
        };
        assert!(ms(90.0).unwrap() < 11.0 && ms(99.0).unwrap() >= 500.0);
        assert_eq!(ms(99.9), None, "200 calls do not tell one in a thousand");
        assert_eq!(ms(100.0), ms(99.0));
        let table = curve.to_string();
        assert_eq!(table.lines().count(), 1 + 20 + 2 + curve.percentiles.len());
        assert!(
            table.lines().all(|line| line.chars().count() <= 84),
            "{table}"
        );
    }

    #[test]
    fn windows_are_few_however_long_it_took() {
        for seconds in [0.0, 0.05, 2.9, 3.0, 3.1, 299.0, 86_400.0, 604_800.0] {
            let window = window_of(Duration::from_secs_f64(seconds));
            assert!(
                seconds / window < f64::from(MOST_WINDOWS),
                "{seconds}: {window}"
            );
        }
        assert_eq!(Curve::of(&[]).unwrap().windows, []);
    }
}
