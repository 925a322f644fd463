//! One buyer with a story: the real binary in a temporary folder, told as a customer lives through it. Each step says
//! what happened; one that did not happen as promised makes the whole demo fail.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;

mod house;
mod paying;
mod refusals;
mod story;
mod teller;
mod trouble;

use house::House;
use story::Story;
use teller::Teller;

use crate::loadtest::buyer::{self, Buyer};

/// Where the shop's page is served from while it is developed.
const BROWSER: &str = "http://localhost:5173";

#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Print every request as a curl command
    #[arg(long)]
    pub curl: bool,
    /// Keep the folder with the database, the ledger and the logs
    #[arg(long)]
    pub keep: bool,
}

/// Tells the story, and says whether every step went as promised.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    buyer::allow_many_connections();
    // Whichever way this ends, the house is dropped, and with it every process that it started.
    tokio::select! {
        told = tell(&args) => told,
        () = interrupted() => anyhow::bail!("interrupted"),
    }
}

async fn tell(args: &DemoArgs) -> anyhow::Result<bool> {
    let started = Instant::now();
    let program = std::env::current_exe().context("cannot find payonce itself")?;
    let mut house = House::build(program, args.keep)?;
    let teller = Teller::of_this_terminal();
    teller.opening(&house);
    house.open().await?;

    let mut buyer = Buyer::new(&house.shop_url(), &house.sandbox_url(), None)?.from_origin(BROWSER);
    if args.curl {
        let voice = teller.clone();
        buyer = buyer.watched_by(Arc::new(move |command| voice.aside(command)));
    }
    let mut story = Story::new(buyer, house, teller.clone());
    story.tell().await;
    teller.closing(story.differences(), started.elapsed());
    let clean = story.differences() == 0;
    story.into_house().close().await;
    Ok(clean)
}

async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
