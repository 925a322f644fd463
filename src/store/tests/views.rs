//! What others ask: the due queue, lists, pages for the audit, nodes, demo data, secrets.

use std::time::Duration;

use uuid::Uuid;

use super::shop::*;
use crate::domain::{Charge, Event, Incarnation, OrderId, Payment, Status, Timestamp, UserId};
use crate::store::{Backlog, Change, Due, Share, Verdict, execute};

fn due(payment: &Payment, status: Status) -> Due {
    let order = payment.order.id;
    Due { order, status }
}

const DEAD_AFTER: Duration = Duration::from_secs(5);

async fn look(shop: &Shop, now: Timestamp, me: Incarnation, most: u32) -> Vec<Due> {
    let whole = Share::whole();
    let found = shop.store.due(now, me, DEAD_AFTER, &whole, most);
    found.await.unwrap()
}

async fn orphans(shop: &Shop, me: Incarnation) -> u64 {
    let made = shop.store.make_orphans_due(me, NOW, DEAD_AFTER);
    made.await.unwrap()
}

#[tokio::test]
async fn the_due_queue_holds_what_is_past_its_time_earliest_first() {
    let shop = Shop::with(10, 10).await;
    let running = shop.in_progress(&[(1, 1)], "a").await;
    let asked = shop.in_progress(&[(1, 1)], "b").await;
    let unknown = step(&asked, Event::OwnerLost { claim: claim() });
    shop.commit(&[Change::Advance(unknown.clone())]).await;
    let sooner = Change::Postpone {
        order: asked.order.id,
        version: unknown.next.version,
        until: NOW.plus_ms(50_000),
    };
    shop.commit(&[sooner]).await;
    let ready = shop.ready(&[(1, 1)]).await;
    let paid = shop.in_progress(&[(1, 1)], "c").await;
    shop.commit(&[Change::Advance(approved(&paid))]).await;
    let doubted = shop.in_progress(&[(1, 1)], "d").await;
    let total = Charge::Won(1);
    let mismatch = step(&doubted, Event::AmountMismatched { attempt: 1, total });
    shop.commit(&[Change::Advance(mismatch)]).await;

    let at = async |ms, most| look(&shop, NOW.plus_ms(ms), ME, most).await;
    assert_eq!(at(49_999, 10).await, []);
    let unknown = due(&asked, Status::Unknown);
    assert_eq!(at(50_000, 10).await, [unknown]);
    let running = due(&running, Status::InProgress);
    assert_eq!(at(60_000, 10).await, [unknown, running]);
    let quarantined = due(&doubted, Status::Quarantined);
    let expired = due(&ready, Status::Ready);
    let all = [unknown, running, quarantined, expired];
    assert_eq!(at(9_000_000, 10).await, all);
    // A limit of one is one of each status: many questions that wait for Toss do not hide an order that expires.
    shop.ready(&[(1, 1)]).await;
    let first = at(9_000_000, 1).await;
    assert_eq!(
        first.iter().map(|due| due.status).collect::<Vec<_>>(),
        all.map(|due| due.status)
    );
    assert_eq!(at(9_000_000, 10).await.len(), 5);

    let other = Incarnation(Uuid::from_u128(0xb));
    let orphans = look(&shop, NOW, other, 10).await;
    assert_eq!(orphans, [running], "its owner is not the one who asks");
}

#[tokio::test]
async fn the_backlog_counts_what_waits_for_us_and_for_a_human() {
    let shop = Shop::with(10, 10).await;
    let empty = shop.store.backlog(NOW.plus_ms(9_000_000)).await.unwrap();
    assert_eq!(empty, Backlog::default());
    let running = shop.in_progress(&[(1, 1)], "a").await;
    let asked = shop.in_progress(&[(1, 1)], "b").await;
    let unknown = step(&asked, Event::OwnerLost { claim: claim() });
    shop.commit(&[Change::Advance(unknown)]).await;
    shop.ready(&[(1, 1)]).await;
    let doubted = shop.in_progress(&[(1, 1)], "c").await;
    let mismatch = Event::AmountMismatched {
        attempt: 1,
        total: Charge::Won(1),
    };
    shop.commit(&[Change::Advance(step(&doubted, mismatch))])
        .await;
    let sooner = Change::Postpone {
        order: asked.order.id,
        version: asked.version + 1,
        until: NOW.plus_ms(50_000),
    };
    shop.commit(&[sooner]).await;

    let at = async |ms| shop.store.backlog(NOW.plus_ms(ms)).await.unwrap();
    let soon = at(50_000).await;
    let first = Some(NOW.plus_ms(50_000));
    assert_eq!((soon.due, soon.oldest), (1, first));
    assert_eq!((soon.unknown, soon.quarantined), (1, 1));
    assert_eq!(running.next_attempt_at, Some(NOW.plus_ms(60_000)));
    let later = at(60_000).await;
    assert_eq!((later.due, later.oldest), (2, first));
    assert_eq!((later.unknown, later.quarantined), (1, 1), "due or not");
}

#[tokio::test]
async fn what_a_dead_process_left_is_due_at_once() {
    let shop = Shop::with(10, 10).await;
    let running = shop.in_progress(&[(1, 1)], "a").await;
    let asked = shop.in_progress(&[(1, 1)], "b").await;
    let unknown = step(&asked, Event::OwnerLost { claim: claim() });
    shop.commit(&[Change::Advance(unknown)]).await;
    shop.ready(&[(1, 1)]).await;
    assert_eq!(orphans(&shop, ME).await, 0);
    let reborn = Incarnation(Uuid::from_u128(0xb));
    assert_eq!(orphans(&shop, reborn).await, 2);
    let due_now = look(&shop, NOW, reborn, 10).await;
    assert_eq!(due_now.len(), 2);
    assert_eq!(shop.load(&running).await.next_attempt_at, Some(NOW));
    assert_eq!(shop.load(&running).await.version, running.version);
}

#[tokio::test]
async fn the_audit_reads_every_payment_once_page_by_page() {
    let shop = Shop::with(50, 50).await;
    let mut orders = Vec::new();
    for n in 0..7 {
        let running = shop
            .in_progress(&[(1, 1), (2, 1)], &format!("key-{n}"))
            .await;
        shop.commit(&[Change::Advance(approved(&running))]).await;
        orders.push(running.order.id);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = shop.store.audit_page(&after, 3).await.unwrap();
        assert!(page.unreadable.is_empty());
        for found in &page.records {
            let payment = &found.record.payment;
            assert_eq!((found.history.len(), found.outbox.len()), (3, 1));
            assert_eq!(payment.order.lines.len(), 2);
            assert!(payment.attempts[0].payment_key.reveal().starts_with("key-"));
            seen.push(payment.order.id);
        }
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, orders);
}

#[tokio::test]
async fn one_broken_row_hides_no_other() {
    let shop = Shop::with(50, 50).await;
    let broken = shop.ready(&[(1, 1)]).await;
    let healthy = shop.ready(&[(1, 1)]).await;
    let key = broken.order.id.to_string();
    let sql = format!("UPDATE payments SET status = 'NONSENSE' WHERE order_id = '{key}'");
    execute(&shop.writer(), sql.leak(), []).await.unwrap();
    let page = shop.store.audit_page("", 10).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].record.payment, healthy);
    assert_eq!(page.unreadable[0].order_id, key);
    let fault = shop.store.load(broken.order.id).await.unwrap_err();
    assert!(fault.to_string().contains(&key), "{fault}");
    let both = [broken.order.id, healthy.order.id];
    let mut found = shop.store.load_all(&both).await.unwrap();
    assert!(found.remove(&broken.order.id).unwrap().is_err());
    assert_eq!(found.remove(&healthy.order.id).unwrap().unwrap(), healthy);
    assert_eq!(shop.store.recent(10).await.unwrap().len(), 1);
    let torn =
        "INSERT INTO payments SELECT 'torn', user_id, order_name, status, stock_held, total_amount,
                version, owner, 0, expires_at, rounds, questions, quarantine, created_at
                FROM payments WHERE status = 'READY'";
    shop.say(torn).await;
    let due_then = look(&shop, NOW.plus_ms(9_000_000), ME, 10).await;
    assert_eq!(due_then, [due(&healthy, Status::Ready)]);
    let (mut pages, mut after) = (Vec::new(), Some(String::new()));
    while let Some(from) = after {
        let page = shop.store.audit_page(&from, 1).await.unwrap();
        pages.push((page.records.len(), page.unreadable.len()));
        after = page.next;
    }
    assert_eq!(pages, [(0, 1), (1, 0), (0, 1), (0, 0)]);
    assert_eq!(shop.load(&healthy).await, healthy);
}

#[tokio::test]
async fn the_newest_orders_come_first() {
    let shop = Shop::with(50, 50).await;
    let mut orders: Vec<OrderId> = Vec::new();
    for _ in 0..3 {
        orders.push(shop.ready(&[(1, 2)]).await.order.id);
    }
    let recent = shop.store.recent(2).await.unwrap();
    assert_eq!(
        recent.iter().map(|o| o.order).collect::<Vec<_>>(),
        [orders[2], orders[1]]
    );
    assert_eq!(
        (recent[0].total.get(), recent[0].status),
        (100_000, Status::Ready)
    );
    assert_eq!((recent[0].user.as_str(), recent[0].created_at), ("1", NOW));
}

#[tokio::test]
async fn a_node_beats_while_it_is_registered_and_open() {
    let shop = Shop::empty().await;
    let incarnation = ME;
    let beat = Change::Heartbeat {
        incarnation,
        saturated: false,
    };
    let close = Change::Close { incarnation };
    let register = Change::Register {
        incarnation,
        name: "host:8080".into(),
    };
    assert_eq!(
        shop.commit(std::slice::from_ref(&beat)).await,
        [Verdict::NotFound]
    );
    assert_eq!(shop.commit(&[register]).await, [FREE]);
    let now = shop.store.now().await.unwrap().micros();
    let stamped = format!(
        "SELECT count(*) AS n FROM nodes WHERE closed_at IS NULL AND abs(heartbeat_at - started_at) < 1000000
                   AND abs(heartbeat_at - {now}) < 60000000"
    );
    assert_eq!(
        shop.count(stamped.leak()).await,
        1,
        "by the database's clock"
    );
    let hour = Duration::from_secs(3_600);
    shop.store.age_heartbeat(ME, hour).await;
    assert_eq!(shop.commit(std::slice::from_ref(&beat)).await, [FREE]);
    let beaten =
        "SELECT count(*) AS n FROM nodes WHERE closed_at IS NULL AND heartbeat_at >= started_at";
    assert_eq!(shop.count(beaten).await, 1);
    let verdicts = shop.commit(&[close.clone(), beat]).await;
    assert_eq!(verdicts, [FREE, Verdict::NotFound]);
    let closed = "SELECT count(*) AS n FROM nodes WHERE closed_at >= heartbeat_at";
    assert_eq!(shop.count(closed).await, 1);
    assert_eq!(shop.commit(&[close]).await, [Verdict::NotFound]);
}

#[tokio::test]
async fn demo_data_goes_only_into_an_empty_database() {
    let shop = Shop::empty().await;
    assert!(shop.store.is_empty().await.unwrap());
    assert!(shop.store.load_demo_data().await.unwrap());
    assert!(!shop.store.load_demo_data().await.unwrap());
    assert!(!shop.store.is_empty().await.unwrap());
    assert_eq!(shop.stock(1).await, (59, 59));
    let products = shop.store.all_counted().await.unwrap();
    let said = products.iter().map(|counted| &counted.product.listing);
    let said: Vec<_> = said
        .map(|listing| (listing.name.to_string(), listing.price.get()))
        .collect();
    assert_eq!(
        said,
        [("Ogu T".into(), 50_000), ("Baby Ogu T".into(), 30_000)]
    );
    let knows = async |id| {
        shop.store
            .user_exists(&UserId::parse(id).unwrap())
            .await
            .unwrap()
    };
    assert!(knows("1").await && !knows("3").await);
}

#[tokio::test]
async fn a_secret_is_made_once_and_survives() {
    let shop = Shop::empty().await;
    let secret = shop.store.secret("order-token").await.unwrap();
    assert_eq!(shop.store.secret("order-token").await.unwrap(), secret);
    assert_ne!(shop.store.secret("other").await.unwrap(), secret);
    assert_ne!(secret, [0; 32]);
}
