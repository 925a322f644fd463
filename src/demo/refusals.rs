//! The refused part: what is not the buyer's changes nothing, and a declined card is not the end of an order.

use serde_json::json;

use super::story::{Story, is_paid, is_refused, same};
use crate::loadtest::buyer::{Answer, Confirm};

/// Toss's word for a card that was blocked.
const STOPPED: &str = "INVALID_STOPPED_CARD";

pub async fn wrong_amount_and_user(story: &mut Story) -> anyhow::Result<String> {
    let before = story.shelf().await?;
    let paper = story.one_ogu().await?;
    let cheap = story.buyer.confirm(&paper.confirm("100")).await?;
    is_refused(&cheap, 400, "E03002")?;
    let stranger = Confirm {
        user_id: 2,
        ..paper.confirm("50000")
    };
    let stranger = story.buyer.confirm(&stranger).await?;
    is_refused(&stranger, 403, "E03004")?;
    same("the order", story.status(&paper).await?, "READY".to_owned())?;
    same("the shelf", story.shelf().await?, before)?;
    let calls: u64 = story
        .at_toss(&paper)
        .await?
        .iter()
        .map(|e| e.confirm_calls)
        .sum();
    same("calls to Toss", calls, 0)?;
    Ok(format!(
        "400 E03002, 403 E03004; nothing changed: READY, {before}, Toss not called"
    ))
}

pub async fn declined_then_paid(story: &mut Story) -> anyhow::Result<String> {
    let before = story.shelf().await?;
    let mut paper = story.one_ogu().await?;
    let first_card = paper.clone();
    let fault = json!([{
        "on": "confirm", "orderId": paper.order_id, "times": 1,
        "do": {"kind": "error", "code": STOPPED},
    }]);
    story
        .buyer
        .set_faults(&fault)
        .await?
        .plain::<serde::de::IgnoredAny>()?;
    let declined = story.confirm(&first_card).await?;
    is_stopped(&declined)?;
    same(
        "the order",
        story.status(&paper).await?,
        "FAILED".to_owned(),
    )?;
    same("the shelf", story.shelf().await?, before)?;

    story.authorize(&mut paper).await?;
    is_paid(&story.confirm(&paper).await?)?;
    same("the shelf", story.shelf().await?, before.less_one())?;
    same("approvals", story.approvals(&paper).await?, 1)?;
    is_stopped(&story.confirm(&first_card).await?)?;
    let after = before.less_one();
    Ok(format!(
        "402 {STOPPED}, FAILED, stock back; paid with another, {after}; the first still hears 402"
    ))
}

fn is_stopped(answer: &Answer) -> anyhow::Result<()> {
    is_refused(answer, 402, "E03010")?;
    let gateway = answer.refusal().gateway.unwrap_or_default();
    same("Toss's code", gateway.code.as_str(), STOPPED)
}
