//! What a run says at its end: a narrow table for a person, and the same as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Scenario;
use super::buyer::grouped;
use super::confirms::{OpenLoop, SameOrder};
use super::pace::Latencies;
use super::tally::Tally;
use super::verify::Audit;

/// Above this share of stolen time a figure does not count.
const STEAL_LIMIT_PERCENT: f64 = 5.0;
/// How many findings the table shows; the JSON has all.
const FINDINGS_SHOWN: usize = 20;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: Scenario,
    pub orders: u32,
    pub concurrency: u32,
    pub phases: Phases,
    /// First answers.
    pub outcomes: Tally,
    /// Checkouts that gave no order.
    pub not_opened: u64,
    /// Orders without a settled first answer that came to rest before the audit.
    pub settled_later: u64,
    #[serde(flatten)]
    pub same_order: Option<SameOrder>,
    #[serde(flatten)]
    pub open_loop: Option<OpenLoop>,
    /// Of all CPU time during the confirms; `null` where the system does not tell.
    pub steal_percent: Option<f64>,
    pub audit: Audit,
    /// The first few answers that need an explanation.
    pub odd: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Phases {
    pub checkout: Phase,
    pub confirm: Phase,
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
}

impl Phase {
    pub fn of(latencies: &Latencies, took: Duration) -> Phase {
        let count = latencies.len();
        let at = |quantile| millis(latencies.value_at_quantile(quantile));
        let seconds = took.as_secs_f64();
        let per_second = if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        };
        Phase {
            count,
            seconds: rounded(seconds),
            per_second: rounded(per_second),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(latencies.max()),
        }
    }
}

/// Microseconds as milliseconds.
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Three decimals are more than any of these figures is good for.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl Report {
    /// Nothing found, nothing lost, nothing that no scenario asks for.
    pub fn is_clean(&self) -> bool {
        let equal = self
            .same_order
            .as_ref()
            .is_none_or(|same| same.unequal == 0);
        let Tally {
            lost, unexpected, ..
        } = self.outcomes;
        self.audit.ok && equal && lost == 0 && unexpected == 0 && self.not_opened == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = match self.scenario {
            Scenario::Distinct => "distinct",
            Scenario::Hot => "hot",
            Scenario::SameOrder => "same-order",
        };
        let (orders, callers) = (
            grouped(self.orders.into()),
            grouped(self.concurrency.into()),
        );
        writeln!(f, "{scenario}: {orders} orders, {callers} callers\n")?;
        self.write_phases(f)?;
        self.write_outcomes(f)?;
        self.write_steal(f)?;
        self.write_audit(f)?;
        for odd in &self.odd {
            writeln!(f, "odd         {odd}")?;
        }
        let verdict = if self.is_clean() {
            "clean"
        } else {
            "NOT CLEAN"
        };
        writeln!(f, "\n{verdict}")
    }
}

fn write_phase(f: &mut fmt::Formatter<'_>, name: &str, phase: &Phase) -> fmt::Result {
    let Phase {
        count,
        seconds,
        per_second,
        p50_ms,
        p90_ms,
        p99_ms,
        p999_ms,
        max_ms,
    } = phase;
    let (count, per_second) = (grouped(*count), grouped(per_second.round() as u64));
    write!(f, "{name:<10} {count:>9} {seconds:>8.2} {per_second:>8} ")?;
    for ms in [p50_ms, p90_ms, p99_ms, p999_ms, max_ms] {
        write!(f, " {ms:>7.1}")?;
    }
    writeln!(f)
}

impl Report {
    fn write_phases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>9} {:>8} {:>8}  {:>7} {:>7} {:>7} {:>7} {:>7}",
            "phase", "count", "s", "per s", "p50 ms", "p90", "p99", "p99.9", "max"
        )?;
        let Phases { checkout, confirm } = &self.phases;
        write_phase(f, "checkout", checkout)?;
        write_phase(f, "confirm", confirm)?;
        if let Some(open) = &self.open_loop {
            write_phase(f, "  paid", &open.paid)?;
            write_phase(f, "  refused", &open.refusals)?;
            let whole = |rate: f64| grouped(rate.round() as u64);
            let (rate, offered) = (whole(open.rate), whole(open.offered_per_second));
            let goodput = whole(open.goodput_per_second);
            writeln!(
                f,
                "\nby the clock: {rate} per s wanted, {offered} per s left, {goodput} per s paid"
            )?;
        }
        let Some(same) = &self.same_order else {
            return writeln!(f);
        };
        let (p50, max) = (same.last_answer_p50_ms, same.last_answer_max_ms);
        writeln!(
            f,
            "\nlast answer of an order: p50 {p50:.1} ms, max {max:.1} ms"
        )?;
        writeln!(
            f,
            "orders whose callers heard different things: {}\n",
            same.unequal
        )
    }

    fn write_outcomes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            done,
            declined,
            out_of_stock,
            pending,
            refused,
            unsent,
            lost,
            unexpected,
        } = self.outcomes;
        writeln!(
            f,
            "outcomes    done {}, declined {}, out of stock {}, pending {}",
            grouped(done),
            grouped(declined),
            grouped(out_of_stock),
            grouped(pending)
        )?;
        writeln!(
            f,
            "            refused {}, unsent {}, lost {}, unexpected {}",
            grouped(refused),
            grouped(unsent),
            grouped(lost),
            grouped(unexpected)
        )?;
        if self.settled_later > 0 {
            let later = grouped(self.settled_later);
            writeln!(
                f,
                "            {later} orders came to rest after their first answer"
            )?;
        }
        if self.not_opened > 0 {
            let missing = grouped(self.not_opened);
            writeln!(f, "            {missing} checkouts gave no order")?;
        }
        Ok(())
    }

    fn write_steal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(steal) = self.steal_percent else {
            return writeln!(f, "steal       not told by this system");
        };
        writeln!(
            f,
            "steal       {steal:.1} % of the CPU time during the confirms"
        )?;
        if (STEAL_LIMIT_PERCENT..100.0).contains(&steal) {
            let rate = self.phases.confirm.per_second / (1.0 - steal / 100.0);
            let rate = grouped(rate.round() as u64);
            writeln!(
                f,
                "            too much for the figures to count; rate / (1 - steal) = {rate} per s"
            )?;
        }
        Ok(())
    }

    fn write_audit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit {
            orders,
            products,
            unread,
            why_unread,
            violations,
            ..
        } = &self.audit;
        let (orders, products) = (grouped(*orders), grouped(*products));
        let word = match violations.len() {
            0 => "nothing disagrees".to_owned(),
            some => format!("{} FINDINGS", grouped(some as u64)),
        };
        writeln!(
            f,
            "audit       {word}: {orders} orders, {products} products, Toss's ledger"
        )?;
        if let Some(why) = why_unread {
            writeln!(
                f,
                "            {} orders could not be read: {why}",
                grouped(*unread)
            )?;
        }
        for violation in violations.iter().take(FINDINGS_SHOWN) {
            writeln!(f, "            {violation}")?;
        }
        if violations.len() > FINDINGS_SHOWN {
            writeln!(
                f,
                "            and {} more",
                violations.len() - FINDINGS_SHOWN
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
