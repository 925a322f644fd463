//! RecoveryTimer: finds the unfinished and sends them messages. It has no rule of its own: what to do about
//! a payment, the payment knows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::crew::Cease;
use super::directory::Directory;
use super::payment::Hands;
use crate::domain::{Incarnation, OrderId, Status};
use crate::store::{Due, StoreFault};
use share::{Part, Shares};

mod share;

#[derive(Clone, Copy, Debug)]
pub struct RecoveryLimits {
    pub tick: Duration,
    /// Payments in hand at once.
    pub batch: usize,
    /// Payments sent for in a second. A start-up with very many unfinished ones must leave buyers their share of the
    /// machine, and not only of Toss.
    pub per_second: usize,
}

/// How often the pace allows some more. Short: a crowd sent for at once is what buyers would feel.
const STEP: Duration = Duration::from_millis(20);
const STEPS_PER_SECOND: usize = 50;

pub struct RecoveryTimer {
    directory: Directory,
    hands: Arc<Hands>,
    limits: RecoveryLimits,
    /// With other nodes at work: which orders are ours to look after.
    shares: Shares,
    /// Sent for and not landed: they are not sent for twice, and a stuck one blocks nobody else.
    in_hand: HashSet<OrderId>,
    /// Sent for within the last tick: whoever comes to nothing must not fill the next look again.
    sent_for: HashMap<OrderId, Instant>,
    /// Found by the last look, and not sent for yet.
    found: VecDeque<Due>,
    /// How many may be sent for before the next step.
    allowed: usize,
    looking: bool,
    /// The last look found as many as it asked for: look again when all of them are sent for.
    more: bool,
    stopped: bool,
}

/// Look now, for the first time and after a tick.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Look;

/// For how long a tick proves that the timer runs.
fn proof(tick: Duration) -> Duration {
    (tick * 3).max(Duration::from_secs(5))
}

impl RecoveryTimer {
    pub fn new(directory: Directory, hands: Arc<Hands>, limits: RecoveryLimits) -> RecoveryTimer {
        let (in_hand, sent_for, found) = (HashSet::new(), HashMap::new(), VecDeque::new());
        let (looking, more, stopped) = (false, false, false);
        let allowed = limits.per_second.div_ceil(STEPS_PER_SECOND);
        directory.vitals().recovery.good_for(proof(limits.tick));
        RecoveryTimer {
            directory,
            hands,
            limits,
            shares: Shares::default(),
            in_hand,
            sent_for,
            found,
            allowed,
            looking,
            more,
            stopped,
        }
    }

    /// Says that the timer runs; not while a look does not come back.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if !self.looking {
            self.beat();
        }
        self.look(ctx);
    }

    fn beat(&self) {
        let pulse = &self.directory.vitals().recovery;
        pulse.good_for(proof(self.limits.tick));
    }

    /// Whatever was not used of the last step is gone: what gathers would be a crowd.
    fn step(&mut self, ctx: &mut Context<Self>) {
        self.allowed = self.limits.per_second.div_ceil(STEPS_PER_SECOND);
        self.send_for(ctx);
        if self.more {
            self.look(ctx);
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let full = self.in_hand.len() >= self.limits.batch;
        if self.looking || self.stopped || full || !self.found.is_empty() {
            return;
        }
        // Nobody whose heartbeats are late takes anything in hand.
        let Some(me) = self.hands.membership.current() else {
            return;
        };
        self.looking = true;
        // Those in hand may head the queue still; they must not hide the ones behind them.
        let tick = self.limits.tick;
        self.sent_for.retain(|_, sent| sent.elapsed() < tick);
        let limit = self.limits.batch + self.in_hand.len() + self.sent_for.len();
        let (hands, shares) = (self.hands.clone(), std::mem::take(&mut self.shares));
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let work = async move {
            let mut shares = shares;
            let part = shares.look(&hands, me, tick).await;
            let found = match part {
                Ok(part) => due(&hands, me, part, most).await,
                Err(fault) => Err(fault),
            };
            (shares, found)
        };
        ctx.spawn(work.into_actor(self).map(move |looked, timer, ctx| {
            let (shares, found) = looked;
            timer.looking = false;
            timer.shares = shares;
            // With much to do, every tick may find a look under way; that they come back is what counts.
            timer.beat();
            timer.hear(found, limit);
            timer.send_for(ctx);
        }));
    }

    fn hear(&mut self, found: Result<(Part, Vec<Due>), StoreFault>, limit: usize) {
        match found {
            Ok((part, due)) => {
                self.more = due.len() >= limit && part.is_mine();
                self.found = self.shares.pick(&part, due).into();
            }
            Err(fault) => {
                // At the next tick: whoever is away is not asked fifty times a second.
                self.more = false;
                tracing::error!(%fault, "could not read the due queue; trying again");
            }
        }
    }

    fn send_for(&mut self, ctx: &mut Context<Self>) {
        // Behind an open breaker a crowd would only be turned away; the one whose question is a probe may go, and
        // whoever is in hand already may be that one.
        let mut questions = self.directory.questions();
        questions = questions.saturating_sub(self.in_hand.len());
        while self.allowed > 0 && self.in_hand.len() < self.limits.batch && !self.stopped {
            let Some(Due { order, status }) = self.found.pop_front() else {
                return;
            };
            fault_point!(DueFound);
            let asks = status != Status::Ready;
            if asks && questions == 0 {
                // Nor is a queue read again and again that nobody may be sent for from.
                self.more = false;
                continue;
            }
            if self.sent_for.contains_key(&order) || !self.in_hand.insert(order) {
                continue;
            }
            questions -= usize::from(asks);
            self.allowed -= 1;
            self.sent_for.insert(order, Instant::now());
            let landed = self.directory.wake(order, status);
            ctx.spawn(landed.into_actor(self).map(move |_, timer, _| {
                timer.in_hand.remove(&order);
            }));
        }
    }
}

async fn due(
    hands: &Hands,
    me: Incarnation,
    part: Part,
    most: u32,
) -> Result<(Part, Vec<Due>), StoreFault> {
    let (now, dead_after) = (hands.clock.now(), hands.membership.dead_after());
    let share = part.asked();
    let found = hands.store.due(now, me, dead_after, share, most).await?;
    Ok((part, found))
}

impl Actor for RecoveryTimer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        tracing::info!(
            tick_ms = self.limits.tick.as_millis(),
            "the recovery timer runs"
        );
        ctx.notify(Look);
        ctx.run_interval(self.limits.tick, RecoveryTimer::tick);
        ctx.run_interval(STEP, RecoveryTimer::step);
    }
}

impl Handler<Look> for RecoveryTimer {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<Cease> for RecoveryTimer {
    type Result = ();

    fn handle(&mut self, _: Cease, _: &mut Self::Context) {
        self.stopped = true;
    }
}
