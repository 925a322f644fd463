//! Who of several nodes looks after which unfinished orders: each after its share, by the last digit of their ids, so
//! that no two timers chew the same rows, and nothing is written for it. What a neighbour leaves lying is taken over.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Hands;
use crate::domain::{Incarnation, OrderId};
use crate::store::{Due, Share, StoreFault};

/// How many ticks lie between two looks at everybody's orders. A row that is due at two of them is left lying: its
/// node lives, and does not come to it.
const TAKE_OVER_TICKS: u32 = 5;

/// What one look asks for.
#[derive(Clone, Debug)]
pub struct Part {
    asked: Share,
    mine: Share,
}

impl Part {
    pub fn asked(&self) -> &Share {
        &self.asked
    }

    /// Whether all of it is for us: then more of it is worth looking for.
    pub fn is_mine(&self) -> bool {
        self.asked == self.mine
    }
}

#[derive(Debug, Default)]
pub struct Shares {
    /// Who lived when we looked last, the eldest first.
    living: Vec<Incarnation>,
    /// The last look at everybody's orders, and what of it was not ours.
    all: Option<Instant>,
    others: HashSet<OrderId>,
}

impl Shares {
    /// Which orders to ask for now. On a database that nobody else serves: all.
    pub async fn look(
        &mut self,
        hands: &Hands,
        me: Incarnation,
        tick: Duration,
    ) -> Result<Part, StoreFault> {
        let whole = Share::whole();
        if !hands.store.is_shared() {
            let (asked, mine) = (whole.clone(), whole);
            return Ok(Part { asked, mine });
        }
        let dead_after = hands.membership.dead_after();
        let living = hands.store.living(dead_after).await?;
        let others = living.iter().filter(|node| node.incarnation != me);
        hands
            .pacing
            .hear_of(others.filter(|node| node.saturated).count(), Instant::now());
        let living: Vec<Incarnation> = living.iter().map(|node| node.incarnation).collect();
        let rank = living.iter().position(|node| *node == me);
        self.bury(&living, rank, hands, me).await;
        // Not among the living as the database sees it: whatever is due is somebody else's.
        let mine = rank.map_or(Share::none(), |rank| Share::of(rank, living.len()));
        self.living = living;
        let due = self
            .all
            .is_none_or(|all| all.elapsed() >= tick * TAKE_OVER_TICKS);
        let asked = match due && rank.is_some() {
            true => whole,
            false => mine.clone(),
        };
        if asked != mine {
            self.all = Some(Instant::now());
        }
        Ok(Part { asked, mine })
    }

    /// Somebody has died: the questions that it had claimed wait for its answers in vain. The eldest of those who have
    /// known it sees to them, and whoever is new to all who died before; if that comes to nothing, they are due when
    /// the claims end.
    async fn bury(
        &self,
        living: &[Incarnation],
        rank: Option<usize>,
        hands: &Hands,
        me: Incarnation,
    ) {
        let died = self.living.iter().any(|node| !living.contains(node));
        let sees_to_them = rank == Some(0) && died || rank.is_some() && self.living.is_empty();
        if !sees_to_them {
            return;
        }
        let (now, dead_after) = (hands.clock.now(), hands.membership.dead_after());
        match hands.store.make_orphans_due(me, now, dead_after).await {
            Ok(0) => {}
            Ok(orphans) => tracing::warn!(orphans, "a node is gone; what it was at is due now"),
            Err(fault) => tracing::warn!(%fault, "a node is gone; its claims must end first"),
        }
    }

    /// What of it to take in hand: our own, and what was left lying since the last look at everybody's.
    pub fn pick(&mut self, part: &Part, due: Vec<Due>) -> Vec<Due> {
        if part.is_mine() {
            return due;
        }
        let known = std::mem::take(&mut self.others);
        let (mut taken, mut left) = (Vec::new(), HashSet::new());
        for found in due {
            let lying = known.contains(&found.order);
            if lying || part.mine.has(found.order) {
                taken.push(found);
            } else {
                left.insert(found.order);
            }
        }
        self.others = left;
        taken
    }
}
