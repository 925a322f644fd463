//! The journal's queue: what goes first, what is turned away, and what one bad change does to its batch-mates.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::*;
use crate::actors::journal::{Flush, Written};
use crate::store::sabotage::Fate;

const WRITTEN: Written = Ok(Verdict::Committed { held: false });

fn restock(id: Uuid) -> Write {
    Write::new(Change::Restock(Restock {
        id,
        product: ProductId::new(1).unwrap(),
        change: 1,
        reason: "delivery".into(),
        at: Clock::new(Rules::default()).now(),
    }))
}

/// Writes on their way, and the answers in the order in which they came.
struct Queue {
    journal: Addr<JournalActor>,
    heard: Rc<RefCell<Vec<(usize, Written)>>>,
    sent: usize,
}

impl Queue {
    fn of(stage: &Stage, batch: usize) -> Queue {
        Queue::paced(stage, batch, stage.hands.pacing.clone())
    }

    fn paced(stage: &Stage, batch: usize, pacing: Pacing) -> Queue {
        let hands = &stage.hands;
        let committer = Committer {
            store: hands.store.clone(),
            products: hands.products.clone(),
            metrics: hands.metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let limits = JournalLimits {
            batch,
            queue: 1_000,
        };
        let journal = JournalActor::new(committer, pacing, limits).start();
        Queue {
            journal,
            heard: Rc::default(),
            sent: 0,
        }
    }

    fn push(&mut self, write: Write) -> usize {
        let (number, heard) = (self.sent, self.heard.clone());
        self.sent += 1;
        let written = self.journal.send(write);
        actix::spawn(async move {
            let written = written.await.unwrap();
            heard.borrow_mut().push((number, written));
        });
        number
    }

    /// The journal has taken in what was pushed: the first of it is under way, the rest waits behind it.
    async fn taken_in(&self) {
        self.journal.send(Ping).await.unwrap();
    }

    async fn drain(&self) -> Vec<(usize, Written)> {
        let all = async {
            while self.heard.borrow().len() < self.sent {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .expect("every write is answered");
        self.heard.take()
    }

    /// As one batch, behind the first of them.
    async fn write_many(&mut self, stage: &Stage, changes: usize) {
        let held = stage.hands.store.hold().await;
        (0..changes).for_each(|_| _ = self.push(restock(Uuid::now_v7())));
        self.taken_in().await;
        held.release().await;
        self.finish().await;
    }

    /// Everything that was pushed is written.
    async fn finish(&mut self) {
        let heard = self.drain().await;
        assert!(heard.iter().all(|(_, written)| *written == WRITTEN));
        self.sent = 0;
    }
}

/// Answered in its turn.
#[derive(Message)]
#[rtype(result = "()")]
struct Ping;

impl Handler<Ping> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

async fn stock(stage: &Stage) -> i64 {
    let product = ProductId::new(1).unwrap();
    stage.hands.store.shelf(&[product]).await.unwrap()[&product].stock
}

#[actix::test]
async fn heartbeats_go_first_under_a_slow_queue() {
    let stage = stage(PLAN, None).await;
    let mut queue = Queue::of(&stage, 4);
    let incarnation = stage.hands.membership.latest();
    let name = "n".into();
    queue.push(Write::new(Change::Register { incarnation, name }));
    queue.drain().await;
    queue.sent = 0;

    let held = stage.hands.store.hold().await;
    for _ in 0..100 {
        queue.push(restock(Uuid::now_v7()));
    }
    let beat = queue.push(Write::new(Change::Heartbeat {
        incarnation,
        saturated: false,
    }));
    queue.taken_in().await;
    held.release().await;
    let heard = queue.drain().await;
    let rank = heard.iter().position(|(number, _)| *number == beat);
    assert!(rank.is_some_and(|rank| rank < 8), "{rank:?}");
    assert!(heard.iter().all(|(_, written)| *written == WRITTEN));
}

#[actix::test]
async fn a_failing_batch_is_split_until_the_poison_is_alone() {
    let stage = stage(PLAN, None).await;
    let mut queue = Queue::of(&stage, 256);
    let used = Uuid::now_v7();
    queue.push(restock(used));
    queue.drain().await;
    queue.sent = 0;

    let held = stage.hands.store.hold().await;
    let mut poisonous = Vec::new();
    for n in 0..60 {
        // The name of a change that was made already: the database refuses it.
        let poison = n == 17 || n == 41;
        let id = if poison { used } else { Uuid::now_v7() };
        let number = queue.push(restock(id));
        poisonous.extend(poison.then_some(number));
    }
    queue.taken_in().await;
    held.release().await;
    for (number, written) in queue.drain().await {
        let expected = match poisonous.contains(&number) {
            true => Err(NoVerdict::Fault),
            false => WRITTEN,
        };
        assert_eq!(written, expected, "change {number}");
    }
    assert_eq!(stock(&stage).await, 59 + 1 + 58);
}

/// Halved to the end, sixty-four changes of one held row would wait for it 127 times, and everybody else behind them.
#[actix::test]
async fn a_row_that_is_held_for_long_holds_up_the_journal_only_for_a_while() {
    let stage = stage(PLAN, None).await;
    let mut queue = Queue::of(&stage, 64);
    let held = stage.hands.store.hold().await;
    queue.push(restock(Uuid::now_v7()));
    for _ in 0..64 {
        queue.push(restock(Uuid::now_v7()));
    }
    queue.taken_in().await;
    let mut fates = vec![Fate::Blocked; 200];
    fates[0] = Fate::Acknowledged;
    stage.hands.store.sabotage(&fates, 0);
    held.release().await;
    let heard = queue.drain().await;
    let waits = 199 - stage.hands.store.fates();
    assert!((2..=16).contains(&waits), "{waits} waits");
    let busy = heard
        .iter()
        .filter(|(_, written)| *written == Err(NoVerdict::Busy));
    assert_eq!(busy.count(), 64);
    stage.hands.store.sabotage(&[], 0);
    assert_eq!(stock(&stage).await, 59 + 1);
}

/// One wait for a database that is locked, not one for each batch in the queue.
#[actix::test]
async fn what_would_open_something_is_turned_away_while_the_database_is_away() {
    let stage = stage(PLAN, None).await;
    let mut queue = Queue::of(&stage, 1);
    let lock = stage.hands.store.lock().await;
    let began = Instant::now();
    for _ in 0..40 {
        queue.push(restock(Uuid::now_v7()));
    }
    let heard = queue.drain().await;
    // The stage's busy timeout is 1 s: forty turns would take forty.
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let busy = |(_, written): &(usize, Written)| *written == Err(NoVerdict::Busy);
    assert!(heard.iter().all(busy), "{heard:?}");
    lock.release().await;
    assert_eq!(stock(&stage).await, 59);
    queue.sent = 0;
    queue.push(restock(Uuid::now_v7()));
    assert_eq!(queue.drain().await, [(0, WRITTEN)]);
}

#[actix::test]
async fn reading_back_gives_up_at_the_first_sign_that_the_database_is_away() {
    let stage = stage(PLAN, None).await;
    let mut queue = Queue::of(&stage, 256);
    let held = stage.hands.store.hold().await;
    queue.push(restock(Uuid::now_v7()));
    queue.taken_in().await;
    for _ in 0..20 {
        queue.push(restock(Uuid::now_v7()));
    }
    queue.taken_in().await;
    let fates = [Fate::Acknowledged, Fate::Landed];
    stage.hands.store.sabotage(&fates, 1);
    held.release().await;
    let heard = queue.drain().await;
    let doubtful = |(_, written): &&(usize, Written)| *written == Err(NoVerdict::Doubtful);
    assert_eq!(heard.iter().filter(doubtful).count(), 20, "{heard:?}");
    assert!(stage.hands.store.is_spent());
    assert_eq!(stock(&stage).await, 59 + 21);
}

/// The journal as it is on a server: a batch waits for its COMMIT, and the next one lands meanwhile.
async fn two_at_once() -> (Stage, Queue) {
    let stage = stage(PLAN, None).await;
    stage.hands.store.share();
    let queue = Queue::of(&stage, 1);
    (stage, queue)
}

async fn in_stock(stage: &Stage, wanted: i64) {
    while stock(stage).await < wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn a_batch_is_written_while_the_one_before_waits_for_its_commit_and_is_answered_after_it() {
    let (stage, mut queue) = two_at_once().await;
    stage.hands.store.sabotage(&[Fate::Unheard], 0);
    for _ in 0..4 {
        queue.push(restock(Uuid::now_v7()));
    }
    in_stock(&stage, 59 + 2).await;
    queue.taken_in().await;
    assert_eq!(queue.heard.borrow().len(), 0, "before its turn");
    assert_eq!(stock(&stage).await, 59 + 2, "a third has begun");
    stage.hands.store.give_up_waiting();
    let heard = queue.drain().await;
    let in_turn: Vec<_> = (0..4).map(|number| (number, WRITTEN)).collect();
    assert_eq!(heard, in_turn);
    assert_eq!(stock(&stage).await, 59 + 4);
}

#[actix::test]
async fn rows_that_the_batch_before_holds_are_waited_for_until_it_ends() {
    let (stage, mut queue) = two_at_once().await;
    let fates = [Fate::Unheard, Fate::Blocked];
    stage.hands.store.sabotage(&fates, 0);
    for _ in 0..2 {
        queue.push(restock(Uuid::now_v7()));
    }
    while !stage.hands.store.is_spent() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.hands.store.give_up_waiting();
    assert_eq!(queue.drain().await, [(0, WRITTEN), (1, WRITTEN)]);
    assert_eq!(stock(&stage).await, 59 + 2);
}

#[actix::test]
async fn a_flush_waits_for_both_batches() {
    let (stage, mut queue) = two_at_once().await;
    stage.hands.store.sabotage(&[Fate::Unheard], 0);
    for _ in 0..2 {
        queue.push(restock(Uuid::now_v7()));
    }
    in_stock(&stage, 59 + 2).await;
    let mut flushed = Box::pin(queue.journal.send(Flush));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut flushed).await;
    assert!(early.is_err(), "flushed while a COMMIT is out");
    stage.hands.store.give_up_waiting();
    flushed.await.unwrap();
    queue.drain().await;
}

/// What comes behind a large batch waits while it is another node's turn: until half a batch is together, until there is no
/// room for more, until somebody waits for all of it, or until that turn is over.
#[actix::test]
async fn a_journal_leaves_the_database_to_others_that_are_saturated() {
    let world = nodes::shared().await;
    let stage = world.stage(PLAN, None, None);
    let pacing = Pacing::of_at_most(Duration::from_secs(600));
    let mut queue = Queue::paced(&stage, 64, pacing.clone());
    queue.write_many(&stage, 21).await;
    queue.push(restock(Uuid::now_v7()));
    queue.taken_in().await;
    assert!(!one_waits(&stage), "nobody else is there");
    queue.finish().await;

    pacing.hear_of(usize::MAX, tokio::time::Instant::now());
    queue.write_many(&stage, 21).await;
    queue.push(restock(Uuid::now_v7()));
    queue.taken_in().await;
    assert!(one_waits(&stage), "others write");
    pacing.hear_of(usize::MAX, tokio::time::Instant::now());
    (1..32).for_each(|_| _ = queue.push(restock(Uuid::now_v7())));
    queue.finish().await;

    queue.push(restock(Uuid::now_v7()));
    queue.taken_in().await;
    assert!(one_waits(&stage), "that was a large batch, too");
    queue.journal.send(Flush).await.unwrap();
    queue.finish().await;

    queue.push(restock(Uuid::now_v7()));
    queue.finish().await;
}

#[actix::test]
async fn a_journal_that_left_the_database_to_others_comes_back_by_itself() {
    let world = nodes::shared().await;
    let stage = world.stage(PLAN, None, None);
    let mut queue = Queue::paced(&stage, 64, stage.hands.pacing.clone());
    for _ in 0..3 {
        stage
            .hands
            .pacing
            .hear_of(usize::MAX, tokio::time::Instant::now());
        queue.write_many(&stage, 21).await;
        queue.push(restock(Uuid::now_v7()));
        queue.finish().await;
    }
}

fn one_waits(stage: &Stage) -> bool {
    let text = stage.hands.metrics.text().unwrap();
    text.contains("payonce_journal_queued 1\n")
}
