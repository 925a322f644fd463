//! A Toss that takes the money and loses the answer, asked by one node while another one looks on.

use super::nodes::{DEAD_AFTER, NODES, TIMER, shared};
use super::*;
use crate::actors::recovery::RecoveryTimer;
use crate::domain::Status;

/// Toss takes the money and loses the answer, and the answers to the first questions.
struct Lossy {
    asked: usize,
    report: Option<Report>,
}

impl Actor for Lossy {
    type Context = Context<Self>;
}

impl Handler<Admit> for Lossy {
    type Result = Result<Permit, Busy>;

    fn handle(&mut self, order: Admit, _: &mut Self::Context) -> Self::Result {
        Ok(Permit::unbounded(order.lane))
    }
}

impl Handler<SendConfirm> for Lossy {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, order: SendConfirm, _: &mut Self::Context) -> Self::Result {
        let call = order.call;
        self.report = Some(approved(call.payment_key, call.order, call.amount.get()));
        Box::pin(std::future::ready(Reply {
            outcome: Outcome::Unknown("lost".into()),
            answered: false,
        }))
    }
}

impl Handler<LookUp> for Lossy {
    type Result = Finding;

    fn handle(&mut self, _: LookUp, _: &mut Self::Context) -> Self::Result {
        self.asked += 1;
        match self.report.clone().filter(|_| self.asked > 2) {
            Some(report) => Finding::Found(report),
            None => Finding::NoAnswer("lost".into()),
        }
    }
}

/// A flight goes on asking within its budget. Meanwhile its order is due; other nodes' timers and buyers wait for it.
#[actix::test]
async fn a_flight_that_goes_on_asking_is_not_disturbed_by_another_node() {
    let mut world = shared().await;
    world.rules.backoff_min_ms = 10;
    let plan = Plan {
        flight: FlightLimits {
            budget: Duration::from_secs(60),
            call: Duration::from_secs(2),
        },
        ..NODES
    };
    let lossy = Lossy {
        asked: 0,
        report: None,
    };
    let lossy = lossy.start();
    let ways = || Ways {
        admit: lossy.clone().recipient(),
        confirm: lossy.clone().recipient(),
        look_up: lossy.clone().recipient(),
    };
    let (one, two) = (
        stage_in(&world, plan, ways(), None),
        stage_in(&world, plan, ways(), None),
    );
    for stage in [&one, &two] {
        world.register(stage).await;
    }
    let order = one.order(1).await;
    RecoveryTimer::new(two.directory.clone(), two.hands.clone(), TIMER).start();
    let other = async {
        until("it is due", async || {
            let payment = world.load(order.0).await;
            let due = payment
                .due_at()
                .is_some_and(|due| due <= two.hands.clock.now());
            payment.status == Status::Unknown && due
        })
        .await;
        two.confirm_within(order, "key-a", DEAD_AFTER).await
    };
    let (heard, there) = tokio::join!(one.confirm_within(order, "key-a", DEAD_AFTER), other);
    assert!(is_paid(&heard), "{heard:?}");
    assert_eq!(there, heard);
    let payment = world.load(order.0).await;
    assert_eq!(payment.owner, Some(one.hands.membership.latest()));
    let events = world.events(order.0).await;
    let claimed = events.iter().any(|event| **event == *"RETRY_CLAIMED");
    assert!(!claimed, "{events:?}");
}
