//! Latencies and the figures made of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cpu::CpuPercent;

/// Microseconds, three digits, up to two minutes: twice what any call may take.
pub type Latencies = Histogram<u64>;

pub fn latencies(of: impl IntoIterator<Item = Duration>) -> anyhow::Result<Latencies> {
    let mut latencies = Histogram::new_with_bounds(1, 120_000_000, 3)?;
    for took in of {
        latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latencies)
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    pub count: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// Of the whole machine meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<CpuPercent>,
}

impl Phase {
    pub fn of(latencies: &Latencies, took: Duration) -> Phase {
        let at = |quantile| millis(latencies.value_at_quantile(quantile));
        Phase {
            count: latencies.len(),
            seconds: rounded(took.as_secs_f64()),
            per_second: rounded(per_second(latencies.len(), took)),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(latencies.max()),
            cpu_percent: None,
        }
    }

    #[must_use]
    pub fn with_cpu(self, cpu_percent: Option<CpuPercent>) -> Phase {
        Phase {
            cpu_percent,
            ..self
        }
    }
}

pub fn per_second(count: u64, took: Duration) -> f64 {
    if took.is_zero() {
        return 0.0;
    }
    count as f64 / took.as_secs_f64()
}

/// Microseconds as milliseconds.
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Three decimals are more than any of these figures is good for.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let all = latencies((1..=1000).map(Duration::from_millis)).unwrap();
        let phase = Phase::of(&all, Duration::from_secs(2));
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
        let nothing = Phase::of(&latencies([]).unwrap(), Duration::ZERO);
        assert_eq!(
            (nothing.count, nothing.per_second, nothing.max_ms),
            (0, 0.0, 0.0)
        );
    }
}
