//! Versions: whether another node has moved a payment since somebody here read it. Asked where memory alone would refuse a
//! buyer; many such questions are one read, so that a sold-out sale stays cheap.

use std::collections::HashMap;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::OrderId;
use crate::store::Store;

/// At most so often is the database asked; who comes meanwhile is in the next question.
const PAUSE: Duration = Duration::from_millis(100);

/// In one question. Whoever finds it full goes by memory, as everybody does on a database of one node.
const MOST: usize = 2_000;

/// The version of this payment now; `None`: it could not be had.
#[derive(Message, Debug)]
#[rtype(result = "Option<i64>")]
pub struct VersionOf(pub OrderId);

type Waiting = (OrderId, oneshot::Sender<Option<i64>>);

pub struct Versions {
    store: Store,
    waiting: Vec<Waiting>,
    /// A question is out, or was a moment ago.
    asked: bool,
}

impl Versions {
    pub fn new(store: Store) -> Versions {
        Versions {
            store,
            waiting: Vec::new(),
            asked: false,
        }
    }

    fn ask(&mut self, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        self.asked = true;
        let (orders, waiting): (Vec<OrderId>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().unzip();
        let store = self.store.clone();
        let work = async move {
            let found = store.versions(&orders).await.unwrap_or_else(|fault| {
                tracing::warn!(%fault, "could not look for newer versions; the copies are taken as they are");
                HashMap::new()
            });
            for (order, waits) in orders.iter().zip(waiting) {
                // Whoever has gone does not need it.
                _ = waits.send(found.get(order).copied());
            }
        };
        ctx.spawn(work.into_actor(self));
        ctx.run_later(PAUSE, |versions, ctx| {
            versions.asked = false;
            versions.ask(ctx);
        });
    }
}

impl Actor for Versions {
    type Context = Context<Self>;
}

impl Handler<VersionOf> for Versions {
    type Result = ResponseFuture<Option<i64>>;

    fn handle(&mut self, VersionOf(order): VersionOf, ctx: &mut Self::Context) -> Self::Result {
        if self.waiting.len() >= MOST {
            return Box::pin(std::future::ready(None));
        }
        let (waits, version) = oneshot::channel();
        self.waiting.push((order, waits));
        if !self.asked {
            self.ask(ctx);
        }
        Box::pin(async move { version.await.ok().flatten() })
    }
}
