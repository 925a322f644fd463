//! A house that stands: what its buyers and its clerk ask it, and what Toss and the audit say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::database::TestDatabase;
use super::plan::{ANY_ADDRESS, Plan, SECRET_KEY};
use super::process::{Process, command};

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
    pub store: Arc<TestDatabase>,
    pub client: Client,
    pub(super) env: Vec<(String, String)>,
    pub(super) toss_env: Vec<(String, String)>,
}

impl House {
    pub fn start() -> House {
        House::plan().start()
    }

    pub fn plan() -> Plan {
        Plan::default()
    }

    pub(super) fn env(folder: &TempDir, database: &TestDatabase) -> Vec<(String, String)> {
        let mut env = vec![
            ("PAYONCE_SERVER__BIND", ANY_ADDRESS.to_owned()),
            ("PAYONCE_SANDBOX__BIND", ANY_ADDRESS.to_owned()),
            ("PAYONCE_DATABASE__URL", database.url.clone()),
        ];
        if database.is_shared() {
            // What goes without saying beside a file.
            let ledger = folder.path().join("sandbox-ledger.jsonl");
            env.extend([
                ("PAYONCE_SANDBOX__ENABLED", "true".to_owned()),
                ("PAYONCE_DATABASE__DEMO_DATA", "true".to_owned()),
                ("PAYONCE_SANDBOX__LEDGER_PATH", ledger.display().to_string()),
            ]);
        }
        let owned = env.into_iter();
        owned
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
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

    /// Starts this house's own Toss again, well and with an empty list of faults.
    pub fn revive_toss(&mut self) {
        drop(self.toss.take());
        self.toss = Some(Process::start(&["sandbox"], &self.toss_env));
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

    /// The same again for as long as the answer tells to repeat it (E99004), for a minute at most: on a machine that stands
    /// still for a moment a house may refuse what it will take, and nothing was written then.
    pub async fn insist(&self, path: &str, body: &Value) -> Reply {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let reply = self.post(path, body).await;
            if reply.code() != "E99004" || Instant::now() > until {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
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

    /// The same, as a buyer who [insists](House::insist).
    pub async fn confirm_at_last(&self, order: &Order, key: &str) -> Reply {
        let body = House::confirm_body(order, key);
        self.insist("/api/v1/payments/confirm", &body).await
    }

    /// Checkout of one "Ogu T", authorized.
    pub async fn authorized(&self) -> (Order, String) {
        let order = self.checkout(&[(1, 1)]).await;
        let key = self.authorize(&order).await;
        (order, key)
    }

    /// As many orders of one piece of this product, each authorized.
    pub async fn orders(&self, product: i64, count: usize) -> Vec<(Order, String)> {
        let one = |_| async move {
            let order = self.checkout(&[(product, 1)]).await;
            let key = self.authorize(&order).await;
            (order, key)
        };
        stream::iter(0..count).map(one).buffered(50).collect().await
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

    /// Toss stands still until it [goes on](House::toss_goes_on), and with it every call to it: a state that lasts for as
    /// long as a test looks at it, however slow the machine is. For a house with a Toss of its own.
    pub fn toss_stands_still(&self) {
        self.own_toss().signal("STOP");
    }

    pub fn toss_goes_on(&self) {
        self.own_toss().signal("CONT");
    }

    fn own_toss(&self) -> &Process {
        self.toss.as_ref().expect("this house has its own Toss")
    }

    /// A confirm of this order has arrived at Toss, whatever comes of it.
    pub async fn until_called(&self, order: &Order) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.counted(order, "confirmCalls").await == 0 {
            assert!(Instant::now() < until, "no call arrived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
        let (clean, told) = self.audited();
        assert!(clean, "audit:\n{told}");
    }

    /// Whether the audit is clean, and all that it tells.
    pub fn audited(&self) -> (bool, String) {
        self.audited_with(&[])
    }

    pub fn audited_with(&self, arguments: &[&str]) -> (bool, String) {
        let mut env = self.env.clone();
        if self.toss.is_none() {
            env.retain(|(name, _)| name != "PAYONCE_SANDBOX__ENABLED");
            env.push(("PAYONCE_TOSS__BASE_URL".into(), self.toss_url().to_owned()));
            env.push(("PAYONCE_TOSS__SECRET_KEY".into(), SECRET_KEY.into()));
        }
        let arguments = [&["audit"], arguments].concat();
        let output = command(&arguments, &env).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.success(), told)
    }
}
