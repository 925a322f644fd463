//! What happened, as JSON lines that are only ever added. One request is one line, written in one piece: after a crash
//! it is there or it is not. No answer leaves before its line is in the file, so that a killed process does not make
//! this Toss forget an approval. (Written, not synced: it survives the process, not the machine.)

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::SandboxFault;
use super::bank::Method;
use super::books::Books;
use super::clock::Instant;
use super::codes::Code;
use super::faults::Endpoint;
use super::idempotency::Answered;
use super::ids::{Hex, Id};

/// Lines that may wait for the writer before requests have to.
const QUEUE: usize = 8_192;
/// A batch is written when it is this long, or when nobody waits behind it.
const BATCH_BYTES: usize = 256 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// The buyer paid in the window.
    Authorized(Authorized),
    /// A request arrived; what it did, if it was executed at once.
    Called(Called),
    /// A request that was counted before is executed only now.
    Executed(Called),
    ClockMoved {
        seconds: u32,
    },
    Reset {},
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    pub at: Instant,
    pub payment_key: Id,
    pub order_id: Id,
    pub order_name: Id,
    pub amount: i64,
    pub method: Method,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Called {
    pub at: Instant,
    pub on: Endpoint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_key: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<Deed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Remembered>,
}

/// What a request changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Deed {
    Approved {
        transaction_key: Hex,
    },
    Aborted {
        code: Code,
    },
    Canceled {
        transaction_key: Hex,
        amount: i64,
        reason: String,
    },
}

/// The first answer to an idempotency key.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remembered {
    pub identity: Hex,
    pub first: Answered,
}

enum Order {
    Write(Entry, oneshot::Sender<bool>),
    Close(oneshot::Sender<()>),
}

/// Where entries go: into a file, or nowhere.
#[derive(Debug)]
pub struct Ledger {
    file: Option<mpsc::Sender<Order>>,
}

/// A place in the writer's queue, taken before the books are locked: entries are queued in the order in which they were
/// applied, and nobody waits with the lock in hand.
#[derive(Debug)]
pub struct Place<'a>(Option<mpsc::Permit<'a, Order>>);

#[derive(Debug)]
#[must_use = "nothing may be told before it is written"]
pub struct Written(Option<oneshot::Receiver<bool>>);

/// The ledger can no longer be written; what it does not know must not be told.
#[derive(Debug)]
pub struct LedgerLost;

impl Ledger {
    pub fn in_memory() -> Self {
        Self { file: None }
    }

    /// Opens the file, applies what it remembers to the books, and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened or read, is in use by another sandbox, or is not a ledger.
    pub fn open(path: &Path, books: &mut Books) -> Result<Self, SandboxFault> {
        let failed = |source| SandboxFault::Ledger {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        file.try_lock().map_err(|wrong| match wrong {
            TryLockError::WouldBlock => SandboxFault::LedgerInUse {
                path: path.to_owned(),
            },
            TryLockError::Error(source) => failed(source),
        })?;
        replay(path, &file, books)?;
        let (sender, orders) = mpsc::channel(QUEUE);
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("sandbox-ledger".to_owned())
            .spawn(move || write(&path, file, orders))
            .map_err(SandboxFault::Thread)?;
        Ok(Self { file: Some(sender) })
    }

    pub async fn place(&self) -> Result<Place<'_>, LedgerLost> {
        match &self.file {
            None => Ok(Place(None)),
            Some(sender) => sender
                .reserve()
                .await
                .map(|permit| Place(Some(permit)))
                .map_err(|_| LedgerLost),
        }
    }

    /// Returns once everything queued is in the file and the file is free for another sandbox.
    pub async fn close(&self) {
        if let Some(sender) = &self.file {
            let (done, closed) = oneshot::channel();
            if sender.send(Order::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
        }
    }
}

impl Place<'_> {
    pub fn write(self, entry: Entry) -> Written {
        Written(self.0.map(|permit| {
            let (done, written) = oneshot::channel();
            permit.send(Order::Write(entry, done));
            written
        }))
    }
}

impl Written {
    pub async fn wait(self) -> Result<(), LedgerLost> {
        match self.0 {
            None => Ok(()),
            Some(written) => written
                .await
                .unwrap_or(false)
                .then_some(())
                .ok_or(LedgerLost),
        }
    }
}

/// Applies every whole line. A last line that a crash cut off was never answered: it is taken away.
fn replay(path: &Path, file: &File, books: &mut Books) -> Result<(), SandboxFault> {
    let failed = |source| SandboxFault::Ledger {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::with_capacity(BATCH_BYTES, file);
    let (mut line, mut number, mut whole_bytes) = (Vec::new(), 0_u64, 0_u64);
    let mut torn = None;
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        number += 1;
        if let Some((number, why)) = torn {
            return Err(SandboxFault::LedgerBroken {
                path: path.to_owned(),
                line: number,
                why,
            });
        }
        match serde_json::from_slice::<Entry>(&line) {
            Ok(entry) if line.ends_with(b"\n") => {
                books.apply(&entry);
                whole_bytes += line.len() as u64;
            }
            Ok(_) => torn = Some((number, "it has no end".to_owned())),
            Err(wrong) => torn = Some((number, wrong.to_string())),
        }
        line.clear();
    }
    if let Some((number, why)) = torn {
        tracing::warn!(path = %path.display(), line = number, why, "the last line of the sandbox's ledger was cut off by a crash: dropped");
        file.set_len(whole_bytes).map_err(failed)?;
    }
    Ok(())
}

/// The writer's whole life. After a failed write it writes no more: a line behind a torn one would be lost anyway.
fn write(path: &Path, mut file: File, mut orders: mpsc::Receiver<Order>) {
    let (mut batch, mut waiting) = (Vec::with_capacity(BATCH_BYTES), Vec::new());
    let mut lost = false;
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = orders.blocking_recv() else {
            break;
        };
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Write(entry, done) => {
                    let start = batch.len();
                    if serde_json::to_writer(&mut batch, &entry).is_ok() {
                        batch.push(b'\n');
                    } else {
                        batch.truncate(start);
                        lost = true;
                    }
                    waiting.push(done);
                }
                Order::Close(done) => closing = Some(done),
            }
            if batch.len() < BATCH_BYTES && closing.is_none() {
                next = orders.try_recv().ok();
            }
        }
        if !lost && let Err(wrong) = file.write_all(&batch) {
            tracing::error!(path = %path.display(), %wrong, "the sandbox's ledger cannot be written: every request is refused from now on");
            lost = true;
        }
        batch.clear();
        for done in waiting.drain(..) {
            let _ = done.send(!lost);
        }
    }
    if let Err(wrong) = file.sync_data() {
        tracing::warn!(path = %path.display(), %wrong, "the sandbox's ledger could not be synced");
    }
    drop(file);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::PathBuf;

    use super::*;
    use crate::sandbox::idempotency::{Answer, Answered, Seen};
    use crate::sandbox::ids::Language;

    fn authorized(key: &str) -> Entry {
        Entry::Authorized(Authorized {
            at: Instant(1),
            payment_key: Id::from(key),
            order_id: Id::from("order-1"),
            order_name: Id::from("셔츠 \"외\" 1건\n"),
            amount: 1_000,
            method: Method::Card,
        })
    }

    fn approved(key: &str) -> Entry {
        let answer = Answer::Paid {
            payment_key: Id::from(key),
            cancels: 0,
            language: Language::Korean,
        };
        Entry::Called(Called {
            at: Instant(2),
            on: Endpoint::Confirm,
            payment_key: Some(Id::from(key)),
            did: Some(Deed::Approved {
                transaction_key: Hex(u128::MAX),
            }),
            answered: Some(Remembered {
                identity: Hex(9),
                first: Answered {
                    at: Instant(2),
                    trace: Hex(3),
                    answer,
                },
            }),
        })
    }

    fn file(lines: &[&[u8]]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        std::fs::write(&path, lines.concat()).unwrap();
        (folder, path)
    }

    fn line(entry: &Entry) -> Vec<u8> {
        let mut line = serde_json::to_vec(entry).unwrap();
        line.push(b'\n');
        line
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart() {
        let (_folder, path) = file(&[]);
        let mut books = Books::default();
        let ledger = Ledger::open(&path, &mut books).unwrap();
        for entry in [
            authorized("a"),
            approved("a"),
            Entry::ClockMoved { seconds: 60 },
        ] {
            ledger
                .place()
                .await
                .unwrap()
                .write(entry)
                .wait()
                .await
                .unwrap();
        }
        ledger.close().await;
        Ledger::open(&path, &mut books).unwrap().close().await;
        let payment = books.payment("a").unwrap();
        assert!(payment.is_approved());
        assert_eq!(
            (
                payment.calls.confirms,
                books.totals().approvals,
                books.clock.ahead_s()
            ),
            (1, 1, 60)
        );
        assert!(matches!(
            books.answers.look(Hex(9), Instant(3)),
            Seen::Before(_)
        ));
    }

    #[tokio::test]
    async fn a_last_line_cut_off_by_a_crash_is_dropped_and_written_over() {
        let (whole, torn) = (line(&authorized("a")), line(&approved("a")));
        for cut in [1, torn.len() / 2, torn.len() - 1] {
            let (_folder, path) = file(&[&whole, &torn[..cut]]);
            let mut books = Books::default();
            let ledger = Ledger::open(&path, &mut books).unwrap();
            assert!(!books.payment("a").unwrap().is_approved(), "cut at {cut}");
            ledger
                .place()
                .await
                .unwrap()
                .write(authorized("b"))
                .wait()
                .await
                .unwrap();
            ledger.close().await;
            assert_eq!(
                std::fs::read(&path).unwrap(),
                [whole.clone(), line(&authorized("b"))].concat()
            );
        }
    }

    #[tokio::test]
    async fn a_broken_line_in_the_middle_refuses_to_start() {
        let (_folder, path) = file(&[b"{\"authorized\":\n", &line(&authorized("a"))]);
        let wrong = Ledger::open(&path, &mut Books::default()).unwrap_err();
        assert!(
            matches!(wrong, SandboxFault::LedgerBroken { line: 1, .. }),
            "{wrong}"
        );
    }

    #[tokio::test]
    async fn a_ledger_belongs_to_one_sandbox_at_a_time() {
        let (_folder, path) = file(&[]);
        let first = Ledger::open(&path, &mut Books::default()).unwrap();
        let second = Ledger::open(&path, &mut Books::default());
        assert!(matches!(second, Err(SandboxFault::LedgerInUse { .. })));
        first.close().await;
        Ledger::open(&path, &mut Books::default())
            .unwrap()
            .close()
            .await;
    }
}
