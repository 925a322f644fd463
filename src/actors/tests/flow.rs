//! What the actors do for one another while all goes well enough: single flight, bounds, gates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Arbiter;
use futures_util::future::join_all;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{PLAN, Plan, is_paid, stage, until};
use crate::actors::api::Heard;
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::product::{Products, Reserve};
use crate::actors::shard::Ignite;
use crate::domain::{Answer, ProductId, Rejection, Won};
use crate::store::{Change, Restock, Verdict};

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

    let full = self::stage(Plan { queue: 0, ..PLAN }, None).await;
    let hands = &full.hands;
    let (incarnation, at) = (hands.membership.latest(), hands.clock.now());
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
    stage.hands.sabotage.next.store(true, Ordering::SeqCst);
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
    // Two actors of one order would both have begun it: one of the writes is stale, and it was made.
    let writes = stage.writes.load(Ordering::SeqCst);
    assert_eq!(writes, 3, "a checkout, a beginning and an end");
}

/// The database is slow, and everybody wants one order that is not in memory.
#[actix::test]
async fn callers_beyond_a_few_do_not_wait_for_an_order_to_be_loaded() {
    let plan = Plan {
        idle: Duration::from_millis(50),
        loading: 3,
        ..PLAN
    };
    let stage = stage(plan, None).await;
    let order = stage.order(1).await;
    until("nobody is loaded", async || {
        stage.directory.loaded().await == 0
    })
    .await;
    let readers = stage.hands.store.hold_readers().await;
    let calls = join_all((0..10).map(|_| stage.confirm(order, "key-a")));
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(readers);
    };
    let (heard, ()) = tokio::join!(calls, later);
    let is_busy = |one: &&Heard| matches!(one, Heard::Rejected(Rejection::Busy { .. }));
    assert_eq!(heard.iter().filter(is_busy).count(), 7, "{heard:?}");
    assert_eq!(heard.iter().filter(|one| is_paid(one)).count(), 3);
    assert_eq!(stage.confirms(), 1);
}

/// What the gate believes is told by the journal, at once, in both directions.
#[actix::test]
async fn the_gate_knows_a_restock_at_once_and_asks_again_when_its_knowledge_is_old() {
    // Longer than a disk stands still while the gate is to be ignorant.
    let plan = Plan {
        recheck: Duration::from_secs(4),
        ..PLAN
    };
    let stage = stage(plan, None).await;
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
    let begun = tokio::time::Instant::now();
    until("asked again", async || {
        is_paid(&stage.confirm(more, "key-c").await)
    })
    .await;
    assert!(begun.elapsed() < 3 * plan.recheck, "{:?}", begun.elapsed());
}

/// Who is let through to ask and comes back without having asked leaves the next one to ask, at once.
#[actix::test]
async fn a_gate_that_lets_somebody_ask_waits_for_an_answer_and_not_for_its_clock() {
    let recheck = Duration::from_secs(4);
    let stage = stage(PLAN, None).await;
    let products = Products::new(vec![Arbiter::current()], recheck);
    let gate = products.gate(ProductId::new(1).unwrap(), &stage.hands.journal);
    products.settle(ProductId::new(1).unwrap(), Some(0), Vec::new());
    assert!(gate.send(Reserve { quantity: 1 }).await.unwrap().is_err());
    tokio::time::sleep(recheck).await;
    for _ in 0..3 {
        // Another line of its order is short.
        drop(gate.send(Reserve { quantity: 1 }).await.unwrap().unwrap());
    }
    let asks = gate.send(Reserve { quantity: 1 }).await.unwrap().unwrap();
    assert!(gate.send(Reserve { quantity: 1 }).await.unwrap().is_err());
    // The database's answer comes first, and then the goods are given back.
    products.settle(ProductId::new(1).unwrap(), Some(0), Vec::new());
    drop(asks);
    assert!(gate.send(Reserve { quantity: 1 }).await.unwrap().is_err());
}
