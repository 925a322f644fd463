//! Toss's side of a connection: a request comes in, is decided by the clerk, and is answered: at once, late, wrongly or
//! never.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::web::Data;
use serde_json::Value;
use tokio::sync::watch;

use super::books::Books;
use super::call::Call;
use super::clerk::{self, Admitted};
use super::codes::Code;
use super::faults::{Fault, HANG_MS};
use super::ids::{Hex, Language};
use super::ledger::{Ledger, LedgerLost};
use super::page::{self, Page};

#[derive(Debug)]
pub struct Toss {
    books: Mutex<Books>,
    pub ledger: Ledger,
    stopping: watch::Sender<bool>,
}

/// What goes back to the caller.
#[derive(Debug)]
pub enum Said {
    Json {
        status: u16,
        body: Vec<u8>,
        stamp: Stamp,
    },
    /// Not Toss, but something in front of it.
    Raw { status: u16, body: Value },
    /// The connection ends without a byte.
    Nothing,
}

/// The headers of an answer by Toss itself.
#[derive(Debug)]
pub struct Stamp {
    pub trace: Hex,
    /// Measured: a replay carries both ids, its own and that of the first answer.
    pub original: Option<Hex>,
    pub idempotency_key: Option<HeaderValue>,
}

impl Said {
    pub fn page(page: &Page, stamp: Stamp) -> Self {
        let (status, body) = page.write();
        Self::Json {
            status,
            body,
            stamp,
        }
    }

    /// Outside of any request that Toss knows.
    pub fn refusal(code: Code, language: Language) -> Self {
        let stamp = Stamp {
            trace: Hex::random(),
            original: None,
            idempotency_key: None,
        };
        Self::page(&Page::Refusal { code, language }, stamp)
    }

    /// Our own machinery broke, which Toss would call so.
    fn broken(language: Language) -> Self {
        Self::refusal(Code::FAILED_INTERNAL_SYSTEM_PROCESSING, language)
    }
}

impl Toss {
    pub fn new(books: Books, ledger: Ledger) -> Self {
        Self {
            books: Mutex::new(books),
            ledger,
            stopping: watch::Sender::new(false),
        }
    }

    /// The books, for as short as possible and never over an await. A request that panicked leaves them usable: they
    /// change in `apply` only.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every wait and hang.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// In a task of its own: once a request has arrived, it is carried through, whether its caller stays or hangs up.
    pub async fn serve(toss: Data<Self>, call: Call) -> Said {
        let task = actix_web::rt::spawn(async move { toss.answer(&call).await });
        task.await.unwrap_or(Said::Nothing)
    }

    async fn answer(&self, call: &Call) -> Said {
        let Ok(admitted) = self.admit(call).await else {
            return Said::broken(call.language);
        };
        let Admitted {
            fault,
            page,
            trace,
            original,
            hold,
        } = admitted;
        let stamp = Stamp {
            trace,
            original,
            idempotency_key: call.idempotency_key.clone(),
        };
        match (fault, page) {
            (Some(Fault::Status { status, body }), _) => Said::Raw { status, body },
            (Some(Fault::ResetBefore {} | Fault::ResetAfter {}), _) => Said::Nothing,
            (Some(Fault::HangBefore { millis } | Fault::HangAfter { millis }), page) => {
                self.wait(millis.unwrap_or(HANG_MS)).await;
                clerk::release(&mut self.books(), call, hold, page.is_none());
                Said::Nothing
            }
            (Some(Fault::Delay { millis }), page) => {
                let in_time = self.wait(millis).await;
                let waited = page.is_none();
                let page = match (in_time, page) {
                    // The sandbox stops: nothing is processed any more.
                    (false, _) => None,
                    (true, Some(page)) => Some(page),
                    (true, None) => self.execute_late(call, trace).await.ok(),
                };
                clerk::release(&mut self.books(), call, hold, waited);
                page.map_or(Said::Nothing, |page| Said::page(&page, stamp))
            }
            (Some(Fault::Garbled {}), Some(page)) => Said::Json {
                status: 200,
                body: page::garbled(page.write().1),
                stamp,
            },
            (Some(Fault::Tamper { field, value }), Some(page)) => {
                let (status, body) = page.write();
                Said::Json {
                    status,
                    body: page::tampered(body, &field, &value),
                    stamp,
                }
            }
            (None | Some(Fault::Error { .. }), Some(page)) => Said::page(&page, stamp),
            (None | Some(Fault::Error { .. } | Fault::Garbled {} | Fault::Tamper { .. }), None) => {
                Said::broken(call.language)
            }
        }
    }

    /// Once this returns, the ledger knows of the request and of what it did.
    async fn admit(&self, call: &Call) -> Result<Admitted, LedgerLost> {
        let place = self.ledger.place().await?;
        let (admitted, written) = {
            let mut books = self.books();
            let (admitted, entry) = clerk::admit(&mut books, call);
            (admitted, place.write(entry))
        };
        written.wait().await?;
        Ok(admitted)
    }

    async fn execute_late(&self, call: &Call, trace: Hex) -> Result<Page, LedgerLost> {
        let place = self.ledger.place().await?;
        let (page, written) = {
            let mut books = self.books();
            let (page, entry) = clerk::execute_late(&mut books, call, trace);
            (page, place.write(entry))
        };
        written.wait().await?;
        Ok(page)
    }

    /// False when the sandbox stops before the time is over.
    async fn wait(&self, millis: u64) -> bool {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(millis)) => true,
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }
}
