//! Three nodes, a moody Toss, buyers who ask everywhere at once, and nodes that die, or are taken for dead while they
//! live. Whatever happens, money is taken at most once an order, nothing that was taken is lost, and answers stay.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::*;
use crate::actors::recovery::{RecoveryLimits, RecoveryTimer};
use crate::domain::outcome::Decline;
use crate::domain::{Payment, Status};

const ORDERS: usize = 12;
const STEPS: usize = 300;
const DEAD_AFTER: Duration = Duration::from_secs(600);

const PLAN_OF_ALL: Plan = Plan {
    dead_after: DEAD_AFTER,
    flight: FlightLimits {
        budget: Duration::from_millis(100),
        call: Duration::from_millis(200),
    },
    ..PLAN
};

const TIMER: RecoveryLimits = RecoveryLimits {
    tick: Duration::from_millis(30),
    batch: 16,
    per_second: 2_000,
};

/// Toss: replays what it said under an idempotency key, executes a paymentKey once, and loses answers.
struct Moody(Rc<RefCell<Bank>>);

struct Bank {
    dice: SmallRng,
    said: HashMap<String, Reply>,
    ended: BTreeMap<(OrderId, String), Report>,
    /// Authorized, and neither paid nor declined so far as it knows.
    open: HashMap<PaymentKey, Report>,
}

fn unanswered() -> Reply {
    Reply {
        outcome: Outcome::Unknown("lost".into()),
        answered: false,
    }
}

impl Bank {
    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    fn confirm(&mut self, order: &SendConfirm) -> Reply {
        let call = &order.call;
        if !order.warrant.holds() {
            return Reply {
                outcome: Outcome::NotAttempted("no warrant".into()),
                answered: false,
            };
        }
        if self.chance(10) {
            return unanswered();
        }
        let known = self.said.get(&call.idempotency_key).cloned();
        let reply = known.unwrap_or_else(|| self.execute(call));
        self.said
            .insert(call.idempotency_key.clone(), reply.clone());
        match self.chance(25) {
            true => unanswered(),
            false => reply,
        }
    }

    fn execute(&mut self, call: &crate::gateway::ConfirmCall) -> Reply {
        let key = (call.order, call.payment_key.reveal().to_owned());
        let mut report = approved(call.payment_key.clone(), call.order, call.amount.get());
        let open = Report {
            status: TossStatus::InProgress,
            ..report.clone()
        };
        self.open.insert(call.payment_key.clone(), open);
        let outcome = match self.dice.random_range(0..100) {
            _ if self.ended.contains_key(&key) => {
                Outcome::Unknown("ALREADY_PROCESSED_PAYMENT".into())
            }
            0..45 => {
                self.ended.insert(key, report.clone());
                Outcome::Approved(report)
            }
            45..75 => {
                let decline = Decline::new("REJECT_CARD_PAYMENT", "no");
                report.status = TossStatus::Aborted;
                report.failure = Some(decline.clone());
                self.ended.insert(key, report);
                Outcome::Declined(decline)
            }
            _ => Outcome::Temporary("PROVIDER_ERROR".into()),
        };
        Reply {
            outcome,
            answered: true,
        }
    }

    fn look_up(&mut self, subject: &Subject) -> Finding {
        if self.chance(15) {
            return Finding::NoAnswer("lost".into());
        }
        let Subject::PaymentKey(key) = subject else {
            return Finding::NotFound;
        };
        let mut ended = self.ended.values();
        let known = ended.find(|known| known.payment_key == *key);
        let known = known.or_else(|| self.open.get(key));
        match known {
            Some(report) => Finding::Found(report.clone()),
            None => Finding::NotFound,
        }
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.dice.random_range(0..30))
    }
}

impl Actor for Moody {
    type Context = Context<Self>;
}

impl Handler<Admit> for Moody {
    type Result = Result<Permit, Busy>;

    fn handle(&mut self, order: Admit, _: &mut Self::Context) -> Self::Result {
        Ok(Permit::unbounded(order.lane))
    }
}

impl Handler<SendConfirm> for Moody {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        let bank = self.0.clone();
        Box::pin(async move {
            let before = bank.borrow_mut().pause();
            let after = bank.borrow_mut().pause();
            sleep(before).await;
            let reply = bank.borrow_mut().confirm(&order);
            sleep(after).await;
            reply
        })
    }
}

impl Handler<LookUp> for Moody {
    type Result = ResponseFuture<Finding>;

    fn handle(&mut self, order: LookUp, _: &mut Self::Context) -> Self::Result {
        let bank = self.0.clone();
        Box::pin(async move {
            let pause = bank.borrow_mut().pause();
            let finding = bank.borrow_mut().look_up(&order.subject);
            sleep(pause).await;
            finding
        })
    }
}

/// To whom it was said, by order and paymentKey, and what.
type Told = ((OrderId, String), Heard);

struct Storm {
    world: World,
    bank: Rc<RefCell<Bank>>,
    dice: SmallRng,
    nodes: Vec<Rc<Stage>>,
    orders: Vec<(OrderId, Won)>,
    heard: Rc<RefCell<Vec<Told>>>,
}

impl Storm {
    async fn new(seed: u64) -> Storm {
        let mut world = world().await;
        world.store.share();
        world.rules = Rules {
            backoff_min_ms: 10,
            backoff_max_ms: 60,
            // Nothing is given up while Toss cannot say "not found" for good.
            ..Rules::default()
        };
        let bank = Bank {
            dice: SmallRng::seed_from_u64(seed),
            said: HashMap::new(),
            ended: BTreeMap::new(),
            open: HashMap::new(),
        };
        let mut storm = Storm {
            world,
            bank: Rc::new(RefCell::new(bank)),
            dice: SmallRng::seed_from_u64(seed.wrapping_add(1)),
            nodes: Vec::new(),
            orders: Vec::new(),
            heard: Rc::default(),
        };
        for _ in 0..3 {
            let node = storm.node().await;
            storm.nodes.push(node);
        }
        for n in 0..ORDERS {
            let order = storm.nodes[n % 3].order(1).await;
            storm.orders.push(order);
        }
        storm
    }

    async fn node(&self) -> Rc<Stage> {
        let toss = Moody(self.bank.clone()).start();
        let ways = Ways {
            admit: toss.clone().recipient(),
            confirm: toss.clone().recipient(),
            look_up: toss.recipient(),
        };
        let stage = stage_in(&self.world, PLAN_OF_ALL, ways, None);
        self.beat(&stage, true).await;
        RecoveryTimer::new(stage.directory.clone(), stage.hands.clone(), TIMER).start();
        Rc::new(stage)
    }

    async fn beat(&self, stage: &Stage, first: bool) {
        let (incarnation, name) = (stage.hands.membership.latest(), "n".into());
        let beat = match first {
            true => Change::Register { incarnation, name },
            false => Change::Heartbeat {
                incarnation,
                saturated: false,
            },
        };
        self.world.store.commit(&[beat]).await.unwrap();
        stage.hands.membership.renew(incarnation, Instant::now());
    }

    fn confirm(&mut self) {
        let node = self.nodes[self.dice.random_range(0..3)].clone();
        let order = self.orders[self.dice.random_range(0..ORDERS)];
        let key = ["key-a", "key-b", "key-c"][self.dice.random_range(0..3)];
        let key = format!("{key}-{}", order.0);
        let patience = Duration::from_millis(self.dice.random_range(0..200));
        let heard = self.heard.clone();
        actix::spawn(async move {
            let told = node.confirm_within(order, &key, patience).await;
            heard.borrow_mut().push(((order.0, key), told));
        });
    }

    /// Dead; or only taken for dead, and it goes on as if nothing were.
    async fn strike(&mut self) {
        let n = self.dice.random_range(0..3);
        let node = self.nodes[n].clone();
        let incarnation = node.hands.membership.latest();
        let store = self.world.store.clone();
        store.age_heartbeat(incarnation, DEAD_AFTER).await;
        if self.dice.random_range(0..2) == 0 {
            node.hands.membership.lapse();
            self.nodes[n] = self.node().await;
        } else {
            sleep(Duration::from_millis(40)).await;
            self.beat(&node, false).await;
        }
    }

    async fn unsettled(&self) -> Vec<Payment> {
        let mut left = Vec::new();
        for (order, _) in &self.orders {
            let payment = self.world.store.load(*order).await.unwrap().unwrap();
            if matches!(payment.status, Status::InProgress | Status::Unknown) {
                left.push(payment);
            }
        }
        left
    }

    /// The promises, all but liveness.
    async fn audit(&self) {
        let ended = self.bank.borrow().ended.clone();
        let mut gone = 0;
        for (order, _) in &self.orders {
            let payment = self.world.store.load(*order).await.unwrap().unwrap();
            let history = self.world.store.history(*order).await.unwrap();
            let story = format!("{payment:#?}\n{history:#?}");
            let versions: Vec<i64> = history.iter().map(|row| row.version).collect();
            assert_eq!(
                versions,
                (1..=payment.version).collect::<Vec<_>>(),
                "{story}"
            );
            let of_it = ended.iter().filter(|((of, _), _)| of == order);
            let paid = of_it.filter(|(_, report)| report.status == TossStatus::Done);
            let paid: Vec<&String> = paid.map(|((_, key), _)| key).collect();
            assert!(paid.len() <= 1, "paid twice: {paid:?}\n{story}");
            let done = payment.status == Status::Done;
            assert_eq!(done, paid.len() == 1, "{paid:?}\n{story}");
            gone += i64::from(done);
        }
        let product = ProductId::new(1).unwrap();
        let counted = self.world.store.counted(&[product]).await.unwrap();
        assert_eq!((counted[0].product.stock, counted[0].held), (59 - gone, 0));
        let mut settled: HashMap<&(OrderId, String), &Answer> = HashMap::new();
        for (asked, heard) in self.heard.borrow().iter() {
            let Heard::Answer(answer @ (Answer::Paid(_) | Answer::Declined { .. })) = heard else {
                continue;
            };
            let paid = matches!(answer, Answer::Paid(_));
            let report = ended.get(asked).unwrap();
            assert_eq!(paid, report.status == TossStatus::Done, "{asked:?}");
            let first = settled.entry(asked).or_insert(answer);
            assert_eq!(matches!(first, Answer::Paid(_)), paid, "{asked:?}");
        }
    }
}

#[actix::test]
async fn in_a_storm_over_three_nodes_money_moves_once_and_nothing_is_lost() {
    let mut storm = Storm::new(crate::chance::seed()).await;
    for step in 0..STEPS {
        storm.confirm();
        if step % 12 == 11 {
            storm.strike().await;
        }
        sleep(Duration::from_millis(storm.dice.random_range(0..8))).await;
    }
    until("all are heard and settled", async || {
        storm.heard.borrow().len() == STEPS && storm.unsettled().await.is_empty()
    })
    .await;
    storm.audit().await;
}
