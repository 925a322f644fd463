//! The good part: an order is checked out, authorized and paid, and stays paid once however often it is asked for.

use anyhow::Context;

use super::BROWSER;
use super::story::{BABY_OGU, OGU, Paper, Shelf, Story, is_paid, same, won};
use crate::loadtest::buyer::{Answer, Line, grouped};

const CROWD: usize = 1_000;
/// What the demo's shop begins with, and what the first order leaves.
const FULL: Shelf = Shelf { ogu: 59, baby: 59 };
const AFTER_FIRST: Shelf = Shelf { ogu: 56, baby: 57 };

pub async fn checkout(story: &mut Story) -> anyhow::Result<String> {
    let line = |product_id, quantity| Line {
        product_id,
        quantity,
    };
    let paper = story.order(&[line(OGU, 3), line(BABY_OGU, 2)]).await?;
    same("the total", paper.total, 210_000)?;
    same("the shelf", story.shelf().await?, FULL)?;
    let total = won(paper.total);
    story.first = Some(paper);
    Ok(format!(
        "3 x Ogu T and 2 x Baby Ogu T: {total}; nothing is held yet, {FULL}"
    ))
}

pub async fn authorization(story: &mut Story) -> anyhow::Result<String> {
    let mut paper = first(story)?;
    story.authorize(&mut paper).await?;
    same("approvals", story.approvals(&paper).await?, 0)?;
    let total = won(paper.total);
    story.first = Some(paper);
    Ok(format!(
        "the buyer agreed to {total} in Toss's window; no money moved yet"
    ))
}

pub async fn confirm(story: &mut Story) -> anyhow::Result<String> {
    let mut paper = first(story)?;
    let answer = story.confirm(&paper).await?;
    is_paid(&answer)?;
    let origin = allowed_origin(&answer)?;
    same("the shelf", story.shelf().await?, AFTER_FIRST)?;
    paper.receipt = answer.raw_data().map(str::to_owned);
    story.first = Some(paper);
    Ok(format!(
        "200 DONE; {AFTER_FIRST}; the browser may read it (origin {origin})"
    ))
}

/// A browser shows the answer to the page only if the server names the page's origin, or everybody.
fn allowed_origin(answer: &Answer) -> anyhow::Result<String> {
    let header = answer.headers.get("access-control-allow-origin");
    let allowed = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nobody");
    anyhow::ensure!(
        allowed == "*" || allowed == BROWSER,
        "the answer may be read by {allowed}, not by {BROWSER}"
    );
    Ok(allowed.to_owned())
}

pub async fn again(story: &mut Story) -> anyhow::Result<String> {
    let paper = first(story)?;
    let receipt = paper
        .receipt
        .clone()
        .context("the first confirm gave no answer")?;
    let answer = story.confirm(&paper).await?;
    is_paid(&answer)?;
    same(
        "the second answer",
        answer.raw_data().unwrap_or_default(),
        &receipt,
    )?;
    same("the shelf", story.shelf().await?, AFTER_FIRST)?;
    same("approvals", story.approvals(&paper).await?, 1)?;
    Ok(format!(
        "the same answer, byte for byte; still {AFTER_FIRST}; 1 approval at Toss"
    ))
}

pub async fn thousand_at_once(story: &mut Story) -> anyhow::Result<String> {
    let before = story.shelf().await?;
    let paper = story.one_ogu().await?;
    let amount = paper.total.to_string();
    let crowd = story
        .buyer
        .confirm_at_once(&paper.confirm(&amount), CROWD)
        .await?;
    let versions = crowd.versions();
    if let [first, others @ ..] = &versions[..] {
        let different = versions.len();
        anyhow::ensure!(
            others.is_empty(),
            "{different} different answers: {first} | {}",
            others[0]
        );
    }
    let one = crowd.calls.first().context("nobody was answered")?;
    is_paid(
        one.0
            .as_ref()
            .map_err(|silence| anyhow::anyhow!("{silence}"))?,
    )?;
    let entries = story.at_toss(&paper).await?;
    let calls: u64 = entries.iter().map(|entry| entry.confirm_calls).sum();
    same("calls to Toss", calls, 1)?;
    same("approvals", story.approvals(&paper).await?, 1)?;
    let after = before.less_one();
    same("the shelf", story.shelf().await?, after)?;
    let answers = grouped(crowd.calls.len() as u64);
    let ms = crowd.last_answer.as_millis();
    Ok(format!(
        "1 call to Toss, {answers} equal answers, the last after {ms} ms; {after}"
    ))
}

fn first(story: &Story) -> anyhow::Result<Paper> {
    story.first.clone().context("there is no first order")
}
