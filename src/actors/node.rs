//! NodeActor: this process's row among the nodes. It registers the incarnation, keeps its heartbeat, and
//! closes it when no call can be out any more. Its beats are also the probe of the journal: somebody always writes.

use std::time::Duration;

use actix::prelude::*;

use super::clock::Clock;
use super::journal::{NoVerdict, Write, Written};
use super::payment::Hands;
use super::vitals::Vitals;
use crate::domain::Incarnation;
use crate::store::{Change, Verdict};

pub struct NodeActor {
    incarnation: Incarnation,
    name: Box<str>,
    heartbeat: Duration,
    dead_after: Duration,
    clock: Clock,
    journal: Recipient<Write>,
    vitals: Vitals,
    row: Row,
    /// A write is on its way: a database that is slow or away must not collect beats.
    writing: bool,
    failing: bool,
}

/// The node's row, as far as is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Missing,
    There,
    Closed,
}

/// The last word of an incarnation.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CloseNode;

impl NodeActor {
    /// Start-up has just written to the database: until the first beats that is proof enough.
    pub fn new(
        hands: &Hands,
        name: Box<str>,
        heartbeat: Duration,
        dead_after: Duration,
        vitals: Vitals,
    ) -> NodeActor {
        let (row, writing, failing) = (Row::Missing, false, false);
        let node = NodeActor {
            incarnation: hands.incarnation,
            name,
            heartbeat,
            dead_after,
            clock: hands.clock.clone(),
            journal: hands.journal.clone(),
            vitals,
            row,
            writing,
            failing,
        };
        node.vitals.node.good_for(node.proof());
        node.vitals.journal.good_for(node.proof());
        node
    }

    /// For how long a beat that was written down proves that the journal can write: it ends before the node counts
    /// as dead.
    fn proof(&self) -> Duration {
        self.dead_after * 4 / 5
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        self.vitals.node.good_for(self.proof());
        let (incarnation, at) = (self.incarnation, self.clock.now());
        let change = match self.row {
            Row::Missing => Change::Register {
                incarnation,
                name: self.name.clone(),
                at,
            },
            Row::There => Change::Heartbeat { incarnation, at },
            Row::Closed => return,
        };
        if self.writing {
            return;
        }
        self.writing = true;
        let written = self.journal.send(Write::new(change)).into_actor(self);
        ctx.spawn(written.map(|written, node, ctx| {
            node.writing = false;
            if node.row != Row::Closed {
                node.hear(&written.unwrap_or(Err(NoVerdict::Doubtful)), ctx);
            }
        }));
    }

    fn hear(&mut self, written: &Written, ctx: &mut Context<Self>) {
        match written {
            Ok(Verdict::Committed { .. }) => {
                self.row = Row::There;
                self.vitals.journal.good_for(self.proof());
                if std::mem::take(&mut self.failing) {
                    tracing::info!("heartbeats are written again");
                }
            }
            // A node without a row counts as dead.
            Ok(Verdict::NotFound) => {
                tracing::warn!("the node's row is gone; registering it again");
                self.row = Row::Missing;
                self.beat(ctx);
            }
            Ok(
                Verdict::Stale { .. }
                | Verdict::OutOfStock(_)
                | Verdict::Duplicate { .. }
                | Verdict::NotEnoughStock { .. },
            )
            | Err(_) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(?written, "no heartbeat was written");
                }
            }
        }
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.beat(ctx);
        ctx.run_interval(self.heartbeat, NodeActor::beat);
    }
}

impl Handler<CloseNode> for NodeActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CloseNode, _: &mut Self::Context) -> Self::Result {
        let (incarnation, at) = (self.incarnation, self.clock.now());
        self.row = Row::Closed;
        let written = self
            .journal
            .send(Write::new(Change::Close { incarnation, at }));
        Box::pin(async move {
            let written = written.await.unwrap_or(Err(NoVerdict::Doubtful));
            if !matches!(written, Ok(Verdict::Committed { .. })) {
                tracing::warn!(?written, "the node's row was not closed");
            }
        })
    }
}
