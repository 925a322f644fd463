//! Whether buyers may be sent here: who of the house is not at work.

use std::time::Duration;

use tokio::time::timeout;

use super::Directory;
use crate::actors::shard::Count;

impl Directory {
    /// What is not ready, by name; empty when all is.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let store = self.hands.store.clone();
        let ping = self.runtime.spawn(async move { store.ping().await });
        let mut missing = Vec::new();
        if !matches!(timeout(Duration::from_secs(3), ping).await, Ok(Ok(Ok(())))) {
            missing.push("database");
        }
        for shard in self.shards.iter() {
            if !matches!(
                timeout(Duration::from_secs(3), shard.send(Count)).await,
                Ok(Ok(_))
            ) {
                missing.push("actors");
                break;
            }
        }
        if !self.hands.journal.connected() {
            missing.push("journal");
        }
        missing
    }

    /// PaymentActors that are loaded.
    pub async fn loaded(&self) -> usize {
        let mut sum = 0;
        for shard in self.shards.iter() {
            sum += shard.send(Count).await.unwrap_or(0);
        }
        sum
    }
}
