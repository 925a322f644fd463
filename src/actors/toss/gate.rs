//! The gate of the TossActor: slots, rate tokens and the breaker, in front of everything that will call. Who must
//! wait, waits for a bounded time and in a bounded room; beyond that the answer is "busy", at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::line::Line;
use super::{Busy, Lane, Pass, Permit, TossLimits};

pub const BUSY: Busy = Busy { retry_after_s: 1 };

/// The places in front of Toss, as everybody may see them: whoever sees that none is left needs not ask for one.
#[derive(Clone, Debug)]
pub struct Room {
    slots: Arc<Semaphore>,
    /// Places for buyers who wait for a slot or a token.
    waiting: Arc<Semaphore>,
}

impl Room {
    pub fn new(limits: &TossLimits) -> Room {
        Room {
            slots: places(limits.concurrency.max(1)),
            waiting: places(limits.waiting),
        }
    }

    pub fn is_full(&self) -> bool {
        self.slots.available_permits() == 0 && self.waiting.available_permits() == 0
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}

#[derive(Clone, Debug)]
pub struct Gate {
    line: Line,
    room: Room,
    recovery_slots: Arc<Semaphore>,
    /// Confirms that may try at once what look-ups have found well again.
    trial: Arc<Semaphore>,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
    recovery_rate: Option<Arc<DefaultDirectRateLimiter>>,
    wait: Duration,
}

impl Gate {
    pub fn new(limits: &TossLimits, line: Line, room: Room) -> Gate {
        let share = |whole: usize| (whole * limits.recovery_share_percent as usize / 100).max(1);
        let calls = limits.calls_per_minute;
        let part = calls.and_then(|calls| {
            NonZeroU32::new(u32::try_from(share(calls.get() as usize)).unwrap_or(u32::MAX))
        });
        Gate {
            line,
            room,
            recovery_slots: places(share(limits.concurrency)),
            trial: places(limits.breaker.trial.max(1) as usize),
            rate: calls.map(limiter),
            recovery_rate: part.map(limiter),
            wait: limits.admission_wait,
        }
    }

    pub async fn admit(self, lane: Lane) -> Result<Permit, Busy> {
        self.line.invites(lane)?;
        let until = Instant::now() + self.wait;
        let mut queue = Queue::of(lane, &self.room.waiting);
        let mut slots = Vec::with_capacity(3);
        if lane == Lane::Live && self.line.is_on_trial() {
            let trial = Arc::clone(&self.trial).try_acquire_owned();
            slots.push(trial.map_err(|_| BUSY)?);
        }
        let doors: &[&Arc<Semaphore>] = match lane {
            Lane::Live => &[&self.room.slots],
            Lane::Recovery => &[&self.recovery_slots, &self.room.slots],
        };
        for door in doors {
            slots.push(wait_for_slot(door, &mut queue, until).await?);
        }
        self.take_token(lane, &mut queue, until).await?;
        // Last: it may have opened while we waited.
        let probe = self.line.enter(lane)?;
        Ok(Permit::new(slots, lane, probe))
    }

    async fn take_token(
        &self,
        lane: Lane,
        queue: &mut Queue<'_>,
        until: Instant,
    ) -> Result<(), Busy> {
        if lane == Lane::Recovery {
            wait_for_token(self.recovery_rate.as_deref(), queue, until).await?;
        }
        wait_for_token(self.rate.as_deref(), queue, until).await
    }

    /// The token of a call: taken at admission, or now, bounded.
    pub async fn pass(&self, pass: Pass) -> Result<(), Busy> {
        let until = Instant::now() + self.wait;
        match pass.token {
            true => Ok(()),
            // Who was let in is bounded by the slots already.
            false => self.take_token(pass.lane, &mut Queue::Free, until).await,
        }
    }

    /// A token of recovery's share, if there is one right now.
    pub async fn spare_token(&self) -> bool {
        let now = Instant::now();
        let taken = self.take_token(Lane::Recovery, &mut Queue::Free, now).await;
        taken.is_ok()
    }
}

/// Where somebody waits.
enum Queue<'a> {
    /// In no room: whoever sent it is bounded elsewhere.
    Free,
    Outside(&'a Arc<Semaphore>),
    Inside(#[expect(dead_code, reason = "held until dropped")] OwnedSemaphorePermit),
}

impl<'a> Queue<'a> {
    fn of(lane: Lane, room: &'a Arc<Semaphore>) -> Queue<'a> {
        match lane {
            Lane::Live => Queue::Outside(room),
            // Bounded by what the timer has in hand.
            Lane::Recovery => Queue::Free,
        }
    }

    /// One place for the whole wait; none left means that enough wait already.
    fn enter(&mut self) -> Result<(), Busy> {
        if let Queue::Outside(room) = self {
            let place = Arc::clone(room).try_acquire_owned();
            *self = Queue::Inside(place.map_err(|_| BUSY)?);
        }
        Ok(())
    }
}

async fn wait_for_slot(
    door: &Arc<Semaphore>,
    queue: &mut Queue<'_>,
    until: Instant,
) -> Result<OwnedSemaphorePermit, Busy> {
    if let Ok(slot) = Arc::clone(door).try_acquire_owned() {
        return Ok(slot);
    }
    queue.enter()?;
    let left = until.saturating_duration_since(Instant::now());
    match timeout(left, Arc::clone(door).acquire_owned()).await {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(_)) | Err(_) => Err(BUSY),
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
    queue: &mut Queue<'_>,
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
        queue.enter()?;
        sleep(wait).await;
    }
}
