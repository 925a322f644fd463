//! A small shop in a folder of its own, for the tests beside this file.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{DatabaseConnection, FromQueryResult};
use sea_orm_migration::MigratorTrait;
use tempfile::TempDir;
use uuid::Uuid;

use crate::domain::payment::Approval;
use crate::domain::product::Listing;
use crate::domain::{
    Claim, Decline, Dice, Event, GatewayIdentity, Incarnation, Line, Moment, Order, OrderId,
    Payment, PaymentKey, ProductId, Quantity, Rules, Timestamp, Transition, TransitionId, UserId,
    Won, after,
};
use crate::store::migrations::Migrator;
use crate::store::{
    Change, Committed, Opened, Restock, Store, StoreFault, StoreSettings, Verdict, execute,
};

pub const NOW: Timestamp = Timestamp::from_micros(1_760_000_000_000_000);
pub const ME: Incarnation = Incarnation(Uuid::from_u128(0xa));
pub const HELD: Verdict = Verdict::Committed { held: true };
pub const FREE: Verdict = Verdict::Committed { held: false };
const PRICE: i64 = 50_000;

#[path = "../../../tests/common/database.rs"]
#[expect(dead_code, reason = "service tests use all of it")]
mod database;
pub use database::TestDatabase;

pub struct Shop {
    pub store: Store,
    pub folder: TempDir,
    settings: Option<StoreSettings>,
    /// Goes with the shop.
    _database: Option<TestDatabase>,
}

static ORDERS: AtomicU32 = AtomicU32::new(1);

pub fn settings(url: &str) -> StoreSettings {
    StoreSettings {
        url: url.to_owned(),
        readers: 4,
        busy_timeout_ms: 2_000,
    }
}

pub fn file_settings(folder: &TempDir) -> StoreSettings {
    settings(&format!(
        "sqlite://{}",
        folder.path().join("shop.db").display()
    ))
}

pub fn product(id: i64) -> ProductId {
    ProductId::new(id).unwrap()
}

pub fn listing(id: i64) -> Listing {
    Listing {
        id: product(id),
        name: format!("Product {id}").into(),
        price: Won::new(PRICE).unwrap(),
        seller_id: 2,
    }
}

/// How many steps the schema has, from this one on; the first is 1.
pub fn steps_from(first: usize) -> usize {
    Migrator::migrations().len() + 1 - first
}

/// A new order of these products and quantities.
pub fn order(wanted: &[(i64, i64)]) -> Order {
    let id = Uuid::from_u128(
        0x0199_0000_0000_7000_8000_0000_0000_0000
            + u128::from(ORDERS.fetch_add(1, Ordering::Relaxed)),
    );
    let line = |&(id, quantity): &(i64, i64)| Line {
        product: product(id),
        name: Some(format!("Product {id}").into()),
        quantity: Quantity::new(quantity).unwrap(),
        amount: Won::new(PRICE * quantity).unwrap(),
    };
    let lines: Vec<Line> = wanted.iter().map(line).collect();
    Order {
        id: OrderId::new(id),
        user: UserId::parse("1").unwrap(),
        name: "Product 1 외 1건".into(),
        total: Won::total(lines.iter().map(|line| line.amount)).unwrap(),
        lines: lines.into(),
    }
}

pub fn checkout(order: Order) -> Transition {
    let payment = Payment::ready(order, NOW.plus_ms(2_400_000));
    Transition::checkout(TransitionId(Uuid::now_v7()), payment, NOW)
}

pub fn new_order(transition: &Transition) -> Change {
    Change::Checkout {
        transition: transition.clone(),
        key: None,
    }
}

pub fn step(payment: &Payment, event: Event) -> Transition {
    let rules = Rules::default();
    let moment = Moment {
        at: NOW.plus_ms(1_000),
        dice: Dice(0),
        transition: TransitionId(Uuid::now_v7()),
        polled: false,
        steady: true,
        rules: &rules,
    };
    after(payment, event, &moment).unwrap()
}

pub fn key(name: &str) -> PaymentKey {
    PaymentKey::parse(name).unwrap()
}

pub fn claim() -> Claim {
    Claim {
        owner: ME,
        deadline: NOW.plus_ms(60_000),
    }
}

pub fn started(payment: &Payment, name: &str) -> Transition {
    let payment_key = key(name);
    let gateway = GatewayIdentity("http://127.0.0.1:8090 3f2a".into());
    step(
        payment,
        Event::AttemptStarted {
            payment_key,
            gateway,
            claim: claim(),
        },
    )
}

pub fn approved(payment: &Payment) -> Transition {
    let attempt = payment.current_attempt().unwrap();
    let approval = Approval {
        approved_at: Some(NOW),
        method: Some("카드".into()),
        receipt_url: Some("https://toss.example/r".into()),
    };
    let payment_key = attempt.payment_key.clone();
    step(
        payment,
        Event::Approved {
            attempt: attempt.number,
            payment_key,
            approval,
        },
    )
}

pub fn declined(payment: &Payment) -> Transition {
    let attempt = payment.current_attempt().unwrap().number;
    let decline = Decline::new("REJECT_CARD_COMPANY", "결제 승인이 거절되었습니다");
    step(payment, Event::Declined { attempt, decline })
}

impl Shop {
    /// Products 1 and 2 with so much on the shelf.
    pub async fn with(first: i64, second: i64) -> Shop {
        let shop = Shop::empty().await;
        shop.list_and_fill(&[(1, first), (2, second)]).await;
        shop
    }

    pub async fn empty() -> Shop {
        let folder = TempDir::new().unwrap();
        let database = TestDatabase::new(&folder.path().join("shop.db"));
        let settings = settings(&database.url);
        Shop::open(folder, settings, Some(database)).await
    }

    /// As [`Shop::with`], in a file whatever database the tests are about.
    pub async fn file_with(first: i64, second: i64) -> Shop {
        let folder = TempDir::new().unwrap();
        let settings = file_settings(&folder);
        let shop = Shop::open(folder, settings, None).await;
        shop.list_and_fill(&[(1, first), (2, second)]).await;
        shop
    }

    /// A file that somebody else has opened.
    pub fn of(store: Store, folder: TempDir) -> Shop {
        Shop {
            store,
            folder,
            settings: None,
            _database: None,
        }
    }

    /// After a restart.
    pub async fn reopened(mut self) -> Shop {
        self.store.close().await;
        let settings = self.settings.clone().unwrap();
        self.store = Store::open(settings, Opened::Serving).await.unwrap();
        self
    }

    pub fn url(&self) -> &str {
        &self.settings.as_ref().unwrap().url
    }

    /// Another node on the same database, where there can be one.
    pub async fn another(&self) -> Store {
        let settings = self.settings.clone().unwrap();
        Store::open(settings, Opened::Serving).await.unwrap()
    }

    /// A command that only reads, on the same database.
    pub async fn reader(&self) -> Result<Store, StoreFault> {
        let settings = self.settings.clone();
        let settings = settings.unwrap_or_else(|| file_settings(&self.folder));
        Store::open(settings, Opened::ReadOnly).await
    }

    async fn open(
        folder: TempDir,
        settings: StoreSettings,
        database: Option<TestDatabase>,
    ) -> Shop {
        let store = Store::open(settings.clone(), Opened::Serving)
            .await
            .unwrap();
        store.migrate().await.unwrap();
        Shop {
            store,
            folder,
            settings: Some(settings),
            _database: database,
        }
    }

    pub async fn list_and_fill(&self, products: &[(i64, i64)]) {
        let list = products.iter().map(|(id, _)| Change::List(listing(*id)));
        let fill = products.iter().map(|(id, stock)| restock(*id, *stock));
        let batch: Vec<Change> = list.chain(fill).collect();
        self.commit(&batch).await;
    }

    pub async fn commit(&self, batch: &[Change]) -> Vec<Verdict> {
        self.committed(batch).await.verdicts
    }

    pub async fn committed(&self, batch: &[Change]) -> Committed {
        self.store.commit(batch).await.unwrap()
    }

    /// A payment as checkout leaves it.
    pub async fn ready(&self, wanted: &[(i64, i64)]) -> Payment {
        let transition = checkout(order(wanted));
        assert_eq!(self.commit(&[new_order(&transition)]).await, [FREE]);
        transition.next
    }

    /// A payment whose first attempt is under way.
    pub async fn in_progress(&self, wanted: &[(i64, i64)], name: &str) -> Payment {
        let ready = self.ready(wanted).await;
        let transition = started(&ready, name);
        assert_eq!(
            self.commit(&[Change::Advance(transition.clone())]).await,
            [HELD]
        );
        transition.next
    }

    pub async fn load(&self, payment: &Payment) -> Payment {
        self.store.load(payment.order.id).await.unwrap().unwrap()
    }

    /// Stock and received.
    pub async fn stock(&self, id: i64) -> (i64, i64) {
        let shelf = self.store.shelf(&[product(id)]).await.unwrap();
        let found = &shelf[&product(id)];
        (found.stock, found.received)
    }

    pub fn writer(&self) -> DatabaseConnection {
        self.store.writer().unwrap().pool
    }

    /// Behind the store's back.
    pub async fn say(&self, sql: &'static str) {
        execute(&self.writer(), sql, []).await.unwrap();
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        #[derive(FromQueryResult)]
        struct Count {
            n: i64,
        }
        let found: Vec<Count> = self.store.rows(sql, []).await.unwrap();
        found[0].n
    }

    /// Payments, history rows, outbox rows and attempts: what a refused change must leave alone.
    pub async fn counts(&self) -> [i64; 4] {
        [
            self.count("SELECT count(*) AS n FROM payments").await,
            self.count("SELECT count(*) AS n FROM payment_history")
                .await,
            self.count("SELECT count(*) AS n FROM outbox").await,
            self.count("SELECT count(*) AS n FROM attempts").await,
        ]
    }
}

pub fn restock(id: i64, change: i64) -> Change {
    Change::Restock(Restock {
        id: Uuid::now_v7(),
        product: product(id),
        change,
        reason: "delivery".into(),
        at: NOW,
    })
}
