//! A database server that is this test's alone: it can be killed, and started again on what it has left.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, Database};
use tempfile::TempDir;

use crate::common::lasting_address;

pub struct Server {
    /// Without the name of a database.
    pub url: String,
    child: Child,
    start: Command,
    stop: &'static str,
    /// Goes last.
    _folder: TempDir,
}

impl Server {
    /// Of the kind that PAYONCE_TEST_DATABASE names.
    pub async fn start() -> Server {
        let kind = std::env::var("PAYONCE_TEST_DATABASE").unwrap_or_default();
        let folder = tempfile::tempdir().unwrap();
        let address = lasting_address();
        let (start, url, stop) = match kind.split(':').next() {
            Some("postgres") => postgres(folder.path(), &address),
            Some("mysql") => mariadb(folder.path(), &address),
            _ => panic!("PAYONCE_TEST_DATABASE must name a server, not {kind:?}"),
        };
        let mut start = start;
        let child = start.spawn().unwrap();
        let mut server = Server {
            url,
            child,
            start,
            stop,
            _folder: folder,
        };
        server.until_it_answers().await;
        server
    }

    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns when it takes connections.
    pub async fn start_again(&mut self) {
        self.child = self.start.spawn().unwrap();
        self.until_it_answers().await;
    }

    async fn until_it_answers(&mut self) {
        let mut options = ConnectOptions::new(&self.url);
        let soon = Duration::from_millis(200);
        options.max_connections(1).sqlx_logging(false);
        options.connect_timeout(soon).acquire_timeout(soon);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match Database::connect(options.clone()).await {
                Ok(connection) => return connection.close().await.unwrap(),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            // PostgreSQL refuses while a process of the one that was killed is still there.
            if self.child.try_wait().unwrap().is_some() {
                self.child = self.start.spawn().unwrap();
            }
        }
    }
}

impl Drop for Server {
    /// PostgreSQL's other processes write until it tells them not to.
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        if self.child.try_wait().unwrap().is_none() {
            _ = Command::new("kill").args([self.stop, &id]).status();
            _ = self.child.wait();
        }
    }
}

fn postgres(folder: &Path, address: &str) -> (Command, String, &'static str) {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let versions = versions
        .flatten()
        .map(|version| version.unwrap().path().join("bin"));
    let initdb = program(versions.collect(), "initdb");
    let data = folder.join("data");
    let mut init = owner(folder, "postgres", &initdb);
    init.arg("-D").arg(&data);
    init.args(["-U", "payonce", "-A", "trust", "-E", "UTF8"]);
    run(init.args(["--locale=C.UTF-8", "--no-sync"]));
    let (_, port) = address.split_once(':').unwrap();
    let mut start = owner(folder, "postgres", &initdb.with_file_name("postgres"));
    start.arg("-D").arg(&data).args(["-p", port]);
    start.args(["-c", "listen_addresses=127.0.0.1", "-c"]);
    start.arg(format!("unix_socket_directories={}", folder.display()));
    let url = format!("postgres://payonce@{address}/postgres");
    (start, url, "-QUIT")
}

fn mariadb(folder: &Path, address: &str) -> (Command, String, &'static str) {
    let path = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
    let install = program(vec![], "mariadb-install-db");
    let mut install = owner(folder, "mysql", &install);
    let data = path("datadir", "data");
    let login = "--auth-root-authentication-method=normal";
    run(install.args(["--no-defaults", &data, "--skip-test-db", login]));
    let (host, port) = address.split_once(':').unwrap();
    let mut start = owner(folder, "mysql", &program(vec![], "mariadbd"));
    start
        .args(["--no-defaults", "--skip-name-resolve", &data])
        .args([format!("--port={port}"), format!("--bind-address={host}")])
        .args([path("socket", "socket"), path("pid-file", "pid")])
        .arg(format!("--tmpdir={}", folder.display()));
    (start, format!("mysql://root@{address}"), "-KILL")
}

/// In one of these folders, or where the system keeps its programs.
fn program(mut folders: Vec<PathBuf>, name: &str) -> PathBuf {
    folders.extend(["/usr/bin", "/usr/sbin"].map(PathBuf::from));
    let mut found = folders.into_iter().map(|folder| folder.join(name));
    let found = found.find(|program| program.exists());
    found.unwrap_or_else(|| panic!("this test needs {name}"))
}

/// The servers refuse to run as root; then another user has the folder.
fn owner(folder: &Path, user: &str, program: &Path) -> Command {
    let mut command = Command::new(program);
    if id(&["-u"]) == 0 {
        let (user, group) = (id(&["-u", user]), id(&["-g", user]));
        chown(folder, Some(user), Some(group)).unwrap();
        command.uid(user).gid(group);
    }
    let log = folder.join("log");
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
}

fn id(args: &[&str]) -> u32 {
    let said = Command::new("id").args(args).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.trim().parse().expect("a user of this machine")
}

fn run(command: &mut Command) {
    let ended = command.status().unwrap();
    assert!(ended.success(), "{command:?}: {ended}");
}
