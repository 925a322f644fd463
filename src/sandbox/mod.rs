//! A Toss that runs on this machine: the same API, the same traps, and faults on order. Requests of a merchant come in
//! through `api`, are decided by the `clerk` against the `books`, and leave as `page`s; `control` is for whoever tests.

mod api;
mod auth;
mod bank;
mod books;
mod call;
mod clerk;
mod clock;
mod codes;
mod control;
mod faults;
mod idempotency;
mod ids;
mod ledger;
mod page;
mod toss;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, Service};
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use tokio::sync::oneshot;

use books::Books;
use faults::Dice;
use ledger::Ledger;
use toss::Toss;

/// Longer than any client keeps an idle connection: the client closes first, and never sends into a closing one.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Answers under way get this long when the sandbox stops.
const DRAIN: Duration = Duration::from_secs(3);
const DRAIN_TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Port 0 takes any free port.
    pub bind: SocketAddr,
    /// Where the ledger is kept; in memory when unset.
    pub ledger_path: Option<PathBuf>,
    /// Threads that serve requests.
    pub workers: usize,
    /// For faults with a probability; random when unset.
    pub seed: Option<u64>,
}

impl SandboxSettings {
    /// In memory, on two threads.
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            ledger_path: None,
            workers: 2,
            seed: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxFault {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("its ledger {} cannot be used", path.display())]
    Ledger { path: PathBuf, source: io::Error },
    #[error("its ledger {} is in use by another sandbox", path.display())]
    LedgerInUse { path: PathBuf },
    #[error("its ledger {} cannot be read: line {line}: {why}", path.display())]
    LedgerBroken {
        path: PathBuf,
        line: u64,
        why: String,
    },
    #[error("its threads cannot be started: {0}")]
    Thread(io::Error),
}

/// A running sandbox. It serves on threads of its own, whatever runtime started it; dropped, it ends at once.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    toss: Data<Toss>,
    in_flight: Arc<AtomicUsize>,
    server: ServerHandle,
    ended: Option<oneshot::Receiver<()>>,
}

/// Binds, reads the ledger, and serves in the background. Once this returns, it answers.
///
/// # Errors
/// The address is taken, or the ledger cannot be opened, is in use, or is not a ledger.
pub async fn start(settings: SandboxSettings) -> Result<Sandbox, SandboxFault> {
    let (ledger, books) = open(&settings).await?;
    let toss = Data::new(Toss::new(books, ledger));
    let in_flight = Arc::new(AtomicUsize::new(0));
    match serve(&settings, &toss, &in_flight) {
        Ok((address, server, ended)) => {
            let ended = Some(ended);
            Ok(Sandbox {
                address,
                toss,
                in_flight,
                server,
                ended,
            })
        }
        Err(fault) => {
            // Free for the next try, now and not when the writer happens to notice.
            toss.ledger.close().await;
            Err(fault)
        }
    }
}

/// Reading a large ledger takes seconds, and is not for an async thread.
async fn open(settings: &SandboxSettings) -> Result<(Ledger, Books), SandboxFault> {
    let mut books = Books::default();
    books.dice = Dice::new(settings.seed);
    let Some(path) = settings.ledger_path.clone() else {
        return Ok((Ledger::in_memory(), books));
    };
    let read = tokio::task::spawn_blocking(move || Ok((Ledger::open(&path, &mut books)?, books)));
    read.await
        .map_err(|wrong| SandboxFault::Thread(io::Error::other(wrong)))?
}

/// The server, on a thread that ends when it does.
fn serve(
    settings: &SandboxSettings,
    toss: &Data<Toss>,
    in_flight: &Arc<AtomicUsize>,
) -> Result<(SocketAddr, ServerHandle, oneshot::Receiver<()>), SandboxFault> {
    let (address, server) =
        listen(settings, toss, in_flight).map_err(|source| SandboxFault::Bind {
            address: settings.bind,
            source,
        })?;
    let handle = server.handle();
    let (alive, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SandboxFault::Thread)?;
    std::thread::Builder::new()
        .name("sandbox".to_owned())
        .spawn(move || {
            if let Err(wrong) = runtime.block_on(server) {
                tracing::error!(%wrong, "the sandbox ended");
            }
            drop(alive);
        })
        .map_err(SandboxFault::Thread)?;
    Ok((address, handle, ended))
}

fn listen(
    settings: &SandboxSettings,
    toss: &Data<Toss>,
    in_flight: &Arc<AtomicUsize>,
) -> io::Result<(SocketAddr, Server)> {
    let (toss, in_flight) = (toss.clone(), Arc::clone(in_flight));
    let server = HttpServer::new(move || {
        let in_flight = Arc::clone(&in_flight);
        App::new()
            .app_data(toss.clone())
            .configure(api::routes)
            .configure(control::routes)
            .default_service(web::to(api::not_found))
            .wrap_fn(move |request, service| {
                let under_way = UnderWay::new(&in_flight);
                let answer = service.call(request);
                async move {
                    let answer = answer.await;
                    drop(under_way);
                    answer
                }
            })
    })
    .workers(settings.workers.max(1))
    .keep_alive(KEEP_ALIVE)
    // A pool opens connections that it uses later only: one is not told to be slow at the moment at which it is used.
    .client_request_timeout(KEEP_ALIVE)
    .tcp_nodelay(true)
    // A caller who hangs up frees the socket at once; whatever must go on without it runs in a task of its own.
    .h1_allow_half_closed(false)
    .disable_signals()
    .bind(settings.bind)?;
    let address = server.addrs().first().copied().unwrap_or(settings.bind);
    Ok((address, server.run()))
}

struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(in_flight: &Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(in_flight))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Sandbox {
    /// Where it listens; the real port, when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client takes for `https://api.tosspayments.com`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops accepting, lets answers under way go out (hangs end without one), and closes the ledger.
    pub async fn stop(mut self) {
        self.server.pause().await;
        self.toss.stop();
        let ticks = DRAIN.as_millis() / DRAIN_TICK.as_millis();
        for _ in 0..ticks {
            if self.in_flight.load(Ordering::Acquire) == 0 {
                break;
            }
            tokio::time::sleep(DRAIN_TICK).await;
        }
        // Not actix's graceful stop: that one waits a whole second for connections that only idle.
        self.server.stop(false).await;
        if let Some(ended) = self.ended.take() {
            let _ = ended.await;
        }
        self.toss.ledger.close().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.toss.stop();
        // The order is given when `stop` is called; there is nobody to wait for its end.
        drop(self.server.stop(false));
    }
}
