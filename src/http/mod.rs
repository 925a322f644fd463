//! The door: what comes in over HTTP becomes a question to the actors, what they say becomes JSON. Nothing is decided here.

mod access;
mod answers;
mod connections;
mod desk;
mod layers;
mod reading;
mod routes;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, Error};
use tokio::time::{Instant, sleep};

use crate::actors::Directory;
use crate::metrics::Metrics;
use access::{Access, KeyHash, OrderTokens};
use connections::Reaper;
use desk::{Closing, Terms};
use layers::{Frame, Guard, Origins, Traffic, UnfitOrigin};
use reading::BodyLimits;

#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Port 0 takes any that is free.
    pub bind: SocketAddr,
    /// SHA-256 of each API key. None on a loopback bind: everything is open.
    pub api_keys: Vec<[u8; 32]>,
    pub allow_anonymous: bool,
    /// Whose pages may call us from a browser; empty for any.
    pub allowed_origins: Vec<String>,
    pub workers: usize,
    /// Over all workers; one more waits to be accepted.
    pub max_connections: usize,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// For the head of a connection's first request; who drips longer, or has not begun, is cut.
    pub head_timeout: Duration,
    /// For the body of a request; who drips longer is refused, and cut.
    pub body_timeout: Duration,
    /// Requests at once, over all workers; one more is told to come back.
    pub max_in_flight: usize,
    pub body_limit_bytes: usize,
    /// How long a confirm is waited for before its caller hears "pending".
    pub patience: Duration,
    pub shutdown_s: u64,
    /// Seals the order tokens; one for all nodes, and the same after a restart.
    pub token_secret: [u8; 32],
    /// What stands behind: `sandbox`, `test` or `live`.
    pub gateway: &'static str,
    pub metrics: Metrics,
}

#[derive(Debug, thiserror::Error)]
pub enum DoorFault {
    #[error("cannot listen on {address}: {why}")]
    Bind {
        address: SocketAddr,
        why: std::io::Error,
    },
    #[error("without API keys only a loopback address may be bound, and {0} is not one")]
    Unguarded(SocketAddr),
    #[error(transparent)]
    Origin(#[from] UnfitOrigin),
}

/// A closing door still hears whoever is on the line, and tells each with its answer that it was the last one. It has
/// heard them all when none is left, or when nobody has said anything for this long.
const QUIET: Duration = Duration::from_millis(500);

/// Whoever was accepted last still gets this long for a first request.
const FIRST_WORD: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(2);

/// An open door.
pub struct Door {
    address: SocketAddr,
    terms: Arc<Terms>,
    traffic: Traffic,
    server: ServerHandle,
    shutdown: Duration,
    reaping: actix_web::rt::task::JoinHandle<()>,
}

/// Listens and serves, in the background of the current actix System, until [`Door::close`].
pub fn open(settings: DoorSettings, directory: Directory) -> Result<Door, DoorFault> {
    serve(&settings, move |config| {
        config.app_data(Data::new(directory));
    })
}

/// `also` brings what only some doors have: the directory in a house, a stumbling route in a test.
fn serve<A>(settings: &DoorSettings, also: A) -> Result<Door, DoorFault>
where
    A: FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
{
    let bind = settings.bind;
    let layers = Layers::of(settings)?;
    let (terms, traffic) = (Arc::clone(&layers.terms), layers.traffic.clone());
    let lines = traffic.clone();
    let workers = settings.workers.max(1);
    let reaper = Reaper::new(settings.head_timeout, settings.keep_alive);
    let unbound = |why| DoorFault::Bind { address: bind, why };
    let listener = connections::listen(bind).map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections::most_each(settings.max_connections, workers))
        .shutdown_timeout(settings.shutdown_s)
        .disable_signals();
    let leave = server.graceful_shutdown_signal();
    let (keep_alive, watch) = (settings.keep_alive, reaper.clone());
    let server = server
        .listen("door", listener, move || {
            let (app, leave) = (app(layers.clone(), also.clone()), leave.clone());
            let leave = move || {
                let leave = leave.clone();
                async move { leave.notified().await }
            };
            server::connected(app, keep_alive, leave, watch.clone(), lines.clone())
        })
        .map_err(unbound)?
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(fault) = server.await {
            tracing::error!(%fault, "the door broke");
        }
    });
    Ok(Door {
        address,
        terms,
        traffic,
        server: handle,
        shutdown: Duration::from_secs(settings.shutdown_s),
        reaping: actix_web::rt::spawn(reaper.run()),
    })
}

impl Door {
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Not ready any more: whoever balances load sends buyers elsewhere, while we still answer, each connection once.
    /// Who waits for an outcome at `answer_by` hears that it is not known yet.
    pub fn drain(&self, answer_by: Instant) {
        self.terms.closing.begin(answer_by);
    }

    /// Hears out who is on the line, then accepts nobody new, closes idle connections, and lets requests end within
    /// `shutdown_s`.
    pub async fn close(self) {
        self.drain(Instant::now() + self.shutdown);
        // A request that lies unread in a connection when the server closes it would be answered by a reset.
        let latest = Instant::now() + self.shutdown / 4;
        while self.traffic.is_lively(QUIET) && Instant::now() < latest {
            sleep(TICK).await;
        }
        self.server.pause().await;
        let latest = Instant::now() + FIRST_WORD;
        while self.traffic.has_fresh() && Instant::now() < latest {
            sleep(TICK).await;
        }
        self.server.stop(true).await;
        self.reaping.abort();
    }
}

/// What lies around the routes; one for all workers.
#[derive(Clone)]
struct Layers {
    terms: Arc<Terms>,
    traffic: Traffic,
    frame: Frame,
    origins: Origins,
    guard: Guard,
}

impl Layers {
    fn of(settings: &DoorSettings) -> Result<Layers, DoorFault> {
        let loopback = settings.bind.ip().to_canonical().is_loopback();
        if settings.api_keys.is_empty() && !loopback {
            return Err(DoorFault::Unguarded(settings.bind));
        }
        let access = Access {
            api_keys: settings
                .api_keys
                .iter()
                .copied()
                .map(KeyHash::new)
                .collect(),
            allow_anonymous: settings.allow_anonymous,
            open: settings.api_keys.is_empty(),
            tokens: OrderTokens::new(&settings.token_secret),
        };
        let terms = Terms {
            access,
            bodies: BodyLimits::new(settings.body_limit_bytes, settings.body_timeout),
            patience: settings.patience,
            closing: Closing::default(),
        };
        let (terms, traffic) = (Arc::new(terms), Traffic::default());
        Ok(Layers {
            frame: Frame::new(settings.gateway, Arc::clone(&terms)),
            terms,
            traffic,
            origins: Origins::parse(settings.allowed_origins.clone())?,
            guard: Guard::new(settings.max_in_flight, settings.metrics.clone()),
        })
    }
}

/// The whole stack.
fn app(
    layers: Layers,
    also: impl FnOnce(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(Data::from(layers.terms))
        .configure(also)
        .configure(routes::routes)
        .wrap(layers.guard)
        .wrap(layers.origins.layer())
        .wrap(layers.frame)
}
