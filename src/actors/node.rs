//! NodeActor: this process's row among the nodes. It registers the incarnation, keeps its heartbeat, begins a new one
//! when a heartbeat came too late, and closes it when no call can be out any more. Its beats are also the probe of
//! the journal: somebody always writes.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::{Instant, timeout};

use super::clock::Clock;
use super::journal::{NoVerdict, Write, Written};
use super::membership::Membership;
use super::pacing::Pacing;
use super::payment::Hands;
use super::vitals::Vitals;
use crate::domain::Incarnation;
use crate::store::{Change, Living, Store, Verdict};

/// How often the host's clock is compared with the database's, and how long that may take. Often: a host that was suspended
/// comes back with an old time, and does not know.
const CLOCK_CHECK: Duration = Duration::from_secs(1);
const CLOCK_ANSWER: Duration = Duration::from_millis(300);

pub struct NodeActor {
    /// The one whose row is written; among others it acts once its membership says so.
    incarnation: Incarnation,
    /// The one before it, whose row is still open.
    former: Option<Incarnation>,
    membership: Membership,
    name: Box<str>,
    heartbeat: Duration,
    clock: Clock,
    journal: Recipient<Write>,
    pacing: Pacing,
    store: Store,
    vitals: Vitals,
    row: Row,
    clock_set: Option<Instant>,
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
    pub fn new(hands: &Hands, name: Box<str>, heartbeat: Duration, vitals: Vitals) -> NodeActor {
        let (row, writing, failing) = (Row::Missing, false, false);
        let node = NodeActor {
            incarnation: hands.membership.latest(),
            former: None,
            membership: hands.membership.clone(),
            name,
            heartbeat,
            clock: hands.clock.clone(),
            journal: hands.journal.clone(),
            pacing: hands.pacing.clone(),
            store: hands.store.clone(),
            vitals,
            row,
            clock_set: None,
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
        self.membership.proof()
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        self.vitals.node.good_for(self.proof());
        if self.writing {
            return;
        }
        if self.membership.has_lapsed() && self.membership.latest() == self.incarnation {
            self.begin_anew();
        }
        let incarnation = self.incarnation;
        // Before it leaves: the database's clock stamps it later, so others count from later than we do.
        let sent = Instant::now();
        let change = match self.row {
            Row::Missing => Change::Register {
                incarnation,
                name: self.name.clone(),
            },
            Row::There => Change::Heartbeat {
                incarnation,
                saturated: self.pacing.take_saturated(sent),
            },
            Row::Closed => return,
        };
        self.writing = true;
        let (journal, look) = (self.journal.clone(), self.set_the_clock());
        let look = match self.row {
            // First: who may act goes by the clock that all share.
            Row::Missing => Some(look),
            // A beat waits for nothing.
            Row::There | Row::Closed => {
                ctx.spawn(look.into_actor(self));
                None
            }
        };
        let written = async move {
            if let Some(look) = look {
                look.await;
            }
            journal.send(Write::new(change)).await
        };
        let written = written.into_actor(self);
        ctx.spawn(written.map(move |written, node, ctx| {
            node.writing = false;
            if node.row != Row::Closed {
                node.hear(&written.unwrap_or(Err(NoVerdict::Doubtful)), sent, ctx);
            }
        }));
    }

    /// All nodes go by the clock that they share.
    fn set_the_clock(&mut self) -> impl Future<Output = ()> + use<> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let due = self.clock_set.is_none_or(|at| at.elapsed() >= CLOCK_CHECK);
        let due = store.is_shared() && (due || self.row == Row::Missing);
        if due {
            self.clock_set = Some(Instant::now());
        }
        async move {
            if !due {
                return;
            }
            let sent = std::time::Instant::now();
            // A node's first beat waits behind this: rather a clock that is a little off than a node that looks dead. The
            // question goes on by itself: one that breaks off in the middle leaves its connection in the air.
            let asked = tokio::spawn(async move { store.now().await });
            if let Ok(Ok(Ok(theirs))) = timeout(CLOCK_ANSWER, asked).await {
                clock.set(theirs, sent);
            }
        }
    }

    /// Others may take us for dead, and what we had in hand for theirs: whoever acts from now on is somebody new.
    fn begin_anew(&mut self) {
        let next = self.clock.new_incarnation();
        tracing::warn!(former = %self.incarnation, %next, "no heartbeat was written in time; this incarnation ends");
        self.former = Some(std::mem::replace(&mut self.incarnation, next));
        self.row = Row::Missing;
    }

    fn hear(&mut self, written: &Written, sent: Instant, ctx: &mut Context<Self>) {
        match written {
            Ok(Verdict::Committed { .. }) => {
                self.vitals.journal.good_for(self.proof());
                if std::mem::take(&mut self.failing) {
                    tracing::info!("heartbeats are written again");
                }
                if self.membership.renew(self.incarnation, sent) {
                    self.stand(ctx);
                } else {
                    // It was too long on its way to say that we live.
                    self.beat(ctx);
                }
            }
            // A node without a row counts as dead.
            Ok(Verdict::NotFound) => {
                tracing::warn!("the node's row is gone; registering it again");
                self.row = Row::Missing;
                self.membership.lapse();
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

    /// The row is there. When it is new, the one before it is closed, and whoever goes by our name is noticed.
    fn stand(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.row, Row::There) == Row::There || !self.store.is_shared() {
            return;
        }
        let former = self.former.take();
        if let Some(incarnation) = former {
            let close = Write::new(Change::Close { incarnation });
            let closed = self.journal.send(close).into_actor(self);
            // Not closed, it dies of age.
            ctx.spawn(closed.map(|_, _, _| ()));
        }
        let (store, dead_after) = (self.store.clone(), self.membership.dead_after());
        let look = async move { store.living(dead_after).await };
        ctx.spawn(
            look.into_actor(self)
                .map(move |living, node, _| match living {
                    Ok(living) => node.compare(&living, former),
                    Err(fault) => {
                        tracing::warn!(%fault, "could not look for another node of our name")
                    }
                }),
        );
    }

    /// What a start among others may get wrong: two processes under one name.
    fn compare(&self, living: &[Living], former: Option<Incarnation>) {
        for other in living {
            let ours = [Some(self.incarnation), former].contains(&Some(other.incarnation));
            if other.name == self.name && !ours {
                tracing::warn!(
                    name = &*other.name, incarnation = %other.incarnation,
                    "another process lives under this node's name, or did a moment ago; its payments are left alone \
                     until its heartbeat is old"
                );
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
        let incarnation = self.incarnation;
        self.row = Row::Closed;
        let written = self.journal.send(Write::new(Change::Close { incarnation }));
        Box::pin(async move {
            let written = written.await.unwrap_or(Err(NoVerdict::Doubtful));
            if !matches!(written, Ok(Verdict::Committed { .. })) {
                tracing::warn!(?written, "the node's row was not closed");
            }
        })
    }
}
