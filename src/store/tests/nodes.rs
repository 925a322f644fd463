//! Who lives, by the database's clock; and who is due, where the living are left alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::shared::on_each;
use super::shop::*;
use crate::domain::{Event, Incarnation, Payment, Timestamp};
use crate::store::{Change, Living, Share};

const DEAD_AFTER: Duration = Duration::from_secs(600);

fn node(n: u128) -> Incarnation {
    Incarnation(Uuid::from_u128(n))
}

async fn register(shop: &Shop, incarnation: Incarnation, name: &str) {
    let name = name.into();
    let register = Change::Register { incarnation, name };
    assert_eq!(shop.commit(&[register]).await, [FREE]);
}

async fn lives(shop: &Shop, incarnation: Incarnation) -> bool {
    let lives = shop.store.lives(incarnation, DEAD_AFTER).await.unwrap();
    let living = shop.store.living(DEAD_AFTER).await.unwrap();
    let found = living.iter().any(|node| node.incarnation == incarnation);
    assert!(!shop.store.is_shared() || lives == found);
    lives
}

/// The orders that are due for `me` far in the future, or now.
async fn due(shop: &Shop, later_ms: i64, me: Incarnation) -> usize {
    let (now, whole) = (NOW.plus_ms(later_ms), Share::whole());
    let found = shop.store.due(now, me, DEAD_AFTER, &whole, 100);
    found.await.unwrap().len()
}

#[tokio::test]
async fn a_node_lives_while_its_row_is_open_and_its_heartbeat_young() {
    let shop = Shop::empty().await;
    shop.store.share();
    let (one, two) = (node(1), node(2));
    assert!(!lives(&shop, one).await, "a missing row");
    register(&shop, two, "b").await;
    register(&shop, one, "a").await;
    let living = shop.store.living(DEAD_AFTER).await.unwrap();
    let told = |node: &Living| (node.incarnation, node.name.to_string(), node.saturated);
    let living: Vec<_> = living.iter().map(told).collect();
    assert_eq!(living, [(one, "a".into(), false), (two, "b".into(), false)]);
    shop.store.age_heartbeat(one, DEAD_AFTER).await;
    assert!(!lives(&shop, one).await && lives(&shop, two).await);
    let beat = Change::Heartbeat {
        incarnation: one,
        saturated: false,
    };
    assert_eq!(shop.commit(&[beat]).await, [FREE]);
    assert!(
        lives(&shop, one).await,
        "an old heartbeat, and then another"
    );
    for saturated in [true, false] {
        let incarnation = one;
        let beats = [Change::Heartbeat {
            incarnation,
            saturated,
        }];
        assert_eq!(shop.commit(&beats).await, [FREE]);
        let living = shop.store.living(DEAD_AFTER).await.unwrap();
        let told: Vec<bool> = living.iter().map(|node| node.saturated).collect();
        assert_eq!(told, [saturated, false]);
    }
    let close = Change::Close { incarnation: two };
    assert_eq!(shop.commit(&[close]).await, [FREE]);
    assert!(!lives(&shop, two).await, "a closed row");
}

#[tokio::test]
async fn on_a_file_of_ones_own_everybody_else_is_dead() {
    let shop = Shop::file_with(10, 10).await;
    shop.in_progress(&[(1, 1)], "a").await;
    register(&shop, ME, "a").await;
    assert!(!lives(&shop, ME).await);
    assert_eq!(
        (due(&shop, 0, ME).await, due(&shop, 0, node(2)).await),
        (0, 1)
    );
    let orphans = shop.store.make_orphans_due(node(2), NOW, DEAD_AFTER);
    assert_eq!(orphans.await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_living_node_has_in_progress_is_due_for_itself_alone() {
    let shop = Shop::with(10, 10).await;
    shop.store.share();
    let other = node(2);
    let asked = shop.in_progress(&[(1, 1)], "a").await;
    assert_eq!(due(&shop, 0, other).await, 1, "its owner was never there");
    register(&shop, ME, "a").await;
    assert_eq!(
        (due(&shop, 0, ME).await, due(&shop, 0, other).await),
        (0, 0)
    );
    // Past its hard deadline.
    let later = 60_000;
    assert_eq!(
        (due(&shop, later, ME).await, due(&shop, later, other).await),
        (1, 0)
    );
    let none = Share::none();
    let mine = shop.store.due(NOW.plus_ms(later), ME, DEAD_AFTER, &none, 9);
    assert_eq!(mine.await.unwrap().len(), 1, "whatever its share is");
    // Long after it: the heart beats, and nobody there looks after it.
    let deadline = asked.next_attempt_at.unwrap();
    let long_after = deadline.plus_ms(120_000);
    let just_before = Timestamp::from_micros(long_after.micros() - 1);
    for (now, found) in [(just_before, 0), (long_after, 1)] {
        let whole = Share::whole();
        let theirs = shop.store.due(now, other, DEAD_AFTER, &whole, 9);
        assert_eq!(theirs.await.unwrap().len(), found, "{now:?}");
    }
    shop.store.age_heartbeat(ME, DEAD_AFTER).await;
    assert_eq!(
        (due(&shop, 0, ME).await, due(&shop, 0, other).await),
        (0, 1)
    );
}

#[tokio::test]
async fn only_the_orphans_of_the_dead_are_made_due() {
    let shop = Shop::with(10, 10).await;
    shop.store.share();
    let other = node(2);
    shop.in_progress(&[(1, 1)], "a").await;
    let asked = shop.in_progress(&[(1, 1)], "b").await;
    let claimed = step(&asked, Event::OwnerLost { claim: claim() });
    shop.commit(&[Change::Advance(claimed)]).await;
    register(&shop, ME, "a").await;
    let orphans = async || {
        let made = shop.store.make_orphans_due(other, NOW, DEAD_AFTER);
        made.await.unwrap()
    };
    assert_eq!(orphans().await, 0);
    shop.store.age_heartbeat(ME, DEAD_AFTER).await;
    assert_eq!((orphans().await, orphans().await), (2, 0));
    assert_eq!(due(&shop, 0, other).await, 2);
}

/// More of them than are made due in one transaction.
#[tokio::test]
async fn the_orphans_of_a_busy_node_are_all_made_due() {
    let shop = Shop::with(10_000, 10_000).await;
    shop.store.share();
    let orphans: Vec<Change> = (0..1_100)
        .flat_map(|_| {
            let first = checkout(order(&[(1, 1)]));
            let opened = started(&first.next, "k");
            let claimed = step(&opened.next, Event::OwnerLost { claim: claim() });
            [
                new_order(&first),
                Change::Advance(opened),
                Change::Advance(claimed),
            ]
        })
        .collect();
    shop.commit(&orphans).await;
    let made = shop.store.make_orphans_due(node(2), NOW, DEAD_AFTER);
    assert_eq!(made.await.unwrap(), 1_100);
}

#[tokio::test]
async fn every_order_is_in_exactly_one_share() {
    let shop = Shop::with(1_000, 1_000).await;
    let mut ready: Vec<Payment> = Vec::new();
    for _ in 0..40 {
        ready.push(shop.ready(&[(1, 1)]).await);
    }
    let far = NOW.plus_ms(9_000_000);
    for nodes in [1, 2, 3, 16, 20] {
        let mut seen = Vec::new();
        for rank in 0..nodes {
            let share = Share::of(rank, nodes);
            assert_eq!(share == Share::none(), rank >= 16);
            let found = shop.store.due(far, ME, DEAD_AFTER, &share, 100).await;
            for due in found.unwrap() {
                assert!(share.has(due.order));
                seen.push(due.order);
            }
        }
        seen.sort_unstable();
        let mut all: Vec<_> = ready.iter().map(|payment| payment.order.id).collect();
        all.sort_unstable();
        assert_eq!(seen, all, "{nodes} nodes");
    }
}

#[tokio::test]
async fn times_are_the_same_in_every_time_zone() {
    let shop = Shop::with(10, 0).await;
    let before = shop.in_progress(&[(1, 1)], "k").await;
    let seoul = match shop.writer().get_database_backend() {
        sea_orm::DbBackend::MySql => "SET time_zone = '+09:00'",
        sea_orm::DbBackend::Postgres => "SET TIME ZONE 'Asia/Seoul'",
        _ => "SELECT 1",
    };
    for (pool, connections) in [(shop.writer(), 2), (shop.store.readers().pool, 4)] {
        let connections = if shop.store.is_shared() {
            connections
        } else {
            1
        };
        on_each(&pool, connections, seoul).await;
    }
    // The database's clock is an instant, and who lives by it lives.
    let host = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros();
    let host = Timestamp::from_micros(i64::try_from(host).unwrap());
    let apart = shop.store.now().await.unwrap().ms_since(host).abs();
    assert!(apart < 600_000, "{apart} ms");
    shop.store.share();
    let (incarnation, name) = (ME, "seoul".into());
    let node = [
        Change::Register { incarnation, name },
        Change::Heartbeat {
            incarnation,
            saturated: false,
        },
    ];
    assert_eq!(shop.commit(&node).await, [FREE, FREE]);
    let lives = shop.store.lives(ME, Duration::from_secs(600)).await;
    assert!(lives.unwrap(), "a heartbeat of just now");
    assert_eq!(shop.load(&before).await, before);
    let after = shop.in_progress(&[(1, 1)], "k2").await;
    let paid = approved(&after);
    shop.commit(&[Change::Advance(paid.clone())]).await;
    let history = shop.store.history(after.order.id).await.unwrap();
    let shop = shop.reopened().await;
    assert_eq!(shop.load(&before).await, before);
    assert_eq!(shop.load(&after).await, paid.next);
    assert_eq!(history[2].at, paid.history.at);
    assert_eq!(shop.store.history(after.order.id).await.unwrap(), history);
}
