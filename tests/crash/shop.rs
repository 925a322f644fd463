//! A house that may die at any moment: the server comes and goes, its Toss and its folder stay.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Order, Process, SECRET_KEY, TestDatabase, command};

/// For a process to end once it is dying, or has been told to: above every bound of its own.
const END: Duration = Duration::from_secs(40);

pub struct Shop {
    toss: Process,
    server: Option<Process>,
    folder: TempDir,
    database: TestDatabase,
    env: Vec<(String, String)>,
    client: Client,
    /// Toss has let go of what was not confirmed.
    pub expired: bool,
    /// SIGTERM was sent: to end is in order.
    leaving: bool,
}

/// What a caller heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: u16,
    pub body: Value,
}

impl Shop {
    pub fn open(settings: &[(&str, &str)]) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let free = ("PAYONCE_SANDBOX__BIND".to_owned(), "127.0.0.1:0".to_owned());
        let toss = Process::try_start(&["sandbox"], &[free]).expect("a sandbox");
        let database = TestDatabase::new(&folder.path().join("payonce.db"));
        let own = [
            ("SERVER__BIND", "127.0.0.1:0"),
            ("DATABASE__URL", &database.url),
            ("DATABASE__DEMO_DATA", "true"),
            ("TOSS__BASE_URL", &toss.url),
            ("TOSS__SECRET_KEY", SECRET_KEY),
        ];
        // Where nothing but a heartbeat tells that a node is dead, it tells so soon: there are many deaths.
        let mortal: &[(&str, &str)] = match database.is_shared() {
            true => &[
                ("NODE__HEARTBEAT_MS", "250"),
                ("NODE__DEAD_AFTER_MS", "1000"),
            ],
            false => &[],
        };
        let env = own
            .iter()
            .chain(mortal)
            .chain(settings)
            .map(|(name, value)| (format!("PAYONCE_{name}"), (*value).to_owned()))
            .collect();
        let client = Client::builder().build().unwrap();
        let (server, expired, leaving) = (None, false, false);
        Shop {
            toss,
            server,
            folder,
            database,
            env,
            client,
            expired,
            leaving,
        }
    }

    /// Whether the store has room for two writers at a time.
    pub fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    fn crash_log(&self) -> PathBuf {
        self.folder.path().join("crashes")
    }

    /// The points at which a server of this house has died, in order.
    pub fn crashes(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.crash_log()).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Starts the server, armed or not. `false`: it died before it was ready, at the point that it was armed with.
    pub fn start(&mut self, arm: Option<&str>) -> Result<bool> {
        (self.server, self.leaving) = (None, false);
        let mut env = self.env.clone();
        let before = self.crashes().len();
        if let Some(arm) = arm {
            env.push(("PAYONCE_CRASH_AT".into(), arm.into()));
            env.push((
                "PAYONCE_CRASH_LOG".into(),
                self.crash_log().display().to_string(),
            ));
        }
        match Process::try_start(&["serve"], &env) {
            Ok(server) => self.server = Some(server),
            Err(log) => ensure!(
                arm.is_some() && self.crashes().len() == before + 1,
                "the server did not start:\n{log}"
            ),
        }
        Ok(self.server.is_some())
    }

    pub fn log(&self) -> String {
        self.server.as_ref().map_or_else(String::new, |server| {
            let log = server.logged();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(60)..].join("\n")
        })
    }

    /// Whether the armed point was reached. A server that ended for any other reason is a finding.
    pub fn is_dead(&mut self) -> Result<bool> {
        let Some(server) = &mut self.server else {
            return Ok(true);
        };
        let Some(status) = server.ended() else {
            return Ok(false);
        };
        use std::os::unix::process::ExitStatusExt as _;
        ensure!(
            status.signal() == Some(9),
            "ended with {status}:\n{}",
            self.log()
        );
        Ok(true)
    }

    /// SIGTERM; `true` if the server died on its way out.
    pub async fn stop(&mut self) -> Result<bool> {
        if !self.leaving && self.is_dead()? {
            return Ok(true);
        }
        if let Some(server) = &self.server
            && !self.leaving
        {
            server.signal_term();
            self.leaving = true;
        }
        self.end().await
    }

    async fn end(&mut self) -> Result<bool> {
        let until = Instant::now() + END;
        while Instant::now() < until {
            let server = self.server.as_mut().context("no server")?;
            match server.ended() {
                Some(status) if status.success() && self.leaving => return Ok(false),
                Some(_) => return self.is_dead(),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        bail!("the server did not end within {END:?}:\n{}", self.log())
    }

    /// A request to the server. `None`: the server died before it had answered.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Heard>> {
        let server = self.server.as_ref().context("no server")?;
        let url = format!("{}{path}", server.url);
        match request(&self.client, method, url, body).await {
            Ok(heard) => Ok(Some(heard)),
            Err(error) => {
                ensure!(self.end().await?, "a server that lives broke off: {error}");
                Ok(None)
            }
        }
    }

    /// The same, while this house goes on; whoever dies or leaves meanwhile answers nobody.
    pub fn call_aside(&self, path: &str, body: Value) -> tokio::task::JoinHandle<Option<Heard>> {
        let url = self
            .server
            .as_ref()
            .map(|server| format!("{}{path}", server.url));
        let client = self.client.clone();
        tokio::spawn(async move {
            let heard = request(&client, Method::POST, url?, Some(&body)).await;
            heard.ok()
        })
    }

    pub async fn toss(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.toss.url);
        let heard = request(&self.client, method, url, body).await?;
        ensure!(
            (200..300).contains(&heard.status),
            "the sandbox says {heard:?}"
        );
        Ok(heard.body)
    }

    /// The same again for as long as that is what is wanted: these nodes count as dead after a second, and one whose
    /// heartbeat takes longer, on a disk that stands still, begins nothing. `None` as soon as the server is dead.
    pub async fn insist(&mut self, path: &str, body: &Value) -> Result<Option<Heard>> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let heard = self.call(Method::POST, path, Some(body)).await?;
            let code = heard.as_ref().map(|heard| &heard.body["error"]["code"]);
            if code.is_none_or(|code| code != "E99004") || Instant::now() > until {
                return Ok(heard);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Toss's half hour passes: what was authorized and never confirmed is EXPIRED there.
    pub async fn let_authorizations_expire(&mut self) -> Result<()> {
        if !self.expired {
            let hour = json!({"advanceSeconds": 3_600});
            self.toss(Method::POST, "/sandbox/clock", Some(&hour))
                .await?;
            self.expired = true;
        }
        Ok(())
    }

    /// Checks out one "Ogu T".
    pub async fn checkout(&mut self) -> Result<Option<Order>> {
        self.checkout_of(1).await
    }

    pub async fn checkout_of(&mut self, product: i64) -> Result<Option<Order>> {
        let lines = json!([{"productId": product, "quantity": 1}]);
        let body = json!({"userId": 1, "orderedProductList": lines});
        let path = "/api/v1/payments/checkout";
        let Some(heard) = self.call(Method::POST, path, Some(&body)).await? else {
            return Ok(None);
        };
        ensure!(heard.status == 201, "{heard:?}");
        let data = &heard.body["data"];
        Ok(Some(Order {
            id: data["orderId"].as_str().context("an orderId")?.into(),
            token: data["orderToken"].as_str().context("a token")?.into(),
            total: data["totalAmount"].as_i64().context("a total")?,
        }))
    }

    /// The status of an order that was answered for; it can never be unknown.
    pub async fn status(&mut self, order: &Order) -> Result<Option<String>> {
        let path = format!("/api/v1/payments/{}", order.id);
        let Some(heard) = self.call(Method::GET, &path, None).await? else {
            return Ok(None);
        };
        ensure!(heard.status == 200, "{heard:?}");
        let status = heard.body["data"]["status"].as_str();
        Ok(Some(status.context("a status")?.to_owned()))
    }

    /// Sums one counter of Toss's ledger over the entries of an order.
    pub async fn counted(&self, order: &Order, counter: &str) -> Result<i64> {
        let path = format!("/sandbox/ledger?orderId={}", order.id);
        let ledger = self.toss(Method::GET, &path, None).await?;
        let entries = ledger["payments"].as_array().context("a ledger")?;
        Ok(entries
            .iter()
            .filter_map(|entry| entry[counter].as_i64())
            .sum())
    }

    pub async fn audit(&self) -> Result<()> {
        let mut audit = tokio::process::Command::from(command(&["audit"], &self.env));
        let output = audit.output().await?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(output.status.success(), "the audit found:\n{out}\n{err}");
        Ok(())
    }
}

async fn request(
    client: &Client,
    method: Method,
    url: String,
    body: Option<&Value>,
) -> reqwest::Result<Heard> {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Heard { status, body })
}
