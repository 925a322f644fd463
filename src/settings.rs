//! Typed settings: config/default.toml, then a file, then the environment. Refuses to start on nonsense, and
//! names the setting as the user would write it, with what it wants.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

mod keys;
mod layers;
mod rules;
#[cfg(test)]
mod tests;

pub use keys::{ApiKeyHash, new_api_key};
pub use layers::load;

/// Why the settings are no settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsFault {
    #[error("{0}")]
    Unreadable(String),
    #[error("{name} is not a setting{}", hint(.nearest))]
    Unknown {
        name: String,
        nearest: Option<String>,
    },
    #[error("{name} wants {wants}{}", given(.got))]
    Wrong {
        name: String,
        wants: String,
        got: Option<String>,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn given(got: &Option<String>) -> String {
    got.as_ref()
        .map_or_else(String::new, |text| format!(", got {text:?}"))
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub database: Database,
    pub checkout: Checkout,
    pub confirm: Confirm,
    pub journal: Journal,
    pub products: Products,
    pub recovery: Recovery,
    pub retention: Retention,
    pub actors: Actors,
    pub node: Node,
    pub toss: Toss,
    pub breaker: Breaker,
    pub sandbox: Sandbox,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(deserialize_with = "address")]
    pub bind: SocketAddr,
    #[serde(deserialize_with = "keys::hashes")]
    pub api_keys: Vec<ApiKeyHash>,
    pub allow_anonymous: Option<bool>,
    #[serde(deserialize_with = "keys::commas")]
    pub allowed_origins: Vec<String>,
    pub workers: Option<usize>,
    pub max_connections: usize,
    pub keep_alive_ms: u64,
    pub head_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub max_in_flight: usize,
    pub max_confirms: Option<usize>,
    pub body_limit_bytes: usize,
    pub shutdown_ms: u64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub demo_data: Option<bool>,
    pub readers: u32,
    pub busy_timeout_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkout {
    pub known_users_only: Option<bool>,
    pub expires_after_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    pub patience_ms: u64,
    pub flight_budget_ms: u64,
    pub tries: usize,
    pub window_s: u64,
    pub max_waiters: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    pub batch: usize,
    pub queue: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Products {
    pub recheck_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    pub tick_ms: u64,
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
    pub questions: u32,
    pub batch: usize,
    pub per_second: usize,
    pub quarantine_ask_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub history_days: u64,
    pub outbox_days: u64,
    pub batch: u32,
    pub pause_ms: u64,
    pub every_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actors {
    pub idle_s: u64,
    pub shards: Option<usize>,
    pub loading: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: Option<String>,
    pub heartbeat_ms: u64,
    pub dead_after_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toss {
    pub base_url: String,
    pub secret_key: Option<SecretString>,
    pub secret_key_file: Option<PathBuf>,
    pub elsewhere: bool,
    pub connect_timeout_ms: u64,
    pub read_timeout_ms: u64,
    pub calls_per_minute: Option<u32>,
    pub concurrency: usize,
    pub admission_wait_ms: u64,
    pub waiting: usize,
    pub recovery_share_percent: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    pub failures: u32,
    pub failure_percent: u32,
    pub sample: u32,
    pub window_ms: u64,
    pub open_ms: u64,
    pub open_max_ms: u64,
    pub probes: u32,
    pub probe_ms: u64,
    pub trial: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub enabled: Option<bool>,
    #[serde(deserialize_with = "address")]
    pub bind: SocketAddr,
    pub ledger_path: Option<PathBuf>,
    pub seed: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum LogFormat {
    Text,
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = &'static str;

    fn try_from(word: String) -> Result<LogFormat, &'static str> {
        match word.as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("`text` or `json`"),
        }
    }
}

/// What the settings are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whoever opens a door must know who may call, and which Toss is called.
    Serving,
    /// A command that asks Toss about orders must know which Toss.
    Payments,
    /// A command that only opens the database, and a sandbox, which opens none.
    Records,
}

/// Which Toss is spoken to.
#[derive(Clone, Debug)]
pub enum GatewayPlan {
    BuiltInSandbox,
    Toss {
        base_url: String,
        secret_key: SecretString,
    },
}

fn address<'de, D: Deserializer<'de>>(source: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(source)?;
    text.parse().map_err(|_| {
        let wants = format!("an address and a port, such as 127.0.0.1:8080, got {text:?}");
        serde::de::Error::custom(wants)
    })
}

/// Where no money moves: a Toss on this machine. What stands before an `@` is a user, not a host.
pub fn is_loopback_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit('@').next().unwrap_or("");
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Settings {
    pub fn gateway_plan(&self) -> GatewayPlan {
        match &self.toss.secret_key {
            Some(secret_key) if self.sandbox.enabled != Some(true) => GatewayPlan::Toss {
                base_url: self.toss.base_url.clone(),
                secret_key: secret_key.clone(),
            },
            Some(_) | None => GatewayPlan::BuiltInSandbox,
        }
    }

    pub fn allow_anonymous(&self) -> bool {
        self.server
            .allow_anonymous
            .unwrap_or(self.server.bind.ip().is_loopback())
    }

    /// Buyers who wait for Toss leave a quarter of the door to everybody else.
    pub fn max_confirms(&self) -> usize {
        let default = || (self.server.max_in_flight * 3 / 4).max(1);
        self.server.max_confirms.unwrap_or_else(default)
    }

    /// Unbound where no money moves, else Toss's own limit for test keys, or what a live merchant is used to.
    pub fn calls_per_minute(&self) -> Option<u32> {
        let default = match self.gateway_plan() {
            GatewayPlan::BuiltInSandbox => None,
            GatewayPlan::Toss { base_url, .. } if is_loopback_url(&base_url) => None,
            GatewayPlan::Toss { secret_key, .. }
                if secret_key.expose_secret().starts_with("live_") =>
            {
                Some(6_000)
            }
            GatewayPlan::Toss { .. } => Some(100),
        };
        self.toss.calls_per_minute.or(default)
    }

    /// The folder of the SQLite file; `None` for other databases.
    pub fn database_folder(&self) -> Option<PathBuf> {
        let path = self.database.url.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = Path::new(path.split('?').next().unwrap_or(path));
        Some(path.parent().map_or_else(PathBuf::new, Path::to_path_buf))
    }

    pub fn node_name(&self) -> String {
        let host = std::env::var("HOSTNAME")
            .ok()
            .filter(|host| !host.is_empty());
        let default = || {
            let host = host.unwrap_or_else(|| "localhost".to_owned());
            format!("{host}:{}", self.server.bind.port())
        };
        self.node.name.clone().unwrap_or_else(default)
    }
}

impl Retention {
    /// How long it is kept; `None`: for ever.
    pub fn history(&self) -> Option<Duration> {
        days(self.history_days)
    }

    pub fn outbox(&self) -> Option<Duration> {
        days(self.outbox_days)
    }
}

fn days(days: u64) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(days * 86_400))
}

impl Database {
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// Fit to be printed: a password may stand before the host, and among a server's parameters.
    pub fn url_without_password(&self) -> String {
        if self.is_sqlite() {
            return self.url.clone();
        }
        let (url, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let shown = match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
            (None, Some((_, host))) => format!("***@{host}"),
            (_, None) => url.to_owned(),
        };
        if query.is_empty() {
            shown
        } else {
            shown + "?***"
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url_without_password())
            .field("demo_data", &self.demo_data)
            .field("readers", &self.readers)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .finish()
    }
}
