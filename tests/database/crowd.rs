//! A crowd of buyers that comes before, in and after the trouble, and what it was told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::common::{House, Order};
use crate::trouble::{SETTLED, hears_at_last, is_later, try_checkout};

const BUYERS: usize = 12;

/// Toss says no to every fifth confirm.
pub fn some_declined() -> Value {
    let no = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
    json!({"on": "confirm", "probability": 0.2, "do": no})
}

#[derive(Default)]
pub struct Crowd {
    /// Checked out and authorized in time.
    ready: Mutex<Vec<(Order, String)>>,
    closed: AtomicBool,
    paid: AtomicUsize,
    declined: AtomicUsize,
    later: AtomicUsize,
}

/// An order that exists, its paymentKey, and what was answered.
pub struct Heard {
    order: Order,
    key: String,
    status: u16,
}

impl Crowd {
    /// With so many orders to confirm while nobody can check out.
    pub async fn ready_with(house: &House, orders: usize) -> Crowd {
        let ready = Mutex::new(house.orders(1, orders).await);
        Crowd {
            ready,
            ..Crowd::default()
        }
    }

    /// Buys until it is sent home.
    pub async fn comes(&self, house: &House) -> Vec<Heard> {
        let buyers = join_all((0..BUYERS).map(|_| self.buyer(house)));
        buyers.await.into_iter().flatten().collect()
    }

    async fn buyer(&self, house: &House) -> Vec<Heard> {
        let mut all = Vec::new();
        while !self.closed.load(Ordering::Relaxed) {
            let Some((order, key)) = self.order(house).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let reply = house.confirm(&order, &key).await;
            let status = reply.status.as_u16();
            let count = match status {
                200 => &self.paid,
                402 => &self.declined,
                _ => &self.later,
            };
            let settled = [200, 402].contains(&status);
            assert!(settled || is_later(&reply), "{reply:?}");
            count.fetch_add(1, Ordering::Relaxed);
            all.push(Heard { order, key, status });
        }
        all
    }

    async fn order(&self, house: &House) -> Option<(Order, String)> {
        let reply = try_checkout(house).await;
        if reply.status != 201 {
            assert!(is_later(&reply), "{reply:?}");
            return self.ready.lock().unwrap().pop();
        }
        let data = reply.data();
        let order = Order {
            id: data["orderId"].as_str().unwrap().into(),
            token: data["orderToken"].as_str().unwrap().into(),
            total: data["totalAmount"].as_i64().unwrap(),
        };
        let key = house.authorize(&order).await;
        Some((order, key))
    }

    /// Confirms are answered now, with yes and with no.
    pub async fn is_served(&self) {
        tokio::join!(until_more(&self.paid), until_more(&self.declined));
    }

    /// Confirms are told to come again now.
    pub async fn is_put_off(&self) {
        until_more(&self.later).await;
    }

    pub fn goes_home(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

async fn until_more(count: &AtomicUsize) {
    let wanted = count.load(Ordering::Relaxed) + BUYERS;
    let until = Instant::now() + SETTLED;
    while count.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < until, "nobody hears that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was told is so, everything is settled, and whoever comes again hears the same, or how it ended.
pub async fn heard_the_truth(house: &House, heard: Vec<Heard>) {
    let until = Instant::now() + SETTLED;
    while house.shelf(1).await.1 > 0 {
        assert!(Instant::now() < until, "goods are still held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let one = |heard: Heard| async move {
        let Heard { order, key, status } = heard;
        let rests = house.status(&order).await["status"].clone();
        let approvals = house.approvals(&order).await;
        let truth = match rests.as_str().unwrap() {
            "DONE" => (200, 1),
            "FAILED" => (402, 0),
            // Nothing was begun.
            "READY" => (503, 0),
            other => panic!("{} rests {other}", order.id),
        };
        let told = if status == 503 { truth.0 } else { status };
        assert_eq!((told, approvals), truth, "{} {rests}", order.id);
        let again = hears_at_last(house, &order, &key).await;
        let same = match truth.0 {
            503 => [200, 402].contains(&again),
            told => again == told,
        };
        assert!(same, "{} {rests}: {again}", order.id);
        rests
    };
    let ends: Vec<Value> = stream::iter(heard).map(one).buffered(8).collect().await;
    for end in ["DONE", "FAILED"] {
        assert!(ends.iter().any(|rests| rests == end), "nobody {end}");
    }
}
