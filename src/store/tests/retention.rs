//! Housekeeping: what goes when it is old, what stays whatever its age, and that no step is a long one.

use std::time::Duration;

use super::shop::*;
use crate::domain::{
    Charge, Event, Incarnation, Payment, Timestamp, Transition, TransitionId, UserId,
};
use crate::store::{Change, CheckoutKey, Pruned, Pruning, Store, execute};

const DAY_MS: i64 = CheckoutKey::LIFETIME_MS;
/// After everything that happens in these tests.
const LATER: Timestamp = NOW.plus_ms(10_000_000);
const ALL_PAST: Pruning = Pruning::History { before: LATER };

/// The rows that each step deleted, to the end of the round.
async fn round(store: &Store, pruning: Pruning, now: Timestamp, most: u32) -> Vec<u64> {
    let (mut steps, mut from) = (Vec::new(), None);
    loop {
        let Pruned { rows, next } = store.prune(pruning, from, now, most).await.unwrap();
        assert!(rows <= u64::from(most) || matches!(pruning, Pruning::History { .. }));
        steps.push(rows);
        assert!(steps.len() < 1_000, "it does not end: {steps:?}");
        match next {
            Some(place) => from = Some(place),
            None => return steps,
        }
    }
}

async fn versions(shop: &Shop, payment: &Payment) -> Vec<i64> {
    let history = shop.store.history(payment.order.id).await.unwrap();
    history.iter().map(|row| row.version).collect()
}

async fn keyed(shop: &Shop, user: &str, key: &str, at: Timestamp) {
    let mut transition = checkout(order(&[(1, 1)]));
    transition.history.at = at;
    let key = CheckoutKey {
        user: UserId::parse(user).unwrap(),
        key: key.into(),
        body_hash: [7; 32],
    };
    let key = Some(key);
    let change = Change::Checkout { transition, key };
    assert_eq!(shop.commit(&[change]).await, [FREE]);
}

/// All the attempts that it may have.
async fn much_tried(shop: &Shop, attempts: usize) -> Payment {
    let mut payment = shop.ready(&[(1, 1)]).await;
    for attempt in 0..attempts {
        let next = started(&payment, &format!("k{attempt}"));
        shop.commit(&[Change::Advance(next.clone())]).await;
        let failed = declined(&next.next);
        shop.commit(&[Change::Advance(failed.clone())]).await;
        payment = failed.next;
    }
    payment
}

async fn paid(shop: &Shop) -> Payment {
    let running = shop.in_progress(&[(1, 1)], "k").await;
    advance(shop, approved(&running)).await
}

async fn advance(shop: &Shop, transition: Transition) -> Payment {
    shop.commit(&[Change::Advance(transition.clone())]).await;
    transition.next
}

async fn expired(shop: &Shop) -> Payment {
    let ready = Payment::ready(order(&[(1, 1)]), NOW.plus_ms(500));
    let first = Transition::checkout(TransitionId(uuid::Uuid::now_v7()), ready, NOW);
    shop.commit(&[new_order(&first)]).await;
    advance(shop, step(&first.next, Event::DeadlinePassed)).await
}

#[tokio::test]
async fn checkout_keys_go_when_their_day_is_over() {
    let shop = Shop::with(1, 1).await;
    for (user, key) in [
        ("1", "a"),
        ("1", "b"),
        ("2", ""),
        ("2", "갸 \"x\""),
        ("3", "a"),
    ] {
        keyed(&shop, user, key, NOW).await;
    }
    keyed(&shop, "2", "later", NOW.plus_ms(1)).await;
    let (before, then) = (NOW.plus_ms(DAY_MS - 1), NOW.plus_ms(DAY_MS));
    let gone = round(&shop.store, Pruning::CheckoutKeys, before, 2).await;
    assert_eq!(gone.iter().sum::<u64>(), 0);
    let gone = round(&shop.store, Pruning::CheckoutKeys, then, 2).await;
    assert_eq!(gone.iter().sum::<u64>(), 5, "{gone:?}");
    let left = shop.count("SELECT count(*) AS n FROM checkout_keys").await;
    assert_eq!(left, 1);
    assert_eq!(
        round(&shop.store, Pruning::CheckoutKeys, then, 100).await,
        [0]
    );
    // The orders stay.
    assert_eq!(shop.counts().await, [6, 6, 0, 0]);
}

#[tokio::test]
async fn of_a_payment_that_rests_for_good_the_last_change_stays() {
    let shop = Shop::with(100, 100).await;
    let done = paid(&shop).await;
    let over = expired(&shop).await;
    let failed = much_tried(&shop, 2).await;
    let ready = shop.ready(&[(1, 1)]).await;
    let running = shop.in_progress(&[(1, 1)], "r").await;
    let asked = shop.in_progress(&[(1, 1)], "u").await;
    let unknown = advance(&shop, step(&asked, Event::OwnerLost { claim: claim() })).await;
    let mismatch = Event::AmountMismatched {
        attempt: 1,
        total: Charge::Won(1),
    };
    let doubted = advance(&shop, step(&unknown, mismatch)).await;
    let asked = shop.in_progress(&[(1, 1)], "u").await;
    let unknown = advance(&shop, step(&asked, Event::OwnerLost { claim: claim() })).await;

    let early = Pruning::History {
        before: NOW.plus_ms(1_000),
    };
    assert_eq!(
        round(&shop.store, early, LATER, 100).await,
        [0],
        "too young"
    );
    // Before its deadline a declined payment may be tried again.
    let deadline = NOW.plus_ms(2_400_000);
    let gone = round(&shop.store, ALL_PAST, deadline.plus_ms(-1), 100).await;
    assert_eq!(gone, [2 + 1]);
    assert_eq!(versions(&shop, &failed).await, [1, 2, 3, 4, 5]);
    let gone = round(&shop.store, ALL_PAST, deadline, 100).await;
    assert_eq!(gone, [4]);
    for (payment, left) in [
        (&done, vec![3]),
        (&over, vec![2]),
        (&failed, vec![5]),
        (&ready, vec![1]),
        (&running, vec![1, 2]),
        (&unknown, vec![1, 2, 3]),
        (&doubted, vec![1, 2, 3, 4]),
    ] {
        assert_eq!(versions(&shop, payment).await, left, "{:?}", payment.status);
        assert_eq!(shop.load(payment).await, *payment);
    }
    assert_eq!(round(&shop.store, ALL_PAST, LATER, 100).await, [0]);
}

#[tokio::test]
async fn a_past_goes_whole_or_not_at_all_and_a_step_is_no_longer_than_it_may_be() {
    let shop = Shop::with(100, 100).await;
    let mut payments = Vec::new();
    for n in 0..12 {
        payments.push(match n % 3 {
            0 => paid(&shop).await,
            1 => much_tried(&shop, 3).await,
            _ => expired(&shop).await,
        });
    }
    let whole = [3, 7, 2];
    let mut from = None;
    for _ in 0..100 {
        let step = shop.store.prune(ALL_PAST, from, LATER, 8);
        let Pruned { rows, next } = step.await.unwrap();
        assert!(rows <= 8, "{rows}");
        for (n, payment) in payments.iter().enumerate() {
            let left = versions(&shop, payment).await.len();
            assert!([1, whole[n % 3]].contains(&left), "{left}");
        }
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!((from, shop.counts().await[1]), (None, 12));
}

/// It would never be whole in any step.
#[tokio::test]
async fn a_past_longer_than_a_step_goes_in_one() {
    let shop = Shop::with(100, 100).await;
    let (before, long) = (paid(&shop).await, much_tried(&shop, 4).await);
    let (running, after) = (shop.in_progress(&[(1, 1)], "k").await, paid(&shop).await);
    let gone = round(&shop.store, ALL_PAST, LATER, 3).await;
    assert_eq!(gone.iter().sum::<u64>(), 2 + 8 + 2, "{gone:?}");
    assert!(gone.contains(&8), "{gone:?}");
    for (payment, left) in [
        (before, vec![3]),
        (long, vec![9]),
        (running, vec![1, 2]),
        (after, vec![3]),
    ] {
        assert_eq!(versions(&shop, &payment).await, left);
    }
}

/// A round does not read what is too young to have anything old behind it.
#[tokio::test]
async fn a_round_ends_where_the_young_begin() {
    let shop = Shop::with(100, 100).await;
    for _ in 0..10 {
        paid(&shop).await;
    }
    let young = Pruning::History { before: NOW };
    assert_eq!(round(&shop.store, young, LATER, 6).await, [0]);
    let news = Pruning::Outbox {
        before: NOW.plus_ms(1_000),
    };
    assert_eq!(round(&shop.store, news, LATER, 4).await, [0]);
}

#[tokio::test]
async fn old_news_go_and_young_news_stay() {
    let shop = Shop::with(100, 100).await;
    for _ in 0..5 {
        paid(&shop).await;
    }
    shop.say("UPDATE outbox SET at = at - 5000000").await;
    let young = paid(&shop).await;
    let old = Pruning::Outbox { before: NOW };
    let gone = round(&shop.store, old, LATER, 2).await;
    assert_eq!(gone.iter().sum::<u64>(), 5, "{gone:?}");
    assert_eq!(shop.counts().await[2], 1);
    assert_eq!(versions(&shop, &young).await, [1, 2, 3]);
    let page = shop.store.audit_page("", 100).await.unwrap();
    let told = page.records.iter().filter(|found| !found.outbox.is_empty());
    assert_eq!(told.count(), 1);
}

fn node(n: u128) -> Incarnation {
    Incarnation(uuid::Uuid::from_u128(n))
}

#[tokio::test]
async fn nodes_go_that_have_been_silent_for_a_day_and_owe_nothing() {
    let shop = Shop::with(100, 100).await;
    let day = Duration::from_secs(24 * 3_600);
    let hour = Duration::from_secs(3_600);
    let [alive, dead, lately, closed, just_closed] = [1, 2, 3, 4, 5].map(node);
    // The owner of what is in progress, and of what was.
    for incarnation in [alive, dead, lately, closed, just_closed, ME] {
        let name = "n".into();
        shop.commit(&[Change::Register { incarnation, name }]).await;
    }
    let running = shop.in_progress(&[(1, 1)], "k").await;
    for incarnation in [dead, closed, just_closed, ME] {
        shop.store.age_heartbeat(incarnation, day + hour).await;
    }
    shop.store.age_heartbeat(lately, day - hour).await;
    for incarnation in [closed, just_closed] {
        shop.commit(&[Change::Close { incarnation }]).await;
    }
    let long_ago = "UPDATE nodes SET closed_at = heartbeat_at
                    WHERE incarnation = '00000000-0000-0000-0000-000000000004'";
    assert_eq!(execute(&shop.writer(), long_ago, []).await.unwrap(), 1);

    let gone = round(&shop.store, Pruning::Nodes, NOW, 1).await;
    assert_eq!(gone.iter().sum::<u64>(), 2, "{gone:?}");
    let count = async || shop.count("SELECT count(*) AS n FROM nodes").await;
    assert_eq!(count().await, 4);
    advance(&shop, approved(&running)).await;
    assert_eq!(round(&shop.store, Pruning::Nodes, NOW, 100).await, [1]);
    let beat = Change::Heartbeat {
        incarnation: alive,
        saturated: false,
    };
    assert_eq!(shop.commit(&[beat]).await, [FREE]);
    assert_eq!(count().await, 3);
}

/// Two nodes keep house at once, and a third one sells meanwhile: nobody fails, and every row goes once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_keep_house_at_once_do_not_disturb_each_other() {
    let shop = Shop::with(1_000, 1_000).await;
    for n in 0..40 {
        keyed(&shop, &n.to_string(), "k", NOW).await;
        paid(&shop).await;
    }
    let others = match shop.store.is_shared() {
        true => [shop.another().await, shop.another().await],
        false => [shop.store.clone(), shop.store.clone()],
    };
    let keep = |store: Store| async move {
        let mut gone = 0;
        let news = Pruning::Outbox { before: LATER };
        for pruning in [Pruning::CheckoutKeys, ALL_PAST, news] {
            let steps = round(&store, pruning, NOW.plus_ms(DAY_MS), 7).await;
            gone += steps.iter().sum::<u64>();
        }
        gone
    };
    let keepers = others.map(|store| tokio::spawn(keep(store)));
    for n in 0..40 {
        // The key of one that goes, or has gone: its day is over.
        keyed(&shop, &n.to_string(), "k", NOW.plus_ms(DAY_MS)).await;
    }
    let mut gone = 0;
    for keeper in keepers {
        gone += keeper.await.unwrap();
    }
    let left = shop.count("SELECT count(*) AS n FROM checkout_keys").await;
    assert_eq!(left, 40);
    // The pasts, the news, and the keys that nobody had taken the place of.
    assert!((80 + 40..=80 + 40 + 40).contains(&gone), "{gone}");
    assert_eq!(shop.counts().await[1..3], [120, 0]);
}
