//! Opens a database of MySQL 8 or MariaDB: who writes, who only reads, and what each connection is told about time,
//! isolation, strictness and patience.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use sea_orm::{DatabaseConnection, SqlxMySqlConnector};

use super::pools::{Pools, WRITERS, Work};
use super::{Inner, Opened, StoreFault, StoreSettings, dialect, rows_of};

mod server;

use server::Server;

/// A connection that cannot be had in this time means a database that is not there.
const ACQUIRE: Duration = Duration::from_secs(3);

/// From this age on an idle connection is asked whether it still lives before it is used.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(2);

/// No connection lives longer: after a failover the name leads to another server, and one that was demoted still answers.
/// The server, which closes idle ones after [`WAIT_TIMEOUT_S`], is never the first.
const MAX_LIFETIME: Duration = Duration::from_secs(60);
const WAIT_TIMEOUT_S: u32 = 900;

/// The longest that a row is waited for: batch-mates wait along.
const LOCK_WAIT_MS: u64 = 1_000;

/// How long a transaction may stand idle. A node that is paused in the middle of one must not hold its rows for ever.
const IDLE_TRANSACTION_S: u32 = 2;

/// MariaDB cuts a JSON array that it gathers at so many bytes.
const GATHERED_BYTES: u32 = 1 << 28;

pub(super) async fn open(settings: StoreSettings, opened: Opened) -> Result<Inner, StoreFault> {
    let options = options(&settings)?;
    let name = format!(
        "mysql://{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    let make = move |work| pool(&options, work, &settings);
    let pools = Pools::of_a_server(&name, opened.writes(), make).await?;
    verify(&pools.readers().pool).await?;
    let encrypted = server::is_encrypted(&pools.readers().pool).await?;
    Ok(Inner {
        pools,
        sql: dialect::MYSQL,
        optimism: Default::default(),
        encrypted,
        name,
        lock: Default::default(),
        #[cfg(test)]
        sabotage: Default::default(),
    })
}

fn options(settings: &StoreSettings) -> Result<MySqlConnectOptions, StoreFault> {
    // The url may carry a password, and so may its error.
    let wants = || StoreFault::Url("wants mysql://USER:PASSWORD@HOST:PORT/NAME".to_owned());
    let options = MySqlConnectOptions::from_str(&settings.url).map_err(|_| wants())?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wants());
    }
    // The modes are set as a whole, with all the rest.
    Ok(options
        .charset("utf8mb4")
        .collation("utf8mb4_bin")
        .timezone(Some("+00:00".to_owned()))
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging())
}

/// What a new connection is told. MariaDB alone reads what stands in `/*M! */`, MySQL what stands in `/*!80000 */`: it has no
/// limit for idle transactions, so there the writer's limit for idle connections is as short.
fn manners(work: Work, busy_timeout_ms: u64) -> String {
    // Whole seconds, and none is no wait at all.
    let patience = busy_timeout_ms.min(LOCK_WAIT_MS).div_ceil(1_000).max(1);
    let (access, mysql) = match work {
        Work::Reads => ("READ ONLY", WAIT_TIMEOUT_S),
        Work::Writes => ("READ WRITE", IDLE_TRANSACTION_S),
    };
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, {access};
         SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',
             innodb_lock_wait_timeout = {patience}, lock_wait_timeout = {patience},
             group_concat_max_len = {GATHERED_BYTES}, wait_timeout = {WAIT_TIMEOUT_S}
             /*M!100300 , idle_transaction_timeout = {IDLE_TRANSACTION_S}, check_constraint_checks = ON */
             /*!80000 , wait_timeout = {mysql} */"
    )
}

fn pool(options: &MySqlConnectOptions, work: Work, settings: &StoreSettings) -> DatabaseConnection {
    let most = match work {
        Work::Reads => settings.readers.max(1),
        Work::Writes => WRITERS,
    };
    let manners: Arc<str> = manners(work, settings.busy_timeout_ms).into();
    let pool = MySqlPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let manners = AssertSqlSafe(manners.clone());
            Box::pin(async move { connection.execute(manners).await.map(drop) })
        })
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for >= DOUBTFUL_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone());
    SqlxMySqlConnector::from_sqlx_mysql_pool(pool)
}

/// What was asked for is not always what is there: a proxy between us may drop it, and durability is the server's.
async fn verify(readers: &DatabaseConnection) -> Result<(), StoreFault> {
    let found: Vec<Server> = rows_of(readers, server::SQL, []).await?;
    let Some(server) = found.first() else {
        return Ok(());
    };
    if let Some(why) = server.refusal() {
        return Err(StoreFault::Url(why));
    }
    for doubt in server.doubts() {
        tracing::warn!("{doubt}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_database_or_is_refused_without_its_password() {
        let settings = |url: &str| StoreSettings {
            url: url.to_owned(),
            readers: 1,
            busy_timeout_ms: 2_000,
        };
        for scheme in ["mysql", "mariadb"] {
            let url = format!("{scheme}://u:p@localhost:3306/payonce");
            assert!(options(&settings(&url)).is_ok(), "{url}");
        }
        for url in [
            "mysql://u:hunter2@localhost",
            "mysql://u:hunter2@localhost/",
            "mysql://u:hunter2@localhost:port/x",
        ] {
            let refused = options(&settings(url));
            assert!(
                matches!(&refused, Err(StoreFault::Url(why)) if !why.contains("hunter2")),
                "{url}"
            );
        }
    }

    #[test]
    fn patience_is_a_whole_second_whatever_is_asked_for() {
        for ms in [1, 1_000, 5_000] {
            let manners = manners(Work::Writes, ms);
            assert!(
                manners.contains("innodb_lock_wait_timeout = 1,"),
                "{manners}"
            );
        }
    }
}
