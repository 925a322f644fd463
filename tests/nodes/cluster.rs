//! Several servers on one database and one Toss.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::common::{House, Order, Plan, Reader, SECRET_KEY, lasting_address};

/// For anything that must happen; machines differ.
const LONG: Duration = Duration::from_secs(90);

/// Where nobody is to die: neither a heartbeat nor an answer is missed because the machine stands still for a moment.
pub const PATIENT: [(&str, &str); 3] = [
    ("NODE__DEAD_AFTER_MS", "60000"),
    ("CONFIRM__PATIENCE_MS", "60000"),
    ("TOSS__READ_TIMEOUT_MS", "60000"),
];

pub struct Cluster {
    pub nodes: Vec<House>,
    reader: Reader,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub status: StatusCode,
    pub body: Value,
}

impl Told {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn is_settled(&self) -> bool {
        [StatusCode::OK, StatusCode::PAYMENT_REQUIRED].contains(&self.status)
    }
}

/// When the buyers of a wave come.
#[derive(Clone)]
pub struct Turns {
    gap: Duration,
    /// Nothing is ever said here.
    door: watch::Receiver<()>,
}

/// Who is still to come comes at once when this goes.
pub struct Doorman {
    _door: watch::Sender<()>,
}

impl Turns {
    pub fn at_once() -> Turns {
        Turns::every(Duration::ZERO).1
    }

    /// One after the other, for as long as the doorman is there: a load that lasts as long as what happens under it.
    pub fn every(gap: Duration) -> (Doorman, Turns) {
        let (door, turns) = watch::channel(());
        let turns = Turns { gap, door: turns };
        (Doorman { _door: door }, turns)
    }

    async fn comes(mut self, at: usize) {
        let turn = self.gap * u32::try_from(at).unwrap();
        tokio::select! {
            () = tokio::time::sleep(turn) => {}
            _ = self.door.changed() => {}
        }
    }
}

/// At an address that a restart finds again.
fn plan(settings: &[(&str, &str)]) -> Plan {
    let plan = House::plan().env("SERVER__BIND", lasting_address());
    settings
        .iter()
        .fold(plan, |plan, (name, value)| plan.env(name, value))
}

/// A process with a wall clock of its own.
fn with_other_time(plan: Plan) -> Plan {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(
        Path::new(library).exists(),
        "this test needs libfaketime at {library}"
    );
    plan.process_env("LD_PRELOAD", library)
        .process_env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// The next node beside a first one.
fn beside(first: &House, plan: Plan) -> House {
    plan.on(&first.store)
        .env("TOSS__BASE_URL", first.toss_url())
        .env("TOSS__SECRET_KEY", SECRET_KEY)
        .start()
}

impl Cluster {
    pub async fn of(count: usize, settings: &[(&str, &str)]) -> Cluster {
        let mut nodes = vec![plan(settings).own_toss().start()];
        for _ in 1..count {
            nodes.push(beside(&nodes[0], plan(settings)));
        }
        Cluster::opened(nodes).await
    }

    /// Nodes whose wall clocks are off by so much, as libfaketime writes it.
    pub async fn apart(offsets: &[&str]) -> Cluster {
        let late = |offset: &str| with_other_time(plan(&PATIENT)).process_env("FAKETIME", offset);
        let mut nodes = vec![late(offsets[0]).own_toss().start()];
        for offset in &offsets[1..] {
            nodes.push(beside(&nodes[0], late(offset)));
        }
        Cluster::opened(nodes).await
    }

    /// One node, whose wall clock is off by what the file says now.
    pub async fn stepped_by(file: &Path, settings: &[(&str, &str)]) -> Cluster {
        let plan = with_other_time(plan(settings))
            .process_env("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
            .process_env("FAKETIME_NO_CACHE", "1");
        Cluster::opened(vec![plan.own_toss().start()]).await
    }

    /// Nodes that find nothing and do not wait for one another.
    pub async fn at_once(count: usize) -> Cluster {
        let first = plan(&[]).own_toss().prepare();
        let toss = first.toss.as_ref().expect("its own").url.clone();
        let beside = |_| {
            plan(&[])
                .on(&first.store)
                .env("TOSS__BASE_URL", &toss)
                .env("TOSS__SECRET_KEY", SECRET_KEY)
                .prepare()
        };
        let others: Vec<_> = (1..count).map(beside).collect();
        let prepared: Vec<_> = [first].into_iter().chain(others).collect();
        let nodes = std::thread::scope(|scope| {
            let starts: Vec<_> = prepared
                .into_iter()
                .map(|prepared| scope.spawn(move || prepared.start()))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        Cluster::opened(nodes).await
    }

    async fn opened(nodes: Vec<House>) -> Cluster {
        assert!(
            nodes[0].store.is_shared(),
            "PAYONCE_TEST_DATABASE must name a server"
        );
        let reader = Reader::of(&nodes[0]).await;
        Cluster { nodes, reader }
    }

    /// The one whose Toss they share.
    pub fn first(&self) -> &House {
        &self.nodes[0]
    }

    /// As many orders of a product that there is enough of, each authorized.
    pub async fn wave(&self, count: usize) -> Vec<(Order, String)> {
        const PLENTY: i64 = 9;
        // An order that is tried at a second node sets a piece aside there too, for a moment.
        let stock = 2 * i64::try_from(count).unwrap();
        self.first().put_product(PLENTY, 1_000, stock).await;
        self.first().orders(PLENTY, count).await
    }

    /// Told to, and well.
    pub fn leaves(&mut self, node: usize) {
        let server = &mut self.nodes[node].server;
        server.signal_term();
        assert_eq!(server.wait(LONG), Some(0), "{}", server.logged());
    }

    /// One more, beside the others.
    pub fn joins(&mut self, settings: &[(&str, &str)]) {
        let node = beside(&self.nodes[0], plan(settings));
        self.nodes.push(node);
    }

    /// How often an order's owner was taken for dead.
    pub async fn takeovers(&self) -> i64 {
        let taken = "SELECT count(*) FROM payment_history WHERE event = 'OWNER_LOST'";
        self.number(taken).await
    }

    /// A confirm that nobody may live to answer; repeated where that is what is asked for.
    pub fn sent_to(&self, node: usize, (order, key): &(Order, String)) -> JoinHandle<Option<Told>> {
        let url = format!("{}/api/v1/payments/confirm", self.nodes[node].server.url);
        let request = self
            .first()
            .client
            .post(url)
            .json(&House::confirm_body(order, key));
        tokio::spawn(async move {
            let until = Instant::now() + LONG;
            loop {
                let reply = request.try_clone()?.send().await.ok()?;
                let status = reply.status();
                let body = reply.json().await.ok()?;
                let told = Told { status, body };
                if told.code() != "E99004" || Instant::now() > until {
                    return Some(told);
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        })
    }

    pub fn restart(&mut self, node: usize) {
        self.nodes[node].restart(&[]);
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.reader.number(sql).await
    }

    /// Repeated where that is what is asked for: a row that another node writes is waited for a second at most.
    pub async fn confirm(&self, node: usize, (order, key): &(Order, String)) -> Told {
        let reply = self.nodes[node].confirm_at_last(order, key).await;
        let (status, body) = (reply.status, reply.body);
        Told { status, body }
    }

    /// As a shop does it: while the outcome is open, or the house is busy, the same request again.
    pub async fn patiently(&self, node: usize, one: &(Order, String)) -> Told {
        let until = Instant::now() + LONG;
        loop {
            let told = self.confirm(node, one).await;
            if told.status != StatusCode::SERVICE_UNAVAILABLE {
                return told;
            }
            assert!(Instant::now() < until, "{told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Again and again while the shelf is said to be empty.
    pub async fn until_paid(&self, node: usize, one: &(Order, String), most: Duration) -> Told {
        let until = Instant::now() + most;
        loop {
            let told = self.patiently(node, one).await;
            if told.code() != "E03013" || Instant::now() >= until {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One buyer an order, each at the next node; whoever hears nothing or "wait" goes on to the next.
    pub fn buyers(&self, wave: &[(Order, String)], turns: &Turns) -> Vec<JoinHandle<Told>> {
        let urls: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.server.url.clone())
            .collect();
        let client = self.first().client.clone();
        let buyer = |(at, (order, key)): (usize, &(Order, String))| {
            let (client, urls, turns) = (client.clone(), urls.clone(), turns.clone());
            let body = House::confirm_body(order, key);
            tokio::spawn(async move {
                turns.comes(at).await;
                let until = Instant::now() + LONG;
                for node in at.. {
                    let url = format!("{}/api/v1/payments/confirm", urls[node % urls.len()]);
                    let request = client.request(Method::POST, url).json(&body);
                    let heard = request.timeout(Duration::from_secs(20)).send().await;
                    if let Ok(reply) = heard {
                        let status = reply.status();
                        let body = reply.json().await.unwrap_or_default();
                        let told = Told { status, body };
                        if told.is_settled() {
                            return told;
                        }
                        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told:?}");
                    }
                    assert!(Instant::now() < until, "nobody answers");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                unreachable!("nodes are asked for ever")
            })
        };
        wave.iter().enumerate().map(buyer).collect()
    }

    /// Every buyer hears that it has paid, Toss has approved each order once, nothing is left open, and the audit is clean.
    pub async fn all_paid_once(&self, buyers: Vec<JoinHandle<Told>>, wave: &[(Order, String)]) {
        for buyer in buyers {
            let told = buyer.await.unwrap();
            assert_eq!(told.status, StatusCode::OK, "{told:?}");
        }
        self.wait_for_unfinished_at_most(0).await;
        for (order, _) in wave {
            assert_eq!(self.first().approvals(order).await, 1, "{}", order.id);
        }
        self.first().audit();
    }

    async fn unfinished(&self) -> i64 {
        let sql = "SELECT count(*) FROM payments WHERE status IN ('IN_PROGRESS', 'UNKNOWN')";
        self.number(sql).await
    }

    pub async fn wait_for_unfinished(&self, least: i64) {
        let until = Instant::now() + LONG;
        while self.unfinished().await < least {
            assert!(Instant::now() < until, "nothing is under way");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn wait_for_unfinished_at_most(&self, most: i64) {
        let until = Instant::now() + LONG;
        loop {
            let left = self.unfinished().await;
            if left <= most {
                return;
            }
            assert!(Instant::now() < until, "{left} payments unfinished");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until its status is one of these, seen in the database.
    pub async fn wait_for(&self, order: &Order, wanted: &[&str]) {
        let sql = format!(
            "SELECT status FROM payments WHERE order_id = '{}'",
            order.id
        );
        let until = Instant::now() + LONG;
        loop {
            let status: String = self.reader.row(&sql).await.try_get_by(0).unwrap();
            if wanted.contains(&&*status) {
                return;
            }
            assert!(Instant::now() < until, "{status}, and not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
