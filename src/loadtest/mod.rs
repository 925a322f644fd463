//! The crowd: many buyers at a pace, and a report. Customers only: they know the shop's door and Toss's window,
//! and they believe nothing that the audit at the end does not show.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use serde::Serialize;

pub mod buyer;
mod confirms;
#[cfg(test)]
mod fake_shop;
mod pace;
mod phases;
mod report;
#[cfg(test)]
mod run_tests;
mod settle;
mod shelf;
mod steal;
mod tally;
mod verify;

use buyer::Buyer;
use report::Report;

/// Who meets whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Orders spread over many products.
    Distinct,
    /// All orders want the same product.
    Hot,
    /// Each order is confirmed by all callers at once.
    SameOrder,
}

#[derive(Clone, Debug, Args)]
pub struct LoadtestArgs {
    /// The payonce to buy from
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The sandbox that this payonce pays with
    #[arg(long, default_value = "http://127.0.0.1:8090")]
    pub sandbox: String,
    /// How many orders are checked out and confirmed
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub orders: u32,
    /// How many callers there are; each waits for its answer before it calls again
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub concurrency: u32,
    /// Confirms a second, by the clock: they leave whether or not earlier ones are answered, and are timed from
    /// when they should have left. `--concurrency` then bounds how many may wait at once
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// Who meets whom
    #[arg(long, value_enum, default_value_t = Scenario::Distinct)]
    pub scenario: Scenario,
    /// Over how many products the orders are spread (not for `hot`)
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub products: u32,
    /// A key of the shop's back office, where the server wants one
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<SecretString>,
    /// Write the report as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok();
    let fits = rate.filter(|rate| (0.1..=1_000_000.0).contains(rate));
    fits.ok_or_else(|| "wants a number of confirms a second, 0.1 to 1000000".to_owned())
}

impl LoadtestArgs {
    fn callers(&self) -> usize {
        self.concurrency as usize
    }
}

/// Runs the load, prints the report, and says whether it was clean: the audit found nothing, no answer was lost.
pub async fn run(args: LoadtestArgs) -> anyhow::Result<bool> {
    if args.rate.is_some() && args.scenario == Scenario::SameOrder {
        bail!(
            "--rate paces orders one by one; same-order sends all callers at once: leave one of them out"
        );
    }
    buyer::allow_many_connections();
    let buyer = Buyer::new(&args.url, &args.sandbox, args.api_key.clone())?;
    let buyer = Arc::new(buyer);
    find_everyone(&buyer, &args).await?;
    let report = load(&buyer, &args).await?;
    print!("{report}");
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&report)?;
        tokio::fs::write(file, json + "\n")
            .await
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.is_clean())
}

async fn find_everyone(buyer: &Buyer, args: &LoadtestArgs) -> anyhow::Result<()> {
    let ready = buyer.ready().await;
    let ready = ready.with_context(|| format!("no payonce at {}", args.url))?;
    if !ready.is_success() {
        bail!("{} is not ready: {}", args.url, ready.summary());
    }
    let ledger = buyer.ledger(Some("nobody")).await;
    let ledger = ledger.with_context(|| format!("no sandbox at {}", args.sandbox))?;
    if !ledger.is_success() {
        bail!("{} is no sandbox: {}", args.sandbox, ledger.summary());
    }
    Ok(())
}

async fn load(buyer: &Arc<Buyer>, args: &LoadtestArgs) -> anyhow::Result<Report> {
    let shelf = shelf::stock_up(buyer, args).await?;
    let checkout = phases::checkout(buyer, args).await?;
    let tickets = phases::authorize(buyer, args, checkout.opened).await?;
    let confirm = confirms::confirm(buyer, args, &tickets).await?;
    let settled_later = settle::settle(buyer, args, &tickets, &confirm.open).await?;
    let audit = verify::audit(buyer, args, &tickets, shelf).await?;
    Ok(Report {
        scenario: args.scenario,
        orders: args.orders,
        concurrency: args.concurrency,
        phases: report::Phases {
            checkout: report::Phase::of(&checkout.latencies, checkout.took),
            confirm: report::Phase::of(&confirm.latencies, confirm.took),
        },
        outcomes: confirm.tally,
        not_opened: checkout.not_opened,
        settled_later,
        same_order: confirm.same_order,
        open_loop: confirm.open_loop,
        steal_percent: confirm.steal_percent.map(report::rounded),
        audit,
        odd: [checkout.odd, confirm.odd].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn args(scenario: Scenario, orders: u32, products: u32) -> LoadtestArgs {
        LoadtestArgs {
            url: "http://127.0.0.1:8080".into(),
            sandbox: "http://127.0.0.1:8090".into(),
            orders,
            concurrency: 4,
            scenario,
            rate: None,
            products,
            api_key: None,
            json: None,
        }
    }
}
