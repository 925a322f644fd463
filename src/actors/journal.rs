//! JournalActor: every write of the process queues here, and whatever is queued is committed together. A lone write
//! commits at once; under load, batches form by themselves while the one before them commits.

use std::collections::{HashMap, VecDeque};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::api::TraceId;
use super::product::{Products, ShelfSeen};
use crate::domain::rejection::Shortage;
use crate::domain::{OrderId, ProductId, StockMove};
use crate::store::{Change, CommitFault, Committed, Landing, Store, Verdict};

/// Write this, durably. Once it answers `Committed`, a restart will find it.
#[derive(Message, Debug)]
#[rtype(result = "Written")]
pub struct Write {
    change: Change,
    kind: Kind,
    trace: TraceId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A checkout or journal A: refused while the queue is full, before anything is written.
    Opening,
    /// Never refused: its place was reserved when its payment was opened.
    Outcome,
    /// Goes first, so that a slow queue does not make a live node look dead.
    Heartbeat,
}

impl Write {
    /// A write that opens something new: it may be refused as busy.
    pub fn opening(change: Change) -> Write {
        Write {
            kind: Kind::Opening,
            ..Write::new(change)
        }
    }

    pub fn new(change: Change) -> Write {
        let kind = match change {
            Change::Heartbeat { .. } => Kind::Heartbeat,
            Change::Restock { .. } | Change::List(_) | Change::Checkout { .. } => Kind::Opening,
            Change::Advance(_)
            | Change::Postpone { .. }
            | Change::Register { .. }
            | Change::Close { .. } => Kind::Outcome,
        };
        let trace = TraceId::default();
        Write {
            change,
            kind,
            trace,
        }
    }

    /// On behalf of the request with this trace id.
    pub fn traced(self, trace: TraceId) -> Write {
        Write { trace, ..self }
    }
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Durable. `held` is the payment's `stock_held` as it was written.
    Committed {
        held: bool,
    },
    /// It names a version that is not there any more.
    Stale {
        version: Option<i64>,
    },
    OutOfStock(Vec<Shortage>),
    /// The checkout's idempotency key is another order's.
    Duplicate {
        order: OrderId,
        body_hash: [u8; 32],
    },
    NotFound,
    NotEnoughStock {
        stock: i64,
    },
    /// The queue is full; nothing was written.
    Busy,
    /// Surely not written.
    Fault,
    /// The commit's answer was lost, and reading back does not prove either way: it may still land.
    Doubtful,
}

impl From<Verdict> for Written {
    fn from(verdict: Verdict) -> Written {
        match verdict {
            Verdict::Committed { held } => Written::Committed { held },
            Verdict::Stale { version } => Written::Stale { version },
            Verdict::OutOfStock(shortages) => Written::OutOfStock(shortages),
            Verdict::Duplicate { order, body_hash } => Written::Duplicate { order, body_hash },
            Verdict::NotFound => Written::NotFound,
            Verdict::NotEnoughStock { stock } => Written::NotEnoughStock { stock },
        }
    }
}

/// Wait until all that is queued now is written.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Flush;

#[derive(Debug)]
struct Entry {
    write: Write,
    reply: oneshot::Sender<Written>,
}

/// The bounds of the journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Most changes in one commit.
    pub batch: usize,
    /// Opening changes that may wait.
    pub queue: usize,
}

#[derive(Debug)]
pub struct JournalActor {
    store: Store,
    products: Products,
    limits: JournalLimits,
    urgent: VecDeque<Entry>,
    queue: VecDeque<Entry>,
    openings: usize,
    committing: bool,
    flushes: Vec<oneshot::Sender<()>>,
}

impl JournalActor {
    pub fn new(store: Store, products: Products, limits: JournalLimits) -> JournalActor {
        JournalActor {
            store,
            products,
            limits,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            openings: 0,
            committing: false,
            flushes: Vec::new(),
        }
    }

    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        let batch = self.next_batch();
        if batch.is_empty() {
            self.flushes.drain(..).for_each(|done| _ = done.send(()));
            return;
        }
        self.committing = true;
        // On the shared runtime: this arbiter stays free to queue what arrives meanwhile.
        let work = tokio::spawn(commit(self.store.clone(), self.products.clone(), batch));
        let finished = work.into_actor(self).map(|joined, journal, ctx| {
            if let Err(fault) = joined {
                tracing::error!(%fault, "a batch of the journal panicked; its writers reload");
            }
            journal.committing = false;
            journal.commit_next(ctx);
        });
        ctx.spawn(finished);
    }

    fn next_batch(&mut self) -> Vec<Entry> {
        let size = self.limits.batch.min(self.urgent.len() + self.queue.len());
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            let Some(entry) = self.urgent.pop_front().or_else(|| self.queue.pop_front()) else {
                break;
            };
            self.openings -= usize::from(entry.write.kind == Kind::Opening);
            batch.push(entry);
        }
        batch
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its own queue is the bound; a sender that waits here would only hide how much waits.
        ctx.set_mailbox_capacity(65_536);
    }
}

impl Handler<Write> for JournalActor {
    type Result = ResponseFuture<Written>;

    fn handle(&mut self, write: Write, ctx: &mut Self::Context) -> Self::Result {
        if write.kind == Kind::Opening && self.openings >= self.limits.queue {
            return Box::pin(std::future::ready(Written::Busy));
        }
        let (reply, written) = oneshot::channel();
        self.openings += usize::from(write.kind == Kind::Opening);
        let line = match write.kind {
            Kind::Heartbeat => &mut self.urgent,
            Kind::Opening | Kind::Outcome => &mut self.queue,
        };
        line.push_back(Entry { write, reply });
        self.commit_next(ctx);
        // A batch that panicked drops its replies; what it wrote is not known.
        Box::pin(async move { written.await.unwrap_or(Written::Doubtful) })
    }
}

impl Handler<Flush> for JournalActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        let (reply, done) = oneshot::channel();
        self.flushes.push(reply);
        self.commit_next(ctx);
        Box::pin(async move { _ = done.await })
    }
}

/// Commits a batch; where the batch itself is refused, halves it until the poison is alone.
async fn commit(store: Store, products: Products, batch: Vec<Entry>) {
    let mut todo = vec![batch];
    while let Some(entries) = todo.pop() {
        let (changes, waiting): (Vec<Change>, Vec<_>) = entries
            .into_iter()
            .map(|entry| {
                let Write {
                    change,
                    kind,
                    trace,
                } = entry.write;
                let reply = entry.reply;
                (change, Writer { kind, trace, reply })
            })
            .unzip();
        fault_point!(Batch(Queued): &changes);
        match store.commit(&changes).await {
            Ok(committed) => {
                settle(&products, &changes, waiting, committed);
                fault_point!(Batch(Told): &changes);
            }
            Err(CommitFault::Refused(why)) if changes.len() > 1 => {
                tracing::warn!(
                    changes = changes.len(),
                    why,
                    "a batch was refused: halving it"
                );
                let mut entries = rejoin(changes, waiting);
                let second = entries.split_off(entries.len() / 2);
                todo.push(second);
                todo.push(entries);
            }
            Err(CommitFault::Refused(why)) => {
                tracing::error!(why, "the database refused a change");
                answer_all(waiting, &Written::Fault);
            }
            Err(CommitFault::Unavailable(why)) => {
                tracing::error!(why, "the database is not available; nothing was written");
                answer_all(waiting, &Written::Fault);
            }
            Err(CommitFault::Doubtful(why)) => {
                tracing::error!(why, "the answer to a commit was lost; reading back");
                read_back(&store, &products, changes, waiting).await;
            }
        }
    }
}

/// Who waits for one change.
struct Writer {
    kind: Kind,
    trace: TraceId,
    reply: oneshot::Sender<Written>,
}

impl Writer {
    fn tell(self, written: Written) {
        let trace = self.trace;
        match written {
            Written::Fault | Written::Doubtful => tracing::warn!(%trace, ?written, "not journaled"),
            Written::Committed { .. }
            | Written::Stale { .. }
            | Written::OutOfStock(_)
            | Written::Duplicate { .. }
            | Written::NotFound
            | Written::NotEnoughStock { .. }
            | Written::Busy => tracing::debug!(%trace, ?written, "journaled"),
        }
        _ = self.reply.send(written);
    }
}

type Waiting = Vec<Writer>;

fn rejoin(changes: Vec<Change>, waiting: Waiting) -> Vec<Entry> {
    let pairs = changes.into_iter().zip(waiting);
    pairs
        .map(|(change, writer)| {
            let Writer { kind, trace, reply } = writer;
            let write = Write {
                change,
                kind,
                trace,
            };
            Entry { write, reply }
        })
        .collect()
}

fn answer_all(waiting: Waiting, written: &Written) {
    for writer in waiting {
        writer.tell(written.clone());
    }
}

/// Gates first, callers second: a caller who hears of a sale finds the gate informed.
fn settle(products: &Products, changes: &[Change], waiting: Waiting, committed: Committed) {
    let mut taken: HashMap<ProductId, i64> = HashMap::new();
    for ((change, verdict), writer) in changes.iter().zip(&committed.verdicts).zip(&waiting) {
        let reserved = writer.kind == Kind::Opening && matches!(verdict, Verdict::Committed { .. });
        let Change::Advance(transition) = change else {
            continue;
        };
        if reserved && transition.stock == StockMove::Take {
            for line in transition.next.order.lines.iter() {
                *taken.entry(line.product).or_default() += i64::from(line.quantity.get());
            }
        }
    }
    for (product, stock) in committed.shelf {
        let taken = taken.get(&product).copied().unwrap_or(0);
        products.tell(
            product,
            ShelfSeen {
                stock: Some(stock),
                taken,
            },
        );
    }
    for (verdict, writer) in committed.verdicts.into_iter().zip(waiting) {
        writer.tell(verdict.into());
    }
}

/// Proof by the transition's own id, one change at a time: anything less finds another's write and takes it for its own.
async fn read_back(store: &Store, products: &Products, changes: Vec<Change>, waiting: Waiting) {
    for (change, writer) in changes.into_iter().zip(waiting) {
        let transition = match &change {
            Change::Advance(transition) | Change::Checkout { transition, .. } => transition,
            Change::Postpone { .. }
            | Change::List(_)
            | Change::Restock { .. }
            | Change::Register { .. }
            | Change::Heartbeat { .. }
            | Change::Close { .. } => {
                writer.tell(Written::Doubtful);
                continue;
            }
        };
        let landing = store
            .read_back(transition.order_id(), transition.id, transition.replaces)
            .await;
        let written = match landing {
            Ok(Landing::Landed { held }) => {
                if writer.kind == Kind::Opening && transition.stock == StockMove::Take {
                    recount(
                        store,
                        products,
                        transition
                            .next
                            .order
                            .lines
                            .iter()
                            .map(|line| (line.product, i64::from(line.quantity.get()))),
                    )
                    .await;
                }
                Written::Committed { held }
            }
            Ok(Landing::Absent) => Written::Stale { version: None },
            Ok(Landing::Undecided) => Written::Doubtful,
            Err(fault) => {
                tracing::error!(%fault, "could not read a doubtful write back");
                Written::Doubtful
            }
        };
        writer.tell(written);
    }
}

/// A landed write's goods leave the gates' books, with the shelf as it is now.
async fn recount(
    store: &Store,
    products: &Products,
    lines: impl Iterator<Item = (ProductId, i64)>,
) {
    let lines: Vec<_> = lines.collect();
    let ids: Vec<ProductId> = lines.iter().map(|(product, _)| *product).collect();
    let shelf = store.shelf(&ids).await.unwrap_or_default();
    for (product, taken) in lines {
        let stock = shelf.get(&product).map(|found| found.stock);
        products.tell(product, ShelfSeen { stock, taken });
    }
}
