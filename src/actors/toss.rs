//! TossActor: the only way out to the gateway. It admits flights (slots and rate tokens), repeats calls that
//! were not answered, and never lets a call leave after its flight's deadline.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use backon::{ExponentialBuilder, Retryable};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::api::TraceId;
use crate::domain::{Finding, OrderId, Outcome, PaymentKey, Reply};
use crate::gateway::{ConfirmCall, Toss};

/// Who wants to call: live buyers come first, recovery has a share of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Live,
    Recovery,
}

/// Let a flight in: a slot, and the rate token of its first call, taken last.
#[derive(Message, Debug)]
#[rtype(result = "Result<Permit, Busy>")]
pub struct Admit {
    pub lane: Lane,
}

/// Not now; nothing was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub retry_after_s: u32,
}

/// The right to call Toss while it is held. Dropping it frees the slot.
#[derive(Debug)]
pub struct Permit {
    _slots: Vec<OwnedSemaphorePermit>,
    lane: Lane,
    token: bool,
}

impl Permit {
    fn new(slots: Vec<OwnedSemaphorePermit>, lane: Lane) -> Permit {
        Permit {
            _slots: slots,
            lane,
            token: true,
        }
    }

    /// A permit of a desk that bounds nothing.
    #[cfg(test)]
    pub fn unbounded(lane: Lane) -> Permit {
        Permit::new(Vec::new(), lane)
    }

    /// What the next call needs: the lane, and whether its token was taken at admission.
    pub fn pass(&mut self) -> Pass {
        Pass {
            lane: self.lane,
            token: std::mem::take(&mut self.token),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Pass {
    lane: Lane,
    token: bool,
}

impl Pass {
    /// The same lane, with its token gone: the next call takes one of its own.
    pub const fn spent(self) -> Pass {
        Pass {
            lane: self.lane,
            token: false,
        }
    }
}

/// Confirm, repeating what was not answered with the same key.
#[derive(Message, Debug)]
#[rtype(result = "Reply")]
pub struct SendConfirm {
    pub call: ConfirmCall,
    pub pass: Pass,
    /// The attempt's hard deadline: no try leaves after it.
    pub send_by: Instant,
    pub trace: TraceId,
}

/// Look the payment up by its paymentKey, or by its order.
#[derive(Message, Debug)]
#[rtype(result = "Finding")]
pub struct LookUp {
    pub subject: Subject,
    pub pass: Pass,
    pub trace: TraceId,
}

#[derive(Clone, Debug)]
pub enum Subject {
    PaymentKey(PaymentKey),
    Order(OrderId),
}

/// The bounds on our side of the line.
#[derive(Clone, Copy, Debug)]
pub struct TossLimits {
    /// Flights that may be out at once.
    pub concurrency: usize,
    pub calls_per_minute: Option<NonZeroU32>,
    /// How long a flight may wait to be let in.
    pub admission_wait: Duration,
    /// Of slots and rate, in percent: the most that recovery may use.
    pub recovery_share_percent: u32,
    /// Tries of one confirm call with one key.
    pub tries: usize,
    /// How long after its first send a call may still be repeated.
    pub repeat_within: Duration,
}

/// Wait between two tries of one call: short, since a buyer waits; doubled and jittered, since Toss may be struggling.
const REPEAT_MIN: Duration = Duration::from_millis(200);
const REPEAT_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Gate {
    slots: Arc<Semaphore>,
    recovery_slots: Arc<Semaphore>,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
    recovery_rate: Option<Arc<DefaultDirectRateLimiter>>,
    wait: Duration,
}

impl Gate {
    fn new(limits: &TossLimits) -> Gate {
        let share = |whole: usize| (whole * limits.recovery_share_percent as usize / 100).max(1);
        let slots = limits.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let calls = limits.calls_per_minute;
        let part = calls.and_then(|calls| {
            NonZeroU32::new(u32::try_from(share(calls.get() as usize)).unwrap_or(u32::MAX))
        });
        Gate {
            slots: Arc::new(Semaphore::new(slots)),
            recovery_slots: Arc::new(Semaphore::new(share(slots))),
            rate: calls.map(limiter),
            recovery_rate: part.map(limiter),
            wait: limits.admission_wait,
        }
    }

    async fn admit(self, lane: Lane) -> Result<Permit, Busy> {
        let until = Instant::now() + self.wait;
        let mut slots = Vec::with_capacity(2);
        let doors: &[&Arc<Semaphore>] = match lane {
            Lane::Live => &[&self.slots],
            Lane::Recovery => &[&self.recovery_slots, &self.slots],
        };
        for door in doors {
            let slot = Arc::clone(door).acquire_owned();
            match timeout(until.saturating_duration_since(Instant::now()), slot).await {
                Ok(Ok(slot)) => slots.push(slot),
                Ok(Err(_)) | Err(_) => return Err(Busy { retry_after_s: 1 }),
            }
        }
        self.take_token(lane, until).await?;
        Ok(Permit::new(slots, lane))
    }

    async fn take_token(&self, lane: Lane, until: Instant) -> Result<(), Busy> {
        if lane == Lane::Recovery {
            wait_for_token(self.recovery_rate.as_deref(), until).await?;
        }
        wait_for_token(self.rate.as_deref(), until).await
    }

    /// The token of a call: taken at admission, or now, bounded.
    async fn pass(&self, pass: Pass) -> Result<(), Busy> {
        match pass.token {
            true => Ok(()),
            false => self.take_token(pass.lane, Instant::now() + self.wait).await,
        }
    }
}

/// A tenth of a minute's calls may come at once; the rest are spread, so that no minute sees much more than its share.
fn limiter(per_minute: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
    let burst = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
    Arc::new(RateLimiter::direct(
        Quota::per_minute(per_minute).allow_burst(burst),
    ))
}

async fn wait_for_token(
    rate: Option<&DefaultDirectRateLimiter>,
    until: Instant,
) -> Result<(), Busy> {
    let Some(rate) = rate else { return Ok(()) };
    loop {
        let Err(not_yet) = rate.check() else {
            return Ok(());
        };
        let wait = not_yet.wait_time_from(DefaultClock::default().now());
        if Instant::now() + wait > until {
            let retry_after_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
            return Err(Busy { retry_after_s });
        }
        sleep(wait).await;
    }
}

#[derive(Debug)]
pub struct TossActor {
    toss: Toss,
    gate: Gate,
    limits: TossLimits,
}

impl TossActor {
    pub fn new(toss: Toss, limits: TossLimits) -> TossActor {
        TossActor {
            toss,
            gate: Gate::new(&limits),
            limits,
        }
    }
}

impl Actor for TossActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Flights are admitted before they call; what may wait here is bounded by what may be admitted.
        ctx.set_mailbox_capacity(65_536);
    }
}

impl Handler<Admit> for TossActor {
    type Result = ResponseFuture<Result<Permit, Busy>>;

    fn handle(&mut self, order: Admit, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.gate.clone().admit(order.lane))
    }
}

impl Handler<SendConfirm> for TossActor {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        let span = tracing::info_span!("toss", trace = %order.trace);
        let series = confirm(self.toss.clone(), self.gate.clone(), self.limits, order);
        // On the shared runtime: sockets are served by all of its threads, not by this arbiter's.
        let call = tokio::spawn(series.instrument(span));
        Box::pin(async move {
            call.await.unwrap_or_else(|fault| {
                tracing::error!(%fault, "a confirm call broke off");
                unanswered(Outcome::Unknown("the call broke off".into()))
            })
        })
    }
}

impl Handler<LookUp> for TossActor {
    type Result = ResponseFuture<Finding>;

    fn handle(&mut self, order: LookUp, _: &mut Self::Context) -> Self::Result {
        let (toss, gate) = (self.toss.clone(), self.gate.clone());
        let span = tracing::info_span!("toss", trace = %order.trace);
        let look = async move {
            if gate.pass(order.pass).await.is_err() {
                return Finding::NoAnswer("not asked: the rate limit is reached".into());
            }
            match order.subject {
                Subject::PaymentKey(key) => toss.look_up(&key).await,
                Subject::Order(order) => toss.look_up_order(order).await,
            }
        };
        let call = tokio::spawn(look.instrument(span));
        Box::pin(async move {
            call.await.unwrap_or_else(|fault| {
                tracing::error!(%fault, "a look-up broke off");
                Finding::NoAnswer("the look-up broke off".into())
            })
        })
    }
}

fn unanswered(outcome: Outcome) -> Reply {
    Reply {
        outcome,
        answered: false,
    }
}

/// One call, tried again with the same key for as long as nobody answers. If any try was sent and not
/// answered, a later one that could not even connect proves nothing: the series is Unknown.
async fn confirm(toss: Toss, gate: Gate, limits: TossLimits, order: SendConfirm) -> Reply {
    let SendConfirm {
        call,
        pass,
        send_by,
        ..
    } = order;
    let began = Instant::now();
    let sent = AtomicBool::new(false);
    let first = AtomicBool::new(true);
    let once = || async {
        let is_first = first.swap(false, Ordering::Relaxed);
        let pass = Pass {
            token: is_first && pass.token,
            ..pass
        };
        if gate.pass(pass).await.is_err() {
            return Err(unanswered(Outcome::NotAttempted(
                "the rate limit is reached".into(),
            )));
        }
        // Looked at last: the waits before it took time of their own.
        let late = Instant::now() >= send_by;
        if late || (!is_first && began.elapsed() >= limits.repeat_within) {
            return Err(unanswered(Outcome::NotAttempted("no time is left".into())));
        }
        let reply = toss.confirm(&call).await;
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
    let in_time = |_: &Reply| began.elapsed() < limits.repeat_within && Instant::now() < send_by;
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
