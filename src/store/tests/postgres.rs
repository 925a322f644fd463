//! What is PostgreSQL's alone: what each connection was told, whatever the server's own settings are.

use sea_orm::FromQueryResult;

use super::shop::*;
use crate::store::{dialect, execute, rows_of};

#[derive(Debug, PartialEq, Eq, FromQueryResult)]
struct Setting {
    name: String,
    setting: String,
}

#[tokio::test]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn each_connection_is_told_about_time_isolation_durability_and_patience() {
    const TOLD: [(&str, &str); 11] = [
        ("TimeZone", "UTC"),
        ("default_transaction_isolation", "read committed"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
        // In ms.
        ("idle_in_transaction_session_timeout", "2000"),
        ("jit", "off"),
        ("lock_timeout", "1000"),
        ("plan_cache_mode", "force_generic_plan"),
        ("synchronous_commit", "on"),
        ("transaction_isolation", "read committed"),
    ];
    let shop = Shop::empty().await;
    assert!(
        std::ptr::eq(shop.store.0.sql, dialect::POSTGRES),
        "PAYONCE_TEST_DATABASE must name a server of PostgreSQL"
    );
    // New connections are to be told too, by a server that would have it otherwise.
    for (name, otherwise) in [
        ("timezone", "'Asia/Seoul'"),
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "'serializable'"),
    ] {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {name} = {otherwise}', current_database()); END $$",
            otherwise = otherwise.replace('\'', "''")
        );
        execute(&shop.writer(), sql.leak(), []).await.unwrap();
    }
    let other = shop.another().await;
    let names: Vec<String> = TOLD.map(|(name, _)| format!("'{name}'")).into();
    let sql = format!(
        "SELECT name, setting FROM pg_settings WHERE name IN ({}) ORDER BY name COLLATE \"C\"",
        names.join(", ")
    );
    let sql: &'static str = sql.leak();
    let told = TOLD.map(|(name, setting)| Setting {
        name: name.to_owned(),
        setting: setting.to_owned(),
    });
    for pool in [
        other.writer().unwrap().pool.clone(),
        other.readers().pool.clone(),
    ] {
        let found: Vec<Setting> = rows_of(&pool, sql, []).await.unwrap();
        assert_eq!(found, told);
    }
    let sql = "INSERT INTO users (id, name) VALUES ('x', 'x')";
    assert!(execute(&other.readers().pool, sql, []).await.is_err());
    other.close().await;
}
