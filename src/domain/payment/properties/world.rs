//! The small world: a few orders, scarce goods, two nodes with flights, one Toss, one journal. Everything that
//! decides about a payment here is the real thing; the world only has the hands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use uuid::Uuid;

use super::journal::{Commit, Journal, Written};
use super::toss::{Stage, Toss};
use crate::domain::moment::{Dice, Moment, Timestamp};
use crate::domain::order::{Line, Order, OrderId, PaymentKey, Quantity, UserId};
use crate::domain::outcome::Finding;
use crate::domain::payment::{
    Answer, Claim, Event, GatewayIdentity, Incarnation, Payment, Status, Step, Transition,
    TransitionId, after, next_step,
};
use crate::domain::{ProductId, Rules, Won};

/// paymentKeys that the buyer of an order may come with; the last one pays by virtual account.
pub const KEYS: usize = 4;
/// From a claim to its hard deadline.
const CLAIM_MS: i64 = 40_000;
const EXPIRES_MS: i64 = 2_400_000;

static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);

#[derive(Clone, Debug)]
pub struct Node {
    pub incarnation: Incarnation,
    /// Its clock against the world's.
    pub skew_ms: i64,
    pub gateway: GatewayIdentity,
    /// The last snapshot of each payment; it may be old.
    pub known: Vec<Payment>,
}

#[derive(Clone, Debug)]
pub enum Doing {
    Deciding,
    /// A series of calls with one key; any of them may be the one that is answered.
    Sending {
        series: Vec<usize>,
        since: Timestamp,
    },
    Asking {
        finding: Finding,
        since: Timestamp,
    },
}

/// One run of the loop on one node, with its own copy of the payment.
#[derive(Clone, Debug)]
pub struct Flight {
    pub node: usize,
    pub order: usize,
    pub payment: Payment,
    pub claim: Claim,
    pub doing: Doing,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub toss: Toss,
    pub journal: Journal,
    pub nodes: Vec<Node>,
    pub flights: Vec<Flight>,
    /// An answer may be heard long after it was given: the node slept meanwhile.
    pub hears_late: bool,
    /// Every settled answer that a caller may have heard.
    pub told: BTreeMap<(usize, PaymentKey), Answer>,
    /// Orders of which an approval or a refund was heard, and the journal was there.
    pub heard: BTreeSet<usize>,
    /// Orders about which Toss has lied: what it did behind our back is not our fault.
    pub lied: BTreeSet<usize>,
    /// Orders with tampered answers or refunds in the dashboard: they may end with a human.
    pub odd: BTreeSet<usize>,
    /// The version from which on it is on record that Toss has answered a key.
    pub answered: BTreeMap<String, i64>,
    ids: u128,
}

/// What the world begins with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Quantities of the two products, for each order.
    pub orders: Vec<(u8, u8)>,
    pub shelf: (u8, u8),
    pub skews_ms: (i64, i64),
}

pub fn ours() -> GatewayIdentity {
    GatewayIdentity("toss#ours".into())
}

fn elsewhere() -> GatewayIdentity {
    GatewayIdentity("toss#elsewhere".into())
}

fn key_of(order: usize, key: usize) -> PaymentKey {
    let kind = if key + 1 == KEYS { "va" } else { "card" };
    PaymentKey::parse(&format!("order-{order}-key-{key}-{kind}")).unwrap()
}

fn order(number: usize, quantities: (u8, u8)) -> Order {
    let line = |(id, quantity): (i64, u8)| {
        let quantity = Quantity::new(i64::from(quantity))?;
        let amount = Won::new(1_000)?.checked_mul(quantity.get())?;
        Some(Line {
            product: ProductId::new(id)?,
            name: None,
            quantity,
            amount,
        })
    };
    let lines: Vec<Line> = [(1, quantities.0), (2, quantities.1)]
        .into_iter()
        .filter_map(line)
        .collect();
    let total = Won::total(lines.iter().map(|line| line.amount)).unwrap();
    Order {
        id: OrderId::new(Uuid::from_u128(0xabc0 + number as u128)),
        user: UserId::parse("1").unwrap(),
        name: "Ogu T".into(),
        lines: lines.into(),
        total,
    }
}

impl World {
    pub fn new(opening: &Opening) -> World {
        let now = Timestamp::from_micros(0).plus_ms(1_000_000_000);
        let shelf = [(1, opening.shelf.0), (2, opening.shelf.1)];
        let shelf = shelf.map(|(id, stock)| (ProductId::new(id).unwrap(), i64::from(stock)));
        let node = |skew_ms| Node {
            incarnation: Incarnation(Uuid::nil()),
            skew_ms,
            gateway: ours(),
            known: Vec::new(),
        };
        let mut world = World {
            now,
            toss: Toss::default(),
            journal: Journal::new(shelf.into()),
            nodes: vec![node(opening.skews_ms.0), node(opening.skews_ms.1)],
            flights: Vec::new(),
            hears_late: true,
            told: BTreeMap::new(),
            heard: BTreeSet::new(),
            lied: BTreeSet::new(),
            odd: BTreeSet::new(),
            answered: BTreeMap::new(),
            ids: 0,
        };
        for (number, quantities) in opening.orders.iter().enumerate() {
            let order = order(number, *quantities);
            let (id, total) = (order.id.to_string(), order.total.get());
            for key in 0..KEYS {
                world
                    .toss
                    .open(key_of(number, key), (number, &id), total, now);
            }
            let transition = TransitionId(world.fresh_id());
            let ready = Payment::ready(order, now.plus_ms(EXPIRES_MS));
            world
                .journal
                .check_out(Transition::checkout(transition, ready, now));
        }
        world.restart(0, false);
        world.restart(1, false);
        world
    }

    pub fn fresh_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub fn key(&self, order: usize, key: usize) -> PaymentKey {
        key_of(order, key)
    }

    pub fn orders(&self) -> usize {
        self.journal.payments.len()
    }

    pub fn clock(&self, node: usize) -> Timestamp {
        self.now.plus_ms(self.nodes[node].skew_ms)
    }

    pub fn moment(&mut self, node: usize, dice: u32) -> Moment<'static> {
        let transition = TransitionId(self.fresh_id());
        Moment {
            at: self.clock(node),
            dice: Dice(dice),
            transition,
            polled: false,
            steady: true,
            rules: &RULES,
        }
    }

    pub fn claim(&self, node: usize) -> Claim {
        let deadline = self.clock(node).plus_ms(CLAIM_MS);
        Claim {
            owner: self.nodes[node].incarnation,
            deadline,
        }
    }

    /// The process of a node dies and another one takes its place. Calls that have left travel on.
    pub fn restart(&mut self, node: usize, moved: bool) {
        self.flights.retain(|flight| flight.node != node);
        let incarnation = Incarnation(self.fresh_id());
        let known = self.journal.payments.clone();
        let node = &mut self.nodes[node];
        (node.incarnation, node.known) = (incarnation, known);
        if moved {
            node.gateway = if node.gateway == ours() {
                elsewhere()
            } else {
                ours()
            };
        }
    }

    pub fn wait(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.toss.age(self.now);
    }

    pub fn flight_of(&self, node: usize, order: usize) -> Option<usize> {
        self.flights
            .iter()
            .position(|flight| (flight.node, flight.order) == (node, order))
    }

    fn reload(&mut self, node: usize, order: usize) -> Payment {
        let payment = self.journal.payments[order].clone();
        self.nodes[node].known[order] = payment.clone();
        payment
    }

    /// A buyer comes to a node with a paymentKey, tried before or not: the rules must refuse a used one.
    pub fn confirm(
        &mut self,
        node: usize,
        order: usize,
        key: PaymentKey,
        dice: u32,
        commit: Commit,
    ) {
        let known = self.nodes[node].known[order].clone();
        if self.flight_of(node, order).is_some() {
            return;
        }
        let claim = self.claim(node);
        let gateway = self.nodes[node].gateway.clone();
        let event = Event::AttemptStarted {
            payment_key: key,
            gateway,
            claim,
        };
        self.take_off(node, known, event, (dice, commit));
    }

    /// A node takes an unfinished payment in hand: its owner is gone, or only seems to be.
    pub fn take_over(&mut self, node: usize, order: usize, dice: u32, commit: Commit) {
        if self.flight_of(node, order).is_some() {
            return;
        }
        // Now and then from an old copy.
        if !dice.is_multiple_of(4) {
            self.reload(node, order);
        }
        let known = self.nodes[node].known[order].clone();
        let claim = self.claim(node);
        let event = match known.status {
            Status::InProgress => Event::OwnerLost { claim },
            Status::Unknown => Event::RetryClaimed { claim },
            Status::Ready if next_step(&known, &self.moment(node, dice)) == Step::Expire => {
                Event::DeadlinePassed
            }
            Status::Ready => return,
            Status::Quarantined => return self.ask_slowly(node, known),
            Status::Done | Status::Failed | Status::Expired => return,
        };
        self.take_off(node, known, event, (dice, commit));
    }

    /// A timer that went off at the wrong moment.
    pub fn time_out(&mut self, node: usize, order: usize, dice: u32, commit: Commit) {
        if self.flight_of(node, order).is_none() {
            let known = self.nodes[node].known[order].clone();
            self.take_off(node, known, Event::DeadlinePassed, (dice, commit));
        }
    }

    /// A quarantined payment is asked about without history; only its next time is moved.
    fn ask_slowly(&mut self, node: usize, known: Payment) {
        let now = self.clock(node);
        let due = known.next_attempt_at.is_some_and(|due| due <= now);
        let order = self.place(&known);
        let record = &mut self.journal.payments[order];
        if !due || !known.may_settle_itself() || record.version != known.version {
            return;
        }
        record.next_attempt_at = Some(now.plus_ms(RULES.quarantine_ask_ms));
        let (payment, claim) = (self.reload(node, order), self.claim(node));
        self.flights.push(Flight {
            node,
            order,
            payment,
            claim,
            doing: Doing::Deciding,
        });
    }

    fn place(&self, payment: &Payment) -> usize {
        self.journal
            .payments
            .iter()
            .position(|p| p.order.id == payment.order.id)
            .unwrap()
    }

    /// A flight begins with what it writes.
    fn take_off(&mut self, node: usize, payment: Payment, event: Event, with: (u32, Commit)) {
        let (order, claim) = (self.place(&payment), self.claim(node));
        self.flights.push(Flight {
            node,
            order,
            payment,
            claim,
            doing: Doing::Deciding,
        });
        self.record(self.flights.len() - 1, &event, with);
    }

    /// Judges and writes what happened, as the loop does: a stale copy is given up, except for evidence of an
    /// approval, which the reloaded payment judges again. Says whether the flight goes on.
    pub fn record(&mut self, flight: usize, event: &Event, (dice, commit): (u32, Commit)) -> bool {
        let Flight {
            node,
            order,
            payment,
            ..
        } = self.flights[flight].clone();
        let mut payment = payment;
        let kept = is_evidence(event) && commit == Commit::Heard;
        for _ in 0..3 {
            let moment = self.moment(node, dice);
            let Ok(transition) = after(&payment, event.clone(), &moment) else {
                break;
            };
            let mut next = transition.next.clone();
            match self.write(transition, commit) {
                Some(Written::Committed { held }) => {
                    next.stock_held = held;
                    return self.moved(flight, next, event, dice);
                }
                Some(Written::Stale) if is_evidence(event) => payment = self.reload(node, order),
                Some(Written::Stale | Written::OutOfStock) => break,
                // Whether it was written is looked up by its own name.
                None if self.journal.has(order, moment.transition) => {
                    let next = self.reload(node, order);
                    return self.moved(flight, next, event, dice);
                }
                None => break,
            }
        }
        if kept {
            self.heard.insert(order);
        }
        self.reload(node, order);
        self.flights.remove(flight);
        false
    }

    pub fn write(&mut self, transition: Transition, commit: Commit) -> Option<Written> {
        match commit {
            Commit::Heard => Some(self.journal.commit(transition)),
            Commit::AnswerLost => {
                self.journal.commit(transition);
                None
            }
            Commit::NeverLands => None,
            Commit::MayLandLater => {
                self.journal.ghosts.push(transition);
                None
            }
        }
    }

    fn moved(&mut self, flight: usize, next: Payment, event: &Event, dice: u32) -> bool {
        let Flight {
            node,
            order,
            payment: before,
            ..
        } = self.flights[flight].clone();
        if is_evidence(event) {
            self.heard.insert(order);
        }
        if let (Event::Undecided { answered: true, .. }, Some(attempt)) =
            (event, before.current_attempt())
        {
            self.answered
                .insert(attempt.idempotency_key(&before.order), next.version);
        }
        self.nodes[node].known[order] = next.clone();
        self.flights[flight].payment = next.clone();
        self.flights[flight].doing = Doing::Deciding;
        let goes_on = next_step(&next, &self.moment(node, dice)) != Step::Rest;
        if !goes_on {
            self.flights.remove(flight);
        }
        goes_on
    }

    /// A commit of unknown fate is written after all, if nobody was faster.
    pub fn land_ghost(&mut self, any: usize) {
        if !self.journal.ghosts.is_empty() {
            let ghost = self.journal.ghosts.remove(any % self.journal.ghosts.len());
            self.journal.commit(ghost);
        }
    }

    /// In Toss's dashboard somebody refunds, or takes back an authorization.
    pub fn cancel(&mut self, any: usize) {
        let session = any % self.toss.sessions.len();
        let (key, order) = (
            self.toss.sessions[session].key.clone(),
            self.toss.sessions[session].order,
        );
        self.odd.insert(order);
        let from = self.toss.sessions[session].stage();
        if matches!(from, Stage::Approved | Stage::Authorized) {
            self.toss.move_on(&key, from, Stage::Canceled, self.now);
        }
    }
}

/// What the loop never drops.
fn is_evidence(event: &Event) -> bool {
    matches!(
        event,
        Event::Approved { .. } | Event::AmountMismatched { .. } | Event::FoundCanceled { .. }
    )
}
