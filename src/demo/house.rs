//! The processes of the story: a sandbox and a payonce of their own, in a folder of their own, on free ports. None
//! of them outlives its house.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::loadtest::buyer::Buyer;

/// Start-up takes well below a second; a machine under load may take longer.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// The last lines of a log, when a process did not do what it should.
const LOG_TAIL_LINES: usize = 15;
const SECRET_KEY: &str = "test_sk_demo0000000000000000000000";

#[derive(Clone, Copy)]
enum Role {
    Shop,
    Sandbox,
}

impl Role {
    /// The command that plays it.
    const fn word(self) -> &'static str {
        match self {
            Role::Shop => "serve",
            Role::Sandbox => "sandbox",
        }
    }
}

pub struct House {
    // Fields are dropped in this order: the processes end before their folder does.
    sandbox: Option<Child>,
    shop: Option<Child>,
    folder: TempDir,
    kept: bool,
    program: PathBuf,
    shop_port: u16,
    sandbox_port: u16,
}

impl House {
    pub fn build(program: PathBuf, keep: bool) -> anyhow::Result<House> {
        let mut folder = tempfile::Builder::new()
            .prefix("payonce-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        folder.disable_cleanup(keep);
        let [shop_port, sandbox_port] = free_ports()?;
        Ok(House {
            sandbox: None,
            shop: None,
            folder,
            kept: keep,
            program,
            shop_port,
            sandbox_port,
        })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub const fn is_kept(&self) -> bool {
        self.kept
    }

    pub fn shop_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shop_port)
    }

    pub fn sandbox_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.sandbox_port)
    }

    pub async fn open(&mut self) -> anyhow::Result<()> {
        self.sandbox = Some(self.start(Role::Sandbox).await?);
        self.until_answered(Role::Sandbox).await?;
        self.open_shop().await
    }

    /// Starts payonce and waits until it is ready.
    pub async fn open_shop(&mut self) -> anyhow::Result<()> {
        self.shop = Some(self.start(Role::Shop).await?);
        self.until_answered(Role::Shop).await
    }

    /// SIGKILL: no last words, no clean-up.
    pub async fn kill_shop(&mut self) -> anyhow::Result<()> {
        let mut shop = self.shop.take().context("payonce is not running")?;
        shop.kill().await.context("cannot kill payonce")
    }

    /// Runs a command of the same binary with the same settings, to its end.
    pub async fn ask(&self, words: &[&str]) -> anyhow::Result<std::process::Output> {
        self.command(words)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("cannot run payonce {}", words.join(" ")))
    }

    pub async fn close(mut self) {
        for child in [self.shop.take(), self.sandbox.take()].iter_mut().flatten() {
            // Gone already is as good.
            let _ = child.kill().await;
        }
    }

    async fn start(&self, role: Role) -> anyhow::Result<Child> {
        let log = tokio::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_of(role))
            .await?;
        let log = log.into_std().await;
        self.command(&[role.word()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start payonce {}", role.word()))
    }

    /// The caller's own settings must not bend the story.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PAYONCE_") {
                command.env_remove(name);
            }
        }
        let (shop, sandbox) = (self.shop_port, self.sandbox_port);
        let path = |name: &str| self.folder().join(name).display().to_string();
        command
            .args(words)
            .current_dir(self.folder())
            .env("PAYONCE_SERVER__BIND", format!("127.0.0.1:{shop}"))
            .env(
                "PAYONCE_DATABASE__URL",
                format!("sqlite://{}", path("payonce.db")),
            )
            .env("PAYONCE_DATABASE__DEMO_DATA", "true")
            .env("PAYONCE_TOSS__BASE_URL", self.sandbox_url())
            .env("PAYONCE_TOSS__SECRET_KEY", SECRET_KEY)
            .env("PAYONCE_SANDBOX__BIND", format!("127.0.0.1:{sandbox}"))
            .env("PAYONCE_SANDBOX__LEDGER_PATH", path("ledger.jsonl"))
            .kill_on_drop(true);
        command
    }

    async fn until_answered(&mut self, role: Role) -> anyhow::Result<()> {
        let quiet = Buyer::new(&self.shop_url(), &self.sandbox_url(), None)?;
        let started = Instant::now();
        loop {
            let (answer, child) = match role {
                Role::Shop => (quiet.ready().await, self.shop.as_mut()),
                Role::Sandbox => (quiet.ledger(None).await, self.sandbox.as_mut()),
            };
            if answer.is_ok_and(|answer| answer.is_success()) {
                return Ok(());
            }
            let ended = child.and_then(|child| child.try_wait().ok().flatten());
            let word = role.word();
            if let Some(status) = ended {
                bail!(
                    "payonce {word} ended ({status}):\n{}",
                    self.last_words(role).await
                );
            }
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "payonce {word} is not ready:\n{}",
                    self.last_words(role).await
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log_of(&self, role: Role) -> PathBuf {
        self.folder().join(format!("{}.log", role.word()))
    }

    /// The end of a process's log.
    async fn last_words(&self, role: Role) -> String {
        let log = tokio::fs::read(self.log_of(role)).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

/// Both are held until both are known: they cannot be the same.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    let listen = || TcpListener::bind("127.0.0.1:0").context("no free port");
    let (one, two) = (listen()?, listen()?);
    Ok([one.local_addr()?.port(), two.local_addr()?.port()])
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// `sh sandbox` and `sh serve` run what the test put into the folder.
    async fn house(sandbox: &str, serve: &str) -> House {
        let house = House::build("/bin/sh".into(), false).unwrap();
        for (name, script) in [("sandbox", sandbox), ("serve", serve)] {
            tokio::fs::write(house.folder().join(name), script)
                .await
                .unwrap();
        }
        house
    }

    #[tokio::test]
    async fn a_process_that_ends_at_start_is_told_with_its_last_words_and_its_settings() {
        let mut house = house("env | grep PAYONCE_TOSS; echo no good key >&2; exit 3", "").await;
        let toss = house.sandbox_url();
        let why = house.open().await.unwrap_err().to_string();
        assert!(
            why.starts_with("payonce sandbox ended (exit status: 3):"),
            "{why}"
        );
        assert!(why.contains("no good key"), "{why}");
        assert!(
            why.contains(&format!("PAYONCE_TOSS__BASE_URL={toss}")),
            "{why}"
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn no_process_outlives_the_house() {
        let mut house = house("", "exec sleep 60").await;
        let child = house.start(Role::Shop).await.unwrap();
        let stat = format!("/proc/{}/stat", child.id().unwrap());
        house.shop = Some(child);
        let folder = house.folder().to_owned();
        drop(house);
        assert!(!folder.exists());
        let asked = Instant::now();
        // Gone, or dead and not yet buried.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(asked.elapsed() < Duration::from_secs(5), "still running");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_kept_folder_stays() {
        let house = House::build("/bin/sh".into(), true).unwrap();
        let folder = house.folder().to_owned();
        house.close().await;
        assert!(folder.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
