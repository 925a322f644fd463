//! The actors among themselves: a real store, real shards, and a stub in the place of Toss.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod doubt;
mod node;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

use super::api::{CheckoutRequest, ConfirmRequest, Heard, Patience, TraceId};
use super::clock::Clock;
use super::directory::{CheckoutRules, Directory};
use super::journal::{JournalActor, JournalLimits, NoVerdict, Write};
use super::payment::{FlightLimits, Flights, Hands};
use super::product::{Products, Reserve};
use super::shard::{Ignite, Shard, ShardLimits};
use super::toss::{Admit, Busy, LookUp, Permit, SendConfirm};
use crate::domain::{
    Answer, Finding, GatewayIdentity, Incarnation, OrderId, Outcome, PaymentKey, ProductId,
    Quantity, Rejection, Reply, Report, Rules, TossStatus, UserId, Won,
};
use crate::metrics::Metrics;
use crate::store::{Change, Opened, Restock, Store, StoreSettings, Verdict};

/// Toss as a stub: approves everything, once it is let go.
struct Desk {
    confirms: Arc<AtomicUsize>,
    /// Where set, a confirm waits for it.
    gate: Option<Arc<Notify>>,
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Admit> for Desk {
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
        total,
        approved_at,
        method,
        receipt_url,
        failure,
    }
}

impl Handler<SendConfirm> for Desk {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        self.confirms.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.clone();
        let call = order.call;
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let report = approved(call.payment_key, call.order, call.amount.get());
            Reply {
                outcome: Outcome::Approved(report),
                answered: true,
            }
        })
    }
}

impl Handler<LookUp> for Desk {
    type Result = Finding;

    fn handle(&mut self, _: LookUp, _: &mut Self::Context) -> Self::Result {
        Finding::NoAnswer("a stub".into())
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
    _folder: TempDir,
}

#[derive(Clone, Copy)]
struct Plan {
    idle: Duration,
    most_waiters: usize,
    queue: usize,
}

const PLAN: Plan = Plan {
    idle: Duration::from_secs(60),
    most_waiters: 10_000,
    queue: 1_000,
};

async fn stage(plan: Plan, gate: Option<Arc<Notify>>) -> Stage {
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
    let here = Arbiter::current();
    let products = Products::new(vec![here.clone()], Duration::from_millis(200));
    let limits = JournalLimits {
        batch: 256,
        queue: plan.queue,
    };
    let metrics = Metrics::new().unwrap();
    let journal =
        JournalActor::new(store.clone(), products.clone(), metrics.clone(), limits).start();
    let confirms = Arc::new(AtomicUsize::new(0));
    let desk = Desk {
        confirms: confirms.clone(),
        gate,
    }
    .start();
    let hands = Arc::new(Hands {
        incarnation: Incarnation(Uuid::now_v7()),
        gateway: GatewayIdentity("stub".into()),
        clock: Clock::new(Rules::default()),
        limits: FlightLimits {
            budget: Duration::from_secs(1),
            call: Duration::from_secs(2),
        },
        admit: desk.clone().recipient(),
        confirm: desk.clone().recipient(),
        look_up: desk.recipient(),
        journal: journal.recipient(),
        products,
        store,
        most_waiters: plan.most_waiters,
        flights: Flights::default(),
        metrics,
        sabotage: false.into(),
    });
    let limits = ShardLimits {
        idle: plan.idle,
        loading: 1_000,
    };
    let shard = Shard::new(hands.clone(), limits).start();
    let rules = CheckoutRules {
        expires_after: Duration::from_secs(600),
        known_users_only: true,
    };
    let runtime = tokio::runtime::Handle::current();
    let directory = Directory::new(hands.clone(), vec![shard.clone()], rules, runtime);
    Stage {
        directory,
        hands,
        shard,
        confirms,
        _folder: folder,
    }
}

impl Stage {
    async fn order(&self, quantity: i64) -> (OrderId, Won) {
        let request = CheckoutRequest {
            user: UserId::parse("1").unwrap(),
            wanted: vec![(ProductId::new(1).unwrap(), Quantity::new(quantity).unwrap())],
            idempotency: None,
            trace: TraceId::default(),
        };
        let payment = self.directory.checkout(request).await.unwrap().payment;
        (payment.order.id, payment.order.total)
    }

    async fn confirm(&self, (order, amount): (OrderId, Won), key: &str) -> Heard {
        let request = ConfirmRequest {
            order,
            user: None,
            amount,
            payment_key: PaymentKey::parse(key).unwrap(),
            trace: TraceId::default(),
        };
        self.directory
            .confirm(request, Patience::UntilSettled(Duration::from_secs(5)))
            .await
    }

    fn confirms(&self) -> usize {
        self.confirms.load(Ordering::SeqCst)
    }
}

fn is_paid(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Paid(_)))
}

#[actix::test]
async fn a_slow_gateway_call_stalls_no_mailbox() {
    let gate = Arc::new(Notify::new());
    let stage = stage(PLAN, Some(gate.clone())).await;
    let order = stage.order(1).await;
    let paying = stage.confirm(order, "key-a");
    let meanwhile = async {
        while stage.confirms() == 0 {
            tokio::task::yield_now().await;
        }
        let wrong = stage
            .confirm((order.0, Won::new(1).unwrap()), "key-a")
            .await;
        assert!(matches!(
            wrong,
            Heard::Rejected(Rejection::InvalidTotalAmount { .. })
        ));
        let rival = stage.confirm(order, "key-b").await;
        assert!(matches!(
            rival,
            Heard::Rejected(Rejection::InvalidPaymentKey(_))
        ));
        gate.notify_one();
    };
    let (paid, ()) = tokio::join!(paying, meanwhile);
    assert!(is_paid(&paid), "{paid:?}");
}

#[actix::test]
async fn callers_of_one_order_and_the_journal_are_bounded() {
    let gate = Arc::new(Notify::new());
    let stage = stage(
        Plan {
            most_waiters: 3,
            ..PLAN
        },
        Some(gate.clone()),
    )
    .await;
    let order = stage.order(1).await;
    let release = async {
        while stage.confirms() == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    };
    let all = join_all((0..10).map(|_| stage.confirm(order, "key-a")));
    let (heard, ()) = tokio::join!(all, release);
    let busy = |heard: &&Heard| matches!(heard, Heard::Rejected(Rejection::Busy { .. }));
    assert_eq!(heard.iter().filter(busy).count(), 7);
    assert_eq!(heard.iter().filter(|heard| is_paid(heard)).count(), 3);

    let full = super::tests::stage(Plan { queue: 0, ..PLAN }, None).await;
    let hands = &full.hands;
    let (incarnation, at) = (hands.incarnation, hands.clock.now());
    let restock = Change::Restock(Restock {
        id: Uuid::now_v7(),
        product: ProductId::new(1).unwrap(),
        change: 1,
        reason: "x".into(),
        at,
    });
    assert_eq!(
        hands.journal.send(Write::new(restock)).await.unwrap(),
        Err(NoVerdict::Busy)
    );
    // What is not an opening is never refused.
    let close = Change::Register {
        incarnation,
        name: "n".into(),
        at,
    };
    let written = hands.journal.send(Write::new(close)).await.unwrap();
    assert!(
        matches!(written, Ok(Verdict::Committed { .. })),
        "{written:?}"
    );
}

#[actix::test]
async fn an_order_is_reachable_again_after_its_actor_panicked() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    for round in 0..3 {
        stage.shard.send(Ignite(order.0)).await.unwrap();
        let heard = stage.confirm(order, "key-a").await;
        assert!(is_paid(&heard), "round {round}: {heard:?}");
    }
    assert_eq!(stage.confirms(), 1);
}

/// A panic between the reservation in memory and the journal.
#[actix::test]
async fn a_panic_in_a_flight_answers_its_callers_and_leaks_no_reservation() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(59).await;
    // Let the gate learn the shelf first, so that it would refuse what it believes reserved.
    let product = ProductId::new(1).unwrap();
    stage.hands.sabotage.store(true, Ordering::SeqCst);
    let heard = stage.confirm(order, "key-a").await;
    assert!(
        matches!(heard, Heard::Answer(Answer::Pending { .. })),
        "{heard:?}"
    );
    assert_eq!(stage.confirms(), 0);
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_paid(&heard), "all 59 are there: {heard:?}");
    let gate = stage.hands.products.gate(product, &stage.hands.journal);
    let shortage = gate
        .send(Reserve { quantity: 1 })
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(shortage.available, 0);
}

/// Retiring and starting race with messages all the time; none is lost, and no order has two actors.
#[actix::test]
async fn no_message_is_lost_when_an_idle_actor_retires() {
    let stage = stage(
        Plan {
            idle: Duration::from_millis(50),
            ..PLAN
        },
        None,
    )
    .await;
    let order = stage.order(1).await;
    for round in 0..60_u64 {
        let heard = stage.confirm(order, "key-a").await;
        assert!(is_paid(&heard), "{heard:?}");
        tokio::time::sleep(Duration::from_millis(40 + round % 25)).await;
    }
    assert_eq!(stage.confirms(), 1);
    let gone = async {
        while stage.directory.loaded().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .expect("the idle retire");
}

#[actix::test]
async fn a_storm_on_an_order_that_is_not_loaded_starts_one_actor_and_one_flight() {
    let stage = stage(
        Plan {
            idle: Duration::from_millis(50),
            ..PLAN
        },
        None,
    )
    .await;
    let order = stage.order(1).await;
    while stage.directory.loaded().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = join_all((0..200).map(|_| stage.confirm(order, "key-a"))).await;
    assert!(heard.iter().all(|one| *one == heard[0] && is_paid(one)));
    assert_eq!((stage.confirms(), stage.directory.loaded().await), (1, 1));
}

/// What the gate believes is told by the journal, at once, in both directions.
#[actix::test]
async fn the_gate_knows_a_restock_at_once_and_asks_again_when_its_knowledge_is_old() {
    let stage = stage(PLAN, None).await;
    let product = ProductId::new(1).unwrap();
    let all = stage.order(59).await;
    assert!(is_paid(&stage.confirm(all, "key-a").await));
    let late = stage.order(1).await;
    let short = stage.confirm(late, "key-b").await;
    assert!(
        matches!(short, Heard::Rejected(Rejection::OutOfStock(_))),
        "{short:?}"
    );
    stage
        .directory
        .restock(product, 1, "found one".into())
        .await
        .unwrap();
    assert!(is_paid(&stage.confirm(late, "key-b").await));

    // Behind the gate's back, as another node would: it refuses for a moment, then lets one through to ask.
    let behind = Change::Restock(Restock {
        id: Uuid::now_v7(),
        product,
        change: 1,
        reason: "elsewhere".into(),
        at: stage.hands.clock.now(),
    });
    stage.hands.store.commit(&[behind]).await.unwrap();
    let more = stage.order(1).await;
    let refused = stage.confirm(more, "key-c").await;
    assert!(
        matches!(refused, Heard::Rejected(Rejection::OutOfStock(_))),
        "{refused:?}"
    );
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(is_paid(&stage.confirm(more, "key-c").await));
}
