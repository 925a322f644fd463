//! Database trouble: locked, slow, its disk full, away for a while. The house says "not now" and "being checked", never
//! something that is not durable; it tells that it is not ready, and settles everything when the database is back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{House, Order, Other, Plan, Process, Reply};
use reqwest::StatusCode;
use rlimit::{INFINITY, Resource, prlimit};
use serde_json::{Value, json};

/// Red and green take five seconds at most; the rest is for a machine that is slow to answer.
const WITHIN: Duration = Duration::from_secs(8);
const SETTLED: Duration = Duration::from_secs(20);
/// How long Toss takes, so that trouble finds the call out.
const WHILE: Duration = Duration::from_secs(5);

fn plan() -> Plan {
    anywhere().in_file()
}

fn anywhere() -> Plan {
    House::plan()
        .own_toss()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("CONFIRM__PATIENCE_MS", 1_000)
        .env("DATABASE__BUSY_TIMEOUT_MS", 1_000)
}

/// Waits for this answer about readiness, and returns what it names.
async fn readiness(house: &House, status: StatusCode) -> Value {
    let until = Instant::now() + WITHIN;
    loop {
        let asked = Instant::now();
        let reply = house.get("/health/ready").await;
        assert!(asked.elapsed() < Duration::from_secs(5), "health waits");
        assert_eq!(house.get("/health/live").await.status, 200);
        if reply.status == status {
            return reply.body["error"]["notReady"].clone();
        }
        assert!(Instant::now() < until, "not {status}: {reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn red(house: &House) {
    let named = readiness(house, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(
        named.as_array().unwrap().contains(&json!("journal")),
        "{named}"
    );
}

async fn green(house: &House) {
    readiness(house, StatusCode::OK).await;
}

/// Not now, or being checked; with the time to come again.
fn is_later(reply: &Reply) -> bool {
    reply.status == 503
        && ["E99004", "E03009"].contains(&reply.code())
        && !reply.header("retry-after").is_empty()
}

async fn try_checkout(house: &House) -> Reply {
    let lines = json!([{"productId": 1, "quantity": 1}]);
    let body = json!({"userId": 1, "orderedProductList": lines});
    house.post("/api/v1/payments/checkout", &body).await
}

async fn try_restock(house: &House, change: i64) -> Reply {
    let body = json!({"change": change, "reason": "delivery"});
    house.post("/api/v1/products/1/stock", &body).await
}

/// Whatever would have to be written is refused for now.
async fn nothing_is_taken(house: &House, waiting: &Order, key: &str) {
    for reply in [
        house.confirm(waiting, key).await,
        try_checkout(house).await,
        try_restock(house, 5).await,
    ] {
        assert!(is_later(&reply), "{reply:?}");
    }
}

/// A confirm whose call to Toss takes longer than its caller waits; it is under way when this returns.
async fn in_flight(house: &House, takes: Duration) -> (Order, tokio::task::JoinHandle<Reply>) {
    let (order, key) = house.authorized().await;
    let millis = u64::try_from(takes.as_millis()).unwrap();
    let slow = json!({"kind": "delay", "millis": millis});
    house
        .faults(json!([{"on": "confirm", "orderId": order.id, "do": slow}]))
        .await;
    let request = house
        .client
        .post(format!("{}/api/v1/payments/confirm", house.server.url))
        .json(&House::confirm_body(&order, &key));
    let caller = tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.json().await.unwrap();
        Reply {
            status,
            headers,
            body,
        }
    });
    house.wait_for(&order, &["IN_PROGRESS"], SETTLED).await;
    (order, caller)
}

/// Toss has approved, once, and our answer comes into the trouble.
async fn until_approved(house: &House, order: &Order) {
    let until = Instant::now() + SETTLED;
    while house.approvals(order).await == 0 {
        assert!(Instant::now() < until, "not approved");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.approvals(order).await, 1);
}

fn assert_calm(house: &House) {
    let log = house.server.logged();
    assert!(!log.contains("panicked"), "{log}");
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_answers_not_now_and_settles_when_it_is_free() {
    let house = plan().start();
    let other = Other::of(&house).await;
    let (waiting, key) = house.authorized().await;
    green(&house).await;
    let (flying, caller) = in_flight(&house, WHILE).await;
    other.lock().await;

    // Nothing can be written: the buyer hears that it is being checked.
    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    nothing_is_taken(&house, &waiting, &key).await;
    // Readers go on, and tell no more than what is durable.
    until_approved(&house, &flying).await;
    red(&house).await;
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");
    assert_eq!(house.status(&waiting).await["status"], "READY");
    assert_eq!(house.shelf(1).await, (58, 1, 0, 59));

    other.unlock().await;
    green(&house).await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(house.confirm(&waiting, &key).await.status, 200);
    assert_eq!(house.approvals(&flying).await, 1);
    assert_eq!(house.approvals(&waiting).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_calm(&house);
}

/// A server that has become somebody's follower: it answers every question, and takes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: PAYONCE_TEST_DATABASE=postgres://..."]
async fn a_database_that_only_reads_answers_not_now_and_settles_when_it_takes_writes() {
    let house = anywhere().start();
    let url = &house.store.url;
    assert!(url.starts_with("postgres"), "PAYONCE_TEST_DATABASE={url}");
    let other = Other::of(&house).await;
    let (waiting, key) = house.authorized().await;
    green(&house).await;
    let (flying, caller) = in_flight(&house, WHILE).await;
    other.only_reads(true).await;

    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    nothing_is_taken(&house, &waiting, &key).await;
    until_approved(&house, &flying).await;
    red(&house).await;
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");
    assert_eq!(house.counted(&waiting, "confirmCalls").await, 0);

    other.only_reads(false).await;
    green(&house).await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(house.confirm(&waiting, &key).await.status, 200);
    assert_eq!(house.approvals(&flying).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_calm(&house);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_slows_and_nothing_else() {
    let house = plan()
        .env("CONFIRM__PATIENCE_MS", 30_000)
        // A statement may meet the lock many times over before it has its turn.
        .env("DATABASE__BUSY_TIMEOUT_MS", 10_000)
        .start();
    let other = Other::of(&house).await;
    let mut orders = Vec::new();
    for _ in 0..12 {
        orders.push(house.authorized().await);
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let slow = async {
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            other.lock().await;
            tokio::time::sleep(Duration::from_millis(250)).await;
            other.unlock().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let work = async {
        let confirms = orders.iter().map(|(order, key)| house.confirm(order, key));
        let replies = futures_util::future::join_all(confirms).await;
        for reply in replies {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        // Longer than a heartbeat proves anything.
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let ready = house.get("/health/ready").await;
            assert_eq!(ready.status, 200, "{ready:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(slow, work);
    assert_eq!(house.shelf(1).await, (47, 0, 12, 59));
    assert_calm(&house);
}

/// Checks out, pays and confirms until the time is over; what was paid, and what was answered "later".
async fn buyer(house: &House, until: Instant) -> (Vec<Order>, usize) {
    let (mut paid, mut later) = (Vec::new(), 0);
    while Instant::now() < until {
        let reply = try_checkout(house).await;
        if reply.status != 201 {
            assert!(is_later(&reply), "{reply:?}");
            later += 1;
            continue;
        }
        let data = reply.data();
        let order = Order {
            id: data["orderId"].as_str().unwrap().into(),
            token: data["orderToken"].as_str().unwrap().into(),
            total: data["totalAmount"].as_i64().unwrap(),
        };
        let key = house.authorize(&order).await;
        let reply = house.confirm(&order, &key).await;
        if reply.status == 200 {
            paid.push(order);
        } else {
            assert!(is_later(&reply), "{reply:?}");
            later += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (paid, later)
}

/// Of the minute, a bounded slice: longer than every patience and timeout of the house.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_gone_for_a_while_under_load() {
    let house = plan().start();
    house.put_product(1, 50_000, 100_000).await;
    let other = Other::of(&house).await;
    let until = Instant::now() + Duration::from_secs(12);
    let buyers = futures_util::future::join_all((0..8).map(|_| buyer(&house, until)));
    let trouble = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.lock().await;
        red(&house).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        other.unlock().await;
        green(&house).await;
    };
    let (heard, ()) = tokio::join!(buyers, trouble);
    assert!(heard.iter().any(|(_, later)| *later > 0));
    let paid: Vec<&Order> = heard.iter().flat_map(|(paid, _)| paid).collect();
    assert!(!paid.is_empty());
    let settled = Instant::now() + SETTLED;
    while house.shelf(1).await.1 > 0 {
        assert!(Instant::now() < settled, "goods are still held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for order in paid {
        assert_eq!(house.status(order).await["status"], "DONE");
        assert_eq!(house.approvals(order).await, 1);
    }
    assert_calm(&house);
}

/// A house whose files cannot grow when it is told so. A limit on file sizes works for every user, and SQLite meets it
/// where it meets a broken disk: while it writes the frames of a commit, so that the answer to the commit is lost.
struct Disk {
    house: House,
}

impl Disk {
    fn new() -> Disk {
        let mut house = plan().start();
        house.server.kill_9();
        let mut disk = Disk { house };
        disk.start();
        disk
    }

    /// The signal that goes with the limit would end the process: a full disk sends none.
    fn start(&mut self) {
        let mut shell = Command::new("sh");
        // It is for the tests, and no setting.
        shell
            .env_remove("PAYONCE_TEST_DATABASE")
            .args(["-c", "trap '' XFSZ && exec \"$0\" serve"])
            .arg(env!("CARGO_BIN_EXE_payonce"))
            .envs(self.house.environment().iter().cloned());
        self.house.server = Process::try_command(shell).expect("it serves");
    }

    fn limit(&self, bytes: u64) {
        let server = self.house.server.id().try_into().unwrap();
        prlimit(server, Resource::FSIZE, Some((bytes, INFINITY)), None).unwrap();
    }

    fn fill(&self) {
        self.limit(0);
    }

    fn clear(&self) {
        self.limit(INFINITY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_says_nothing_that_is_not_written() {
    let disk = Disk::new();
    let house = &disk.house;
    let (waiting, key) = house.authorized().await;
    let (flying, caller) = in_flight(house, WHILE).await;
    disk.fill();

    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    for _ in 0..3 {
        for reply in [
            house.confirm(&waiting, &key).await,
            try_checkout(house).await,
        ] {
            assert!(is_later(&reply), "{reply:?}");
        }
    }
    // It may have landed, and cannot be made impossible now: look at the product before trying again.
    let doubtful = try_restock(house, 5).await;
    assert_eq!(doubtful.code(), "E03009", "{doubtful:?}");
    let look = &doubtful.body["error"]["statusUrl"];
    assert_eq!(look, "/api/v1/products/1");
    until_approved(house, &flying).await;
    red(house).await;
    assert_eq!(house.counted(&waiting, "confirmCalls").await, 0);
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");

    disk.clear();
    green(house).await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(house.confirm(&waiting, &key).await.status, 200);
    assert_eq!(house.approvals(&waiting).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_eq!(try_restock(house, 5).await.status, 200);
    assert_eq!(house.shelf(1).await, (62, 0, 2, 64));
    let log = house.server.logged();
    assert!(log.contains("the answer to a commit was lost"), "{log}");
    assert_calm(house);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_with_its_disk_full_is_settled_by_the_next() {
    let mut disk = Disk::new();
    let (order, caller) = in_flight(&disk.house, WHILE).await;
    disk.fill();
    let pending = caller.await.unwrap();
    assert_eq!(pending.status, 503, "{pending:?}");
    until_approved(&disk.house, &order).await;
    red(&disk.house).await;
    disk.house.server.kill_9();
    disk.house.heal().await;
    disk.start();
    let house = &disk.house;
    house.wait_for(&order, &["DONE"], SETTLED).await;
    assert_eq!(house.approvals(&order).await, 1);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    assert_calm(house);
}
