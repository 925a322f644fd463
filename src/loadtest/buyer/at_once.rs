//! Many identical confirms of one order, let go at the same instant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Answer, Buyer, Confirm, Silence};

/// One of the crowd.
pub type Call = (Result<Answer, Silence>, Duration);

pub struct AtOnce {
    pub calls: Vec<Call>,
    /// From the first departure to the last answer.
    pub last_answer: Duration,
}

impl AtOnce {
    /// The different things that callers heard, silences included; one when all heard the same.
    pub fn versions(&self) -> Vec<String> {
        let heard = |call: &Call| match &call.0 {
            Ok(answer) => answer.essence(),
            Err(silence) => silence.to_string(),
        };
        let mut versions: Vec<String> = self.calls.iter().map(heard).collect();
        versions.sort();
        versions.dedup();
        versions
    }
}

impl Buyer {
    /// All callers stand at the line before the first one goes; they are spread over the nodes.
    pub async fn confirm_at_once(
        &self,
        confirm: &Confirm<'_>,
        callers: usize,
    ) -> anyhow::Result<AtOnce> {
        let body: Arc<str> = serde_json::to_string(confirm)?.into();
        let line = Arc::new(Barrier::new(callers));
        let mut crowd = JoinSet::new();
        for _ in 0..callers {
            let (buyer, body, line) = (self.clone(), Arc::clone(&body), Arc::clone(&line));
            crowd.spawn(async move {
                let request =
                    buyer.request(Method::POST, buyer.confirm_url(), Some(body.to_string()));
                line.wait().await;
                let left = Instant::now();
                let heard = Answer::of(request).await;
                (heard, left, Instant::now())
            });
        }
        let mut calls = Vec::with_capacity(callers);
        let (mut first, mut last) = (None::<Instant>, None::<Instant>);
        while let Some(call) = crowd.join_next().await {
            let (heard, left, back) = call?;
            first = Some(first.map_or(left, |first| first.min(left)));
            last = Some(last.map_or(back, |last| last.max(back)));
            calls.push((heard, back - left));
        }
        let last_answer = match (first, last) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        };
        Ok(AtOnce { calls, last_answer })
    }
}
