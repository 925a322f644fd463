//! Whether buyers may be sent here: who of the house is not at work.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::Directory;
use crate::actors::api::Refused;
use crate::actors::shard::Count;

/// Whoever has not answered by then is not at work. Nobody who asks for health waits longer, whatever is stuck.
const ANSWER: Duration = Duration::from_secs(2);

impl Directory {
    /// What is not ready, by name; empty when all is.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let (store, asked) = (self.hands.store.clone(), Instant::now());
        let ping = self.runtime.spawn(async move { store.ping().await });
        let shards = join_all(self.shards.iter().map(|shard| shard.send(Count)));
        let (ping, shards) = tokio::join!(timeout(ANSWER, ping), timeout(ANSWER, shards));
        let (hands, vitals) = (&self.hands, &self.vitals);
        let reads = match ping {
            Ok(answer) => matches!(answer, Ok(Ok(()))),
            // In a crowd it waits for a connection behind all the others: if those are answered, the database is well.
            Err(_) => hands.store.has_read_since(asked),
        };
        let parts = [
            ("database", reads),
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
            (
                "node",
                vitals.node.is_good() && hands.membership.current().is_some(),
            ),
        ];
        let missing = parts.into_iter().filter(|(_, well)| !well);
        missing.map(|(name, _)| name).collect()
    }

    /// The series of the process, with the backlog as the database has it now. A database that does not answer leaves
    /// the last figures standing: the others matter most just then.
    pub async fn metrics(&self) -> Result<String, Refused> {
        let (store, now) = (self.hands.store.clone(), self.hands.clock.now());
        let counted = self.runtime.spawn(async move { store.backlog(now).await });
        if let Ok(Ok(Ok(found))) = timeout(Duration::from_secs(1), counted).await {
            let waited = found.oldest.map_or(0, |due| now.ms_since(due));
            let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
            self.hands.metrics.due(found.due, waited);
            self.hands
                .metrics
                .unsettled(found.unknown, found.quarantined);
        }
        self.hands
            .metrics
            .breaker(self.hands.front.breaker.standing());
        self.hands.metrics.text().map_err(|fault| {
            tracing::error!(%fault, "the metrics could not be written");
            Refused::Fault
        })
    }

    /// PaymentActors that are loaded.
    #[cfg(test)]
    pub async fn loaded(&self) -> usize {
        let mut sum = 0;
        for shard in self.shards.iter() {
            sum += shard.send(Count).await.unwrap_or(0);
        }
        sum
    }
}
