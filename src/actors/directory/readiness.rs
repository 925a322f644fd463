//! Whether buyers may be sent here: who of the house is not at work.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::Directory;
use crate::actors::shard::Count;

/// Whoever has not answered by then is not at work. Nobody who asks for health waits longer, whatever is stuck.
const ANSWER: Duration = Duration::from_secs(2);

impl Directory {
    /// What is not ready, by name; empty when all is.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let store = self.hands.store.clone();
        let ping = self.runtime.spawn(async move { store.ping().await });
        let shards = join_all(self.shards.iter().map(|shard| shard.send(Count)));
        let (ping, shards) = tokio::join!(timeout(ANSWER, ping), timeout(ANSWER, shards));
        let (hands, vitals) = (&self.hands, &self.vitals);
        let parts = [
            ("database", matches!(ping, Ok(Ok(Ok(()))))),
            (
                "journal",
                hands.journal.connected() && vitals.journal.is_good(),
            ),
            (
                "actors",
                shards.is_ok_and(|counts| counts.iter().all(Result::is_ok)),
            ),
            ("toss", hands.admit.connected()),
            ("recovery", vitals.recovery.is_good()),
            ("node", vitals.node.is_good()),
        ];
        let missing = parts.into_iter().filter(|(_, well)| !well);
        missing.map(|(name, _)| name).collect()
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
