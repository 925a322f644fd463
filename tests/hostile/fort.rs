//! A house under attack: the real binary, what must not be heard of it, and what must be as before.

use std::cell::RefCell;
use std::net::SocketAddr;

use sea_orm::QueryResult;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::common::{House, Order, Plan, Process, Reader, Reply, SECRET_KEY, patient_client};
use crate::wire::{Caller, Said};

pub const API_KEY: &str = "pk_house_under_attack_0123456789";
pub const CHECKOUT: &str = "/api/v1/payments/checkout";
pub const CONFIRM: &str = "/api/v1/payments/confirm";

/// What tells of our insides. In capitals only where our own messages could not say it.
const INSIDES: [&str; 14] = [
    "panicked",
    "backtrace",
    "SELECT",
    "INSERT",
    "UPDATE ",
    "sqlx",
    "sea_orm",
    "sea-orm",
    "sqlite",
    "src/",
    ".rs:",
    "/root",
    "actix",
    "RecvError",
];

/// What may never change, however hard they knock; and what grows by accepted checkouts alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub rows: String,
    pub orders: i64,
    pub ledger: String,
}

pub struct Fort {
    pub house: House,
    pub runtime: Runtime,
    pub order: Order,
    /// Authorized for the order, and nobody's business.
    pub payment_key: String,
    caller: RefCell<Caller>,
    secrets: Vec<String>,
    reader: Reader,
}

impl Fort {
    /// Its Toss is a process of its own, so that a secret key is in play.
    pub fn build(plan: Plan) -> Fort {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let hash = hex::encode(Sha256::digest(API_KEY));
        let keys = format!("sha256:{hash}");
        let mut house = plan.own_toss().env("SERVER__API_KEYS", keys).start();
        // Whoever means well keeps no connection that the door may just be closing: some of these doors close them soon.
        let client = patient_client().pool_max_idle_per_host(0);
        house.client = client.build().unwrap();
        let (order, payment_key) = runtime.block_on(house.authorized());
        let reader = runtime.block_on(Reader::of(&house));
        let secrets = [API_KEY, &hash, SECRET_KEY, &payment_key];
        let secrets = secrets.map(str::to_owned).to_vec();
        let caller = RefCell::new(Caller::to(address(&house.server)));
        Fort {
            house,
            runtime,
            order,
            payment_key,
            caller,
            secrets,
            reader,
        }
    }

    pub fn address(&self) -> SocketAddr {
        address(&self.house.server)
    }

    /// The answer to one request; the door always has one.
    pub fn ask(&self, request: &[u8]) -> Said {
        let said = self.caller.borrow_mut().ask(request);
        said.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(request)))
    }

    fn number(&self, sql: &str) -> i64 {
        self.runtime.block_on(self.reader.number(sql))
    }

    pub fn state(&self) -> State {
        let products =
            "SELECT name, id, price, stock, received FROM products WHERE id <> 900 ORDER BY id";
        let rows = self.runtime.block_on(self.reader.rows(products));
        let product = |row: &QueryResult| {
            let name: String = row.try_get_by_index(0).unwrap();
            let numbers = [1, 2, 3, 4].map(|at| row.try_get_by_index::<i64>(at).unwrap());
            format!("{name} {numbers:?}")
        };
        let rows: Vec<String> = rows.iter().map(product).collect();
        let written = ["attempts", "outbox"].map(|table| {
            let count = self.number(&format!("SELECT count(*) FROM {table}"));
            format!("{table} {count}")
        });
        let orders = self.number("SELECT count(*) FROM payments");
        let history = self.number("SELECT count(*) FROM payment_history");
        assert_eq!(
            orders, history,
            "each order was checked out, and that is all"
        );
        let ledger = self
            .house
            .toss(reqwest::Method::GET, "/sandbox/ledger", None);
        let ledger: Reply = self.runtime.block_on(ledger);
        State {
            rows: format!("{rows:?} {written:?}"),
            orders,
            ledger: ledger.body.to_string(),
        }
    }

    /// No answer tells of our insides or of a secret, and none is a 500.
    pub fn is_discreet(&self, said: &Said) -> Result<(), String> {
        let text = format!("{}{}", said.head, said.body);
        let told = INSIDES.iter().find(|inside| text.contains(**inside));
        let told = told.map(|inside| (*inside).to_owned());
        let secret = self.secrets.iter().find(|secret| text.contains(&***secret));
        match told.or(secret.cloned()) {
            Some(word) => Err(format!("{word:?} is told by {said:?}")),
            None if said.status == 500 => Err(format!("a 500: {said:?}")),
            None => Ok(()),
        }
    }

    /// An answer of the door itself: framed, in JSON, with a code and a trace if it is a refusal.
    pub fn is_ours(&self, said: &Said, headless: bool) -> Result<(), String> {
        self.is_discreet(said)?;
        let told = |what: &str| Err(format!("{what}: {said:?}"));
        let parent = said.header("traceparent").unwrap_or("");
        if said.header("payonce-gateway") != Some("sandbox") || parent.len() != 55 {
            return told("not framed");
        }
        if headless || said.header("access-control-max-age").is_some() {
            return Ok(());
        }
        if said.header("content-type") != Some("application/json") {
            return told("not JSON");
        }
        let Ok(body) = serde_json::from_str::<Value>(&said.body) else {
            return told("not JSON");
        };
        if said.status < 400 {
            return if body.get("data").is_some() {
                Ok(())
            } else {
                told("no data")
            };
        }
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or("");
        if !code.starts_with('E')
            || body["code"] != error["code"]
            || error["traceId"] != parent[3..35]
        {
            return told("no code, or another trace");
        }
        let has = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
        if code == "E99001" && !(has("field") && has("wants")) {
            return told("E99001 without field and wants");
        }
        Ok(())
    }

    /// Somebody who means well is served, from checkout to paid.
    pub fn serves(&self) {
        self.runtime.block_on(async {
            let (order, key) = self.house.authorized().await;
            let paid = self.house.confirm(&order, &key).await;
            assert_eq!(paid.status, 200, "{paid:?}");
            assert_eq!(self.house.approvals(&order).await, 1);
        });
    }

    /// At the end: nobody panicked, the log kept the secrets, the one who means well is served, the books are right.
    pub fn stands(&self) {
        self.serves();
        let log = self.house.server.logged();
        for word in ["panicked", "stack backtrace"]
            .into_iter()
            .chain(self.secrets.iter().map(String::as_str))
        {
            assert!(!log.contains(word), "the log says {word:?}");
        }
        let status = self.runtime.block_on(self.house.status(&self.order));
        assert_eq!(status["status"], json!("READY"));
        self.house.audit();
    }
}

fn address(process: &Process) -> SocketAddr {
    process.url.trim_start_matches("http://").parse().unwrap()
}
