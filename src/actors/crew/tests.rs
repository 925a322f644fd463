//! One shard's arbiter is kept busy: reads and commits of all others go on, though it used their connections last. Everything
//! but the journal is kept busy: commits go on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::mpsc;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::actors::api::{CheckoutRequest, ConfirmRequest, Heard, Patience, TraceId};
use crate::actors::journal::Write;
use crate::actors::toss::BreakerRules;
use crate::domain::Rules;
use crate::domain::{Answer, OrderId, PaymentKey, ProductId, Quantity, Status, UserId, Won};
use crate::gateway::TossSettings;
use crate::store::{Change, Opened, Restock, StoreSettings, Verdict};

const LONG: Duration = Duration::from_secs(120);

fn settings() -> CrewSettings {
    let second = Duration::from_secs(1);
    CrewSettings {
        clock: Clock::new(Rules::default()),
        flight: FlightLimits {
            budget: second,
            call: Duration::from_secs(10),
        },
        toss: TossLimits {
            concurrency: 4,
            calls_per_minute: None,
            admission_wait: Duration::from_secs(10),
            waiting: 100,
            breaker: BreakerRules {
                failures: 5,
                failure_percent: 50,
                sample: 100,
                window: Duration::from_secs(10),
                open: second,
                open_max: Duration::from_secs(10),
                probes: 1,
                probe: second,
                trial: 1,
            },
            probe_patience: second,
            recovery_share_percent: 25,
            tries: 1,
            repeat_within: second,
        },
        journal: JournalLimits {
            batch: 256,
            queue: 1_000,
        },
        shard: ShardLimits {
            idle: LONG,
            loading: 1_000,
        },
        recovery: RecoveryLimits {
            tick: LONG,
            batch: 10,
            per_second: 1_000,
        },
        retention: RetentionLimits {
            history: None,
            outbox: None,
            batch: 100,
            pause: LONG,
            every: LONG,
        },
        checkout: CheckoutRules {
            expires_after: Duration::from_secs(600),
            known_users_only: true,
        },
        door: DoorBounds {
            confirms: 100,
            readers: 100,
        },
        shards: 2,
        most_waiters: 100,
        product_recheck: Duration::from_millis(200),
        node_name: "n".into(),
        heartbeat: second,
        dead_after: Duration::from_secs(5),
    }
}

/// A Toss that approves every confirm.
async fn approve_all(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(approve(socket));
    }
}

async fn approve(mut socket: TcpStream) {
    let mut heard = Vec::new();
    let asked: serde_json::Value = loop {
        if socket.read_buf(&mut heard).await.unwrap() == 0 {
            return;
        }
        let body = heard.windows(4).position(|end| end == b"\r\n\r\n");
        let body = body.and_then(|end| serde_json::from_slice(&heard[end + 4..]).ok());
        if let Some(asked) = body {
            break asked;
        }
    };
    let paid = serde_json::json!({
        "paymentKey": asked["paymentKey"], "orderId": asked["orderId"], "status": "DONE",
        "currency": "KRW", "totalAmount": asked["amount"], "method": "카드",
        "approvedAt": "2026-01-02T00:30:00+09:00",
    });
    let paid = paid.to_string();
    let length = paid.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all((head + &paid).as_bytes()).await.unwrap();
}

/// Lives beside a shard and keeps its thread.
struct Tenant {
    store: Store,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Keep {
    order: OrderId,
    delivery: Restock,
    kept: oneshot::Sender<()>,
    release: mpsc::Receiver<()>,
}

impl Actor for Tenant {
    type Context = Context<Self>;
}

impl Handler<Keep> for Tenant {
    type Result = ResponseFuture<()>;

    /// The last to use the only reader and the only writer; both go back to their pools by tasks of the runtime.
    fn handle(&mut self, word: Keep, _: &mut Self::Context) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move {
            let delivery = Change::Restock(word.delivery);
            store.commit(&[delivery]).await.unwrap();
            store.load(word.order).await.unwrap().unwrap();
            word.kept.send(()).unwrap();
            _ = word.release.recv();
        })
    }
}

struct House {
    crew: Crew,
    store: Store,
}

impl House {
    async fn open(folder: &std::path::Path, runtimes: &Runtimes) -> House {
        let url = format!("sqlite://{}", folder.join("test.db").display());
        let store = StoreSettings {
            url,
            readers: 1,
            busy_timeout_ms: 1_000,
        };
        let store = runtimes.journal.spawn(async move {
            let store = Store::open(store, Opened::Serving).await.unwrap();
            store.migrate().await.unwrap();
            store.load_demo_data().await.unwrap();
            store
        });
        let store = store.await.unwrap();
        let opened = runtimes.shared.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(approve_all(listener));
            address
        });
        let address = opened.await.unwrap();
        let toss = TossSettings {
            base_url: format!("http://{address}"),
            secret_key: SecretString::from("test_sk_actorsAmongThemselves"),
            connect_timeout_ms: 5_000,
            read_timeout_ms: 5_000,
        };
        let toss = Toss::new(toss).unwrap();
        let metrics = Metrics::new().unwrap();
        let incarnation = Incarnation(Uuid::now_v7());
        let crew = Crew::start(settings(), incarnation, &store, toss, &metrics, runtimes);
        House { crew, store }
    }

    /// An order of each shard. The goods' gate is on the second: it goes by the product's number.
    async fn order_of_each(&self) -> [(OrderId, Won); 2] {
        let mut found = [None; 2];
        while found.contains(&None) {
            let request = CheckoutRequest {
                user: UserId::parse("1").unwrap(),
                wanted: [(ProductId::new(1).unwrap(), Quantity::new(1).unwrap())].into(),
                idempotency: None,
                trace: TraceId::default(),
            };
            let made = self.crew.directory.checkout(request).await.unwrap();
            let order = made.payment.order;
            let shard = usize::from(order.id.uuid().as_u128() % 2 == 1);
            found[shard] = Some((order.id, order.total));
        }
        found.map(Option::unwrap)
    }

    async fn status(&self, order: OrderId) -> Status {
        let seen = self.crew.directory.view(order, None).await;
        seen.unwrap().unwrap().payment.status
    }

    /// The thread of a shard's arbiter, until it is released.
    async fn keep(&self, shard: usize, order: OrderId) -> mpsc::Sender<()> {
        let store = self.store.clone();
        let arbiter = self.crew.arbiters[shard].handle();
        let tenant = Tenant::start_in_arbiter(&arbiter, |_| Tenant { store });
        let (kept, keeping) = oneshot::channel();
        let (release, released) = mpsc::channel();
        tenant.do_send(Keep {
            order,
            delivery: delivery(),
            kept,
            release: released,
        });
        keeping.await.expect("it keeps the arbiter");
        release
    }
}

fn confirm(
    crew: &Crew,
    (order, amount): (OrderId, Won),
    key: &str,
) -> impl Future<Output = Heard> + use<> {
    let request = ConfirmRequest {
        order,
        user: None,
        amount,
        payment_key: PaymentKey::parse(key).unwrap(),
        trace: TraceId::default(),
    };
    let directory = crew.directory.clone();
    async move {
        directory
            .confirm(request, Patience::UntilSettled(LONG))
            .await
    }
}

fn delivery() -> Restock {
    Restock {
        id: Uuid::now_v7(),
        product: ProductId::new(1).unwrap(),
        change: 1,
        reason: "delivery".into(),
        at: Clock::new(Rules::default()).now(),
    }
}

fn is_paid(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Paid(_)))
}

async fn one_shard_is_kept_busy(runtimes: &Runtimes) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path(), runtimes).await;
    let [kept, free] = house.order_of_each().await;
    let release = house.keep(0, kept.0).await;
    let waiting = actix::spawn(confirm(&house.crew, kept, "key-a"));

    assert_eq!(house.status(free.0).await, Status::Ready);
    let heard = confirm(&house.crew, free, "key-b").await;
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!(house.status(free.0).await, Status::Done);
    assert_eq!(house.status(kept.0).await, Status::Ready);
    assert!(!waiting.is_finished(), "its arbiter was free all the time");

    release.send(()).unwrap();
    let heard = waiting.await.unwrap();
    assert!(is_paid(&heard), "{heard:?}");
    house.crew.go_home(LONG).await;
}

/// As hundreds of calls to Toss do that are ready at once, until what is returned is dropped.
async fn keep_all_of(shared: &Runtime) -> Vec<mpsc::Sender<()>> {
    let mut keepers = Vec::new();
    for _ in 0..THREADS {
        let (kept, keeping) = oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        shared.spawn(async move {
            kept.send(()).unwrap();
            _ = released.recv();
        });
        keeping.await.expect("it keeps a thread");
        keepers.push(release);
    }
    keepers
}

async fn the_shared_runtime_is_kept_busy(runtimes: &Runtimes) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path(), runtimes).await;
    let keepers = keep_all_of(&runtimes.shared).await;
    let waiting = runtimes.shared.spawn(std::future::ready(()));

    let delivered = Write::opening(Change::Restock(delivery()));
    let written = timeout(LONG, house.crew.journal.send(delivered)).await;
    let written = written.expect("a commit waits for nobody").unwrap();
    assert_eq!(written, Ok(Verdict::Committed { held: false }));
    assert!(!waiting.is_finished(), "its threads were free all the time");

    drop(keepers);
    waiting.await.unwrap();
    house.crew.go_home(LONG).await;
}

const THREADS: usize = 2;

fn runtimes() -> Runtimes {
    let mut shared = Builder::new_multi_thread();
    let shared = shared.worker_threads(THREADS).enable_all().build();
    Runtimes::new(shared.unwrap()).unwrap()
}

#[test]
fn a_blocked_arbiter_holds_up_no_connection_of_the_others() {
    System::new().block_on(one_shard_is_kept_busy(&runtimes()));
}

#[test]
fn a_commit_waits_for_no_thread_that_everybody_shares() {
    System::new().block_on(the_shared_runtime_is_kept_busy(&runtimes()));
}
