//! A day at a shop: which buyers behave how, what Toss does to them, and what came of each share.

use std::fmt;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::Scenario;
use crate::loadtest::buyer::grouped;
use crate::loadtest::crowd::{Echo, Faults, Manner, Reload};
use crate::loadtest::measure::{Calls, Phase, Tally, latencies, rounded};

/// How long a lost answer keeps payonce waiting before the connection is closed, where it is not reset at once.
const HANG_MS: u64 = 300;
const DECLINE: &str = "REJECT_CARD_PAYMENT";

const DECLINES: f64 = 5.0;
const LOST_ANSWERS: f64 = 2.0;
const RELOADS: f64 = 10.0;
const WRONG_AMOUNTS: f64 = 1.0;

/// How much of what happens in `mixed`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What happens in `mixed`, in percent")]
pub struct Shares {
    /// Payments that Toss declines [default: 5]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    declines: Option<f64>,
    /// Answers of Toss to a confirm that do not reach payonce, half of them reset at once, half after 300 ms; Toss
    /// has done what it was asked for [default: 2]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    lost_answers: Option<f64>,
    /// Buyers who send their confirm a second time, half of them at once, half when they have their answer; with
    /// several --url to another node. These calls come on top of the others and are timed apart [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    reloads: Option<f64>,
    /// Buyers who confirm half of the amount, and go away [default: 1]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    wrong_amounts: Option<f64>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().ok();
    let fits = percent.filter(|percent| (0.0..=100.0).contains(percent));
    fits.ok_or_else(|| "wants a number of percent, 0 to 100".to_owned())
}

impl Shares {
    fn declines(&self) -> f64 {
        self.declines.unwrap_or(DECLINES)
    }

    fn lost_answers(&self) -> f64 {
        self.lost_answers.unwrap_or(LOST_ANSWERS)
    }

    fn reloads(&self) -> f64 {
        self.reloads.unwrap_or(RELOADS)
    }

    fn wrong_amounts(&self) -> f64 {
        self.wrong_amounts.unwrap_or(WRONG_AMOUNTS)
    }

    pub fn check(&self, scenario: Scenario) -> anyhow::Result<()> {
        let Shares {
            declines,
            lost_answers,
            reloads,
            wrong_amounts,
        } = self;
        let given = [declines, lost_answers, reloads, wrong_amounts];
        ensure!(
            scenario == Scenario::Mixed || given.iter().all(|share| share.is_none()),
            "--declines, --lost-answers, --reloads and --wrong-amounts are for --scenario mixed"
        );
        ensure!(
            self.declines() + self.lost_answers() <= 100.0,
            "--declines and --lost-answers are shares of one whole: together at most 100"
        );
        ensure!(
            self.reloads() + self.wrong_amounts() <= 100.0,
            "--reloads and --wrong-amounts are shares of one whole: together at most 100"
        );
        Ok(())
    }

    /// Spread evenly over the orders and the same in each run, exact to a tenth of a percent over each 1,000 orders.
    pub fn manner_of(&self, order: usize) -> Manner {
        // This stride visits each of 1,000 places once, and keeps any share within two orders of its due meanwhile.
        let place = (order % 1000 * 787 % 1000) as f64 / 10.0;
        let wrong = self.wrong_amounts();
        let (at_once, later) = (wrong + self.reloads() / 2.0, wrong + self.reloads());
        if place < wrong {
            Manner::WrongAmount
        } else if place < at_once {
            Manner::ReloadsAtOnce
        } else if place < later {
            Manner::ReloadsLater
        } else {
            Manner::Plain
        }
    }

    /// A rule is asked only if those before it said no: each takes its share of what they left.
    pub fn faults(&self) -> Faults {
        let half_lost = self.lost_answers() / 2.0;
        let mut left = 100.0;
        let mut rules = Vec::new();
        for (share, fault) in [
            (self.declines(), json!({"kind": "error", "code": DECLINE})),
            (half_lost, json!({"kind": "reset_after"})),
            (half_lost, json!({"kind": "hang_after", "millis": HANG_MS})),
        ] {
            if share > 0.0 {
                // So few digits come back from the sandbox as they went there.
                let probability = ((share / left).min(1.0) * 1e6).round() / 1e6;
                rules.push(json!({"on": "confirm", "probability": probability, "do": fault}));
            }
            left -= share;
        }
        Faults::new(rules)
    }
}

/// What `mixed` adds to the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mixed {
    pub declines: Share,
    /// Counted by the confirms that Toss heard again.
    pub lost_answers: Share,
    pub reloads_at_once: Share,
    pub reloads_later: Share,
    pub wrong_amounts: Share,
    /// Reloads that heard another answer than the first call, or none.
    pub unequal: u64,
    /// Reloads of orders that were not settled yet, or that were not taken: their answers may differ.
    pub incomparable: u64,
    /// The second calls.
    pub reloads: Phase,
}

/// Percent wanted, and how often it happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    pub percent: f64,
    pub count: u64,
    pub of: u64,
}

impl Mixed {
    /// `repeated`: the confirms that Toss heard beyond one for each payment.
    pub fn of(
        shares: &Shares,
        calls: &Calls,
        reloads: &[Reload],
        repeated: u64,
    ) -> anyhow::Result<Mixed> {
        let Tally {
            declined,
            wrong_amount,
            done,
            ..
        } = calls.tally();
        let of = calls.all.len() as u64;
        let reached = done + declined;
        let manners = |manner| {
            let such = calls.all.iter().filter(|call| call.manner == manner);
            such.count() as u64
        };
        let echoes = |echo| reloads.iter().filter(|reload| reload.echo == echo).count() as u64;
        let share = |percent, count, of| Share { percent, count, of };
        let second = latencies(reloads.iter().map(|reload| reload.latency))?;
        Ok(Mixed {
            declines: share(shares.declines(), declined, reached),
            lost_answers: share(shares.lost_answers(), repeated, reached + repeated),
            reloads_at_once: share(shares.reloads() / 2.0, manners(Manner::ReloadsAtOnce), of),
            reloads_later: share(shares.reloads() / 2.0, manners(Manner::ReloadsLater), of),
            wrong_amounts: share(shares.wrong_amounts(), wrong_amount, of),
            unequal: echoes(Echo::Unequal),
            incomparable: echoes(Echo::Open),
            reloads: Phase::of(&second, calls.took),
        })
    }
}

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("declined by Toss", self.declines),
            ("answers of Toss lost", self.lost_answers),
            ("reloaded at once", self.reloads_at_once),
            ("reloaded when answered", self.reloads_later),
            ("wrong amount, refused", self.wrong_amounts),
        ];
        for (at, (name, share)) in rows.into_iter().enumerate() {
            let title = if at == 0 { "mixed" } else { "" };
            let Share { percent, count, of } = share;
            let got = rounded(count as f64 * 100.0 / of.max(1) as f64);
            let (count, of) = (grouped(count), grouped(of));
            writeln!(
                f,
                "{title:<12}{name:<22} {count:>9} of {of:>10} {got:>5.1} % (wanted {percent} %)"
            )?;
        }
        let (unequal, open) = (grouped(self.unequal), grouped(self.incomparable));
        writeln!(
            f,
            "            reloads that heard another answer: {unequal}; not comparable: {open}"
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::loadtest::args::tests::parsed;

    fn shares(words: &str) -> Shares {
        parsed(&format!("--scenario mixed {words}")).shares
    }

    #[test]
    fn each_thousand_orders_have_exactly_their_shares_and_few_have_about_theirs() {
        let count = |words, orders: std::ops::Range<usize>, manner| {
            let shares = shares(words);
            let such = orders.filter(|order| shares.manner_of(*order) == manner);
            such.count()
        };
        for thousand in [0..1000, 5000..6000] {
            for (words, wanted) in [
                ("", [10, 50, 50, 890]),
                ("--wrong-amounts 0 --reloads 0", [0, 0, 0, 1000]),
                ("--wrong-amounts 0.1 --reloads 99.9", [1, 500, 499, 0]),
                ("--wrong-amounts 100 --reloads 0", [1000, 0, 0, 0]),
            ] {
                let manners = [
                    Manner::WrongAmount,
                    Manner::ReloadsAtOnce,
                    Manner::ReloadsLater,
                    Manner::Plain,
                ];
                let counted = manners.map(|manner| count(words, thousand.clone(), manner));
                assert_eq!(counted, wanted, "{words}");
            }
        }
        for orders in [100, 200, 300, 500, 700] {
            let few = count("--reloads 20", 0..orders, Manner::ReloadsAtOnce);
            assert!(few.abs_diff(orders / 10) <= 2, "{few} of {orders}");
        }
    }

    #[test]
    fn the_faults_share_out_one_whole_though_they_are_asked_one_after_the_other() {
        let rules = shares("--declines 20 --lost-answers 40").faults();
        let mut left = 1.0;
        let mut of_all = Vec::new();
        for rule in rules.ours() {
            let probability = rule["probability"].as_f64().unwrap();
            of_all.push((left * probability * 1000.0_f64).round());
            left *= 1.0 - probability;
        }
        assert_eq!(of_all, [200.0, 200.0, 200.0]);
        assert_eq!(rules.ours()[0]["do"]["code"], DECLINE);
        assert!(
            shares("--declines 0 --lost-answers 0")
                .faults()
                .ours()
                .is_empty()
        );
        let all = shares("--declines 0 --lost-answers 100").faults();
        assert_eq!(all.ours()[1]["probability"], 1.0);
    }
}
