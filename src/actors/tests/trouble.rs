//! Actors in trouble: panics, stuck flights, storms, callers who leave, goods set aside by somebody who is gone.
//! After each of them the order is reachable, and nothing has leaked.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{PLAN, Plan, Stage, is_paid, stage, stage_with, until};
use crate::actors::api::Heard;
use crate::actors::payment::FlightLimits;
use crate::actors::recovery::{RecoveryLimits, RecoveryTimer};
use crate::actors::shard::Ignite;
use crate::domain::{Answer, Rejection, Status};
use crate::store::sabotage::Fate;

/// Its flights are stopped after ten seconds.
const SOON_STOPPED: Plan = Plan {
    flight: FlightLimits {
        budget: Duration::from_millis(50),
        call: Duration::from_millis(50),
    },
    ..PLAN
};

fn is_pending(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Pending { .. }))
}

/// The metrics, as text.
fn shown(stage: &Stage) -> String {
    stage.hands.metrics.text().unwrap()
}

fn is_busy(heard: &Heard) -> bool {
    matches!(heard, Heard::Rejected(Rejection::Busy { .. }))
}

/// The call was made and its answer never comes: the actor stops the flight at its deadline, and asks.
#[actix::test]
async fn a_flight_that_never_ends_is_stopped_at_its_deadline_and_its_order_reached_again() {
    let stage = stage(SOON_STOPPED, Some(Arc::default())).await;
    let order = stage.order(1).await;
    let began = Instant::now();
    let longer = Duration::from_secs(120);
    let heard = join_all((0..3).map(|_| stage.confirm_within(order, "key-a", longer))).await;
    assert!(heard.iter().all(is_pending), "{heard:?}");
    let deadline = stage.hands.limits.flight();
    assert!(began.elapsed() >= deadline, "stopped early");
    until("asked and found", async || {
        is_paid(&stage.confirm(order, "key-a").await)
    })
    .await;
    assert_eq!((stage.confirms(), stage.hands.flights.out()), (1, 0));
    assert_eq!(stage.reserved().await, 0);
}

/// They stood in line for a reader when they were stopped: what they would have been given is there for others.
#[actix::test]
async fn flights_that_are_stopped_in_line_for_a_reader_take_none_with_them() {
    let gate = Arc::new(Notify::new());
    let stage = stage(SOON_STOPPED, Some(gate.clone())).await;
    stage.slips.lost.store(4, Ordering::SeqCst);
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(stage.order(1).await);
    }
    let longer = Duration::from_secs(120);
    let paying = join_all(
        orders
            .iter()
            .map(|order| stage.confirm_within(*order, "key-a", longer)),
    );
    let trouble = async {
        until("the calls are out", async || stage.confirms() == 4).await;
        let readers = stage.hands.store.hold_readers().await;
        stage.hands.store.sabotage(&[Fate::Landed; 4], 16);
        (0..4).for_each(|_| gate.notify_one());
        gate.notify_waiters();
        sleep(stage.hands.limits.flight() + Duration::from_secs(1)).await;
        drop(readers);
        let read = stage.hands.store.load(orders[0].0);
        let read = timeout(Duration::from_secs(2), read).await;
        assert!(matches!(read, Ok(Ok(Some(_)))), "{read:?}");
    };
    let (heard, ()) = tokio::join!(paying, trouble);
    assert!(
        heard
            .iter()
            .all(|heard| is_pending(heard) || is_paid(heard)),
        "{heard:?}"
    );
}

/// Nobody else could say it again: from now on Toss shows another order under this key.
#[actix::test]
async fn an_approval_in_hand_is_written_however_long_the_database_is_away() {
    let gate = Arc::new(Notify::new());
    let stage = stage(SOON_STOPPED, Some(gate.clone())).await;
    stage.slips.strangers.store(usize::MAX, Ordering::SeqCst);
    let order = stage.order(1).await;
    let paying = stage.confirm_within(order, "key-a", Duration::from_secs(120));
    let shows = |line: &str| shown(&stage).lines().any(|told| told == line);
    let trouble = async {
        until("the call is out", async || stage.confirms() == 1).await;
        let away = stage.hands.store.lock().await;
        gate.notify_one();
        sleep(stage.hands.limits.flight() + Duration::from_secs(1)).await;
        assert_eq!(stage.hands.flights.out(), 1, "it holds on");
        assert!(shows("payonce_approvals_unwritten 1"));
        away.release().await;
    };
    let (heard, ()) = tokio::join!(paying, trouble);
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!((stage.confirms(), stage.hands.flights.out()), (1, 0));
    assert!(shows("payonce_approvals_unwritten 0"));
}

/// A gauge that stands still while the journal hangs would hide just that.
#[actix::test]
async fn what_waits_behind_a_batch_that_hangs_is_counted() {
    let stage = stage(PLAN, None).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(stage.order(1).await);
    }
    // A batch that hung for too long is busy, and those who hear that ask again.
    let pay = async |order| loop {
        let heard = stage.confirm(order, "key-a").await;
        if !is_busy(&heard) {
            return heard;
        }
    };
    let paying = join_all(orders.iter().map(|order| pay(*order)));
    let hanging = stage.hands.store.lock().await;
    let trouble = async {
        until("some wait behind it", async || {
            let nobody = "payonce_journal_queued 0";
            !shown(&stage).lines().any(|line| line == nobody)
        })
        .await;
        hanging.release().await;
    };
    let ((), heard) = tokio::join!(trouble, paying);
    assert!(heard.iter().all(is_paid), "{heard:?}");
    assert!(shown(&stage).contains("payonce_journal_queued 0"));
}

/// Thousands of messages while the order's actor is retired and started as fast as it goes.
#[actix::test]
async fn a_storm_of_retiring_and_starting_loses_no_message_and_calls_once() {
    let idle = Duration::ZERO;
    let stage = stage(Plan { idle, ..PLAN }, None).await;
    let order = stage.order(1).await;
    let (mut wave, mut retired) = (0_u64, 0);
    while wave < 150 || retired <= 20 {
        assert!(wave < 10_000, "only {retired} retirements: no storm");
        let heard = join_all((0..20).map(|_| stage.confirm(order, "key-a"))).await;
        assert!(heard.iter().all(is_paid), "wave {wave}: {heard:?}");
        sleep(Duration::from_millis(wave % 12)).await;
        retired += usize::from(stage.directory.loaded().await == 0);
        wave += 1;
    }
    assert_eq!(stage.confirms(), 1);
}

#[actix::test]
async fn a_caller_who_leaves_cancels_nothing_and_frees_its_places() {
    let gate = Arc::new(Notify::new());
    let plan = Plan {
        most_waiters: 3,
        confirms: 3,
        ..PLAN
    };
    let stage = stage(plan, Some(gate.clone())).await;
    let order = stage.order(1).await;
    let moment = Duration::from_millis(200);
    let hasty = join_all((0..3).map(|_| timeout(moment, stage.confirm(order, "key-a")))).await;
    assert!(hasty.iter().all(Result::is_err), "all three have left");
    let release = async {
        until("the call is out", async || stage.confirms() == 1).await;
        gate.notify_one();
    };
    let rest = join_all((0..3).map(|_| stage.confirm(order, "key-a")));
    let (heard, ()) = tokio::join!(rest, release);
    assert!(heard.iter().all(is_paid), "{heard:?}");
    assert_eq!(stage.confirms(), 1);
}

/// The flight is gone while its intent waits for the journal. The write lands, and the gate has counted the goods once.
#[actix::test]
async fn goods_of_a_flight_that_died_before_its_intent_was_answered_are_settled_once() {
    let shut = Arc::new(Notify::new());
    let stage = stage_with(PLAN, None, Some(shut.clone())).await;
    let opened = async {
        until("the checkout is before the journal", async || {
            stage.writes.load(Ordering::SeqCst) == 1
        })
        .await;
        shut.notify_waiters();
    };
    let (order, ()) = tokio::join!(stage.order(3), opened);
    let before = stage.writes.load(Ordering::SeqCst);
    let paying = stage.confirm_within(order, "key-a", Duration::from_secs(60));
    let trouble = async {
        until("the intent is before the journal", async || {
            stage.writes.load(Ordering::SeqCst) > before
        })
        .await;
        assert_eq!(stage.reserved().await, 3);
        stage.shard.send(Ignite(order.0)).await.unwrap();
        // The caller's second message starts the order's actor anew: another intent, which will be stale.
        until("a second intent", async || {
            stage.writes.load(Ordering::SeqCst) > before + 1
        })
        .await;
        assert_eq!(stage.reserved().await, 6, "the dead flight's goods too");
        shut.notify_waiters();
    };
    let (heard, ()) = tokio::join!(paying, trouble);
    assert!(is_paid(&heard) || is_pending(&heard), "{heard:?}");
    until("paid", async || {
        shut.notify_waiters();
        is_paid(&stage.confirm(order, "key-a").await)
    })
    .await;
    assert_eq!((stage.reserved().await, stage.confirms()), (0, 1));
}

/// An intent that is refused gives its goods back before the caller hears of it.
#[actix::test]
async fn goods_of_a_refused_intent_are_back_when_the_caller_hears() {
    let stage = stage(Plan { queue: 1, ..PLAN }, None).await;
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(stage.order(2).await);
    }
    // The first intent is being written and cannot be, the second waits for it: that is the whole queue.
    let held = stage.hands.store.hold().await;
    let refused = Cell::new(0);
    let confirms = orders.iter().enumerate().map(async |(n, order)| {
        let heard = stage.confirm(*order, &format!("key-{n}")).await;
        if is_busy(&heard) {
            refused.set(refused.get() + 1);
            let most = 2 * (8 - refused.get());
            assert!(stage.reserved().await <= most, "its goods are set aside");
        }
        heard
    });
    let release = async {
        until("six are refused", async || refused.get() == 6).await;
        assert_eq!(stage.reserved().await, 4);
        held.release().await;
    };
    let (heard, ()) = tokio::join!(join_all(confirms), release);
    assert_eq!(heard.iter().filter(|heard| is_paid(heard)).count(), 2);
    assert_eq!(stage.reserved().await, 0);
}

/// Whatever makes every flight of an order panic, it does not spin.
#[actix::test]
async fn an_order_that_panics_every_time_rests_and_is_reachable_when_it_is_mended() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    stage.hands.sabotage.poison.store(true, Ordering::SeqCst);
    assert!(is_pending(&stage.confirm(order, "key-a").await));
    let stumbles = || stage.hands.sabotage.stumbles.load(Ordering::SeqCst);
    // Taken in hand at once after its first fall, and then left alone.
    until("a second fall", async || stumbles() == 2).await;
    // All of them within its rest.
    for _ in 0..10 {
        _ = stage.directory.wake(order.0, Status::InProgress).await;
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(stumbles(), 2, "the worker was restarted again and again");
    assert!(is_pending(&stage.confirm(order, "key-a").await));
    stage.hands.sabotage.poison.store(false, Ordering::SeqCst);
    assert!(is_paid(&stage.confirm(order, "key-a").await));
    assert_eq!((stage.confirms(), stage.reserved().await), (1, 0));
}

/// A timer that was never started, or has stopped, is seen by whoever asks whether we are ready.
#[actix::test]
async fn a_recovery_timer_that_does_not_run_is_not_ready() {
    let stage = stage(PLAN, None).await;
    let vitals = stage.directory.vitals();
    let well = Duration::from_secs(60);
    vitals.journal.good_for(well);
    vitals.node.good_for(well);
    assert_eq!(stage.directory.not_ready().await, ["recovery"]);
    let limits = RecoveryLimits {
        tick: Duration::from_millis(20),
        batch: 16,
        per_second: 500,
    };
    RecoveryTimer::new(stage.directory.clone(), stage.hands.clone(), limits).start();
    until("ready", async || {
        stage.directory.not_ready().await.is_empty()
    })
    .await;
}

/// As many flights as may be: one more is refused before it is loaded or costs a write; joining one is not one more.
#[actix::test]
async fn beyond_the_bound_of_flights_a_confirm_is_refused_at_once_and_joining_is_not() {
    let gate = Arc::new(Notify::new());
    let plan = Plan {
        flights: 1,
        idle: Duration::ZERO,
        ..PLAN
    };
    let stage = stage(plan, Some(gate.clone())).await;
    let (first, other) = tokio::join!(stage.order(1), stage.order(1));
    until("retired", async || stage.directory.loaded().await == 0).await;
    let meanwhile = async {
        until("the call is out", async || stage.confirms() == 1).await;
        let writes = stage.writes.load(Ordering::SeqCst);
        assert!(is_busy(&stage.confirm(other, "key-b").await));
        assert_eq!(stage.directory.loaded().await, 1, "it was loaded for that");
        assert_eq!(stage.writes.load(Ordering::SeqCst), writes);
        let joining = stage.confirm(first, "key-a");
        let release = async {
            sleep(Duration::from_millis(50)).await;
            gate.notify_one();
        };
        let (joined, ()) = tokio::join!(joining, release);
        assert!(is_paid(&joined), "{joined:?}");
    };
    let (paid, ()) = tokio::join!(stage.confirm(first, "key-a"), meanwhile);
    assert!(is_paid(&paid), "{paid:?}");
    let late = async {
        until("the call is out", async || stage.confirms() == 2).await;
        gate.notify_one();
    };
    let (paid, ()) = tokio::join!(stage.confirm(other, "key-b"), late);
    assert!(is_paid(&paid), "{paid:?}");
}

/// The order is being written down, slowly, and nobody else talks to its actor: it is at work all the same.
#[actix::test]
async fn an_actor_whose_checkout_is_being_written_is_not_retired() {
    let shut = Arc::new(Notify::new());
    let plan = Plan {
        idle: Duration::ZERO,
        ..PLAN
    };
    let stage = stage_with(plan, None, Some(shut.clone())).await;
    let release = async {
        until("before the journal", async || {
            stage.writes.load(Ordering::SeqCst) == 1
        })
        .await;
        sleep(Duration::from_millis(100)).await;
        shut.notify_waiters();
    };
    let (order, ()) = tokio::join!(stage.order(1), release);
    let opening = async {
        until("before the journal", async || {
            shut.notify_waiters();
            stage.confirms() == 1
        })
        .await;
    };
    let (paid, ()) = tokio::join!(stage.confirm(order, "key-a"), opening);
    assert!(is_paid(&paid), "{paid:?}");
}
