//! How payments, products and nodes are written: a batch in, a verdict per change out, all of it in one durable transaction.
//!
//! Once `commit` returns, a restart finds what it reported. Three phases: learn what is there; decide each change in pure
//! Rust; write what was accepted. Most batches are as they were expected to be, and are written without a look before.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr};

use super::dialect::{self, Sql};
use super::fault::{CommitFault, error_class, refuses_commit};
use super::{Line, Silent, Store, transaction};

mod change;
mod decide;
mod find;
mod landing;
mod optimism;
mod stock;
mod write;

use change::Wanted;
pub use change::{Change, CheckoutKey, Committed, Restock, Verdict};
use decide::{Decision, decide};
pub(in crate::store) use find::CheckoutKeyRow;
use find::find;
pub use landing::WriteFate;
pub(in crate::store) use optimism::Optimism;
use optimism::{Locking, foresee};
use write::write;

/// Why a transaction was given up before its COMMIT took effect: nothing of it is there.
struct Aborted {
    fault: CommitFault,
    cause: dialect::ErrorClass,
}

impl Aborted {
    fn refused(why: String) -> Aborted {
        let fault = CommitFault::Refused(why);
        let cause = dialect::ErrorClass::Refused;
        Aborted { fault, cause }
    }

    /// Whether what is there may be other than was taken for granted.
    fn is_a_surprise(&self) -> bool {
        match self.cause {
            dialect::ErrorClass::Refused | dialect::ErrorClass::Taken => true,
            dialect::ErrorClass::Collided
            | dialect::ErrorClass::Blocked
            | dialect::ErrorClass::Unwell => false,
        }
    }
}

/// How often it is worth another try, for each cause by itself: somebody else was in the way, and may be gone by now. One
/// who was waited for in vain may have written the row by the next look, and that wants a look of its own.
struct Tries {
    collided: u32,
    blocked: u32,
    taken: u32,
}

impl Tries {
    const ALL: Tries = Tries {
        collided: 7,
        blocked: 1,
        taken: 1,
    };

    fn take(&mut self, cause: dialect::ErrorClass) -> bool {
        let left = match cause {
            dialect::ErrorClass::Collided => &mut self.collided,
            dialect::ErrorClass::Blocked => &mut self.blocked,
            dialect::ErrorClass::Taken => &mut self.taken,
            dialect::ErrorClass::Refused | dialect::ErrorClass::Unwell => return false,
        };
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }
}

impl From<DbErr> for Aborted {
    fn from(error: DbErr) -> Aborted {
        let cause = error_class(&error);
        let fault = error.into();
        Aborted { fault, cause }
    }
}

impl From<Silent> for Aborted {
    fn from(silent: Silent) -> Aborted {
        let fault = CommitFault::Unavailable(silent.to_string());
        let cause = dialect::ErrorClass::Unwell;
        Aborted { fault, cause }
    }
}

impl Store {
    /// After `Doubtful`, [`Store::read_back`] tells; after any other fault it is surely not written.
    pub async fn commit(&self, batch: &[Change]) -> Result<Committed, CommitFault> {
        self.commit_before(batch, &mut || {}).await
    }

    /// Calls `next` when all is written and the COMMIT is about to be sent: whoever commits next may begin, and the time that
    /// the disk takes is not lost. It finds the rows of this batch locked until they are committed, and is durable only after
    /// them. Called again where a batch has to be written again, and never for a file, which has one writer at a time.
    pub async fn commit_before(
        &self,
        batch: &[Change],
        next: &mut (dyn FnMut() + Send),
    ) -> Result<Committed, CommitFault> {
        let (mut tries, mut tried) = (Tries::ALL, 1_u32);
        let optimism = &self.0.optimism;
        let mut foreseen = foresee(batch, optimism);
        loop {
            let writer = self
                .writer()
                .map_err(|fault| CommitFault::Unavailable(fault.to_string()))?;
            let was_optimistic = foreseen.is_some();
            // All that a commit needs is too much to be moved around with whoever waits for it.
            let done = Box::pin(self.try_commit(&writer, batch, foreseen.take(), next));
            match done.await {
                Ok(done) => {
                    if was_optimistic {
                        optimism.was_right();
                    }
                    return done;
                }
                Err(aborted) if was_optimistic && aborted.is_a_surprise() => {
                    tracing::debug!(fault = %aborted.fault, "not what a batch expected; looking first");
                    optimism.was_wrong();
                }
                Err(aborted) if tries.take(aborted.cause) => {
                    tracing::debug!(fault = %aborted.fault, tried, "a batch collided; again");
                    // Two that collided must not meet again at once.
                    let pause = rand::random_range(1..=5 << tried.min(5));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    tried += 1;
                }
                Err(aborted) => return Err(aborted.fault),
            }
        }
    }

    async fn try_commit(
        &self,
        writer: &Line,
        batch: &[Change],
        foreseen: Option<Decision<'_>>,
        next: &mut (dyn FnMut() + Send),
    ) -> Result<Result<Committed, CommitFault>, Aborted> {
        let begun = self.answered(writer, async {
            let txn = transaction::begin(&writer.pool).await?;
            match decide_and_write(&txn, self.0.sql, batch, foreseen).await {
                Ok((committed, wrote)) => Ok((txn, committed, wrote)),
                Err(aborted) => {
                    // Without it the rollback would wait for the next one who wants the connection.
                    let _ = txn.rollback().await;
                    Err(aborted)
                }
            }
        });
        let (txn, committed, wrote) = begun.await??;
        fault_point!(Batch(Written): batch);
        if self.is_shared() {
            next();
            fault_point!(beside Overlapped: batch);
        }
        #[cfg(test)]
        let txn = match wrote {
            true => match self.0.sabotage.end(txn, batch).await {
                Ok(fault) => return Ok(Err(fault)),
                Err(txn) => txn,
            },
            false => txn,
        };
        let ended = self.answered(writer, async {
            match wrote {
                true => txn.commit().await,
                false => txn.rollback().await,
            }
        });
        let ended = match ended.await {
            Ok(ended) => ended,
            Err(silent) if wrote => return Ok(Err(CommitFault::Doubtful(silent.to_string()))),
            Err(silent) => return Err(silent.into()),
        };
        match ended {
            Ok(()) => {
                fault_point!(Batch(Committed): batch);
                Ok(Ok(committed))
            }
            // A full disk or a busy file refuses COMMIT before its frame is written: surely not there.
            Err(error) if wrote && !refuses_commit(&error) => {
                Ok(Err(CommitFault::Doubtful(error.to_string())))
            }
            Err(error) => {
                let fault = CommitFault::Unavailable(error.to_string());
                let Aborted { cause, .. } = error.into();
                Err(Aborted { fault, cause })
            }
        }
    }
}

/// The second value tells whether there is anything to commit.
async fn decide_and_write(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    batch: &[Change],
    foreseen: Option<Decision<'_>>,
) -> Result<(Committed, bool), Aborted> {
    let (decision, locking) = match foreseen {
        Some(decision) => {
            fault_point!(Batch(Read): batch);
            (decision, Locking::Optimistic)
        }
        None => {
            let found = find(txn, sql, &Wanted::by(batch)).await?;
            fault_point!(Batch(Read): batch);
            (decide(batch, found), Locking::Pessimistic)
        }
    };
    fault_point!(Batch(Decided): batch);
    let told = write(txn, sql, &decision.writes, locking).await?;
    let committed = Committed {
        verdicts: decision.verdicts,
        shelf: match locking {
            Locking::Optimistic => told,
            Locking::Pessimistic => decision.shelf,
        },
    };
    Ok((committed, !decision.writes.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialect::ErrorClass::{Blocked, Collided, Refused, Taken, Unwell};

    #[test]
    fn whoever_waited_in_vain_and_then_finds_the_row_taken_looks_once_more() {
        let again = |causes: &[dialect::ErrorClass]| {
            let mut tries = Tries::ALL;
            causes.iter().all(|cause| tries.take(*cause))
        };
        assert!(again(&[Blocked, Taken]));
        assert!(again(&[Collided, Collided, Taken, Collided, Blocked]));
        for ended in [&[Taken, Taken][..], &[Blocked, Taken, Blocked]] {
            assert!(!again(ended), "{ended:?}");
        }
        assert!(again(&[Collided; 7]) && !again(&[Collided; 8]));
        assert!(!again(&[Refused]) && !again(&[Unwell]));
    }
}
