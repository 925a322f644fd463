//! The only place that knows everyone: opens the store, starts the actors, opens the door, and closes all of it
//! in the right order.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::actors::{Clock, Crew, Runtimes};
use crate::domain::Incarnation;
use crate::gateway::{GatewayFault, GatewayKind, Toss, TossSettings};
use crate::http::{Door, DoorFault};
use crate::metrics::{Metrics, MetricsFault};
use crate::sandbox::{Sandbox, SandboxFault, SandboxSettings};
use crate::settings::{GatewayPlan, Settings};
use crate::store::{Opened, Store, StoreFault, StoreSettings};

mod limits;
mod prepare;

pub use limits::rules;
use limits::{crew_settings, door_settings};
use prepare::{Preparing, prepare};

/// Why the house does not stand. The source says more.
#[derive(Debug, thiserror::Error)]
pub enum AppFault {
    #[error("the database")]
    Store(#[from] StoreFault),
    #[error("the gateway")]
    Gateway(#[from] GatewayFault),
    #[error("the sandbox (PAYONCE_SANDBOX__BIND and PAYONCE_SANDBOX__LEDGER_PATH say where)")]
    Sandbox(#[from] SandboxFault),
    #[error("the door (PAYONCE_SERVER__BIND says where)")]
    Door(#[from] DoorFault),
    #[error("the metrics")]
    Metrics(#[from] MetricsFault),
    #[error("a start-up task broke off")]
    Join(#[from] tokio::task::JoinError),
    #[error(
        "PAYONCE_TOSS__SECRET_KEY wants a secret key: this database has orders that were tried at {0}, and a sandbox \
         approves for free (PAYONCE_SANDBOX__ENABLED=true if that is what you want)"
    )]
    KeyForgotten(String),
    #[error("signals")]
    Signals(#[from] std::io::Error),
}

/// The key that the built-in sandbox is spoken to with. It opens nothing else.
const SANDBOX_KEY: &str = "test_sk_payonceBuiltInSandbox";

/// Of the shutdown's bound, what is kept for telling those who still wait, and for the last writes.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a start waits for everybody to be at work.
const SETTLE_IN: Duration = Duration::from_secs(5);

/// What closing the database may take.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// A house in service.
pub struct House {
    store: Store,
    crew: Crew,
    door: Door,
    sandbox: Option<Sandbox>,
    kind: GatewayKind,
    runtimes: Runtimes,
    shutdown: Duration,
}

/// Serves until SIGTERM or SIGINT, then leaves in order.
pub async fn serve(settings: Settings, runtimes: Runtimes) -> Result<(), AppFault> {
    let began = Instant::now();
    let (mut term, mut int) = signals()?;
    let house = House::open(&settings, runtimes).await?;
    let serving = async {
        house.settle_in().await;
        house.announce(&settings, began.elapsed());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = serving => {}
        _ = term.recv() => tracing::info!("SIGTERM: closing"),
        _ = int.recv() => tracing::info!("SIGINT: closing"),
    }
    house.close().await;
    Ok(())
}

fn signals() -> std::io::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ))
}

/// Opens the store on the runtime that will use it most: its first connections live there.
pub async fn open_store(
    settings: &Settings,
    opened: Opened,
    runtime: &Runtime,
) -> Result<Store, AppFault> {
    let store = StoreSettings {
        url: settings.database.url.clone(),
        readers: settings.database.readers,
        busy_timeout_ms: settings.database.busy_timeout_ms,
    };
    Ok(runtime
        .spawn(async move { Store::open(store, opened).await })
        .await??)
}

/// The gateway as the settings name it; the built-in sandbox is at `sandbox`.
pub fn open_gateway(settings: &Settings, sandbox: Option<String>) -> Result<Toss, AppFault> {
    let (base_url, secret_key) = match settings.gateway_plan() {
        GatewayPlan::BuiltInSandbox => {
            let url = sandbox.unwrap_or_else(|| gateway_url(settings));
            (url, SecretString::from(SANDBOX_KEY))
        }
        GatewayPlan::Toss {
            base_url,
            secret_key,
        } => (base_url, secret_key),
    };
    Ok(Toss::new(TossSettings {
        base_url,
        secret_key,
        connect_timeout_ms: settings.toss.connect_timeout_ms,
        read_timeout_ms: settings.toss.read_timeout_ms,
    })?)
}

/// Where the gateway is; for a built-in sandbox, where a running server has it.
pub fn gateway_url(settings: &Settings) -> String {
    match settings.gateway_plan() {
        GatewayPlan::BuiltInSandbox => format!("http://{}", settings.sandbox.bind),
        GatewayPlan::Toss { base_url, .. } => base_url.trim_end_matches('/').to_owned(),
    }
}

/// `payonce sandbox`: a Toss alone, until a signal.
pub async fn serve_sandbox(settings: &Settings) -> Result<(), AppFault> {
    let (mut term, mut int) = signals()?;
    let sandbox = open_sandbox(settings, false).await?;
    mention!("sandbox   {}", sandbox.base_url());
    mention!("ready: no money moves here");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}

pub async fn open_sandbox(settings: &Settings, beside: bool) -> Result<Sandbox, AppFault> {
    let built_in = || {
        settings
            .database_folder()
            .map(|folder| folder.join("sandbox-ledger.jsonl"))
    };
    let ledger_path = settings.sandbox.ledger_path.clone();
    let ledger_path = if beside {
        ledger_path.or_else(built_in)
    } else {
        ledger_path
    };
    Ok(crate::sandbox::start(SandboxSettings {
        ledger_path,
        seed: settings.sandbox.seed,
        ..SandboxSettings::new(settings.sandbox.bind)
    })
    .await?)
}

impl House {
    async fn open(settings: &Settings, runtimes: Runtimes) -> Result<House, AppFault> {
        let store = open_store(settings, Opened::Serving, &runtimes.journal).await?;
        let built_in = matches!(settings.gateway_plan(), GatewayPlan::BuiltInSandbox);
        let demo_data = settings.database.demo_data.unwrap_or(built_in);
        let incarnation = Incarnation(Uuid::now_v7());
        let dead_after = Duration::from_millis(settings.node.dead_after_ms);
        let clock = Clock::new(rules(settings));
        let prepared = prepare(Preparing {
            store: store.clone(),
            for_free: built_in && settings.sandbox.enabled != Some(true),
            demo_data,
            incarnation,
            dead_after,
            clock: clock.clone(),
        });
        let token_secret = runtimes.journal.spawn(prepared).await??;

        let sandbox = match built_in {
            true => Some(open_sandbox(settings, true).await?),
            false => None,
        };
        let toss = open_gateway(settings, sandbox.as_ref().map(Sandbox::base_url))?;
        fault_point!(SecretKnown);
        let kind = toss.kind();
        let crew = crew_settings(settings, clock, demo_data);
        let metrics = Metrics::new()?;
        metrics.pays_at(kind.name());
        let crew = Crew::start(crew, incarnation, &store, toss, &metrics, &runtimes);
        fault_point!(CrewStarted);
        let door = door_settings(settings, kind, token_secret, metrics);
        let door = crate::http::open(door, crew.directory().clone())?;
        fault_point!(DoorOpen);
        let shutdown = Duration::from_millis(settings.server.shutdown_ms);
        Ok(House {
            store,
            crew,
            door,
            sandbox,
            kind,
            runtimes,
            shutdown,
        })
    }

    /// Whoever hears "ready" may ask `/health/ready` at once: the node's row, for one, is written a moment after the
    /// door has opened.
    async fn settle_in(&self) {
        let until = tokio::time::Instant::now() + SETTLE_IN;
        loop {
            let missing = self.crew.directory().not_ready().await;
            if missing.is_empty() {
                return;
            }
            if tokio::time::Instant::now() >= until {
                tracing::warn!(?missing, "the door is open, but not everybody is at work");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn announce(&self, settings: &Settings, took: Duration) {
        let shop = self.door.address();
        mention!("payonce {}", env!("CARGO_PKG_VERSION"));
        mention!("shop      http://{shop}");
        match &self.sandbox {
            Some(sandbox) => {
                mention!("gateway   SANDBOX, built in: no money moves");
                mention!("sandbox   {}", sandbox.base_url());
            }
            None => mention!(
                "gateway   {} at {}",
                self.kind.to_string().to_uppercase(),
                gateway_url(settings)
            ),
        }
        mention!("store     {}", settings.database.url_without_password());
        mention!("try       curl http://{shop}/api/v1/products    or: payonce demo");
        mention!("ready in {:.2} s", took.as_secs_f64());
    }

    /// Stop accepting, let what is in flight settle, flush, close. Heartbeat and journal stop last.
    ///
    /// The order matters: first nothing new is begun, so that the number of flights only falls; then the door,
    /// which waits for what its callers wait for; then the flights, the node's row and the journal. Whoever still
    /// waits shortly before the end is told so: an answer, and not a reset.
    async fn close(self) {
        let began = tokio::time::Instant::now();
        let last_words = (self.shutdown / 4).min(LAST_WORDS);
        let door_until = began + self.shutdown - last_words / 2;
        self.crew.last_call();
        self.door.drain(began + self.shutdown - last_words);
        fault_point!(Drained);
        if tokio::time::timeout_at(door_until, self.door.close())
            .await
            .is_err()
        {
            tracing::warn!("some connections did not end in time");
        }
        fault_point!(DoorClosed);
        let left = self.shutdown.saturating_sub(began.elapsed());
        self.crew.go_home(left).await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        fault_point!(StoreClosing);
        let store = self.store;
        // A disk that is frozen must not hold the shutdown up.
        let closing = self
            .runtimes
            .journal
            .spawn(async move { store.close().await });
        _ = tokio::time::timeout(LAST_WRITE, closing).await;
        fault_point!(StoreClosed);
        tracing::info!("closed");
    }
}
