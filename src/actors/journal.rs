//! JournalActor: every change of a payment, a product or a node queues here, and whatever is queued is committed
//! together. Where nobody else writes, a write commits at once; under load, batches form by themselves while the one
//! before them is written, and while other nodes write theirs.

use std::collections::VecDeque;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::api::TraceId;
use super::pacing::Pacing;
use super::product::Reservation;
use crate::store::{Change, Verdict};

mod batch;

pub use batch::Committer;
use batch::{Database, Turn, refuse_all};

/// Write this, durably. Once it answers `Committed`, a restart will find it.
#[derive(Message, Debug)]
#[rtype(result = "Written")]
pub struct Write {
    change: Change,
    kind: Kind,
    trace: TraceId,
    /// The goods that it takes. They belong to the write: whoever waits for it may be gone when it lands.
    goods: Vec<Reservation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A checkout or journal A: refused while the queue is full, before anything is written.
    Opening,
    /// Never refused; at most one of a flight waits, and flights are bounded.
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
        Write {
            change,
            kind,
            trace: TraceId::default(),
            goods: Vec::new(),
        }
    }

    /// Taking these goods, if it is committed; else they go back.
    pub fn taking(self, goods: Vec<Reservation>) -> Write {
        Write { goods, ..self }
    }

    #[cfg(test)]
    pub fn is_opening(&self) -> bool {
        self.kind == Kind::Opening
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
    since: Instant,
}

/// One that is written, and one that waits for its COMMIT.
const MOST_BEGUN: usize = 2;

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
    committer: Committer,
    limits: JournalLimits,
    urgent: VecDeque<Entry>,
    queue: VecDeque<Entry>,
    openings: usize,
    /// A batch is being written; the next waits until only its COMMIT is missing.
    writing: bool,
    /// Batches that have begun and not ended.
    begun: usize,
    /// The end of the last batch that has begun.
    last: Option<oneshot::Receiver<()>>,
    beating: bool,
    pacing: Pacing,
    /// Until then the database is left to the other nodes.
    not_before: Instant,
    /// Somebody will look when that time has come.
    waking: bool,
    flushes: Vec<oneshot::Sender<()>>,
}

impl JournalActor {
    pub fn new(committer: Committer, pacing: Pacing, limits: JournalLimits) -> JournalActor {
        JournalActor {
            committer,
            limits,
            pacing,
            not_before: Instant::now(),
            waking: false,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            openings: 0,
            writing: false,
            begun: 0,
            last: None,
            beating: false,
            flushes: Vec::new(),
        }
    }

    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        self.commit_beats(ctx);
        if self.writing || self.begun == MOST_BEGUN || self.leaves_the_database(ctx) {
            return;
        }
        let batch = self.next_batch();
        if batch.is_empty() {
            if self.begun == 0 && !self.beating {
                self.flushes.drain(..).for_each(|done| _ = done.send(()));
            }
            return;
        }
        let (next, written) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let turn = Turn {
            before: self.last.replace(end).filter(|_| self.begun > 0),
            next: Some(next),
            ended: Some(ended),
        };
        self.writing = true;
        self.begun += 1;
        let (began, changes) = (Instant::now(), batch.len());
        // On a runtime of its own: this arbiter stays free to queue what arrives meanwhile.
        let work = self.committer.spawn(batch, turn);
        let written = written.into_actor(self).map(move |written, journal, ctx| {
            let goes_on = written.is_ok();
            if goes_on {
                journal.writing = false;
                let now = Instant::now();
                let took = now.saturating_duration_since(began);
                journal.not_before = now + journal.pacing.pause_after(changes, took, now);
                journal.commit_next(ctx);
            }
            goes_on
        });
        let finished = written.then(|went_on, journal, _| {
            let work = work.into_actor(journal);
            work.map(move |joined, journal, ctx| {
                match joined {
                    Ok(Database::Answers) => {}
                    Ok(Database::Away) => journal.shed_openings(),
                    Err(fault) => {
                        tracing::error!(%fault, "a batch of the journal panicked; its writers reload");
                    }
                }
                journal.writing &= went_on;
                journal.begun -= 1;
                journal.commit_next(ctx);
            })
        });
        ctx.spawn(finished);
    }

    /// Whether it is the other nodes' turn. Half a batch waits for nobody, nor does what leaves no room for more, nor whoever
    /// waits for all of it.
    fn leaves_the_database(&mut self, ctx: &mut Context<Self>) -> bool {
        let left = self.not_before.saturating_duration_since(Instant::now());
        let is_half_full = self.queue.len() >= self.limits.batch.div_ceil(2);
        let is_wanted = is_half_full || self.refuses() || !self.flushes.is_empty();
        if left.is_zero() || is_wanted {
            return false;
        }
        if !std::mem::replace(&mut self.waking, true) {
            ctx.run_later(left, |journal, ctx| {
                journal.waking = false;
                journal.commit_next(ctx);
            });
        }
        true
    }

    /// Heartbeats are written beside everything else: a batch that waits for somebody's row must not make a live node
    /// look dead, to others or to itself.
    fn commit_beats(&mut self, ctx: &mut Context<Self>) {
        if self.beating || self.urgent.is_empty() {
            return;
        }
        self.beating = true;
        let beats = self.urgent.drain(..).collect();
        let work = self.committer.spawn(beats, Turn::default());
        ctx.spawn(work.into_actor(self).map(|joined, journal, ctx| {
            if let Err(fault) = joined {
                tracing::error!(%fault, "a heartbeat panicked");
            }
            journal.beating = false;
            journal.commit_next(ctx);
        }));
    }

    /// Nothing new is begun while the database is away: each batch would wait for it in turn, and the last caller
    /// for all of them.
    fn shed_openings(&mut self) {
        let is_opening = |entry: &Entry| entry.write.kind == Kind::Opening;
        let (openings, others): (Vec<Entry>, Vec<Entry>) =
            self.queue.drain(..).partition(is_opening);
        self.queue = others.into();
        self.openings = 0;
        self.tell_queued();
        refuse_all(openings, NoVerdict::Busy);
    }

    fn refuses(&self) -> bool {
        self.openings >= self.limits.queue
    }

    fn tell_queued(&self) {
        self.committer.metrics.queued(self.queue.len());
    }

    fn next_batch(&mut self) -> Vec<Entry> {
        let size = self.limits.batch.min(self.queue.len());
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            let Some(entry) = self.queue.pop_front() else {
                break;
            };
            self.openings -= usize::from(entry.write.kind == Kind::Opening);
            self.committer.metrics.dequeued(entry.since.elapsed());
            batch.push(entry);
        }
        self.tell_queued();
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
        if write.kind == Kind::Opening && self.refuses() {
            return Box::pin(std::future::ready(Err(NoVerdict::Busy)));
        }
        let (reply, written) = oneshot::channel();
        self.openings += usize::from(write.kind == Kind::Opening);
        let line = match write.kind {
            Kind::Heartbeat => &mut self.urgent,
            Kind::Opening | Kind::Outcome => &mut self.queue,
        };
        let since = Instant::now();
        line.push_back(Entry {
            write,
            reply,
            since,
        });
        self.tell_queued();
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
