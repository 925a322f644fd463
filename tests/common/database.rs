//! A database for one test alone: a file in the test's folder, or a new database on the server that PAYONCE_TEST_DATABASE
//! names, such as postgres://payonce@127.0.0.1:5432/postgres or mysql://payonce:payonce@127.0.0.1:3306. It goes when the
//! test goes.

use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectOptions, ConnectionTrait, Database};

pub struct TestDatabase {
    pub url: String,
    /// Where the server is asked to drop it.
    drop_at: Option<(String, String)>,
}

impl TestDatabase {
    pub fn new(file: &Path) -> TestDatabase {
        match std::env::var("PAYONCE_TEST_DATABASE") {
            Ok(server) if !server.is_empty() => TestDatabase::on(server),
            _ => TestDatabase::in_file(file),
        }
    }

    /// Whatever the variable says: for tests that are about a file.
    pub fn in_file(file: &Path) -> TestDatabase {
        TestDatabase {
            url: format!("sqlite://{}", file.display()),
            drop_at: None,
        }
    }

    /// On a server that goes with the test, and takes it along.
    pub fn on_own_server(server: &str) -> TestDatabase {
        ask(server, "CREATE DATABASE shop");
        TestDatabase {
            url: named(server, "shop"),
            drop_at: None,
        }
    }

    /// By several nodes; a file has one server.
    pub fn is_shared(&self) -> bool {
        !self.url.starts_with("sqlite:")
    }

    fn on(server: String) -> TestDatabase {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (id, next) = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let began = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let name = format!("payonce_test_{id}_{next}_{began}");
        ask(&server, &format!("CREATE DATABASE {name}"));
        TestDatabase {
            url: named(&server, &name),
            drop_at: Some((server, name)),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.drop_at {
            let force = if server.starts_with("postgres") {
                " WITH (FORCE)"
            } else {
                ""
            };
            ask(server, &format!("DROP DATABASE {name}{force}"));
        }
    }
}

fn named(server: &str, name: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap();
    let host = rest.split(['/', '?']).next().unwrap();
    format!("{scheme}://{host}/{name}")
}

/// On a thread of its own: the tests that want a database may or may not be inside a runtime.
fn ask(server: &str, sql: &str) {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut options = ConnectOptions::new(server);
            options.max_connections(1).sqlx_logging(false);
            let server = Database::connect(options).await.unwrap();
            server.execute_unprepared(sql).await.unwrap();
            server.close().await.unwrap();
        });
    };
    std::thread::scope(|scope| scope.spawn(ask).join().unwrap());
}
