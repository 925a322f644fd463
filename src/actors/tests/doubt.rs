//! Commits whose answers were lost: landed, vanished or late; looked at at once or only later. Nobody hears what is
//! not durable, nothing is sent twice, and nobody is told to repeat what was done.

use super::nodes::{NODES, shared};
use super::*;
use crate::actors::api::{CheckoutIdempotency, Refused};
use crate::domain::{Claim, Event, Status, after};
use crate::store::sabotage::{Fate, Forgetting};

const FATES: [(Fate, u32); 4] = [
    (Fate::Landed, 0),
    (Fate::Landed, 1),
    (Fate::Vanished, 0),
    (Fate::Vanished, 1),
];

fn is_pending(heard: &Heard) -> bool {
    matches!(heard, Heard::Answer(Answer::Pending { .. }))
}

impl Stage {
    async fn status(&self, order: OrderId) -> Status {
        let payment = self.hands.store.load(order).await.unwrap().unwrap();
        payment.status
    }

    async fn events(&self, order: OrderId) -> Vec<Box<str>> {
        let rows = self.hands.store.history(order).await.unwrap();
        rows.into_iter().map(|row| row.event).collect()
    }

    async fn shelf(&self) -> (i64, i64) {
        let product = ProductId::new(1).unwrap();
        let counted = self.hands.store.counted(&[product]).await.unwrap();
        (counted[0].product.stock, counted[0].held)
    }

    /// What the gate of product 1 would grant at most.
    async fn available(&self) -> i64 {
        let product = ProductId::new(1).unwrap();
        let gate = self.hands.products.gate(product, &self.hands.journal);
        let refused = gate.send(Reserve { quantity: 1_000 }).await.unwrap();
        refused.unwrap_err().available
    }

    fn is_spent(&self) -> bool {
        self.hands.store.is_spent()
    }
}

#[actix::test]
async fn an_approval_whose_commit_answer_was_lost_is_paid_once_and_answered_so() {
    for (fate, blind) in FATES {
        let stage = stage(PLAN, None).await;
        let order = stage.order(1).await;
        stage
            .hands
            .store
            .sabotage(&[Fate::Acknowledged, fate], blind);
        let heard = stage.confirm(order, "key-a").await;
        assert!(is_paid(&heard), "{fate:?}, {blind}: {heard:?}");
        assert_eq!((stage.confirms(), stage.is_spent()), (1, true));
        assert_eq!(stage.status(order.0).await, Status::Done);
        assert_eq!(stage.events(order.0).await.len(), 3, "{fate:?}, {blind}");
        assert_eq!(stage.shelf().await, (58, 0));
    }
}

/// The original comes after the read-back said "not yet": one of the two writes finds the other's version.
#[actix::test]
async fn an_outcome_that_lands_late_is_not_written_twice() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    let fates = [Fate::Acknowledged, Fate::Late];
    stage.hands.store.sabotage(&fates, 0);
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_paid(&heard), "{heard:?}");
    let late = stage.hands.store.land_late().await.unwrap();
    assert_eq!(late.verdicts, [Verdict::Stale { version: Some(3) }]);
    assert_eq!(stage.events(order.0).await.len(), 3);
    assert_eq!((stage.confirms(), stage.shelf().await), (1, (58, 0)));
}

/// One look-up named another order, and was written down though nobody heard: it is one look-up still, and a mix-up
/// must not fail an order that Toss approved.
#[actix::test]
async fn a_finding_whose_commit_answer_was_lost_counts_once() {
    let flight = FlightLimits {
        budget: Duration::from_secs(60),
        ..PLAN.flight
    };
    for (fate, blind) in FATES {
        let stage = stage(Plan { flight, ..PLAN }, None).await;
        let order = stage.order(1).await;
        stage.slips.lost.store(1, Ordering::SeqCst);
        stage.slips.strangers.store(1, Ordering::SeqCst);
        let fates = [Fate::Acknowledged, Fate::Acknowledged, fate];
        stage.hands.store.sabotage(&fates, blind);
        let patience = Duration::from_secs(60);
        let heard = stage.confirm_within(order, "key-a", patience).await;
        assert!(is_paid(&heard), "{fate:?}, {blind}: {heard:?}");
        assert_eq!((stage.confirms(), stage.is_spent()), (1, true));
        let events = stage.events(order.0).await;
        let foreign = events.iter().filter(|event| ***event == *"FOUND_FOREIGN");
        assert_eq!(foreign.count(), 1, "{events:?}");
        assert_eq!(stage.shelf().await, (58, 0));
    }
}

#[actix::test]
async fn an_intent_that_landed_unseen_is_found_and_sent() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(9).await;
    stage.hands.store.sabotage(&[Fate::Landed], 0);
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!((stage.confirms(), stage.is_spent()), (1, true));
    assert_eq!(
        (stage.shelf().await, stage.available().await),
        ((50, 0), 50)
    );
}

#[actix::test]
async fn an_intent_that_vanished_is_pending_never_sent_and_can_be_tried_again() {
    for blind in [0, 1] {
        let stage = stage(PLAN, None).await;
        let order = stage.order(1).await;
        stage.hands.store.sabotage(&[Fate::Vanished], blind);
        let heard = stage.confirm(order, "key-a").await;
        assert!(is_pending(&heard), "never busy: it may land: {heard:?}");
        assert_eq!((stage.confirms(), stage.is_spent()), (0, true));
        assert_eq!(stage.shelf().await, (59, 0));
        let heard = stage.confirm(order, "key-a").await;
        assert!(is_paid(&heard), "{heard:?}");
        assert_eq!((stage.confirms(), stage.shelf().await), (1, (58, 0)));
    }
}

/// It landed, nobody could look, and the flight was over: now it is asked about, not sent.
#[actix::test]
async fn an_intent_that_landed_and_could_not_be_read_back_is_asked_about_first() {
    asked_about_first(|store| store.sabotage(&[Fate::Landed], 1)).await;
}

/// It was seen, and a database that dies now would have forgotten it: Toss must not be called on its word.
#[actix::test]
async fn an_intent_that_landed_and_may_be_forgotten_again_is_asked_about_first() {
    asked_about_first(|store| {
        store.sabotage(&[Fate::Landed], 0);
        store.forget(Forgetting::NoWitness);
    })
    .await;
}

/// It was seen, the database crashed, came back without it, and took the witness.
#[actix::test]
async fn an_intent_that_a_crash_takes_back_is_never_sent_and_can_be_tried_again() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    stage.hands.store.sabotage(&[Fate::Landed], 0);
    stage.hands.store.forget(Forgetting::Crash(&[
        "DELETE FROM payment_history WHERE version = 2",
        "DELETE FROM attempts",
        "UPDATE payments SET status = 'READY', version = 1, stock_held = FALSE",
        "UPDATE products SET stock = 59 WHERE id = 1",
    ]));
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_pending(&heard), "{heard:?}");
    assert_eq!((stage.confirms(), stage.is_spent()), (0, true));
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!((stage.confirms(), stage.shelf().await), (1, (58, 0)));
}

async fn asked_about_first(sabotage: impl Fn(&Store)) {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    sabotage(&stage.hands.store);
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_pending(&heard), "{heard:?}");
    assert_eq!((stage.confirms(), stage.is_spent()), (0, true));
    let settled = async {
        while stage.status(order.0).await != Status::Done {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(10), settled).await;
    settled.expect("it is taken over, asked about, and sent");
    let told: Vec<_> = stage.events(order.0).await;
    let told: Vec<&str> = told.iter().map(|event| &**event).collect();
    assert_eq!(told[2..], ["OWNER_LOST", "FOUND_NOTHING", "APPROVED"]);
    assert_eq!((stage.confirms(), stage.shelf().await), (1, (58, 0)));
}

#[actix::test]
async fn an_intent_that_lands_late_leaves_room_for_no_second_attempt() {
    let stage = stage(PLAN, None).await;
    let order = stage.order(1).await;
    stage.hands.store.sabotage(&[Fate::Late], 0);
    let heard = stage.confirm(order, "key-a").await;
    assert!(is_pending(&heard), "{heard:?}");
    stage.hands.store.land_late().await.unwrap();
    let heard = stage.confirm(order, "key-b").await;
    let conflict = matches!(heard, Heard::Rejected(Rejection::InvalidPaymentKey(_)));
    assert!(conflict || is_pending(&heard), "{heard:?}");
    assert_eq!(stage.confirms(), 0);
    let payment = stage.hands.store.load(order.0).await.unwrap().unwrap();
    let keys: Vec<_> = payment.attempts.iter().map(|a| &a.payment_key).collect();
    assert_eq!(keys, [&PaymentKey::parse("key-a").unwrap()]);
    assert_eq!(stage.shelf().await, (58, 1));
}

#[actix::test]
async fn a_checkout_whose_answer_was_lost_is_found_by_its_key_or_expires_unheard() {
    for (fate, blind) in FATES {
        let stage = stage(PLAN, None).await;
        let checkout = async || {
            let request = CheckoutRequest {
                user: UserId::parse("1").unwrap(),
                wanted: [(ProductId::new(1).unwrap(), Quantity::new(1).unwrap())].into(),
                idempotency: Some(CheckoutIdempotency {
                    key: "k".into(),
                    body_hash: [7; 32],
                }),
                trace: TraceId::default(),
            };
            stage.directory.checkout(request).await
        };
        stage.hands.store.sabotage(&[fate], blind);
        let first = checkout().await;
        if (fate, blind) == (Fate::Landed, 0) {
            assert!(first.is_ok_and(|made| !made.replayed));
        } else {
            let busy = Refused::Rejected(Rejection::Busy { retry_after_s: 1 });
            assert_eq!(first, Err(busy), "{fate:?}, {blind}");
        }
        let again = checkout().await.unwrap();
        assert_eq!(again.replayed, fate == Fate::Landed, "{fate:?}, {blind}");
        let orders = stage.hands.store.recent(10).await.unwrap();
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].order, again.payment.order.id);
    }
}

#[actix::test]
async fn a_change_of_stock_whose_answer_was_lost_is_made_once_or_not_at_all() {
    let product = ProductId::new(1).unwrap();
    let busy = Refused::Rejected(Rejection::Busy { retry_after_s: 1 });
    for (fate, blind, expected, stock) in [
        (Fate::Landed, 0, Ok(60), 60),
        (Fate::Landed, 1, Err(Refused::Doubtful(product)), 60),
        (Fate::Vanished, 0, Err(busy.clone()), 59),
        (Fate::Vanished, 1, Err(Refused::Doubtful(product)), 59),
        (Fate::Late, 0, Err(busy), 59),
    ] {
        let stage = stage(PLAN, None).await;
        stage.hands.store.sabotage(&[fate], blind);
        let told = stage.directory.restock(product, 1, "found".into()).await;
        let told = told.map(|view| view.product.stock);
        assert_eq!(told, expected, "{fate:?}, {blind}");
        if fate == Fate::Late {
            let late = stage.hands.store.land_late().await;
            assert!(late.is_err(), "it was said that it had not happened");
        }
        assert_eq!(stage.shelf().await, (stock, 0), "{fate:?}, {blind}");
    }
}

/// Written, and then no reader is to be had: "try again later" would sound as if it were not.
#[actix::test]
async fn a_change_that_was_made_and_could_not_be_looked_at_is_doubtful() {
    let product = ProductId::new(1).unwrap();
    let stage = stage(PLAN, None).await;
    let text = || stage.hands.metrics.text().unwrap();
    let writing = stage.hands.store.lock().await;
    let trouble = async {
        until("it is being written", async || {
            text().contains("payonce_journal_queue_seconds_count 1\n")
        })
        .await;
        let readers = stage.hands.store.hold_readers().await;
        writing.release().await;
        readers
    };
    let restock = stage.directory.restock(product, 1, "found".into());
    let (told, readers) = tokio::join!(restock, trouble);
    assert_eq!(told.map(drop), Err(Refused::Doubtful(product)));
    drop(readers);
    assert_eq!(stage.shelf().await, (60, 0));
}

/// It was seen, and a crash took it back: it is made once, when it is asked for again.
#[actix::test]
async fn a_change_of_stock_that_a_crash_takes_back_never_happened() {
    let product = ProductId::new(1).unwrap();
    let stage = stage(PLAN, None).await;
    stage.hands.store.sabotage(&[Fate::Landed], 0);
    stage.hands.store.forget(Forgetting::Crash(&[
        "DELETE FROM stock_changes WHERE reason = 'found'",
        "UPDATE products SET stock = stock - 1, received = received - 1 WHERE id = 1",
    ]));
    let restock = || stage.directory.restock(product, 1, "found".into());
    let busy = Refused::Rejected(Rejection::Busy { retry_after_s: 1 });
    assert_eq!(restock().await.map(|_| ()), Err(busy));
    assert_eq!((stage.shelf().await, stage.is_spent()), ((59, 0), true));
    assert_eq!(restock().await.unwrap().product.stock, 60);
    assert_eq!(stage.shelf().await, (60, 0));
}

/// Our line is down while another node takes the order over and sends it again. What we heard of our call says nothing about
/// theirs: written onto it, an answer would let the next key be sent beside one that may still be approved.
#[actix::test]
async fn what_was_heard_of_a_call_is_not_written_onto_another_nodes() {
    let world = shared().await;
    let gate = Arc::new(Notify::new());
    let stage = world.stage(NODES, Some(gate.clone()), None);
    world.register(&stage).await;
    let other = world.stage(NODES, None, None);
    world.register(&other).await;
    let order = stage.order(1).await;
    stage.slips.lost.store(1, Ordering::SeqCst);
    let meanwhile = async {
        until("the call is out", async || stage.confirms() > 0).await;
        let mut theirs = world.load(order.0).await;
        stage.hands.store.sabotage(&[Fate::Vanished], 1);
        let readers = stage.hands.store.hold_readers().await;
        gate.notify_one();
        until("our outcome is lost", async || stage.is_spent()).await;
        let now = stage.hands.clock.moment();
        let claim = Claim {
            owner: other.hands.membership.latest(),
            deadline: now.at.plus_ms(600_000),
        };
        let (attempt, ours) = (1, true);
        for event in [
            Event::OwnerLost { claim },
            Event::FoundUnconfirmed {
                attempt,
                claim,
                ours,
            },
        ] {
            let step = after(&theirs, event, &stage.hands.clock.moment()).unwrap();
            theirs = step.next.clone();
            let moved = world.store.commit(&[Change::Advance(step)]).await.unwrap();
            assert!(matches!(moved.verdicts[..], [Verdict::Committed { .. }]));
        }
        drop(readers);
        theirs
    };
    let patience = Duration::from_secs(2);
    let call = stage.confirm_within(order, "key-a", patience);
    let (heard, theirs) = tokio::join!(call, meanwhile);
    assert!(is_pending(&heard), "{heard:?}");
    assert_eq!(world.load(order.0).await, theirs);
}
