//! Stock: conserved, never negative, and only the database grants.

use super::shop::*;
use crate::domain::product::Listing;
use crate::domain::rejection::Shortage;
use crate::domain::{Status, Won};
use crate::store::rows::StockRow;
use crate::store::{Change, CommitFault, Verdict, execute};

#[tokio::test]
async fn stock_leaves_with_the_claim_and_returns_with_the_decline() {
    let shop = Shop::with(10, 10).await;
    let running = shop.in_progress(&[(1, 3), (2, 1)], "k").await;
    assert_eq!(
        (shop.stock(1).await, shop.stock(2).await),
        ((7, 10), (9, 10))
    );
    let failed = declined(&running);
    let committed = shop.committed(&[Change::Advance(failed.clone())]).await;
    assert_eq!(committed.verdicts, [FREE]);
    assert_eq!(committed.shelf, [(product(1), 10), (product(2), 10)]);

    let again = started(&failed.next, "k2");
    shop.commit(&[Change::Advance(again.clone())]).await;
    let committed = shop
        .committed(&[Change::Advance(approved(&again.next))])
        .await;
    assert_eq!(committed.verdicts, [HELD]);
    assert!(committed.shelf.is_empty(), "a sale looks at no shelf");
    assert_eq!(
        (shop.stock(1).await, shop.stock(2).await),
        ((7, 10), (9, 10))
    );
}

#[tokio::test]
async fn a_multi_line_order_short_on_line_2_leaves_both_shelves() {
    let shop = Shop::with(10, 1).await;
    let ready = shop.ready(&[(1, 2), (2, 2)]).await;
    let small = shop.ready(&[(2, 1)]).await;
    let batch = [started(&ready, "k1"), started(&small, "k2")].map(Change::Advance);
    let committed = shop.committed(&batch).await;
    let shortage = Shortage {
        product: product(2),
        requested: 2,
        available: 1,
    };
    assert_eq!(
        committed.verdicts,
        [Verdict::OutOfStock(vec![shortage]), HELD]
    );
    assert_eq!(committed.shelf, [(product(1), 10), (product(2), 0)]);
    assert_eq!(
        (shop.stock(1).await, shop.stock(2).await),
        ((10, 10), (0, 1))
    );
    assert_eq!(shop.load(&ready).await, ready);
}

#[tokio::test]
async fn two_hundred_buyers_for_a_hundred_items_buy_a_hundred() {
    let shop = Shop::with(100, 0).await;
    let checkouts: Vec<_> = (0..200).map(|_| checkout(order(&[(1, 1)]))).collect();
    let batch: Vec<Change> = checkouts.iter().map(new_order).collect();
    shop.commit(&batch).await;
    let starts: Vec<Change> = checkouts
        .iter()
        .map(|t| Change::Advance(started(&t.next, "k")))
        .collect();
    let mut verdicts = Vec::new();
    for batch in starts.chunks(37) {
        verdicts.extend(shop.commit(batch).await);
    }
    let sold_out = Shortage {
        product: product(1),
        requested: 1,
        available: 0,
    };
    assert!(verdicts[..100].iter().all(|verdict| *verdict == HELD));
    let refused = Verdict::OutOfStock(vec![sold_out]);
    assert!(verdicts[100..].iter().all(|verdict| *verdict == refused));
    assert_eq!(shop.stock(1).await, (0, 100));
    assert_eq!(shop.counts().await, [200, 300, 0, 100]);
}

#[tokio::test]
async fn what_comes_back_in_a_batch_can_be_sold_in_the_same_batch() {
    let shop = Shop::with(1, 0).await;
    let holder = shop.in_progress(&[(1, 1)], "k").await;
    let waiting = shop.ready(&[(1, 1)]).await;
    let batch = [declined(&holder), started(&waiting, "k")].map(Change::Advance);
    assert_eq!(shop.commit(&batch).await, [FREE, HELD]);
    assert_eq!(shop.stock(1).await, (0, 1));
}

#[tokio::test]
async fn goods_for_a_late_approval_are_taken_only_if_they_are_there() {
    for (stock, held) in [(1, true), (0, false)] {
        let shop = Shop::with(1, 0).await;
        let failed = declined(&shop.in_progress(&[(1, 1)], "k").await);
        shop.commit(&[Change::Advance(failed.clone())]).await;
        shop.commit(&[restock(1, stock - 1)]).await;
        let late = approved(&failed.next);
        let verdicts = shop.commit(&[Change::Advance(late)]).await;
        assert_eq!(verdicts, [Verdict::Committed { held }]);
        assert_eq!(shop.stock(1).await, (0, stock));
        let loaded = shop.load(&failed.next).await;
        assert_eq!(
            (loaded.status, loaded.stock_held),
            (Status::Quarantined, held)
        );
    }
}

#[tokio::test]
async fn stock_by_hand_moves_received_too_and_never_below_zero() {
    let shop = Shop::with(5, 0).await;
    let batch = [restock(1, 3), restock(1, -8), restock(1, -1), restock(9, 1)];
    let short = Verdict::NotEnoughStock { stock: 0 };
    let expected = [FREE, FREE, short, Verdict::NotFound];
    assert_eq!(shop.commit(&batch).await, expected);
    assert_eq!(shop.stock(1).await, (0, 0));
}

#[tokio::test]
async fn a_changed_product_keeps_its_shelf() {
    let shop = Shop::with(5, 0).await;
    let changed = Listing {
        name: "새 이름".into(),
        price: Won::new(1).unwrap(),
        ..listing(1)
    };
    let committed = shop
        .committed(&[Change::List(changed.clone()), restock(1, 2)])
        .await;
    assert_eq!(committed.verdicts, [FREE, FREE]);
    assert_eq!(committed.shelf, [(product(1), 7)]);
    let shelf = shop.store.shelf(&[product(1)]).await.unwrap();
    assert_eq!(shelf[&product(1)].listing, changed);
    assert_eq!(shop.stock(1).await, (7, 7));
}

#[tokio::test]
async fn the_database_itself_refuses_a_negative_stock() {
    let shop = Shop::with(1, 0).await;
    let txn = crate::store::transaction::begin(&shop.writer())
        .await
        .unwrap();
    let (sql, taken) = (
        shop.store.0.sql,
        StockRow {
            id: 1,
            stock: -2,
            received: 0,
        },
    );
    let rows = sql.batch.values(&[taken]).unwrap();
    let error = execute(&txn, sql.move_stock, rows).await.unwrap_err();
    txn.rollback().await.unwrap();
    assert!(matches!(CommitFault::from(error), CommitFault::Refused(_)));
    assert_eq!(shop.stock(1).await, (1, 1));
}

#[tokio::test]
async fn received_is_what_is_on_the_shelf_or_held_or_sold() {
    let shop = Shop::with(10, 10).await;
    let paid = shop.in_progress(&[(1, 1), (2, 2)], "a").await;
    shop.commit(&[Change::Advance(approved(&paid))]).await;
    shop.in_progress(&[(1, 3)], "b").await;
    shop.ready(&[(1, 5)]).await;
    let failed = shop.in_progress(&[(1, 4)], "c").await;
    shop.commit(&[Change::Advance(declined(&failed))]).await;

    let counted = shop.store.all_counted().await.unwrap();
    let numbers = |c: &crate::store::Counted| (c.product.stock, c.held, c.sold());
    let numbers: Vec<_> = counted.iter().map(numbers).collect();
    assert_eq!(numbers, [(6, 3, 1), (8, 0, 2)]);
    assert_eq!(
        shop.store.counted(&[product(2)]).await.unwrap(),
        counted[1..]
    );
    let wanted = [product(1), product(2), product(77)];
    let booked = shop.store.booked(&wanted).await.unwrap();
    let sold: Vec<_> = booked.iter().map(|book| book.sold).collect();
    let beside: Vec<_> = booked.into_iter().map(|book| book.counted).collect();
    assert_eq!((sold, beside), (vec![1, 2], counted));
    // What an order holds that has ended is in nobody's book.
    shop.say("UPDATE payments SET status = 'FAILED' WHERE status = 'IN_PROGRESS'")
        .await;
    let booked = shop.store.booked(&[product(1)]).await.unwrap();
    assert_eq!((booked[0].sold, booked[0].counted.sold()), (1, 4));
    // What the product says of itself is not what its orders say.
    shop.say("UPDATE products SET stock = stock + 5 WHERE id = 2")
        .await;
    let booked = shop.store.booked(&[product(2)]).await.unwrap();
    assert_eq!((booked[0].sold, booked[0].counted.sold()), (2, -3));
}
