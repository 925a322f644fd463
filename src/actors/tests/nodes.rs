//! Two nodes on one database. Whoever is asked, an order is sent once and answered the same; the living are left
//! alone, the dead are taken over, and whoever may have been taken for dead sends nothing.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::actors::node::NodeActor;
use crate::actors::payment::FlightLimits;
use crate::actors::recovery::{RecoveryLimits, RecoveryTimer};
use crate::actors::vitals::Vitals;
use crate::domain::rejection::{KeyConflict, NotPayable};
use crate::domain::{Payment, Status};

/// Nobody dies of a slow machine.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(600);

pub(super) const NODES: Plan = Plan {
    dead_after: DEAD_AFTER,
    ..PLAN
};

pub(super) async fn shared() -> World {
    let world = world().await;
    world.store.share();
    world
}

impl World {
    /// A node whose row was written just now, and is not written again.
    async fn node(&self, plan: Plan) -> Stage {
        self.node_with(plan, None, None).await
    }

    async fn node_with(
        &self,
        plan: Plan,
        gate: Option<Arc<Notify>>,
        shut: Option<Arc<Notify>>,
    ) -> Stage {
        let stage = self.stage(plan, gate, shut);
        self.register(&stage).await;
        stage
    }

    pub(super) async fn register(&self, stage: &Stage) {
        let (incarnation, name) = (stage.hands.membership.latest(), "n".into());
        let register = Change::Register { incarnation, name };
        self.store.commit(&[register]).await.unwrap();
        assert!(stage.hands.membership.renew(incarnation, Instant::now()));
    }

    /// The node does not answer any more, and its heartbeat is old.
    async fn dies(&self, stage: &Stage) {
        let incarnation = stage.hands.membership.latest();
        self.store.age_heartbeat(incarnation, DEAD_AFTER).await;
        stage.hands.membership.lapse();
    }

    pub(super) async fn load(&self, order: OrderId) -> Payment {
        self.store.load(order).await.unwrap().unwrap()
    }

    pub(super) async fn events(&self, order: OrderId) -> Vec<Box<str>> {
        let rows = self.store.history(order).await.unwrap();
        rows.into_iter().map(|row| row.event).collect()
    }

    fn confirms(&self) -> usize {
        self.confirms.load(Ordering::SeqCst)
    }
}

impl Stage {
    async fn wake(&self, order: OrderId, status: Status) {
        _ = self.directory.wake(order, status).await;
    }
}

fn is_pending(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Pending { .. }))
}

fn conflict(with: KeyConflict) -> Heard {
    Heard::Rejected(Rejection::InvalidPaymentKey(with))
}

pub(super) const TIMER: RecoveryLimits = RecoveryLimits {
    tick: Duration::from_millis(20),
    batch: 16,
    per_second: 2_000,
};

#[actix::test]
async fn an_order_confirmed_at_two_nodes_at_once_is_sent_once_and_answered_equally() {
    let world = shared().await;
    let gate = Arc::new(Notify::new());
    let one = world.node_with(NODES, Some(gate.clone()), None).await;
    let two = world.node_with(NODES, Some(gate.clone()), None).await;
    let order = one.order(1).await;
    let ones = join_all((0..20).map(|_| one.confirm_within(order, "key-a", DEAD_AFTER)));
    let twos = join_all((0..20).map(|_| two.confirm_within(order, "key-a", DEAD_AFTER)));
    let release = async {
        until("the call is out", async || world.confirms() > 0).await;
        let rival = two.confirm(order, "key-b").await;
        assert_eq!(rival, conflict(KeyConflict::InFlight));
        gate.notify_one();
    };
    let (ones, twos, ()) = tokio::join!(ones, twos, release);
    let all = [ones, twos].concat();
    assert!(all.iter().all(|heard| *heard == all[0]), "{all:?}");
    assert!(is_paid(&all[0]), "{all:?}");
    assert_eq!(world.confirms(), 1);
    assert_eq!(world.events(order.0).await.len(), 3);
    assert_eq!((one.reserved().await, two.reserved().await), (0, 0));
}

/// The call is slow. Whoever asks elsewhere waits its patience and hears that it is being checked; nobody asks Toss.
#[actix::test]
async fn what_a_living_node_has_in_progress_is_followed_and_left_alone() {
    let world = shared().await;
    let gate = Arc::new(Notify::new());
    // Its hard deadline passes at once: age says nothing about an owner that lives.
    let one = world.node_with(NODES, Some(gate.clone()), None).await;
    let two = world.node(NODES).await;
    let order = one.order(1).await;
    let paying = one.confirm_within(order, "key-a", DEAD_AFTER);
    let meanwhile = async {
        until("the call is out", async || world.confirms() == 1).await;
        let hasty = Duration::from_millis(300);
        let heard = two.confirm_within(order, "key-a", hasty).await;
        assert!(is_pending(&heard), "{heard:?}");
        for _ in 0..5 {
            two.wake(order.0, Status::InProgress).await;
        }
        let timer = RecoveryTimer::new(two.directory.clone(), two.hands.clone(), TIMER).start();
        let follower = two.confirm_within(order, "key-a", DEAD_AFTER);
        let release = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gate.notify_one();
        };
        let (heard, ()) = tokio::join!(follower, release);
        assert!(is_paid(&heard), "{heard:?}");
        drop(timer);
    };
    let (paid, ()) = tokio::join!(paying, meanwhile);
    assert!(is_paid(&paid), "{paid:?}");
    assert_eq!(world.confirms(), 1);
    let events = world.events(order.0).await;
    assert_eq!(events.len(), 3, "nobody claimed it: {events:?}");
}

/// The intent is durable, its node dies before or after the call: another one asks, and sends with the same key.
#[actix::test]
async fn what_a_dead_node_had_in_progress_is_taken_over() {
    for by_a_buyer in [true, false] {
        let world = shared().await;
        let never = Arc::new(Notify::new());
        let one = world.node_with(NODES, Some(never), None).await;
        let two = world.node(NODES).await;
        let order = one.order(1).await;
        let lost = one.confirm_within(order, "key-a", Duration::from_millis(300));
        assert!(is_pending(&lost.await));
        until("the call is out", async || world.confirms() == 1).await;
        assert_eq!(world.load(order.0).await.status, Status::InProgress);
        world.dies(&one).await;
        if by_a_buyer {
            let heard = two.confirm_within(order, "key-a", DEAD_AFTER).await;
            assert!(is_paid(&heard), "{heard:?}");
        } else {
            RecoveryTimer::new(two.directory.clone(), two.hands.clone(), TIMER).start();
        }
        until("paid", async || {
            world.load(order.0).await.status == Status::Done
        })
        .await;
        assert_eq!(world.events(order.0).await[2], "OWNER_LOST".into());
        assert_eq!(world.confirms(), 1, "it was asked about, and found");
    }
}

/// It slept between its intent and its call. By the time it wakes, others may have asked, sent and answered.
#[actix::test]
async fn a_node_that_slept_sends_nothing() {
    let world = shared().await;
    let shut = Arc::new(Notify::new());
    let one = world.node_with(NODES, None, Some(shut.clone())).await;
    let two = world.node(NODES).await;
    let order = two.order(1).await;
    let paying = one.confirm_within(order, "key-a", DEAD_AFTER);
    let asleep = async {
        until("the intent is before the journal", async || {
            one.writes.load(Ordering::SeqCst) == 1
        })
        .await;
        world.dies(&one).await;
        shut.notify_waiters();
        until("the intent is written, and nothing was sent", async || {
            world.load(order.0).await.status == Status::Unknown
        })
        .await;
        assert_eq!(world.confirms(), 0);
    };
    let (heard, ()) = tokio::join!(paying, asleep);
    assert!(is_pending(&heard), "{heard:?}");
    let events = world.events(order.0).await;
    assert_eq!(*events[2], *"NOT_ATTEMPTED");
    let refused = one.confirm(one_more(&two).await, "key-z").await;
    let busy = matches!(refused, Heard::Rejected(Rejection::Busy { .. }));
    assert!(busy, "nothing new is begun either: {refused:?}");
    assert_eq!(one.writes.load(Ordering::SeqCst), 2);

    let heard = two.confirm_within(order, "key-a", DEAD_AFTER).await;
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!(one.confirm(order, "key-a").await, heard);
    assert_eq!(world.confirms(), 1);
}

async fn one_more(stage: &Stage) -> (OrderId, Won) {
    stage.order(1).await
}

/// A call on its way when the node is taken for dead: its answer is an answer, and counts once.
#[actix::test]
async fn an_approval_that_comes_home_after_a_take_over_pays_once() {
    let world = shared().await;
    let gate = Arc::new(Notify::new());
    let one = world.node_with(NODES, Some(gate.clone()), None).await;
    let two = world.node(NODES).await;
    let order = one.order(1).await;
    let paying = one.confirm_within(order, "key-a", DEAD_AFTER);
    let take_over = async {
        until("the call is out", async || world.confirms() == 1).await;
        world.dies(&one).await;
        let heard = two.confirm_within(order, "key-a", DEAD_AFTER).await;
        assert!(is_paid(&heard), "{heard:?}");
        gate.notify_one();
        heard
    };
    let (late, heard) = tokio::join!(paying, take_over);
    assert_eq!(late, heard);
    assert_eq!(world.events(order.0).await.len(), 4);
    assert_eq!(world.load(order.0).await.status, Status::Done);
}

/// The order's actor has it READY in its memory all the time; meanwhile it was paid elsewhere, and its time is over.
#[actix::test]
async fn a_memory_that_is_old_refuses_nobody() {
    let world = shared().await;
    let plan = Plan {
        expires_after: Duration::from_secs(5),
        ..NODES
    };
    let (one, two) = (world.node(plan).await, world.node(plan).await);
    let (paid, left) = (one.order(1).await, one.order(1).await);
    let heard = two.confirm(paid, "key-a").await;
    assert!(is_paid(&heard), "{heard:?}");
    until("its time is over", async || {
        let due = world.load(left.0).await.expires_at;
        due <= one.hands.clock.now()
    })
    .await;
    assert_eq!(one.confirm(paid, "key-a").await, heard);
    let rival = one.confirm(paid, "key-b").await;
    assert_eq!(rival, conflict(KeyConflict::Paid));
    let loads = world.store.loads();
    for _ in 0..10 {
        assert_eq!(one.confirm(paid, "key-a").await, heard);
        assert_eq!(one.confirm(paid, "key-b").await, rival);
    }
    assert_eq!(world.store.loads(), loads, "what is settled costs nothing");
    let expired = Heard::Rejected(Rejection::NotPayable(NotPayable::Expired));
    assert_eq!(one.confirm(left, "key-a").await, expired);
}

/// Everybody's timer wants to expire it, and a caller comes in between: one of them does, and nobody is told to wait.
#[actix::test]
async fn an_order_that_two_nodes_expire_is_expired_once() {
    let world = shared().await;
    let plan = Plan {
        expires_after: Duration::from_millis(50),
        ..NODES
    };
    let (one, two) = (world.node(plan).await, world.node(plan).await);
    let order = one.order(1).await;
    let expired = Heard::Rejected(Rejection::NotPayable(NotPayable::Expired));
    // Both have it in memory, as it is now.
    assert!(two.confirm((order.0, Won::new(1).unwrap()), "key-a").await != expired);
    until("its time is over", async || {
        world.load(order.0).await.expires_at <= one.hands.clock.now()
    })
    .await;
    let (_, _, heard, other) = tokio::join!(
        one.wake(order.0, Status::Ready),
        two.wake(order.0, Status::Ready),
        one.confirm(order, "key-a"),
        two.confirm(order, "key-a"),
    );
    assert_eq!((heard, other), (expired.clone(), expired));
    assert_eq!(world.events(order.0).await.len(), 2);
}

/// A sale that is over costs hardly any reading, and nobody is told "sold out" whose own order has the last piece.
#[actix::test]
async fn a_sold_out_sale_costs_little_reading_and_hides_no_sale() {
    let world = shared().await;
    // However slow the machine is, what was seen is not old.
    let plan = Plan {
        recheck: Duration::from_secs(600),
        ..NODES
    };
    let (one, two) = (world.node(plan).await, world.node(plan).await);
    let mine = one.order(1).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(one.order(1).await);
    }
    // The last item goes to this very order, at the other node.
    let rest = two.order(58).await;
    assert!(is_paid(&two.confirm(rest, "key-rest").await));
    let paid = two.confirm(mine, "key-mine").await;
    assert!(is_paid(&paid), "{paid:?}");
    // The gate here learns that it is empty by the first who asks the database.
    let short = |heard: &Heard| matches!(heard, Heard::Rejected(Rejection::OutOfStock(_)));
    assert!(short(&one.confirm(crowd[0], "key-0").await));
    let loads = world.store.loads();
    for (n, order) in crowd.iter().enumerate().skip(1) {
        let heard = one.confirm(*order, &format!("key-{n}")).await;
        assert!(short(&heard), "{heard:?}");
    }
    assert_eq!(world.store.loads(), loads);
    assert_eq!(one.confirm(mine, "key-mine").await, paid);
    assert!(short(&one.confirm(crowd[1], "key-1").await));
    assert_eq!(world.confirms(), 2);
}

/// A proxy knows no order: most confirms meet a node that has not seen theirs.
#[actix::test]
async fn a_crowd_whose_orders_another_node_has_made_is_read_many_at_once() {
    let world = shared().await;
    let (one, two) = (world.node(NODES).await, world.node(NODES).await);
    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(one.order(1).await);
    }
    let stranger = (OrderId::new(Uuid::now_v7()), crowd[0].1);
    let loads = world.store.loads();
    let confirms = crowd.iter().map(|order| two.confirm(*order, "key-a"));
    let (heard, unknown) = tokio::join!(join_all(confirms), two.confirm(stranger, "key-a"));
    assert!(heard.iter().all(is_paid), "{heard:?}");
    let not_found = Rejection::PaymentNotFound(Some(stranger.0));
    assert_eq!(unknown, Heard::Rejected(not_found));
    let readings = world.store.loads() - loads;
    assert!(readings <= 10, "{readings} readings of 51 orders");
}

/// Two hosts with one name, or a rolling deploy: the newcomer touches nothing of the elder while that one lives.
#[actix::test]
async fn two_nodes_with_one_name_leave_each_other_alone() {
    let world = shared().await;
    let gate = Arc::new(Notify::new());
    let one = world.node_with(NODES, Some(gate.clone()), None).await;
    let order = one.order(1).await;
    let lost = one.confirm_within(order, "key-a", Duration::from_millis(100));
    assert!(is_pending(&lost.await));
    until("the call is out", async || world.confirms() == 1).await;
    let two = world.stage(NODES, None, None);
    let (hands, beat) = (&two.hands, Duration::from_millis(20));
    NodeActor::new(hands, "n".into(), beat, Vitals::default()).start();
    until("registered", async || {
        two.hands.membership.current().is_some()
    })
    .await;
    let living = world.store.living(DEAD_AFTER).await.unwrap();
    assert_eq!(living.len(), 2, "{living:?}");
    RecoveryTimer::new(two.directory.clone(), two.hands.clone(), TIMER).start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.load(order.0).await.status, Status::InProgress);
    world.dies(&one).await;
    until("taken over", async || {
        world.load(order.0).await.status == Status::Done
    })
    .await;
    assert_eq!(world.confirms(), 1);
}

/// What a heart tells of its journal, the timers of all others hear, and not its own; and what it does not tell any more.
#[actix::test]
async fn nodes_hear_of_each_other_whether_they_are_saturated() {
    let world = shared().await;
    let (busy, other) = (world.stage(NODES, None, None), world.node(NODES).await);
    let tick = Duration::from_millis(20);
    NodeActor::new(&busy.hands, "n".into(), tick, Vitals::default()).start();
    for node in [&busy, &other] {
        RecoveryTimer::new(node.directory.clone(), node.hands.clone(), TIMER).start();
    }
    until("registered", async || {
        busy.hands.membership.current().is_some()
    })
    .await;
    let pause = |node: &Stage| node.hands.pacing.pause_after(100, tick, Instant::now());
    assert!(pause(&other).is_zero());
    // For some ticks: each of the two looks meanwhile.
    let mut heard = 0;
    until("heard of", async || {
        assert!(pause(&busy).is_zero(), "it hears of itself");
        heard += u32::from(pause(&other) == tick);
        heard > 20
    })
    .await;
    until("quiet again", async || pause(&other).is_zero()).await;
}

/// No heartbeat could be written for too long: the process begins anew, and finds what it had left itself.
#[actix::test]
async fn an_incarnation_that_ends_is_followed_by_another_which_settles_what_it_left() {
    let world = shared().await;
    let plan = Plan {
        // It is not to end before it is held.
        dead_after: Duration::from_secs(6),
        flight: FlightLimits {
            budget: Duration::from_millis(50),
            call: Duration::from_millis(50),
        },
        ..PLAN
    };
    let never = Arc::new(Notify::new());
    let stage = world.stage(plan, Some(never), None);
    let (hands, beat) = (&stage.hands, Duration::from_millis(20));
    NodeActor::new(hands, "n".into(), beat, Vitals::default()).start();
    until("registered", async || hands.membership.current().is_some()).await;
    let former = hands.membership.latest();
    let order = stage.order(1).await;
    assert!(is_pending(
        &stage
            .confirm_within(order, "key-a", Duration::from_millis(100))
            .await
    ));
    until("the call is out", async || world.confirms() == 1).await;
    let lock = world.store.hold().await;
    until("late", async || hands.membership.current().is_none()).await;
    lock.release().await;
    until("somebody new", async || {
        let current = hands.membership.current();
        current.is_some_and(|current| current != former)
    })
    .await;
    until("the former one's row is closed", async || {
        let long = Duration::from_secs(3_600);
        !world.store.lives(former, long).await.unwrap()
    })
    .await;
    RecoveryTimer::new(stage.directory.clone(), stage.hands.clone(), TIMER).start();
    until("settled", async || {
        world.load(order.0).await.status == Status::Done
    })
    .await;
    assert_eq!(world.confirms(), 1);
}

/// Each timer takes its own share in hand; the shares of the dead, and what the living leave lying, are everybody's.
#[actix::test]
async fn timers_of_several_nodes_share_the_work_and_leave_nothing() {
    let world = shared().await;
    let never = Arc::new(Notify::new());
    let dead = world.node_with(NODES, Some(never), None).await;
    let mut orders = Vec::new();
    for n in 0..40 {
        let order = dead.order(1).await;
        let key = format!("key-{n}");
        let lost = dead.confirm_within(order, &key, Duration::from_millis(1));
        _ = lost.await;
        orders.push(order.0);
    }
    until("all are out", async || world.confirms() == 40).await;
    world.dies(&dead).await;
    let (one, two) = (world.node(NODES).await, world.node(NODES).await);
    // A third one lives and does nothing.
    let _idle = world.node(NODES).await;
    for stage in [&one, &two] {
        RecoveryTimer::new(stage.directory.clone(), stage.hands.clone(), TIMER).start();
    }
    until("all are settled", async || {
        let mut done = 0;
        for order in &orders {
            done += usize::from(world.load(*order).await.status == Status::Done);
        }
        done == orders.len()
    })
    .await;
    let mut owners = HashMap::new();
    for order in orders {
        assert_eq!(world.events(order).await.len(), 4, "claimed once");
        *owners.entry(world.load(order).await.owner).or_insert(0) += 1;
    }
    assert_eq!(owners.len(), 2, "{owners:?}");
    assert_eq!(world.confirms(), 40);
}
