//! JournalActor: every write of the process queues here, and whatever is queued is committed together. A lone write
//! commits at once; under load, batches form by themselves while the one before them commits.

use std::collections::{HashMap, VecDeque};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::api::TraceId;
use super::product::{Products, ShelfSeen};
use crate::domain::{ProductId, StockMove};
use crate::store::{Change, CommitFault, Committed, Landing, Store, StoreFault, Verdict};

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
            Change::Register { .. } | Change::Heartbeat { .. } => Kind::Heartbeat,
            Change::Restock(_) | Change::List(_) | Change::Checkout { .. } => Kind::Opening,
            Change::Advance(_) | Change::Postpone { .. } | Change::Close { .. } => Kind::Outcome,
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

/// What the store decided about a write, or why nobody can tell.
pub type Written = Result<Verdict, NoVerdict>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// The queue is full, or the database is away; nothing was written, and later it may be.
    Busy,
    /// The database refuses this very change: a bug. Nothing was written.
    Fault,
    /// The commit's answer was lost, and reading back does not prove either way: it may still land.
    Doubtful,
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
            match joined {
                Ok(Database::Answers) => {}
                Ok(Database::Away) => journal.shed_openings(),
                Err(fault) => {
                    tracing::error!(%fault, "a batch of the journal panicked; its writers reload");
                }
            }
            journal.committing = false;
            journal.commit_next(ctx);
        });
        ctx.spawn(finished);
    }

    /// Nothing new is begun while the database is away: each batch would wait for it in turn, and the last caller
    /// for all of them.
    fn shed_openings(&mut self) {
        let is_opening = |entry: &Entry| entry.write.kind == Kind::Opening;
        let (openings, others): (Vec<Entry>, Vec<Entry>) =
            self.queue.drain(..).partition(is_opening);
        self.queue = others.into();
        self.openings = 0;
        answer_all(part(openings).1, NoVerdict::Busy);
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
            return Box::pin(std::future::ready(Err(NoVerdict::Busy)));
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
        Box::pin(async move { written.await.unwrap_or(Err(NoVerdict::Doubtful)) })
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

/// How a batch found the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    Answers,
    /// Nothing more of the batch was tried.
    Away,
}

/// Commits a batch; where the batch itself is refused, halves it until the poison is alone.
async fn commit(store: Store, products: Products, batch: Vec<Entry>) -> Database {
    let mut todo = vec![batch];
    while let Some(entries) = todo.pop() {
        let (changes, waiting) = part(entries);
        match store.commit(&changes).await {
            Ok(committed) => settle(&products, &changes, waiting, committed),
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
                answer_all(waiting, NoVerdict::Fault);
            }
            Err(CommitFault::Unavailable(why)) => {
                tracing::error!(why, "the database is not available; nothing was written");
                answer_all(waiting, NoVerdict::Busy);
                todo.into_iter()
                    .for_each(|rest| answer_all(part(rest).1, NoVerdict::Busy));
                return Database::Away;
            }
            Err(CommitFault::Doubtful(why)) => {
                tracing::error!(why, "the answer to a commit was lost; reading back");
                read_back(&store, &products, changes, waiting).await;
            }
        }
    }
    Database::Answers
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
            Err(NoVerdict::Fault | NoVerdict::Doubtful) => {
                tracing::warn!(%trace, ?written, "not journaled");
            }
            Ok(_) | Err(NoVerdict::Busy) => tracing::debug!(%trace, ?written, "journaled"),
        }
        _ = self.reply.send(written);
    }
}

type Waiting = Vec<Writer>;

fn part(entries: Vec<Entry>) -> (Vec<Change>, Waiting) {
    let parts = entries.into_iter().map(|Entry { write, reply }| {
        let Write {
            change,
            kind,
            trace,
        } = write;
        (change, Writer { kind, trace, reply })
    });
    parts.unzip()
}

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

fn answer_all(waiting: Waiting, why: NoVerdict) {
    for writer in waiting {
        writer.tell(Err(why));
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
        writer.tell(Ok(verdict));
    }
}

/// Proof by each change's own id: anything less finds another's write and takes it for its own. The first question that
/// finds the database away is the last: the writers ask again in their own time, and the journal is free to write.
async fn read_back(store: &Store, products: &Products, changes: Vec<Change>, waiting: Waiting) {
    let mut away = false;
    for (change, writer) in changes.into_iter().zip(waiting) {
        let written = match away {
            true => Err(NoVerdict::Doubtful),
            false => look_for(store, products, &change, writer.kind)
                .await
                .unwrap_or_else(|fault| {
                    tracing::error!(%fault, "could not read a doubtful write back");
                    away = true;
                    Err(NoVerdict::Doubtful)
                }),
        };
        writer.tell(written);
    }
}

async fn look_for(
    store: &Store,
    products: &Products,
    change: &Change,
    kind: Kind,
) -> Result<Written, StoreFault> {
    let transition = match change {
        Change::Advance(transition) | Change::Checkout { transition, .. } => transition,
        Change::Restock(restock) => {
            let landed = store.settle_restock(restock).await?;
            recount(store, products, [(restock.product, 0)]).await;
            return Ok(match landed {
                true => Ok(Verdict::Committed { held: false }),
                false => Err(NoVerdict::Busy),
            });
        }
        // Said again, these do no harm.
        Change::Postpone { .. }
        | Change::List(_)
        | Change::Register { .. }
        | Change::Heartbeat { .. }
        | Change::Close { .. } => return Ok(Err(NoVerdict::Doubtful)),
    };
    let landing = store
        .read_back(transition.order_id(), transition.id, transition.replaces)
        .await?;
    Ok(match landing {
        Landing::Landed { held } => {
            if kind == Kind::Opening && transition.stock == StockMove::Take {
                let lines = transition.next.order.lines.iter();
                let taken = lines.map(|line| (line.product, i64::from(line.quantity.get())));
                recount(store, products, taken).await;
            }
            Ok(Verdict::Committed { held })
        }
        Landing::Absent => Ok(Verdict::Stale { version: None }),
        Landing::Undecided => Err(NoVerdict::Doubtful),
    })
}

/// A landed write's goods leave the gates' books, with the shelf as it is now.
async fn recount(
    store: &Store,
    products: &Products,
    lines: impl IntoIterator<Item = (ProductId, i64)>,
) {
    let lines: Vec<_> = lines.into_iter().collect();
    let ids: Vec<ProductId> = lines.iter().map(|(product, _)| *product).collect();
    let shelf = store.shelf(&ids).await.unwrap_or_default();
    for (product, taken) in lines {
        let stock = shelf.get(&product).map(|found| found.stock);
        products.tell(product, ShelfSeen { stock, taken });
    }
}
