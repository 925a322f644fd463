//! Everybody confirms one order at the same instant, one order after the other: all must hear the same.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::loadtest::buyer::{AtOnce, Buyer};
use crate::loadtest::crowd::{Confirmed, Manner, Ticket, progress_bar};
use crate::loadtest::measure::{Call, CpuTime, Outcome, in_words, latencies, millis};

/// What `same-order` adds: how long the last of an order's callers waits, and whether all heard the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SameOrder {
    pub last_answer_p50_ms: f64,
    pub last_answer_max_ms: f64,
    /// Orders whose callers heard different things.
    pub unequal: u64,
}

/// The first order is the warm-up: each caller needs a connection, and only slow answers keep that many open.
pub async fn all_at_once(
    buyer: &Buyer,
    callers: usize,
    tickets: &[Ticket],
) -> anyhow::Result<Confirmed> {
    let mut confirmed = Confirmed::default();
    let mut last_answers = Vec::with_capacity(tickets.len());
    let mut unequal = 0;
    let bar = progress_bar("confirm", tickets.len().saturating_sub(1));
    let mut started = Instant::now();
    let mut before = None;
    for (order, ticket) in tickets.iter().enumerate() {
        let warm_up = order == 0;
        let left = started.elapsed();
        let crowd: AtOnce = buyer.confirm_at_once(&ticket.confirm(), callers).await?;
        let calls = crowd.calls.iter().map(|(heard, latency)| Call {
            order,
            manner: Manner::Plain,
            outcome: Outcome::of(heard),
            due: left,
            left,
            latency: *latency,
        });
        let calls: Vec<Call> = calls.collect();
        if calls.iter().any(|call| call.outcome.is_open()) {
            confirmed.open.push(order);
        }
        if warm_up {
            before = CpuTime::now().await;
            started = Instant::now();
            continue;
        }
        last_answers.push(crowd.last_answer);
        confirmed.calls.took += crowd.last_answer;
        let versions = crowd.versions();
        if versions.len() > 1 {
            unequal += 1;
            let versions = versions.join(" | ");
            confirmed
                .odd
                .keep_text(format!("one order, several answers: {versions}"));
        }
        for (call, (heard, _)) in calls.iter().zip(&crowd.calls) {
            if call.outcome.is_odd() {
                confirmed.odd.keep_text(in_words(heard));
            }
        }
        confirmed.calls.all.extend(calls);
        bar.inc(1);
    }
    bar.finish_and_clear();
    confirmed.calls.cpu = CpuTime::spent_since(before).await;
    confirmed.same_order = Some(same_order(last_answers, unequal)?);
    Ok(confirmed)
}

fn same_order(last_answers: Vec<Duration>, unequal: u64) -> anyhow::Result<SameOrder> {
    let last_answers = latencies(last_answers)?;
    Ok(SameOrder {
        last_answer_p50_ms: millis(last_answers.value_at_quantile(0.5)),
        last_answer_max_ms: millis(last_answers.max()),
        unequal,
    })
}
