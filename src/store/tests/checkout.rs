//! Checkout keys: one key of one buyer makes one order a day.

use super::shop::*;
use crate::domain::{Timestamp, Transition, UserId};
use crate::store::{Change, CheckoutKey, Verdict};

fn keyed(transition: &Transition, user: &str, hash: u8) -> Change {
    let key = CheckoutKey {
        user: UserId::parse(user).unwrap(),
        key: "retry-me \"1\"".into(),
        body_hash: [hash; 32],
    };
    Change::Checkout {
        transition: transition.clone(),
        key: Some(key),
    }
}

fn at(mut transition: Transition, at: Timestamp) -> Transition {
    transition.history.at = at;
    transition
}

fn duplicate(winner: &Transition, hash: u8) -> Verdict {
    Verdict::Duplicate {
        order: winner.order_id(),
        body_hash: [hash; 32],
    }
}

#[tokio::test]
async fn two_checkouts_with_one_key_in_one_batch_make_one_order() {
    let shop = Shop::with(1, 0).await;
    let (winner, loser, other) = (
        checkout(order(&[(1, 1)])),
        checkout(order(&[(1, 1)])),
        checkout(order(&[(1, 1)])),
    );
    let batch = [
        keyed(&winner, "1", 7),
        keyed(&loser, "1", 8),
        keyed(&other, "2", 7),
    ];
    // The hash is the winner's: whoever asked for something else learns that the key was used up.
    assert_eq!(
        shop.commit(&batch).await,
        [FREE, duplicate(&winner, 7), FREE]
    );
    assert_eq!(shop.store.load(loser.order_id()).await.unwrap(), None);
    assert_eq!(shop.counts().await, [2, 2, 0, 0]);
}

#[tokio::test]
async fn a_checkout_key_survives_batches_and_restarts_and_ends_after_a_day() {
    let shop = Shop::with(1, 0).await;
    let winner = checkout(order(&[(1, 1)]));
    shop.commit(&[keyed(&winner, "1", 7)]).await;
    let shop = shop.reopened().await;

    let loser = checkout(order(&[(1, 1)]));
    let verdicts = shop.commit(&[keyed(&loser, "1", 8)]).await;
    assert_eq!(verdicts, [duplicate(&winner, 7)]);
    let user = UserId::parse("1").unwrap();
    let (day, key) = (CheckoutKey::LIFETIME_MS, "retry-me \"1\"");
    let looked_up = shop
        .store
        .checkout_key(&user, key, NOW.plus_ms(day - 1))
        .await;
    assert_eq!(looked_up.unwrap(), Some((winner.order_id(), [7; 32])));
    let looked_up = shop.store.checkout_key(&user, key, NOW.plus_ms(day)).await;
    assert_eq!(looked_up.unwrap(), None);

    let early = at(checkout(order(&[(1, 1)])), NOW.plus_ms(day - 1));
    let verdicts = shop.commit(&[keyed(&early, "1", 9)]).await;
    assert_eq!(verdicts, [duplicate(&winner, 7)]);
    let late = at(checkout(order(&[(1, 1)])), NOW.plus_ms(day));
    assert_eq!(shop.commit(&[keyed(&late, "1", 9)]).await, [FREE]);
    let looked_up = shop
        .store
        .checkout_key(&user, key, NOW.plus_ms(day + 1))
        .await;
    assert_eq!(looked_up.unwrap(), Some((late.order_id(), [9; 32])));
}

#[tokio::test]
async fn an_order_is_checked_out_once() {
    let shop = Shop::with(1, 0).await;
    let first = checkout(order(&[(1, 1)]));
    let batch = [new_order(&first), new_order(&first)];
    let stale = Verdict::Stale { version: Some(1) };
    assert_eq!(shop.commit(&batch).await, [FREE, stale.clone()]);
    assert_eq!(shop.commit(&[new_order(&first)]).await, [stale]);
    assert_eq!(shop.counts().await, [1, 1, 0, 0]);
}
