//! The house for service tests: the real binary on free ports in a temporary folder, spoken to over HTTP.

#![allow(dead_code, reason = "each test file uses its part of the house")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running process of ours, its address, and what it has logged. Killed when dropped.
pub struct Process {
    child: Child,
    pub url: String,
    pub sandbox: Option<String>,
    pub log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary and reads its banner until it is ready.
    fn start(args: &[&str], env: &[(String, String)]) -> Process {
        let started = Process::try_start(args, env);
        started.unwrap_or_else(|log| panic!("payonce {args:?} did not become ready:\n{log}"))
    }

    pub fn try_start(args: &[&str], env: &[(String, String)]) -> Result<Process, String> {
        Process::try_command(command(args, env))
    }

    /// Starts a command that becomes the binary, and reads its banner until it is ready.
    pub fn try_command(mut command: Command) -> Result<Process, String> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let (mut url, mut sandbox, mut ready) = (None, None, false);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            let address = line
                .split_whitespace()
                .find(|word| word.starts_with("http://"));
            match line.split_whitespace().next() {
                Some("shop") => url = address.map(str::to_owned),
                Some("sandbox") => sandbox = address.map(str::to_owned),
                Some(word) if word.starts_with("ready") => {
                    ready = true;
                    break;
                }
                _ => {}
            }
        }
        // Whoever writes to a closed pipe dies of it: keep reading.
        std::thread::spawn(move || lines.for_each(drop));
        if !ready {
            _ = child.kill();
            _ = child.wait();
            std::thread::sleep(Duration::from_millis(100));
            return Err(log.lock().unwrap().clone());
        }
        let url = url.or(sandbox.clone()).expect("an address in the banner");
        Ok(Process {
            child,
            url,
            sandbox,
            log,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal_term(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self, most: Duration) -> Option<i32> {
        let until = Instant::now() + most;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process did not end within {most:?}");
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn logged(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The binary with nothing of the caller's environment that could steer it.
pub fn command(args: &[&str], env: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payonce"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PAYONCE_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(env.iter().cloned())
        .stdin(Stdio::null());
    command
}

/// What came back over HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub token: String,
    pub total: i64,
}

pub struct House {
    pub server: Process,
    /// A Toss that outlives the server, if this house has one.
    pub toss: Option<Process>,
    pub folder: TempDir,
    pub client: Client,
    env: Vec<(String, String)>,
}

#[derive(Default)]
pub struct Plan {
    env: Vec<(String, String)>,
    own_toss: bool,
}

impl Plan {
    pub fn env(mut self, name: &str, value: impl ToString) -> Plan {
        self.env
            .push((format!("PAYONCE_{name}"), value.to_string()));
        self
    }

    /// The sandbox as a process of its own, so that it survives the server.
    pub fn own_toss(mut self) -> Plan {
        self.own_toss = true;
        self
    }

    pub fn start(self) -> House {
        self.start_in(tempfile::tempdir().unwrap())
    }

    /// On what a former house left in its folder.
    pub fn start_in(self, folder: TempDir) -> House {
        let mut env = House::env(&folder);
        let toss = self.own_toss.then(|| {
            let bind = [("PAYONCE_SANDBOX__BIND".to_owned(), "127.0.0.1:0".to_owned())];
            Process::start(&["sandbox"], &bind)
        });
        if let Some(toss) = &toss {
            env.push(("PAYONCE_TOSS__BASE_URL".into(), toss.url.clone()));
            env.push(("PAYONCE_TOSS__SECRET_KEY".into(), SECRET_KEY.into()));
            env.push(("PAYONCE_DATABASE__DEMO_DATA".into(), "true".into()));
        }
        env.extend(self.env);
        let server = Process::start(&["serve"], &env);
        let client = Client::builder()
            .pool_max_idle_per_host(2_000)
            .build()
            .unwrap();
        House {
            server,
            toss,
            folder,
            client,
            env,
        }
    }
}

pub const SECRET_KEY: &str = "test_sk_zzHouseOfTestsSecret0001";

impl House {
    pub fn start() -> House {
        House::plan().start()
    }

    pub fn plan() -> Plan {
        Plan::default()
    }

    fn env(folder: &TempDir) -> Vec<(String, String)> {
        let database = format!("sqlite://{}", folder.path().join("payonce.db").display());
        [
            ("PAYONCE_SERVER__BIND", "127.0.0.1:0".to_owned()),
            ("PAYONCE_SANDBOX__BIND", "127.0.0.1:0".to_owned()),
            ("PAYONCE_DATABASE__URL", database),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("payonce.db")
    }

    /// Starts the server again on the same folder, with more settings if given.
    pub fn restart(&mut self, more: &[(&str, &str)]) {
        for (name, value) in more {
            let name = format!("PAYONCE_{name}");
            self.env.retain(|(known, _)| *known != name);
            self.env.push((name, (*value).to_owned()));
        }
        self.server = Process::start(&["serve"], &self.env);
    }

    pub fn toss_url(&self) -> &str {
        let own = self.toss.as_ref().map(|toss| &toss.url);
        own.or(self.server.sandbox.as_ref())
            .expect("this house has a sandbox")
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply {
            status,
            headers,
            body,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.server.url))
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn toss(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let url = format!("{}{path}", self.toss_url());
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    /// Checks out these (product, quantity) lines for user 1.
    pub async fn checkout(&self, lines: &[(i64, i64)]) -> Order {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(product, quantity)| json!({"productId": product, "quantity": quantity}))
            .collect();
        let body = json!({"userId": 1, "orderedProductList": lines});
        let reply = self.post("/api/v1/payments/checkout", &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let data = reply.data();
        Order {
            id: data["orderId"].as_str().unwrap().into(),
            token: data["orderToken"].as_str().unwrap().into(),
            total: data["totalAmount"].as_i64().unwrap(),
        }
    }

    /// The buyer pays in Toss's window; the paymentKey.
    pub async fn authorize(&self, order: &Order) -> String {
        let body = json!({"orderId": order.id, "amount": order.total});
        let reply = self
            .toss(Method::POST, "/sandbox/authorizations", Some(&body))
            .await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body["paymentKey"].as_str().unwrap().to_owned()
    }

    pub fn confirm_body(order: &Order, key: &str) -> Value {
        json!({"userId": 1, "orderId": order.id, "amount": order.total.to_string(), "paymentKey": key})
    }

    pub async fn confirm(&self, order: &Order, key: &str) -> Reply {
        self.post("/api/v1/payments/confirm", &House::confirm_body(order, key))
            .await
    }

    /// Checkout of one "Ogu T", authorized.
    pub async fn authorized(&self) -> (Order, String) {
        let order = self.checkout(&[(1, 1)]).await;
        let key = self.authorize(&order).await;
        (order, key)
    }

    pub async fn status(&self, order: &Order) -> Value {
        let reply = self.get(&format!("/api/v1/payments/{}", order.id)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.data().clone()
    }

    /// Polls the status until it is one of these; nothing else is asked.
    pub async fn wait_for(&self, order: &Order, wanted: &[&str], most: Duration) -> Value {
        let until = Instant::now() + most;
        loop {
            let status = self.status(order).await;
            if wanted.contains(&status["status"].as_str().unwrap()) {
                return status;
            }
            assert!(
                Instant::now() < until,
                "{wanted:?} not reached within {most:?}: {status:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// (stock, held, sold, received) of a product; received = stock + held + sold is checked on the way.
    pub async fn shelf(&self, product: i64) -> (i64, i64, i64, i64) {
        let reply = self.get(&format!("/api/v1/products/{product}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let [stock, held, sold, received] =
            ["stock", "held", "sold", "received"].map(|name| reply.data()[name].as_i64().unwrap());
        assert_eq!(received, stock + held + sold, "{reply:?}");
        (stock, held, sold, received)
    }

    pub async fn stock(&self, product: i64) -> i64 {
        self.shelf(product).await.0
    }

    /// A product of this price with this stock.
    pub async fn put_product(&self, id: i64, price: i64, stock: i64) {
        let body = json!({"name": format!("Product {id}"), "price": price, "sellerId": 2});
        let put = self
            .request(Method::PUT, &format!("/api/v1/products/{id}"))
            .json(&body);
        assert!(self.send(put).await.status.is_success());
        if stock > 0 {
            let body = json!({"change": stock, "reason": "test"});
            let reply = self
                .post(&format!("/api/v1/products/{id}/stock"), &body)
                .await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    pub async fn faults(&self, faults: Value) {
        let reply = self
            .toss(Method::PUT, "/sandbox/faults", Some(&faults))
            .await;
        assert!(reply.status.is_success(), "{reply:?}");
    }

    pub async fn heal(&self) {
        let reply = self.toss(Method::DELETE, "/sandbox/faults", None).await;
        assert!(reply.status.is_success(), "{reply:?}");
    }

    /// Toss's entries for an order.
    pub async fn ledger(&self, order: &Order) -> Vec<Value> {
        let path = format!("/sandbox/ledger?orderId={}", order.id);
        let reply = self.toss(Method::GET, &path, None).await;
        reply.body["payments"].as_array().unwrap().clone()
    }

    /// Sums a counter of the ledger over an order's entries.
    pub async fn counted(&self, order: &Order, counter: &str) -> i64 {
        self.ledger(order)
            .await
            .iter()
            .map(|entry| entry[counter].as_i64().unwrap())
            .sum()
    }

    pub async fn approvals(&self, order: &Order) -> i64 {
        self.counted(order, "approvals").await
    }

    /// `payonce audit` on this house's database and ledger: clean, or the test fails.
    pub fn audit(&self) {
        let mut env = self.env.clone();
        if self.toss.is_none() {
            env.push(("PAYONCE_TOSS__BASE_URL".into(), self.toss_url().to_owned()));
            env.push(("PAYONCE_TOSS__SECRET_KEY".into(), SECRET_KEY.into()));
        }
        let output = command(&["audit"], &env).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert!(output.status.success(), "audit:\n{out}\n{err}");
    }
}
