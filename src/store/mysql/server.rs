//! What a server of MySQL or MariaDB must be, and what it had better be.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, FromQueryResult};

use crate::store::statement;

/// As the server says it; a reader asks.
#[derive(FromQueryResult)]
pub(super) struct Server {
    version: String,
    flush_at_commit: i64,
    doublewrite: String,
    binlog: i64,
    sync_binlog: i64,
    binlog_format: String,
    isolation: String,
    sql_mode: String,
    /// Of whoever else writes there.
    servers_mode: String,
    collation: String,
    time_zone: String,
    max_packet_bytes: i64,
}

pub(super) const SQL: &str = "
    SELECT version() AS version, CAST(@@innodb_flush_log_at_trx_commit AS SIGNED) AS flush_at_commit,
           CAST(@@innodb_doublewrite AS CHAR) AS doublewrite, CAST(@@log_bin AS SIGNED) AS binlog,
           CAST(@@sync_binlog AS SIGNED) AS sync_binlog, CAST(@@binlog_format AS CHAR) AS binlog_format,
           CAST(/*M!100300 @@tx_isolation */ /*!80000 @@transaction_isolation */ AS CHAR) AS isolation,
           CAST(@@sql_mode AS CHAR) AS sql_mode, CAST(@@GLOBAL.sql_mode AS CHAR) AS servers_mode,
           CAST(@@collation_connection AS CHAR) AS collation, CAST(@@time_zone AS CHAR) AS time_zone,
           CAST(@@max_allowed_packet AS SIGNED) AS max_packet_bytes";

/// The first with JSON_TABLE, CHECK and DDL that survives a crash whole.
const MARIADB: [u32; 2] = [10, 6];
const MYSQL: [u32; 3] = [8, 0, 19];

/// No batch would fit.
const PACKET_AT_LEAST: i64 = 1 << 20;
/// The largest batches that are allowed may not fit; they are split.
const PACKET_ENOUGH: i64 = 16 << 20;

/// Whether this connection speaks TLS; in a table of its own name on each kind of server, but under one word.
pub(super) async fn is_encrypted(readers: &DatabaseConnection) -> Result<bool, DbErr> {
    let ask = statement(readers, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", []);
    let said = readers.query_one_raw(ask).await?;
    let cipher: Option<String> = said.map(|row| row.try_get("", "Value")).transpose()?;
    Ok(cipher.is_some_and(|cipher| !cipher.is_empty()))
}

impl Server {
    /// Why it cannot work here.
    pub(super) fn refusal(&self) -> Option<String> {
        let version = &self.version;
        let numbers: Vec<u32> = version
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|number| number.parse().ok())
            .collect();
        let (oldest, known) = match version.to_ascii_lowercase().contains("mariadb") {
            true => (&MARIADB[..], "MariaDB 10.6"),
            false => (&MYSQL[..], "MySQL 8.0.19"),
        };
        if numbers.as_slice() < oldest {
            return Some(format!("wants {known} or later; this server is {version}"));
        }
        if self.binlog != 0 && self.binlog_format.eq_ignore_ascii_case("STATEMENT") {
            let why = "wants a server whose binlog_format is ROW or MIXED: with STATEMENT it refuses every write";
            return Some(why.to_owned());
        }
        let bytes = self.max_packet_bytes;
        (bytes < PACKET_AT_LEAST).then(|| {
            format!("wants a server whose max_allowed_packet is 16M; this one's is {bytes} bytes")
        })
    }

    /// How it may forget, or surprise.
    pub(super) fn doubts(&self) -> Vec<&'static str> {
        let logs = self.binlog != 0;
        let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
        let torn = ["0", "OFF", "DETECT_ONLY"];
        [
            (
                self.flush_at_commit == 1,
                "innodb_flush_log_at_trx_commit is not 1: a crash can forget approved payments",
            ),
            (
                !torn.iter().any(|off| is(&self.doublewrite, off)),
                "innodb_doublewrite is off: a power cut can tear pages",
            ),
            (
                !logs || self.sync_binlog == 1,
                "sync_binlog is not 1: after a power cut replicas may lack approved payments",
            ),
            (
                is(&self.isolation, "READ-COMMITTED"),
                "the isolation is not READ COMMITTED: something between us and the server drops our settings",
            ),
            (
                self.sql_mode.contains("STRICT_TRANS_TABLES"),
                "sql_mode is not strict: something between us and the server drops our settings",
            ),
            (
                self.servers_mode.contains("STRICT_"),
                "the server's own sql_mode is not strict: what others write there by hand may be cut without a word",
            ),
            (
                self.collation == "utf8mb4_bin",
                "the collation is not utf8mb4_bin: something between us and the server drops our settings",
            ),
            (
                self.time_zone == "+00:00",
                "the time zone is not +00:00: something between us and the server drops our settings",
            ),
            (
                self.max_packet_bytes >= PACKET_ENOUGH,
                "max_allowed_packet is below 16M: large batches are split",
            ),
        ]
        .into_iter()
        .filter_map(|(well, doubt)| (!well).then_some(doubt))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str) -> Server {
        Server {
            version: version.to_owned(),
            flush_at_commit: 1,
            doublewrite: "1".to_owned(),
            binlog: 1,
            sync_binlog: 1,
            binlog_format: "MIXED".to_owned(),
            isolation: "READ-COMMITTED".to_owned(),
            sql_mode: "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION".to_owned(),
            servers_mode: "STRICT_ALL_TABLES".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
            time_zone: "+00:00".to_owned(),
            max_packet_bytes: 16 << 20,
        }
    }

    #[test]
    fn a_server_that_may_forget_is_told_from_one_that_does_not() {
        let well = server("10.11.6-MariaDB-0+deb12u1");
        assert_eq!(well.doubts(), Vec::<&str>::new());
        let careless = Server {
            flush_at_commit: 2,
            doublewrite: "OFF".to_owned(),
            sync_binlog: 0,
            isolation: "REPEATABLE-READ".to_owned(),
            sql_mode: String::new(),
            servers_mode: "NO_ENGINE_SUBSTITUTION".to_owned(),
            collation: "utf8mb4_general_ci".to_owned(),
            time_zone: "SYSTEM".to_owned(),
            max_packet_bytes: 4 << 20,
            ..server("8.0.36")
        };
        assert_eq!(careless.doubts().len(), 9);
        let alone = Server {
            binlog: 0,
            ..careless
        };
        assert_eq!(alone.doubts().len(), 8, "what is not logged is not lost");
    }

    #[test]
    fn a_server_that_cannot_work_is_refused() {
        for version in [
            "10.6.0-MariaDB",
            "10.11.6-MariaDB-0+deb12u1",
            "11.4.2-MariaDB-log",
            "8.0.19",
            "8.0.36-0ubuntu0.22.04.1",
            "8.4.0",
            "9.1.0",
        ] {
            assert_eq!(server(version).refusal(), None, "{version}");
        }
        for version in [
            "10.5.23-MariaDB",
            "10.3.39-MariaDB-0+deb10u1",
            "5.7.44",
            "8.0.18",
            "8.0.11-TiDB-v7.5.0",
            "",
        ] {
            assert!(server(version).refusal().is_some(), "{version}");
        }
        let narrow = Server {
            max_packet_bytes: 65_536,
            ..server("8.4.0")
        };
        assert!(narrow.refusal().is_some());
        let statements = Server {
            binlog_format: "STATEMENT".to_owned(),
            ..server("8.4.0")
        };
        assert!(statements.refusal().is_some());
        let unlogged = Server {
            binlog: 0,
            ..statements
        };
        assert_eq!(unlogged.refusal(), None);
    }
}
