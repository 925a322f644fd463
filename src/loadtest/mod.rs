//! The crowd: many buyers at a pace, and a report. Customers only: they know the shop's door and Toss's window,
//! and they believe nothing that the audit at the end does not show.

use std::sync::Arc;

use anyhow::{Context, bail};

mod args;
pub mod buyer;
mod crowd;
#[cfg(test)]
mod fake_shop;
mod measure;
mod report;
#[cfg(test)]
mod run_tests;
mod scenario;
mod verify;

pub use args::LoadtestArgs;

use buyer::Buyer;
use crowd::{Faults, Shelf};
use measure::{Curve, OpenLoop};
use report::{Phases, Report, plot};
use scenario::{LastItem, Mixed, Scenario};

/// Runs the load, prints the report, and says whether it was clean: the audit found nothing, no answer was lost.
pub async fn run(args: LoadtestArgs) -> anyhow::Result<bool> {
    args.check()?;
    can_write_files(&args).await?;
    buyer::allow_many_connections();
    let buyer = Buyer::of_nodes(&args.urls, &args.sandbox, args.api_key.clone())?;
    let buyer = Arc::new(buyer);
    find_everyone(&buyer, &args).await?;
    let faults = args.scenario.faults(&args);
    let report = tokio::select! {
        report = load(&buyer, &args, &faults) => report,
        () = interrupted() => Err(anyhow::anyhow!("interrupted: nothing was audited")),
    };
    // However it ended.
    let taken_out = faults.take_out(&buyer).await;
    let report = match (report, taken_out) {
        (Ok(report), Ok(())) => report,
        (Ok(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(left)) => return Err(error.context(format!("{left:#}"))),
    };
    let written = write_files(&args, &report).await;
    say!("{}", report.to_string().trim_end());
    written?;
    Ok(report.is_clean())
}

async fn find_everyone(buyer: &Buyer, args: &LoadtestArgs) -> anyhow::Result<()> {
    for (node, url) in args.urls.iter().enumerate() {
        let ready = buyer.at(node).ready().await;
        let ready = ready.with_context(|| format!("no payonce at {url}"))?;
        if !ready.is_success() {
            bail!("{url} is not ready: {}", ready.summary());
        }
        let gateway = ready.headers.get("payonce-gateway");
        if gateway.is_none_or(|gateway| gateway != "sandbox") {
            bail!("{url} does not pay at a sandbox: a crowd changes prices and stock, and buys");
        }
    }
    let ledger = buyer.ledger(Some("nobody")).await;
    let ledger = ledger.with_context(|| format!("no sandbox at {}", args.sandbox))?;
    if !ledger.is_success() {
        bail!("{} is no sandbox: {}", args.sandbox, ledger.summary());
    }
    Ok(())
}

/// Ctrl-C, or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => return,
                pressed = tokio::signal::ctrl_c() => if pressed.is_ok() { return },
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn load(buyer: &Arc<Buyer>, args: &LoadtestArgs, faults: &Faults) -> anyhow::Result<Report> {
    let shelf = Shelf::of(args);
    let goods = shelf.stock_up(buyer, args).await?;
    let sale = crowd::sell(buyer, args, shelf, faults).await?;
    let confirmed = sale.confirmed;
    let (calls, tickets) = (&confirmed.calls, &sale.tickets);
    let settled_later = crowd::settle(buyer, args, tickets, &confirmed.open).await?;
    let books = verify::read(buyer, args, tickets, &goods).await?;
    let mut audit = books.audit(calls, tickets);
    let outcomes = calls.tally();
    let mut last_item = None;
    if let Some(items) = shelf.items {
        let sold = LastItem::of(items, calls, goods[0], books.shelf[0])?;
        audit.add(sold.findings(outcomes));
        last_item = Some(sold);
    }
    let mixed = |shares| Mixed::of(shares, calls, &confirmed.reloads, books.repeated_confirms());
    let is_mixed = args.scenario == Scenario::Mixed;
    let orders = tickets.len() as u64 + sale.not_opened;
    let orders = u32::try_from(orders).unwrap_or(u32::MAX);
    let confirm = calls.phase()?;
    Ok(Report {
        scenario: args.scenario,
        orders: args.prepared().map_or(orders, |prepared| prepared as u32),
        concurrency: args.concurrency,
        nodes: buyer.nodes(),
        outcomes,
        not_opened: sale.not_opened,
        settled_later,
        same_order: confirmed.same_order,
        open_loop: args
            .rate
            .map(|rate| OpenLoop::of(rate, args.ramp.unwrap_or_default(), calls))
            .transpose()?,
        last_item,
        mixed: is_mixed.then(|| mixed(&args.shares)).transpose()?,
        steal_percent: confirm.cpu_percent.map(|cpu| cpu.steal),
        phases: Phases {
            checkout: sale.checkout,
            confirm,
            after_ramp: args
                .ramp
                .map(|ramp| calls.after(ramp).phase())
                .transpose()?,
        },
        audit,
        odd: confirmed.odd.into_vec(),
        curve: Curve::of(&calls.all)?,
        is_plotted: args.plot.is_some(),
    })
}

/// Before the work, not after it.
async fn can_write_files(args: &LoadtestArgs) -> anyhow::Result<()> {
    for file in args.json.iter().chain(&args.plot) {
        let mut open = tokio::fs::OpenOptions::new();
        let opened = open.create(true).append(true).open(file).await;
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

async fn write_files(args: &LoadtestArgs, report: &Report) -> anyhow::Result<()> {
    let mut files = Vec::new();
    if let Some(file) = &args.json {
        files.push((file, serde_json::to_string_pretty(report)? + "\n"));
    }
    if let Some(file) = &args.plot {
        files.push((file, plot::svg(&report.title(), &report.curve)?));
    }
    for (file, text) in files {
        let written = tokio::fs::write(file, text).await;
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
