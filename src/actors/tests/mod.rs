//! The actors among themselves: a real store, real shards, and a stub in the place of Toss.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod doubt;
mod flow;
mod lossy;
mod node;
mod nodes;
mod queue;
mod storm;
mod trouble;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

use super::api::{CheckoutRequest, ConfirmRequest, Heard, Patience, TraceId};
use super::clock::Clock;
use super::directory::{CheckoutRules, Directory, DoorBounds};
use super::journal::{Committer, JournalActor, JournalLimits, NoVerdict, Write, Written};
use super::membership::Membership;
use super::pacing::Pacing;
use super::payment::{FlightLimits, Flights, Hands};
use super::product::{Products, Reserve, Reserved};
use super::shard::{Shard, ShardLimits};
use super::toss::{
    Admit, BreakerRules, Busy, Front, LookUp, Permit, SendConfirm, Subject, TossLimits,
};
use super::versions::Versions;
use crate::domain::{
    Answer, Charge, Finding, GatewayIdentity, Incarnation, OrderId, Outcome, PaymentKey, ProductId,
    Quantity, Rejection, Reply, Report, Rules, TossStatus, UserId, Won,
};
use crate::metrics::Metrics;
use crate::store::{Change, Opened, Restock, Store, StoreSettings, Verdict};

/// Toss as a stub: approves everything that arrives, and answers once it is let go.
struct FakeToss {
    confirms: Arc<AtomicUsize>,
    /// Where set, the answer to a confirm waits for it.
    gate: Option<Arc<Notify>>,
    approved: Arc<Mutex<HashMap<PaymentKey, Report>>>,
    slips: Arc<Slips>,
}

/// What goes wrong at Toss next, so many times.
#[derive(Default)]
struct Slips {
    /// Answers to confirms that never arrive.
    lost: AtomicUsize,
    /// Look-ups that are answered with somebody else's order.
    strangers: AtomicUsize,
}

fn next_is(slips: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    let seen = slips.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
    seen.is_ok()
}

/// The journal behind a door of ours: shut, what is written waits before it.
struct Antechamber {
    journal: Recipient<Write>,
    shut: Option<Arc<Notify>>,
    arrived: Arc<AtomicUsize>,
}

impl Actor for Antechamber {
    type Context = Context<Self>;
}

impl Handler<Write> for Antechamber {
    type Result = ResponseFuture<Written>;

    fn handle(&mut self, write: Write, _: &mut Self::Context) -> Self::Result {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let (journal, shut) = (self.journal.clone(), self.shut.clone());
        let opening = write.is_opening();
        Box::pin(async move {
            if let Some(shut) = shut.filter(|_| opening) {
                shut.notified().await;
            }
            journal
                .send(write)
                .await
                .unwrap_or(Err(NoVerdict::Doubtful))
        })
    }
}

impl Actor for FakeToss {
    type Context = Context<Self>;
}

impl Handler<Admit> for FakeToss {
    type Result = Result<Permit, Busy>;

    fn handle(&mut self, order: Admit, _: &mut Self::Context) -> Self::Result {
        Ok(Permit::unbounded(order.lane))
    }
}

fn approved(key: PaymentKey, order: OrderId, total: i64) -> Report {
    let order_id = order.to_string().into();
    let (status, approved_at, method) = (TossStatus::Done, None, None);
    let (receipt_url, failure) = (None, None);
    Report {
        payment_key: key,
        order_id,
        status,
        total: Charge::Won(total),
        approved_at,
        method,
        receipt_url,
        failure,
        account: None,
    }
}

impl Handler<SendConfirm> for FakeToss {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        self.confirms.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.clone();
        let call = order.call;
        let report = approved(call.payment_key.clone(), call.order, call.amount.get());
        let known = (call.payment_key, report.clone());
        self.approved.lock().unwrap().extend([known]);
        let lost = next_is(&self.slips.lost);
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            if lost {
                let (outcome, answered) = (Outcome::Unknown("silence".into()), false);
                return Reply { outcome, answered };
            }
            Reply {
                outcome: Outcome::Approved(report),
                answered: true,
            }
        })
    }
}

impl Handler<LookUp> for FakeToss {
    type Result = Finding;

    fn handle(&mut self, order: LookUp, _: &mut Self::Context) -> Self::Result {
        let approved = self.approved.lock().unwrap();
        let found = match &order.subject {
            Subject::PaymentKey(key) => approved.get(key),
            Subject::Order(_) => None,
        };
        let Some(mut report) = found.cloned() else {
            return Finding::NotFound;
        };
        if next_is(&self.slips.strangers) {
            report.order_id = "somebody-elses".into();
        }
        Finding::Found(report)
    }
}

impl<A, M> actix::dev::MessageResponse<A, M> for Finding
where
    A: Actor,
    M: Message<Result = Finding>,
{
    fn handle(self, _: &mut A::Context, tx: Option<actix::dev::OneshotSender<M::Result>>) {
        if let Some(tx) = tx {
            _ = tx.send(self);
        }
    }
}

struct Stage {
    directory: Directory,
    hands: Arc<Hands>,
    shard: Addr<Shard>,
    confirms: Arc<AtomicUsize>,
    slips: Arc<Slips>,
    /// Writes that have arrived before the journal.
    writes: Arc<AtomicUsize>,
    _folder: Arc<TempDir>,
}

/// What nodes have in common: the database, and Toss.
struct World {
    store: Store,
    confirms: Arc<AtomicUsize>,
    approved: Arc<Mutex<HashMap<PaymentKey, Report>>>,
    slips: Arc<Slips>,
    rules: Rules,
    folder: Arc<TempDir>,
}

/// The ways to Toss, whoever plays it.
struct Ways {
    admit: Recipient<Admit>,
    confirm: Recipient<SendConfirm>,
    look_up: Recipient<LookUp>,
}

#[derive(Clone, Copy)]
struct Plan {
    idle: Duration,
    loading: usize,
    most_waiters: usize,
    queue: usize,
    confirms: usize,
    flights: usize,
    flight: FlightLimits,
    dead_after: Duration,
    expires_after: Duration,
    recheck: Duration,
}

const PLAN: Plan = Plan {
    idle: Duration::from_secs(60),
    loading: 1_000,
    most_waiters: 10_000,
    queue: 1_000,
    confirms: 10_000,
    flights: 10_000,
    flight: FlightLimits {
        budget: Duration::from_secs(1),
        call: Duration::from_secs(2),
    },
    dead_after: Duration::from_secs(2),
    expires_after: Duration::from_secs(600),
    recheck: Duration::from_millis(200),
};

const RULES: BreakerRules = BreakerRules {
    failures: 5,
    failure_percent: 50,
    sample: 100,
    window: Duration::from_secs(10),
    open: Duration::from_secs(1),
    open_max: Duration::from_secs(10),
    probes: 1,
    probe: Duration::from_secs(1),
    trial: 1,
};

/// Toss is a stub; only what is seen of its limits is real.
const LIMITS: TossLimits = TossLimits {
    concurrency: 10_000,
    calls_per_minute: None,
    admission_wait: Duration::from_secs(1),
    waiting: 10_000,
    breaker: RULES,
    probe_patience: Duration::from_secs(1),
    recovery_share_percent: 25,
    tries: 1,
    repeat_within: Duration::from_secs(1),
};

async fn stage(plan: Plan, gate: Option<Arc<Notify>>) -> Stage {
    stage_with(plan, gate, None).await
}

/// `shut`: where set, openings wait for it before the journal.
async fn stage_with(plan: Plan, gate: Option<Arc<Notify>>, shut: Option<Arc<Notify>>) -> Stage {
    world().await.stage(plan, gate, shut)
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let settings = StoreSettings {
        url,
        readers: 2,
        busy_timeout_ms: 1_000,
    };
    let store = Store::open(settings, Opened::Serving).await.unwrap();
    store.migrate().await.unwrap();
    store.load_demo_data().await.unwrap();
    World {
        store,
        confirms: Arc::default(),
        approved: Arc::default(),
        slips: Arc::default(),
        rules: Rules::default(),
        folder: Arc::new(folder),
    }
}

impl World {
    /// One node.
    fn stage(&self, plan: Plan, gate: Option<Arc<Notify>>, shut: Option<Arc<Notify>>) -> Stage {
        let toss = FakeToss {
            confirms: self.confirms.clone(),
            gate,
            approved: self.approved.clone(),
            slips: self.slips.clone(),
        }
        .start();
        let ways = Ways {
            admit: toss.clone().recipient(),
            confirm: toss.clone().recipient(),
            look_up: toss.recipient(),
        };
        stage_in(self, plan, ways, shut)
    }
}

fn stage_in(world: &World, plan: Plan, ways: Ways, shut: Option<Arc<Notify>>) -> Stage {
    let store = world.store.clone();
    let here = Arbiter::current();
    let products = Products::new(vec![here.clone()], plan.recheck);
    let limits = JournalLimits {
        batch: 256,
        queue: plan.queue,
    };
    let metrics = Metrics::new().unwrap();
    let pacing = Pacing::default();
    let committer = Committer {
        store: store.clone(),
        products: products.clone(),
        metrics: metrics.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    let journal = JournalActor::new(committer, pacing.clone(), limits).start();
    let arrived = Arc::new(AtomicUsize::new(0));
    let journal = Antechamber {
        journal: journal.recipient(),
        shut,
        arrived: arrived.clone(),
    }
    .start();
    let hands = Arc::new(Hands {
        membership: Membership::new(
            Incarnation(Uuid::now_v7()),
            store.is_shared(),
            plan.dead_after,
        ),
        gateway: GatewayIdentity("stub".into()),
        clock: Clock::new(world.rules.clone()),
        limits: plan.flight,
        admit: ways.admit,
        confirm: ways.confirm,
        look_up: ways.look_up,
        journal: journal.recipient(),
        products,
        versions: Versions::new(store.clone()).start().recipient(),
        store,
        most_waiters: plan.most_waiters,
        flights: Flights::default(),
        most_flights: plan.flights,
        front: Front::new(&LIMITS),
        pacing,
        metrics,
        sabotage: Default::default(),
    });
    let limits = ShardLimits {
        idle: plan.idle,
        loading: plan.loading,
    };
    let shard = Shard::new(hands.clone(), limits).start();
    let rules = CheckoutRules {
        expires_after: plan.expires_after,
        known_users_only: true,
    };
    let runtime = tokio::runtime::Handle::current();
    let bounds = DoorBounds {
        confirms: plan.confirms,
        readers: 100,
    };
    let directory = Directory::new(hands.clone(), vec![shard.clone()], rules, bounds, runtime);
    Stage {
        directory,
        hands,
        shard,
        confirms: world.confirms.clone(),
        slips: world.slips.clone(),
        writes: arrived,
        _folder: world.folder.clone(),
    }
}

impl Stage {
    async fn order(&self, quantity: i64) -> (OrderId, Won) {
        let request = CheckoutRequest {
            user: UserId::parse("1").unwrap(),
            wanted: [(ProductId::new(1).unwrap(), Quantity::new(quantity).unwrap())].into(),
            idempotency: None,
            trace: TraceId::default(),
        };
        let payment = self.directory.checkout(request).await.unwrap().payment;
        (payment.order.id, payment.order.total)
    }

    async fn confirm(&self, order: (OrderId, Won), key: &str) -> Heard {
        self.confirm_within(order, key, Duration::from_secs(5))
            .await
    }

    async fn confirm_within(
        &self,
        (order, amount): (OrderId, Won),
        key: &str,
        patience: Duration,
    ) -> Heard {
        let request = ConfirmRequest {
            order,
            user: None,
            amount,
            payment_key: PaymentKey::parse(key).unwrap(),
            trace: TraceId::default(),
        };
        self.directory
            .confirm(request, Patience::UntilSettled(patience))
            .await
    }

    /// What the gate of the first product believes to be set aside.
    async fn reserved(&self) -> i64 {
        let product = ProductId::new(1).unwrap();
        let gate = self.hands.products.gate(product, &self.hands.journal);
        gate.send(Reserved).await.unwrap()
    }

    fn confirms(&self) -> usize {
        self.confirms.load(Ordering::SeqCst)
    }
}

fn is_paid(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Paid(_)))
}

/// Lets the actors work until it is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.expect(what);
}
