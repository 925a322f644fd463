//! What a run is told on the command line, and which of it goes together.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use secrecy::SecretString;

use super::crowd::{Load, Pace};
use super::scenario::{Scenario, Shares};

const ORDERS: u32 = 1000;
/// More than any run makes in its time.
pub const MOST_ORDERS: u32 = 10_000_000;

#[derive(Clone, Debug, Args)]
pub struct LoadtestArgs {
    /// The payonce to buy from. Given several times: nodes of one shop, each request to the next one
    #[arg(
        long = "url",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub urls: Vec<String>,
    /// The sandbox that this payonce pays with
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8090")]
    pub sandbox: String,
    /// How many orders are checked out and confirmed [default: 1000, or as many as --duration takes]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ORDERS)))]
    pub orders: Option<u32>,
    /// How many callers there are; each waits for its answer before it calls again
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub concurrency: u32,
    /// Confirms a second, by the clock: they leave whether or not earlier ones are answered, and are timed from
    /// when they should have left. `--concurrency` then bounds how many may wait at once
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long the load takes to grow to its full size: callers come one after the other, and with --rate the rate
    /// grows. What left meanwhile is audited and counted, and shown apart from what left later
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub ramp: Option<Duration>,
    /// How long confirms go on. With --rate, as many orders are prepared as leave in that time. With --orders, these
    /// are prepared, and whichever ends first ends the run. Alone, nobody knows how many orders it takes: each caller
    /// checks out, pays and confirms, again and again, and the figures are those of a server that does all of it at
    /// the same time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Who meets whom
    #[arg(long, value_enum, default_value_t = Scenario::Distinct)]
    pub scenario: Scenario,
    /// Over how many products the orders are spread (not for `hot` and `last-item`)
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub products: u32,
    /// How many pieces `last-item` has for its buyers [default: half as many as orders]
    #[arg(long, value_name = "PIECES", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ORDERS)))]
    pub items: Option<u32>,
    /// A key of the shop's back office, where the server wants one
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<SecretString>,
    /// Write the report as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw the latencies of the confirms over time and by percentile into this file, and print the same figures
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub shares: Shares,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok();
    let fits = rate.filter(|rate| (0.1..=1_000_000.0).contains(rate));
    fits.ok_or_else(|| "wants a number of confirms a second, 0.1 to 1000000".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    let fits = seconds.filter(|seconds| (0.1..=604_800.0).contains(seconds));
    let seconds = fits.ok_or_else(|| "wants a number of seconds, 0.1 to 604800".to_owned())?;
    Ok(Duration::from_secs_f64(seconds))
}

impl LoadtestArgs {
    pub fn callers(&self) -> usize {
        self.concurrency as usize
    }

    /// How the confirms leave.
    pub fn load(&self) -> Load {
        Load {
            callers: self.callers(),
            pace: self.rate.map_or(Pace::Closed, Pace::Open),
            ramp: self.ramp.unwrap_or_default(),
            lasts: self.duration,
        }
    }

    /// How many orders are prepared before the first confirm; `None`: they are made on the way.
    pub fn prepared(&self) -> Option<usize> {
        let asked = self.orders.map(|orders| orders as usize);
        let due = self.duration.zip(self.rate);
        let due = due.map(|(lasts, rate)| self.load().due_within(rate, lasts));
        match (asked, due) {
            (Some(asked), Some(due)) => Some(asked.min(due)),
            (Some(orders), None) | (None, Some(orders)) => Some(orders),
            (None, None) => self.duration.is_none().then_some(ORDERS as usize),
        }
    }

    /// Says what does not go together.
    pub fn check(&self) -> anyhow::Result<()> {
        let paced = self.rate.is_some() || self.ramp.is_some() || self.duration.is_some();
        ensure!(
            !paced || self.scenario != Scenario::SameOrder,
            "--rate, --ramp and --duration pace orders one by one; same-order sends all callers at once: leave one \
             of them out"
        );
        let most = MOST_ORDERS as usize;
        ensure!(
            self.prepared()
                .is_none_or(|orders| (1..=most).contains(&orders)),
            "--rate and --duration want 1 to {most} orders together"
        );
        ensure!(
            self.prepared().is_some() || self.scenario != Scenario::LastItem,
            "last-item must know how many buyers come: --duration wants --orders or --rate beside it"
        );
        ensure!(
            self.items.is_none() || self.scenario == Scenario::LastItem,
            "--items is for --scenario last-item"
        );
        self.shares.check(self.scenario)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LoadtestArgs,
    }

    /// As the command line gives them.
    pub fn parsed(words: &str) -> LoadtestArgs {
        let words = std::iter::once("loadtest").chain(words.split_whitespace());
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn orders_are_counted_by_the_command_line_or_by_the_clock_or_made_on_the_way() {
        for (words, prepared) in [
            ("", Some(1000)),
            ("--orders 7", Some(7)),
            ("--orders 7 --rate 10", Some(7)),
            ("--duration 2 --rate 10", Some(20)),
            ("--duration 2 --rate 10 --orders 7", Some(7)),
            ("--duration 2 --rate 10 --orders 70", Some(20)),
            ("--duration 2 --rate 10 --ramp 1", Some(15)),
            ("--duration 2 --orders 7", Some(7)),
            ("--duration 2", None),
        ] {
            assert_eq!(parsed(words).prepared(), prepared, "{words}");
            parsed(words).check().unwrap();
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_words() {
        for (words, why) in [
            ("--scenario same-order --rate 5", "--rate, --ramp"),
            ("--scenario same-order --ramp 5", "--rate, --ramp"),
            ("--scenario same-order --duration 5", "--rate, --ramp"),
            ("--scenario last-item --duration 5", "last-item must know"),
            ("--items 5", "--items is for"),
            ("--rate 1000000 --duration 600000", "--rate and --duration"),
            ("--declines 5", "--declines, --lost-answers"),
            (
                "--scenario mixed --declines 60 --lost-answers 50",
                "--declines and",
            ),
            (
                "--scenario mixed --reloads 60 --wrong-amounts 50",
                "--reloads and",
            ),
        ] {
            let refused = parsed(words).check().unwrap_err().to_string();
            assert!(refused.starts_with(why), "{words}: {refused}");
        }
    }

    #[test]
    fn several_urls_are_nodes_of_one_shop() {
        assert_eq!(parsed("").urls, ["http://127.0.0.1:8080"]);
        let both = parsed("--url http://a --url http://b");
        assert_eq!(both.urls, ["http://a", "http://b"]);
    }
}
