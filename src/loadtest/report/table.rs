//! The report as a table, narrow enough for any terminal.

use std::fmt;

use super::{Phases, Report};
use crate::loadtest::buyer::grouped;
use crate::loadtest::measure::{CpuPercent, Phase, Tally};
use crate::loadtest::verify::Audit;

/// Above this share of stolen time a figure does not count.
const STEAL_LIMIT_PERCENT: f64 = 5.0;
/// How many findings the table shows; the JSON has all.
const FINDINGS_SHOWN: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title())?;
        self.write_phases(f)?;
        self.write_outcomes(f)?;
        self.write_scenario(f)?;
        self.write_cpu(f)?;
        self.write_steal(f)?;
        self.write_audit(f)?;
        for odd in &self.odd {
            writeln!(f, "odd         {odd}")?;
        }
        if self.is_plotted {
            write!(f, "\n{}", self.curve)?;
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
        cpu_percent: _,
    } = phase;
    let (count, per_second) = (grouped(*count), grouped(per_second.round() as u64));
    write!(f, "{name:<11} {count:>8} {seconds:>8.2} {per_second:>8} ")?;
    for ms in [p50_ms, p90_ms, p99_ms, p999_ms, max_ms] {
        write!(f, " {ms:>7.1}")?;
    }
    writeln!(f)
}

impl Report {
    fn write_phases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11} {:>8} {:>8} {:>8}  {:>7} {:>7} {:>7} {:>7} {:>7}",
            "phase", "count", "s", "per s", "p50 ms", "p90", "p99", "p99.9", "max"
        )?;
        let Phases {
            checkout,
            confirm,
            after_ramp,
        } = &self.phases;
        write_phase(f, "checkout", checkout)?;
        write_phase(f, "confirm", confirm)?;
        if let Some(after_ramp) = after_ramp {
            write_phase(f, "  full load", after_ramp)?;
        }
        if let Some(item) = &self.last_item {
            write_phase(f, "  sold out", &item.sold_out)?;
        }
        if let Some(mixed) = &self.mixed {
            write_phase(f, "  reloads", &mixed.reloads)?;
        }
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
            wrong_amount,
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
        if wrong_amount > 0 {
            let wrong = grouped(wrong_amount);
            writeln!(f, "            wrong amount {wrong}")?;
        }
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

    fn write_scenario(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(item) = &self.last_item {
            write!(f, "{item}")?;
        }
        if let Some(mixed) = &self.mixed {
            write!(f, "{mixed}")?;
        }
        Ok(())
    }

    fn write_cpu(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Phases {
            checkout, confirm, ..
        } = &self.phases;
        let told = [("checkout", checkout), ("confirm", confirm)]
            .into_iter()
            .filter_map(|(name, phase)| phase.cpu_percent.map(|cpu| (name, cpu)));
        for (at, (name, cpu)) in told.enumerate() {
            let title = if at == 0 { "cpu" } else { "" };
            let CpuPercent {
                user,
                system,
                iowait,
                idle,
                steal,
            } = cpu;
            writeln!(
                f,
                "{title:<12}{name:<9} user {user:.1}, system {system:.1}, iowait {iowait:.1}, idle {idle:.1}, steal \
                 {steal:.1} %"
            )?;
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
            broken_promises,
            ..
        } = &self.audit;
        let (orders, products) = (grouped(*orders), grouped(*products));
        let findings: Vec<String> = violations
            .iter()
            .map(ToString::to_string)
            .chain(broken_promises.iter().cloned())
            .collect();
        let word = match findings.len() {
            0 => "nothing disagrees".to_owned(),
            some => format!("{} FINDINGS", grouped(some as u64)),
        };
        writeln!(
            f,
            "audit       {word}: {orders} orders, {products} products, Toss's ledger"
        )?;
        if let Some(why) = why_unread {
            let unread = grouped(*unread);
            writeln!(f, "            {unread} orders could not be read: {why}")?;
        }
        for finding in findings.iter().take(FINDINGS_SHOWN) {
            writeln!(f, "            {finding}")?;
        }
        if findings.len() > FINDINGS_SHOWN {
            let more = findings.len() - FINDINGS_SHOWN;
            writeln!(f, "            and {more} more")?;
        }
        Ok(())
    }
}
