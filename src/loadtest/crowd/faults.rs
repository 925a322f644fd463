//! The faults that a run plays in the sandbox: put in front of what is there, and taken out again, whatever happens.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::loadtest::buyer::Buyer;

/// A sandbox that does not answer by then keeps its faults, and the report says so.
const TAKEN_OUT_WITHIN: Duration = Duration::from_secs(10);

pub struct Faults {
    ours: Vec<Value>,
}

impl Faults {
    /// Rules as the sandbox writes them, so that it gives them back as they are.
    pub const fn new(ours: Vec<Value>) -> Faults {
        Faults { ours }
    }

    pub const fn none() -> Faults {
        Faults::new(Vec::new())
    }

    #[cfg(test)]
    pub fn ours(&self) -> &[Value] {
        &self.ours
    }

    /// The first rule that matches wins: ours come before those that somebody put there for this run.
    pub async fn play(&self, buyer: &Buyer) -> anyhow::Result<()> {
        if self.ours.is_empty() {
            return Ok(());
        }
        let others = self.others(buyer).await?;
        put(buyer, self.ours.iter().cloned().chain(others).collect()).await
    }

    /// May be called again and again.
    pub async fn take_out(&self, buyer: &Buyer) -> anyhow::Result<()> {
        if self.ours.is_empty() {
            return Ok(());
        }
        let taken = tokio::time::timeout(TAKEN_OUT_WITHIN, async {
            put(buyer, self.others(buyer).await?).await
        });
        let taken = taken.await.map_err(anyhow::Error::from).flatten();
        taken
            .context("the sandbox still plays this run's faults (DELETE /sandbox/faults ends them)")
    }

    async fn others(&self, buyer: &Buyer) -> anyhow::Result<Vec<Value>> {
        let mut rules: Vec<Value> = buyer.faults().await?.plain()?;
        rules.retain(|rule| !self.ours.contains(rule));
        Ok(rules)
    }
}

async fn put(buyer: &Buyer, rules: Vec<Value>) -> anyhow::Result<()> {
    let put = buyer.set_faults(&Value::Array(rules)).await?;
    ensure!(put.is_success(), "refused: {}", put.summary());
    Ok(())
}
