//! The bad part: an answer is lost, a process is killed, and the books still agree.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::story::{Paper, Story, is_paid, same};
use crate::loadtest::buyer::{Answer, Silence};

/// Recovery settles within 5 s of being ready; the confirm that was cut off may hold Toss for some more.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
const TOSS_DELAY_MS: u64 = 3_000;

pub async fn answer_lost(story: &mut Story) -> anyhow::Result<String> {
    let before = story.shelf().await?;
    let paper = story.one_ogu().await?;
    let fault = json!([{
        "on": "confirm", "orderId": paper.order_id, "times": 1, "do": {"kind": "reset_after"},
    }]);
    story.order_fault(&fault).await?;
    let asked = Instant::now();
    is_paid(&story.confirm(&paper).await?)?;
    let ms = asked.elapsed().as_millis();
    same("approvals", story.approvals(&paper).await?, 1)?;
    let after = before.less_one();
    same("the shelf", story.shelf().await?, after)?;
    Ok(format!(
        "Toss approved and hung up: asked again, 200 DONE in {ms} ms; 1 approval; {after}"
    ))
}

pub async fn killed_and_restarted(story: &mut Story) -> anyhow::Result<String> {
    let before = story.shelf().await?;
    let paper = story.one_ogu().await?;
    let fault = json!([{
        "on": "confirm", "orderId": paper.order_id, "times": 1,
        "do": {"kind": "delay", "millis": TOSS_DELAY_MS},
    }]);
    story.order_fault(&fault).await?;
    let caller = confirm_in_background(story, &paper);
    until_toss_was_called(story, &paper).await?;
    story.house.kill_shop().await?;
    let heard = caller.await?;
    anyhow::ensure!(heard.is_err(), "the buyer was answered by a dead process");

    let restarted = Instant::now();
    story.house.open_shop().await?;
    let ready = Instant::now();
    until_done(story, &paper).await?;
    let settled = ready.elapsed().as_secs_f64();
    same("approvals", story.approvals(&paper).await?, 1)?;
    let after = before.less_one();
    same("the shelf", story.shelf().await?, after)?;
    let starting = (ready - restarted).as_secs_f64();
    Ok(format!(
        "ready again in {starting:.1} s, DONE {settled:.1} s later, nobody asked; 1 approval; {after}"
    ))
}

type Heard = Result<Answer, Silence>;

fn confirm_in_background(story: &Story, paper: &Paper) -> tokio::task::JoinHandle<Heard> {
    let (buyer, paper) = (story.buyer.clone(), paper.clone());
    tokio::spawn(async move {
        let amount = paper.total.to_string();
        buyer.confirm(&paper.confirm(&amount)).await
    })
}

/// The moment that hurts most: the intent is journaled, the call is on its way, no answer yet.
async fn until_toss_was_called(story: &Story, paper: &Paper) -> anyhow::Result<()> {
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_millis(TOSS_DELAY_MS / 2) {
        let entries = story.at_toss(paper).await?;
        if entries.iter().any(|entry| entry.confirm_calls > 0) {
            return same(
                "the order",
                story.status(paper).await?,
                "IN_PROGRESS".to_owned(),
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("Toss was not called")
}

/// Only looks: no confirm, no wait.
async fn until_done(story: &Story, paper: &Paper) -> anyhow::Result<()> {
    let asked = Instant::now();
    loop {
        let status = story.status(paper).await?;
        if status == "DONE" {
            return Ok(());
        }
        let over = asked.elapsed() > SETTLED_WITHIN;
        anyhow::ensure!(
            !over,
            "the order is {status} after {SETTLED_WITHIN:?}, not DONE"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn audit(story: &mut Story) -> anyhow::Result<String> {
    let output = story.house.ask(&["audit", "--json"]).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    anyhow::ensure!(
        status.success(),
        "payonce audit ended with {status}: {} {}",
        said.trim(),
        complained.trim()
    );
    let _: serde::de::IgnoredAny =
        serde_json::from_str(&said).context("payonce audit --json printed no JSON")?;
    Ok("our database and Toss's ledger agree on every order".to_owned())
}
