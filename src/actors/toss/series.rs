//! One confirm as a series of tries with the same idempotency key, for as long as nobody answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use super::gate::Gate;
use super::line::Line;
use super::{Pass, SendConfirm, TossLimits};
use crate::domain::{Outcome, Reply};

/// Wait between two tries of one call: short, since a buyer waits; doubled and jittered, since Toss may be struggling.
const REPEAT_MIN: Duration = Duration::from_millis(200);
const REPEAT_MAX: Duration = Duration::from_secs(1);

pub fn unanswered(outcome: Outcome) -> Reply {
    Reply {
        outcome,
        answered: false,
    }
}

fn not_sent(why: &str) -> Reply {
    unanswered(Outcome::NotAttempted(why.into()))
}

/// If any try was sent and not answered, a later one that could not even connect proves nothing: the series is
/// Unknown. An open breaker ends the series: nobody probes with money.
pub async fn confirm(line: Line, gate: Gate, limits: TossLimits, order: SendConfirm) -> Reply {
    let SendConfirm {
        call,
        pass,
        warrant,
        ..
    } = order;
    let began = Instant::now();
    let (sent, first) = (AtomicBool::new(false), AtomicBool::new(true));
    let open = AtomicBool::new(false);
    let once = || async {
        let is_first = first.swap(false, Ordering::Relaxed);
        let pass = Pass {
            token: is_first && pass.token,
            ..pass
        };
        if gate.pass(pass).await.is_err() {
            return Err(not_sent("the rate limit is reached"));
        }
        // Looked at last: the waits before it took time of their own.
        if !warrant.holds() || (!is_first && began.elapsed() >= limits.repeat_within) {
            return Err(not_sent("no time is left, or it is ours no more"));
        }
        let Ok(reply) = line.confirm(&call).await else {
            open.store(true, Ordering::Relaxed);
            return Err(not_sent("the breaker is open"));
        };
        if reply.answered {
            return Ok(reply);
        }
        let left = !matches!(reply.outcome, Outcome::NotAttempted(_));
        sent.fetch_or(left, Ordering::Relaxed);
        Err(reply)
    };
    let pace = ExponentialBuilder::default()
        .with_min_delay(REPEAT_MIN)
        .with_max_delay(REPEAT_MAX)
        .with_max_times(limits.tries.saturating_sub(1))
        .with_jitter();
    let in_time = |_: &Reply| {
        let time = began.elapsed() < limits.repeat_within && warrant.holds();
        time && !open.load(Ordering::Relaxed)
    };
    match once.retry(pace).when(in_time).await {
        Ok(reply) => reply,
        Err(reply) if sent.load(Ordering::Relaxed) => match reply.outcome {
            Outcome::NotAttempted(why) => {
                unanswered(Outcome::Unknown(format!("sent before, then {why}").into()))
            }
            outcome @ (Outcome::Approved(_)
            | Outcome::Declined(_)
            | Outcome::InProgress(_)
            | Outcome::Temporary(_)
            | Outcome::Unknown(_)) => unanswered(outcome),
        },
        Err(reply) => reply,
    }
}
