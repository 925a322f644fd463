//! Housekeeper: deletes what nobody needs any more, one small step after the other and a pause in between, so that the
//! journal, whose writer it borrows, hardly notices. A round goes once through all that is kept for a limited time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::crew::Cease;
use super::payment::Hands;
use crate::domain::Timestamp;
use crate::metrics::Table;
use crate::store::{Place, Pruned, Pruning, StoreFault};

#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    /// For how long the history of a payment at rest, and the outbox, are kept; `None`: for ever.
    pub history: Option<Duration>,
    pub outbox: Option<Duration>,
    /// Rows of one step.
    pub batch: u32,
    pub pause: Duration,
    /// From the end of one round to the next.
    pub every: Duration,
}

/// A database that refuses or is away is left alone for so long.
const AFTER_A_FAULT: Duration = Duration::from_secs(10);

pub struct Housekeeper {
    hands: Arc<Hands>,
    limits: RetentionLimits,
    /// What this round has not come to the end of.
    tables: VecDeque<Table>,
    /// Where in the first of them the next step begins.
    place: Option<Place>,
    failing: bool,
    stopped: bool,
}

#[derive(Message, Debug)]
#[rtype(result = "()")]
struct Step;

impl Housekeeper {
    pub fn new(hands: Arc<Hands>, limits: RetentionLimits) -> Housekeeper {
        let (failing, stopped) = (false, false);
        Housekeeper {
            hands,
            limits,
            tables: Table::ALL.into(),
            place: None,
            failing,
            stopped,
        }
    }

    fn step(&mut self, ctx: &mut Context<Self>) {
        if self.stopped {
            return;
        }
        let Some(table) = self.tables.front().copied() else {
            self.tables = Table::ALL.into();
            ctx.notify_later(Step, self.limits.every);
            return;
        };
        let work = prune(self.hands.clone(), self.limits, table, self.place.clone());
        ctx.spawn(work.into_actor(self).map(move |pruned, keeper, ctx| {
            let pause = keeper.hear(table, pruned);
            ctx.notify_later(Step, pause);
        }));
    }

    /// Returns the pause before the next step.
    fn hear(&mut self, table: Table, pruned: Result<Pruned, StoreFault>) -> Duration {
        match pruned {
            Ok(Pruned { rows, next }) => {
                self.failing = false;
                self.hands.metrics.pruned(table, rows);
                self.place = next;
                if self.place.is_none() {
                    self.tables.pop_front();
                }
                self.limits.pause
            }
            Err(fault) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(?table, %fault, "could not delete what is old; trying again");
                }
                AFTER_A_FAULT.max(self.limits.pause)
            }
        }
    }
}

/// How old is old goes by the database's clock: a host whose own is days ahead must not delete what is young.
async fn prune(
    hands: Arc<Hands>,
    limits: RetentionLimits,
    table: Table,
    from: Option<Place>,
) -> Result<Pruned, StoreFault> {
    let now = hands.store.now().await?;
    match limits.pruning(table, now) {
        Some(pruning) => hands.store.prune(pruning, from, now, limits.batch).await,
        None => Ok(Pruned {
            rows: 0,
            next: None,
        }),
    }
}

impl RetentionLimits {
    /// `None` for what is kept for ever.
    fn pruning(self, table: Table, now: Timestamp) -> Option<Pruning> {
        let ago = |age: Duration| {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            now.plus_ms(-age_ms)
        };
        match table {
            Table::CheckoutKeys => Some(Pruning::CheckoutKeys),
            Table::Nodes => Some(Pruning::Nodes),
            Table::History => self.history.map(|kept| {
                let before = ago(kept);
                Pruning::History { before }
            }),
            Table::Outbox => self.outbox.map(|kept| {
                let before = ago(kept);
                Pruning::Outbox { before }
            }),
        }
    }
}

impl Actor for Housekeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify_later(Step, self.limits.pause);
    }
}

impl Handler<Step> for Housekeeper {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.step(ctx);
    }
}

impl Handler<Cease> for Housekeeper {
    type Result = ();

    fn handle(&mut self, _: Cease, _: &mut Self::Context) {
        self.stopped = true;
    }
}
