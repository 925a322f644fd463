//! NodeActor: this process's row among the nodes. It registers the incarnation, keeps its heartbeat, and
//! closes it when no call can be out any more.

use std::time::Duration;

use actix::prelude::*;

use super::clock::Clock;
use super::journal::{NoVerdict, Write};
use crate::domain::Incarnation;
use crate::store::{Change, Verdict};

pub struct NodeActor {
    pub incarnation: Incarnation,
    pub name: Box<str>,
    pub heartbeat: Duration,
    pub clock: Clock,
    pub journal: Recipient<Write>,
}

/// The last word of an incarnation.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CloseNode;

impl NodeActor {
    fn write(&self, change: Change) -> impl Future<Output = ()> + use<> {
        let written = self.journal.send(Write::new(change));
        async move {
            let written = written.await.unwrap_or(Err(NoVerdict::Doubtful));
            if !matches!(written, Ok(Verdict::Committed { .. })) {
                tracing::warn!(?written, "the node's row was not written");
            }
        }
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (incarnation, name, at) = (self.incarnation, self.name.clone(), self.clock.now());
        let registered = self.write(Change::Register {
            incarnation,
            name,
            at,
        });
        ctx.spawn(registered.into_actor(self));
        ctx.run_interval(self.heartbeat, |node, ctx| {
            let (incarnation, at) = (node.incarnation, node.clock.now());
            let beat = node.write(Change::Heartbeat { incarnation, at });
            ctx.spawn(beat.into_actor(node));
        });
    }
}

impl Handler<CloseNode> for NodeActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CloseNode, _: &mut Self::Context) -> Self::Result {
        let (incarnation, at) = (self.incarnation, self.clock.now());
        Box::pin(self.write(Change::Close { incarnation, at }))
    }
}
