//! RecoveryTimer: finds the unfinished and sends them messages. It has no rule of its own: what to do about
//! a payment, the payment knows.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::clock::Clock;
use super::directory::Directory;
use crate::domain::{Incarnation, OrderId, Status};
use crate::store::{Due, Store, StoreFault};

#[derive(Clone, Copy, Debug)]
pub struct RecoveryLimits {
    pub tick: Duration,
    /// Payments in hand at once: the bound that keeps a start-up with many unfinished ones from a stampede.
    pub batch: usize,
}

pub struct RecoveryTimer {
    directory: Directory,
    store: Store,
    clock: Clock,
    incarnation: Incarnation,
    limits: RecoveryLimits,
    /// Sent for and not landed: they are not sent for twice, and a stuck one blocks nobody else.
    in_hand: HashSet<OrderId>,
    /// Sent for within the last tick: whoever comes to nothing must not fill the next look again.
    sent_for: HashMap<OrderId, Instant>,
    looking: bool,
    /// The last look filled the batch: more is waiting, so look again as soon as half of it has landed.
    more: bool,
    stopped: bool,
}

/// Look now, for the first time and after a tick.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Look;

/// Send for nobody any more.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Cease;

/// For how long a tick proves that the timer runs.
fn proof(tick: Duration) -> Duration {
    (tick * 3).max(Duration::from_secs(5))
}

impl RecoveryTimer {
    pub fn new(
        directory: Directory,
        store: Store,
        clock: Clock,
        incarnation: Incarnation,
        limits: RecoveryLimits,
    ) -> RecoveryTimer {
        let (in_hand, sent_for) = (HashSet::new(), HashMap::new());
        let (looking, more, stopped) = (false, false, false);
        directory.vitals().recovery.good_for(proof(limits.tick));
        RecoveryTimer {
            directory,
            store,
            clock,
            incarnation,
            limits,
            in_hand,
            sent_for,
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

    fn look(&mut self, ctx: &mut Context<Self>) {
        let room = self.limits.batch.saturating_sub(self.in_hand.len());
        if self.looking || self.stopped || room == 0 {
            return;
        }
        self.looking = true;
        // Those in hand may head the queue still; they must not hide the ones behind them.
        let tick = self.limits.tick;
        self.sent_for.retain(|_, sent| sent.elapsed() < tick);
        let limit = self.limits.batch + self.in_hand.len() + self.sent_for.len();
        let (store, me, now) = (self.store.clone(), self.incarnation, self.clock.now());
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let work = async move { store.due(now, me, most).await };
        ctx.spawn(work.into_actor(self).map(move |found, timer, ctx| {
            timer.looking = false;
            // With much to do, every tick may find a look under way; that they come back is what counts.
            timer.beat();
            timer.send_for(found, limit, ctx);
        }));
    }

    fn send_for(
        &mut self,
        found: Result<Vec<Due>, StoreFault>,
        limit: usize,
        ctx: &mut Context<Self>,
    ) {
        let due = match found {
            Ok(due) => due,
            Err(fault) => {
                tracing::error!(%fault, "could not read the due queue; trying again");
                return;
            }
        };
        self.more = due.len() >= limit;
        // Behind an open breaker a crowd would only be turned away; the one whose question is a probe may go.
        let mut questions = self.directory.questions();
        for Due { order, status } in due {
            fault_point!(DueFound);
            if self.stopped || self.in_hand.len() >= self.limits.batch {
                return;
            }
            let asks = status != Status::Ready;
            if asks && questions == 0 {
                continue;
            }
            if self.sent_for.contains_key(&order) || !self.in_hand.insert(order) {
                continue;
            }
            questions -= usize::from(asks);
            self.sent_for.insert(order, Instant::now());
            let landed = self.directory.wake(order, status);
            ctx.spawn(landed.into_actor(self).map(move |_, timer, ctx| {
                timer.in_hand.remove(&order);
                if timer.more && timer.in_hand.len() * 2 <= timer.limits.batch {
                    timer.look(ctx);
                }
            }));
        }
    }
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
