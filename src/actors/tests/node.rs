//! The node's row, and what its heartbeat says about the journal.

use super::*;
use crate::actors::node::{CloseNode, NodeActor};
use crate::actors::vitals::Vitals;
use crate::store::sabotage::Fate;

fn node(stage: &Stage, vitals: &Vitals) -> Addr<NodeActor> {
    let heartbeat = Duration::from_millis(20);
    let (hands, vitals) = (&stage.hands, vitals.clone());
    NodeActor::new(hands, "n".into(), heartbeat, vitals).start()
}

/// Whether the node's row is open: a heartbeat for it is taken.
async fn is_there(stage: &Stage) -> bool {
    let incarnation = stage.hands.membership.latest();
    let beat = Write::new(Change::Heartbeat {
        incarnation,
        saturated: false,
    });
    let written = stage.hands.journal.send(beat).await.unwrap();
    matches!(written, Ok(Verdict::Committed { .. }))
}

async fn wait_until(stage: &Stage, there: bool) {
    until("the row is there, or is not", async || {
        is_there(stage).await == there
    })
    .await;
}

#[actix::test]
async fn a_registration_that_failed_is_made_again() {
    let stage = stage(PLAN, None).await;
    stage.hands.store.sabotage(&[Fate::Vanished; 3], 0);
    let _node = node(&stage, &Vitals::default());
    wait_until(&stage, true).await;
    assert!(stage.hands.store.is_spent());
}

#[actix::test]
async fn a_node_whose_row_is_gone_registers_again() {
    let stage = stage(PLAN, None).await;
    let _node = node(&stage, &Vitals::default());
    wait_until(&stage, true).await;
    let incarnation = stage.hands.membership.latest();
    let close = Write::new(Change::Close { incarnation });
    let written = stage.hands.journal.send(close).await.unwrap();
    assert!(written.is_ok(), "{written:?}");
    wait_until(&stage, true).await;
}

#[actix::test]
async fn a_closed_node_stays_closed() {
    let stage = stage(PLAN, None).await;
    let node = node(&stage, &Vitals::default());
    wait_until(&stage, true).await;
    node.send(CloseNode).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!is_there(&stage).await);
}

#[actix::test]
async fn a_journal_that_cannot_write_is_noticed_though_nobody_writes() {
    let stage = stage(PLAN, None).await;
    let vitals = stage.directory.vitals();
    // Nobody was started: that is noticed too.
    let missing = stage.directory.not_ready().await;
    assert_eq!(missing, ["journal", "recovery", "node"]);
    let node = node(&stage, vitals);
    vitals.recovery.good_for(Duration::from_secs(600));
    let not_ready = async |what: &str, wanted: &[&str]| {
        until(what, async || stage.directory.not_ready().await == wanted).await;
    };
    not_ready("green", &[]).await;

    let lock = stage.hands.store.lock().await;
    not_ready("red", &["journal"]).await;
    lock.release().await;
    not_ready("green again", &[]).await;

    node.do_send(Explode);
    not_ready("a dead node is noticed", &["journal", "node"]).await;
}

/// Ends the node as a panic in a handler does: its mailbox closes.
#[derive(Message)]
#[rtype(result = "()")]
struct Explode;

impl Handler<Explode> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Explode, ctx: &mut Self::Context) {
        ctx.terminate();
    }
}

/// Whoever beats has just done so.
async fn alive() -> Stage {
    let stage = stage(PLAN, None).await;
    let vitals = stage.directory.vitals();
    let long = Duration::from_secs(600);
    for pulse in [&vitals.journal, &vitals.node, &vitals.recovery] {
        pulse.good_for(long);
    }
    stage
}

#[actix::test]
async fn health_is_answered_while_the_pool_of_the_writer_is_dry() {
    let stage = alive().await;
    let held = stage.hands.store.hold().await;
    let asked = tokio::time::timeout(Duration::from_secs(3), stage.directory.not_ready()).await;
    assert_eq!(asked, Ok(Vec::new()));
    held.release().await;
}

#[actix::test]
async fn health_in_a_crowd_of_readers_is_as_good_as_their_answers() {
    let stage = alive().await;
    let held = stage.hands.store.hold_readers().await;
    assert_eq!(stage.directory.not_ready().await, ["database"]);
    let crowd = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.hands.store.hear_something();
    };
    let (missing, ()) = tokio::join!(stage.directory.not_ready(), crowd);
    assert_eq!(missing, Vec::<&str>::new());
    drop(held);
    assert_eq!(stage.directory.not_ready().await, Vec::<&str>::new());
}
