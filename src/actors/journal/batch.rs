//! One batch: committed as a whole, halved until its poison is alone, read back where the answer to its commit was lost;
//! then the gates hear what became of their goods, and the writers what became of their changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Entry, NoVerdict, Write, Written};
use crate::actors::api::TraceId;
use crate::actors::product::{Products, Reservation};
use crate::domain::ProductId;
use crate::metrics::Metrics;
use crate::store::{Change, CommitFault, Committed, Store, StoreFault, Verdict, WriteFate};

/// What a batch is worked on with.
#[derive(Clone, Debug)]
pub struct Committer {
    pub store: Store,
    pub products: Products,
    pub metrics: Metrics,
    /// Where commits are worked on, and most connections are opened that they are written over.
    pub runtime: Handle,
}

/// The order of batches: each may be written while the one before it is being made durable.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The end of the batch before, if it has not come yet.
    pub before: Option<oneshot::Receiver<()>>,
    /// To be told that the next may begin.
    pub next: Option<oneshot::Sender<()>>,
    /// Dropped when this one ends, however that may be.
    pub ended: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// The next batch comes after the last piece of this one, and so do its news of the shelves.
    fn pass_on(&mut self, is_last: bool) {
        if is_last {
            _ = self.next.take().map(|next| next.send(()));
        }
    }

    /// Returns whether there was a batch before.
    async fn come(&mut self) -> bool {
        let Some(before) = self.before.take() else {
            return false;
        };
        // Nothing is sent: its end drops the sender.
        _ = before.await;
        true
    }
}

/// How long a batch is halved around rows that somebody else holds. Each half waits for them, and everybody else for it.
#[cfg(not(test))]
const HALVING: Duration = Duration::from_secs(5);
#[cfg(test)]
const HALVING: Duration = Duration::from_millis(300);

/// How a batch found the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Answers,
    /// Nothing more of the batch was tried.
    Away,
}

impl Committer {
    pub(super) fn spawn(&self, batch: Vec<Entry>, turn: Turn) -> JoinHandle<Database> {
        self.runtime.spawn(self.clone().commit(batch, turn))
    }

    /// Commits a batch; where the batch itself is refused, halves it until the poison is alone. Nobody hears of it before
    /// those of the batch before it have.
    async fn commit(self, batch: Vec<Entry>, mut turn: Turn) -> Database {
        let _ended = turn.ended.take();
        let mut begun = Instant::now();
        let mut todo = vec![batch];
        while let Some(entries) = todo.pop() {
            let (changes, waiting) = part(entries);
            fault_point!(Batch(Queued): &changes);
            let began = Instant::now();
            let is_last = todo.is_empty();
            let mut next = || turn.pass_on(is_last);
            let done = self.store.commit_before(&changes, &mut next).await;
            let took = began.elapsed();
            let was_second = turn.come().await;
            if was_second {
                // What it waited for the other batch is not the fault of its own.
                begun = Instant::now();
            }
            match done {
                Ok(committed) => {
                    self.metrics.committed(changes.len(), took);
                    self.settle(&changes, waiting, committed);
                    fault_point!(Batch(Told): &changes);
                }
                Err(CommitFault::Blocked(why)) if was_second => {
                    tracing::debug!(why, "it was the batch before that held the rows; again");
                    todo.push(rejoin(changes, waiting));
                }
                Err(CommitFault::Refused(why)) if changes.len() > 1 => {
                    todo.extend(halves(changes, waiting, &why));
                }
                Err(CommitFault::Blocked(why))
                    if changes.len() > 1 && begun.elapsed() < HALVING =>
                {
                    todo.extend(halves(changes, waiting, &why));
                }
                Err(CommitFault::Refused(why)) => {
                    tracing::error!(why, "the database refused a change");
                    answer_all(waiting, NoVerdict::Fault);
                }
                Err(CommitFault::Blocked(why)) => {
                    tracing::warn!(why, "somebody holds a row; nothing was written");
                    answer_all(waiting, NoVerdict::Busy);
                }
                Err(CommitFault::Unavailable(why)) => {
                    tracing::error!(why, "the database is not available; nothing was written");
                    answer_all(waiting, NoVerdict::Busy);
                    let rest = todo.into_iter();
                    rest.for_each(|rest| refuse_all(rest, NoVerdict::Busy));
                    return Database::Away;
                }
                Err(CommitFault::Doubtful(why)) => {
                    tracing::error!(why, "the answer to a commit was lost; reading back");
                    self.read_back(changes, waiting).await;
                }
            }
        }
        Database::Answers
    }

    /// Gates first, callers second: a caller who hears of a sale finds the gate informed.
    fn settle(&self, changes: &[Change], mut waiting: Waiting, committed: Committed) {
        let mut taken: HashMap<ProductId, Vec<Reservation>> = HashMap::new();
        let writers = committed.verdicts.iter().zip(&mut waiting);
        for (change, (verdict, writer)) in changes.iter().zip(writers) {
            if matches!(verdict, Verdict::Committed { .. }) {
                self.count(change);
                for goods in std::mem::take(&mut writer.goods) {
                    taken.entry(goods.product()).or_default().push(goods);
                }
            }
        }
        for (product, stock) in committed.shelf {
            let taken = taken.remove(&product).unwrap_or_default();
            self.products.settle(product, Some(stock), taken);
        }
        for (verdict, writer) in committed.verdicts.into_iter().zip(waiting) {
            writer.tell(Ok(verdict));
        }
    }

    /// Proof by each change's own id: anything less finds another's write and takes it for its own. Whoever has landed is
    /// looked at twice, with a witness between where the database could forget it. The first question that finds the database
    /// away is the last: the writers ask again in their own time, and the journal is free to write. The shelves are looked at
    /// once for all.
    async fn read_back(&self, changes: Vec<Change>, waiting: Waiting) {
        let mut found = vec![Err(NoVerdict::Doubtful); changes.len()];
        let mut away = self.look(&changes, &mut found, |_| true).await;
        if found.iter().any(is_there) && !self.store.shows_only_what_stays() {
            away = away || self.witness_is_away().await;
            away = match away {
                true => {
                    let landed = found.iter_mut().filter(|written| is_there(written));
                    landed.for_each(|written| *written = Err(NoVerdict::Doubtful));
                    true
                }
                false => self.look(&changes, &mut found, is_there).await,
            };
        }
        let mut heard: Vec<_> = changes.into_iter().zip(waiting).zip(found).collect();
        let landed = heard.iter_mut().filter(|(_, written)| is_there(written));
        let moved = landed.flat_map(|((change, writer), _)| {
            self.count(change);
            moved(change, &mut writer.goods)
        });
        self.recount(moved.collect(), away).await;
        for ((_, writer), written) in heard {
            writer.tell(written);
        }
    }

    /// Looks for some of them. Returns whether the database was found away; those that come after it are in doubt.
    async fn look(
        &self,
        changes: &[Change],
        found: &mut [Written],
        some: fn(&Written) -> bool,
    ) -> bool {
        let mut away = false;
        let found = found.iter_mut().zip(changes);
        for (found, change) in found.filter(|(found, _)| some(found)) {
            *found = match away {
                true => Err(NoVerdict::Doubtful),
                false => self.look_for(change).await.unwrap_or_else(|fault| {
                    tracing::error!(%fault, "could not read a doubtful write back");
                    away = true;
                    Err(NoVerdict::Doubtful)
                }),
            };
        }
        away
    }

    async fn witness_is_away(&self) -> bool {
        self.store.harden().await.is_err_and(|fault| {
            tracing::error!(%fault, "could not make sure of what was read back");
            true
        })
    }

    async fn look_for(&self, change: &Change) -> Result<Written, StoreFault> {
        let transition = match change {
            Change::Advance(transition) | Change::Checkout { transition, .. } => transition,
            Change::Restock(restock) => {
                return Ok(match self.store.settle_restock(restock).await? {
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
        let asked = (transition.order_id(), transition.id, transition.replaces);
        let landing = self.store.look_for(asked.0, asked.1, asked.2).await?;
        Ok(match landing {
            WriteFate::Landed { held } => Ok(Verdict::Committed { held }),
            WriteFate::Absent => Ok(Verdict::Stale { version: None }),
            WriteFate::Undecided => Err(NoVerdict::Doubtful),
        })
    }

    /// The goods of landed writes leave the gates' books, with the shelf as it is now, if it can be seen.
    async fn recount(&self, goods: Vec<Moved>, away: bool) {
        let ids: BTreeSet<ProductId> = goods.iter().map(|(product, _)| *product).collect();
        let ids: Vec<ProductId> = ids.into_iter().collect();
        let shelf = match away || ids.is_empty() {
            true => BTreeMap::new(),
            false => self.store.shelf(&ids).await.unwrap_or_else(|fault| {
                tracing::warn!(%fault, "could not look at the shelf; the gates learn its stock from the next writes");
                BTreeMap::new()
            }),
        };
        for (product, reservation) in goods {
            let stock = shelf.get(&product).map(|found| found.stock);
            let taken = reservation.into_iter().collect();
            self.products.settle(product, stock, taken);
        }
    }

    fn count(&self, change: &Change) {
        match change {
            Change::Advance(transition) | Change::Checkout { transition, .. } => {
                let (from, to) = (transition.history.from, transition.history.to);
                self.metrics.moved(from, to);
            }
            Change::Postpone { .. }
            | Change::List(_)
            | Change::Restock(_)
            | Change::Register { .. }
            | Change::Heartbeat { .. }
            | Change::Close { .. } => {}
        }
    }
}

fn is_there(written: &Written) -> bool {
    matches!(written, Ok(Verdict::Committed { .. }))
}

/// A shelf that a landed write has moved, and the goods that it took.
type Moved = (ProductId, Option<Reservation>);

fn moved(change: &Change, goods: &mut Vec<Reservation>) -> Vec<Moved> {
    let delivered = match change {
        Change::Restock(restock) => Some((restock.product, None)),
        _ => None,
    };
    let taken = std::mem::take(goods).into_iter();
    let taken = taken.map(|goods| (goods.product(), Some(goods)));
    delivered.into_iter().chain(taken).collect()
}

/// Who waits for one change.
struct Writer {
    kind: super::Kind,
    trace: TraceId,
    goods: Vec<Reservation>,
    reply: oneshot::Sender<Written>,
    since: Instant,
}

impl Writer {
    fn tell(self, written: Written) {
        let trace = self.trace;
        // Goods that were not taken are back at their gates before the caller hears.
        drop(self.goods);
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
    let parts = entries.into_iter().map(|entry| {
        let Entry {
            write,
            reply,
            since,
        } = entry;
        let Write {
            change,
            kind,
            trace,
            goods,
        } = write;
        let writer = Writer {
            kind,
            trace,
            goods,
            reply,
            since,
        };
        (change, writer)
    });
    parts.unzip()
}

/// The first half last: it is taken first.
fn halves(changes: Vec<Change>, waiting: Waiting, why: &str) -> [Vec<Entry>; 2] {
    let changes_in_all = changes.len();
    tracing::warn!(changes_in_all, why, "a batch was not taken: halving it");
    let mut first = rejoin(changes, waiting);
    let second = first.split_off(first.len() / 2);
    [second, first]
}

fn rejoin(changes: Vec<Change>, waiting: Waiting) -> Vec<Entry> {
    let pairs = changes.into_iter().zip(waiting);
    let entry = |(change, writer): (Change, Writer)| Entry {
        write: Write {
            change,
            kind: writer.kind,
            trace: writer.trace,
            goods: writer.goods,
        },
        reply: writer.reply,
        since: writer.since,
    };
    pairs.map(entry).collect()
}

fn answer_all(waiting: Waiting, why: NoVerdict) {
    for writer in waiting {
        writer.tell(Err(why));
    }
}

/// Nothing of this was tried.
pub(super) fn refuse_all(entries: Vec<Entry>, why: NoVerdict) {
    answer_all(part(entries).1, why);
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn the_next_batch_begins_with_the_last_piece_of_a_halved_one() {
        let (next, mut told) = oneshot::channel();
        let mut turn = Turn {
            next: Some(next),
            ..Turn::default()
        };
        turn.pass_on(false);
        assert_eq!(told.try_recv(), Err(TryRecvError::Empty));
        turn.pass_on(true);
        assert_eq!(told.try_recv(), Ok(()));
        turn.pass_on(true);
    }
}
