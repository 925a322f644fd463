//! The crew: starts every actor on its arbiter, in the order in which they need each other, and sends them home
//! in the order in which they stop being needed.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use super::clock::Clock;
use super::directory::{CheckoutRules, Directory, DoorBounds};
use super::housekeeper::{Housekeeper, RetentionLimits};
use super::journal::{Committer, Flush, JournalActor, JournalLimits};
use super::membership::Membership;
use super::node::{CloseNode, NodeActor};
use super::pacing::Pacing;
use super::payment::{FlightLimits, Flights, Hands};
use super::product::Products;
use super::recovery::{RecoveryLimits, RecoveryTimer};
use super::runtimes::Runtimes;
use super::shard::{Shard, ShardLimits};
use super::toss::{Front, TossActor, TossLimits};
use super::versions::Versions;
use crate::domain::Incarnation;
use crate::gateway::Toss;
use crate::metrics::Metrics;
use crate::store::Store;

#[cfg(test)]
mod tests;

/// Every number that the actors are told.
#[derive(Clone, Debug)]
pub struct CrewSettings {
    /// And the rules that read it; set already where several nodes share one.
    pub clock: Clock,
    pub flight: FlightLimits,
    pub toss: TossLimits,
    pub journal: JournalLimits,
    pub shard: ShardLimits,
    pub recovery: RecoveryLimits,
    pub retention: RetentionLimits,
    pub checkout: CheckoutRules,
    pub door: DoorBounds,
    pub shards: usize,
    pub most_waiters: usize,
    pub product_recheck: Duration,
    pub node_name: Box<str>,
    pub heartbeat: Duration,
    pub dead_after: Duration,
}

impl CrewSettings {
    /// All that may be at Toss, all that may wait for it, and what recovery has in hand.
    const fn most_flights(&self) -> usize {
        self.toss.concurrency + self.toss.waiting + self.recovery.batch
    }
}

/// What the last writes may take; a disk that is frozen must not hold the shutdown up.
const LAST_WRITES: Duration = Duration::from_secs(2);

pub struct Crew {
    directory: Directory,
    arbiters: Vec<Arbiter>,
    flights: Flights,
    journal: Addr<JournalActor>,
    recovery: Addr<RecoveryTimer>,
    housekeeper: Addr<Housekeeper>,
    node: Addr<NodeActor>,
}

/// Begin nothing new.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Cease;

impl Crew {
    /// Needs a running actix System; all arbiters share a runtime, so a socket opened by one is served for all.
    pub fn start(
        settings: CrewSettings,
        incarnation: Incarnation,
        store: &Store,
        toss: Toss,
        metrics: &Metrics,
        runtimes: &Runtimes,
    ) -> Crew {
        let rooms = arbiters(settings.shards, &runtimes.shared);
        let common = &rooms.common;
        let products = Products::new(rooms.shards.clone(), settings.product_recheck);
        let committer = committer(store, &products, metrics, &runtimes.journal);
        let (journal, pacing) = start_journal(common, committer, settings.journal);
        let gateway = toss.identity().clone();
        let front = Front::new(&settings.toss);
        let toss = TossActor::new(toss, settings.toss, &front, metrics.clone());
        let toss = TossActor::start_in_arbiter(common, |_| toss);
        let membership = Membership::new(incarnation, store.is_shared(), settings.dead_after);
        let hands = Arc::new(Hands {
            membership,
            gateway,
            clock: settings.clock.clone(),
            limits: settings.flight,
            admit: toss.clone().recipient(),
            confirm: toss.clone().recipient(),
            look_up: toss.recipient(),
            journal: journal.clone().recipient(),
            products,
            versions: start_versions(common, store).recipient(),
            store: store.clone(),
            most_waiters: settings.most_waiters,
            flights: Flights::default(),
            most_flights: settings.most_flights(),
            front,
            pacing,
            metrics: metrics.clone(),
            #[cfg(test)]
            sabotage: Default::default(),
        });
        let flights = hands.flights.clone();
        let shards = start_shards(&rooms.shards, &hands, settings.shard);
        let (theirs, shared) = (hands.clone(), runtimes.shared.handle().clone());
        let (rules, room) = (settings.checkout, settings.door);
        let directory = Directory::new(theirs, shards, rules, room, shared);

        let (name, vitals) = (settings.node_name, directory.vitals().clone());
        let node = NodeActor::new(&hands, name, settings.heartbeat, vitals);
        let node = NodeActor::start_in_arbiter(common, |_| node);
        let housekeeper = start_housekeeper(common, &hands, settings.retention);
        let timer = RecoveryTimer::new(directory.clone(), hands, settings.recovery);
        Crew {
            directory,
            flights,
            journal,
            recovery: RecoveryTimer::start_in_arbiter(common, |_| timer),
            housekeeper,
            node,
            arbiters: rooms.all,
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Nothing is begun any more: no attempt, no recovery, no housekeeping. What is in flight goes on.
    pub fn last_call(&self) {
        self.flights.close();
        self.recovery.do_send(Cease);
        self.housekeeper.do_send(Cease);
    }

    /// Flights may land until the bound. What does not land is left for recovery: its intent is journaled.
    /// Then the journal is flushed, and the node's row closed if no call is out.
    pub async fn go_home(self, bound: Duration) {
        self.last_call();
        fault_point!(TimerCeased);
        let until = Instant::now() + bound;
        while self.flights.out() > 0 && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
        fault_point!(FlightsLanded);
        let out = self.flights.out();
        if out > 0 {
            tracing::warn!(
                out,
                "flights did not land in time; recovery will settle them"
            );
        } else {
            _ = timeout(LAST_WRITES, self.node.send(CloseNode)).await;
            fault_point!(NodeClosed);
        }
        _ = timeout(LAST_WRITES, self.journal.send(Flush)).await;
        fault_point!(Flushed);
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

fn arbiter(runtime: &Arc<tokio::runtime::Runtime>) -> Arbiter {
    let runtime = Arc::clone(runtime);
    Arbiter::with_tokio_rt(move || runtime)
}

/// Who lives where.
struct Arbiters {
    all: Vec<Arbiter>,
    shards: Vec<ArbiterHandle>,
    /// Of the actors that all shards share.
    common: ArbiterHandle,
}

/// One for each shard, and one for the actors that all share. A single shard lives with them: a message to an actor on the same
/// arbiter wakes no thread, and to be woken is most of what a message costs.
fn arbiters(shards: usize, runtime: &Arc<tokio::runtime::Runtime>) -> Arbiters {
    let last = arbiter(runtime);
    let common = last.handle();
    if shards <= 1 {
        return Arbiters {
            all: vec![last],
            shards: vec![common.clone()],
            common,
        };
    }
    let mut all: Vec<Arbiter> = (0..shards).map(|_| arbiter(runtime)).collect();
    let shards = all.iter().map(Arbiter::handle).collect();
    all.push(last);
    Arbiters {
        all,
        shards,
        common,
    }
}

fn committer(
    store: &Store,
    products: &Products,
    metrics: &Metrics,
    runtime: &tokio::runtime::Runtime,
) -> Committer {
    Committer {
        store: store.clone(),
        products: products.clone(),
        metrics: metrics.clone(),
        runtime: runtime.handle().clone(),
    }
}

fn start_journal(
    common: &ArbiterHandle,
    committer: Committer,
    mut limits: JournalLimits,
) -> (Addr<JournalActor>, Pacing) {
    limits.batch = limits.batch.min(committer.store.most_changes());
    let pacing = Pacing::default();
    let journal = JournalActor::new(committer, pacing.clone(), limits);
    let journal = JournalActor::start_in_arbiter(common, |_| journal);
    (journal, pacing)
}

fn start_versions(common: &ArbiterHandle, store: &Store) -> Addr<Versions> {
    let versions = Versions::new(store.clone());
    Versions::start_in_arbiter(common, |_| versions)
}

fn start_housekeeper(
    common: &ArbiterHandle,
    hands: &Arc<Hands>,
    limits: RetentionLimits,
) -> Addr<Housekeeper> {
    let housekeeper = Housekeeper::new(hands.clone(), limits);
    Housekeeper::start_in_arbiter(common, |_| housekeeper)
}

fn start_shards(
    shards: &[ArbiterHandle],
    hands: &Arc<Hands>,
    limits: ShardLimits,
) -> Vec<Addr<Shard>> {
    let start = |shard: &ArbiterHandle| {
        let hands = Arc::clone(hands);
        Shard::start_in_arbiter(shard, move |_| Shard::new(hands, limits))
    };
    shards.iter().map(start).collect()
}
