//! Opens a PostgreSQL database: who writes, who only reads, and what each connection is told about time, isolation,
//! durability and patience.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{ConnectOptions, Connection};
use sea_orm::{DatabaseConnection, FromQueryResult, SqlxPostgresConnector};

use super::pools::{Pools, WRITERS, Work};
use super::{Inner, Opened, StoreFault, StoreSettings, dialect, rows_of};

/// A connection that cannot be had in this time means a database that is not there.
const ACQUIRE: Duration = Duration::from_secs(3);

/// From this age on an idle connection is asked whether it still lives before it is used.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(5);

/// How long a transaction may stand idle. A node that is paused in the middle of one must not hold its rows for ever.
const IDLE_IN_TRANSACTION: &str = "2s";

/// The longest that a row is waited for: batch-mates wait along.
const LOCK_WAIT_MS: u64 = 1_000;

/// No connection lives longer: after a failover the name leads to another server, and one that was demoted still answers.
const MAX_LIFETIME: Duration = Duration::from_secs(60);

/// The batch outside, the index inside, whatever the statistics say: on a young database they say that every table is small,
/// and a plan that was made then, which walks them, would be kept while they grow. The texts are constant, so each is
/// planned once.
const PLANS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
];

pub(super) async fn open(settings: StoreSettings, opened: Opened) -> Result<Inner, StoreFault> {
    let options = options(&settings)?;
    let name = format!(
        "postgres://{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    let readers = options
        .clone()
        .options([("default_transaction_read_only", "on")]);
    let make = move |work| match work {
        Work::Reads => pool(&readers, settings.readers.max(1)),
        Work::Writes => pool(&options, WRITERS),
    };
    let pools = Pools::of_a_server(&name, opened.writes(), make).await?;
    let encrypted = verify(&pools.readers().pool).await?;
    Ok(Inner {
        pools,
        sql: dialect::POSTGRES,
        optimism: Default::default(),
        encrypted,
        name,
        lock: Default::default(),
        #[cfg(test)]
        sabotage: Default::default(),
    })
}

fn options(settings: &StoreSettings) -> Result<PgConnectOptions, StoreFault> {
    // The url may carry a password, and so may its error.
    let wants = || StoreFault::Url("wants postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned());
    let options = PgConnectOptions::from_str(&settings.url).map_err(|_| wants())?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wants());
    }
    let lock_timeout = format!("{}ms", settings.busy_timeout_ms.min(LOCK_WAIT_MS));
    Ok(options
        .application_name("payonce")
        .options([
            ("timezone", "UTC"),
            ("client_min_messages", "warning"),
            ("default_transaction_isolation", "read committed"),
            ("synchronous_commit", "on"),
            ("lock_timeout", &lock_timeout),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
        ])
        .options(PLANS)
        .disable_statement_logging())
}

fn pool(options: &PgConnectOptions, most: u32) -> DatabaseConnection {
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for >= DOUBTFUL_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone());
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

#[derive(FromQueryResult)]
struct Server {
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    isolation: String,
    timezone: String,
    encoding: String,
    encrypted: bool,
}

const SERVER: &str = "
    SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('transaction_isolation') AS isolation, current_setting('TimeZone') AS timezone,
           current_setting('server_encoding') AS encoding,
           EXISTS (SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS encrypted";

/// What was asked for is not always what is there: a pooler between us may drop it, and durability is the server's. Returns
/// whether it speaks TLS.
async fn verify(readers: &DatabaseConnection) -> Result<bool, StoreFault> {
    let found: Vec<Server> = rows_of(readers, SERVER, []).await?;
    let Some(server) = found.first() else {
        return Ok(false);
    };
    for doubt in doubts(server) {
        tracing::warn!("{doubt}");
    }
    if server.encoding != "UTF8" {
        let encoding = &server.encoding;
        return Err(StoreFault::Url(format!(
            "wants a database whose encoding is UTF8; this one has {encoding}"
        )));
    }
    Ok(server.encrypted)
}

fn doubts(server: &Server) -> Vec<&'static str> {
    [
        (
            server.fsync == "on",
            "fsync is off: a power cut can destroy the database",
        ),
        (
            server.full_page_writes == "on",
            "full_page_writes is off: a power cut can tear pages",
        ),
        // Anything that waits for our own disk at least.
        (
            ["on", "local", "remote_write", "remote_apply"].contains(&&*server.synchronous_commit),
            "synchronous_commit is off: a crash can forget approved payments",
        ),
        (
            server.isolation == "read committed",
            "the isolation is not READ COMMITTED: something between us and the server drops our settings",
        ),
        (
            server.timezone == "UTC",
            "the time zone is not UTC: something between us and the server drops our settings",
        ),
    ]
    .into_iter()
    .filter_map(|(well, doubt)| (!well).then_some(doubt))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let on = || "on".to_owned();
        Server {
            fsync: on(),
            full_page_writes: on(),
            synchronous_commit: on(),
            isolation: "read committed".to_owned(),
            timezone: "UTC".to_owned(),
            encoding: "UTF8".to_owned(),
            encrypted: false,
        }
    }

    #[test]
    fn a_server_that_may_forget_is_told_from_one_that_does_not() {
        assert_eq!(doubts(&server()), Vec::<&str>::new());
        let off = || "off".to_owned();
        let careless = Server {
            fsync: off(),
            full_page_writes: off(),
            synchronous_commit: off(),
            isolation: "repeatable read".to_owned(),
            timezone: "Asia/Seoul".to_owned(),
            ..server()
        };
        assert_eq!(doubts(&careless).len(), 5);
    }

    #[test]
    fn a_url_names_a_database_or_is_refused_without_its_password() {
        let settings = |url: &str| StoreSettings {
            url: url.to_owned(),
            readers: 1,
            busy_timeout_ms: 2_000,
        };
        assert!(options(&settings("postgres://u:p@localhost:5432/payonce")).is_ok());
        for url in [
            "postgres://u:hunter2@localhost",
            "postgres://u:hunter2@localhost:port/x",
        ] {
            let refused = options(&settings(url));
            assert!(
                matches!(&refused, Err(StoreFault::Url(why)) if !why.contains("hunter2")),
                "{url}"
            );
        }
    }
}
