//! The state of the world and everything that may happen in it next. The rules are asked, never repeated here.

use std::sync::Arc;

use payonce::domain::payment::{Event, Incarnation, Ruling, Step, Transition};
use payonce::domain::{
    Answer, Claim, Dice, GatewayIdentity, Line, Moment, Order, OrderId, Payment, PaymentKey,
    ProductId, Quantity, Timestamp, TransitionId, UserId, Won,
};
use stateright::{Model, Property};
use uuid::Uuid;

use super::operator::{Inquiry, Review};
use super::promise;
use super::rules::Rulebook;
use super::size::Size;
use super::toss::{ATTEMPTS, Call, KEYS, Said, Seen, Stage, Toss, Verdict};

/// From one era to the next: more than Toss's confirm window and ours, counted from the last claim.
const ERA_MS: i64 = 720_000;
/// And more than the 15 days for which Toss remembers an idempotency key.
const FORTNIGHT_MS: i64 = 16 * 24 * 3_600 * 1_000;
const CLAIM_MS: i64 = 40_000;
/// Only whether a copy is the newest matters, so there are two versions.
pub const FRESH: i64 = 2;
pub const STALE: i64 = 1;
/// Whoever owned something in a process that is no more.
const FORMER: Incarnation = Incarnation(Uuid::nil());

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    Deciding,
    Sending {
        copies: u8,
        reply: Option<Said>,
    },
    Asking {
        seen: Seen,
        asked: u8,
    },
    /// Whether the event was written is not known until somebody looks.
    Recording {
        event: Event,
        landed: bool,
    },
}

/// One run of the loop on one node, with its own copy of the payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    pub payment: Arc<Payment>,
    /// The era of its last claim; nothing is sent under it later.
    pub term: u8,
    pub doing: Doing,
}

/// A commit whose fate is open, and the node that may look for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ghost {
    pub transition: Arc<Transition>,
    pub writer: Option<u8>,
}

/// What has been heard of an approval and acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    Nothing,
    /// Toss has claimed one, under a name that was not ours.
    Claim,
    /// Toss has claimed one of another amount.
    OtherAmount,
    Approval,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub era: u8,
    pub record: Arc<Payment>,
    pub flights: [Option<Flight>; 2],
    pub ghost: Option<Ghost>,
    pub review: Option<Review>,
    pub toss: Toss,
    pub shelf: i8,
    pub sold_elsewhere: i8,
    /// The settled answer that callers may have heard, for each paymentKey.
    pub told: [Option<Answer>; KEYS],
    pub heard: Heard,
    /// Toss has said what it cannot have meant: what happened behind our back is not our fault.
    pub lied: bool,
    pub refunded: bool,
    pub mixups: u8,
}

impl State {
    pub fn is_odd(&self) -> bool {
        self.lied || self.refunded || self.mixups > 0
    }
}

/// How a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Heard,
    AnswerLost,
    /// Not written so far, and the writer cannot know.
    MayLandLater,
}

/// What the line makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    Clean,
    OtherKey,
    OtherOrder,
    OtherAmount,
}

/// Nodes, paymentKeys and calls by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Confirm(u8, u8, Commit),
    TakeOver(u8, Commit),
    Expire(u8, Commit),
    Send(u8),
    Repeat(u8),
    Refuse(u8, Commit),
    Silence(u8, Commit),
    Hear(u8, Mix, Commit),
    Ask(u8, Seen),
    AskALiar(u8, Seen),
    Rewrite(u8, Commit),
    Inquire(Inquiry),
    Rule(Ruling, Commit),
    Crash(u8),
    Arrive(Call, Verdict),
    Lose(Call),
    Authenticate(u8),
    Refund(u8),
    BuyElsewhere,
    GiveBack,
    GhostLands,
    WindowPasses,
}

#[derive(Debug)]
pub struct World {
    pub size: Size,
    pub rulebook: Rulebook,
    order: Order,
}

pub fn payment_key(key: u8) -> PaymentKey {
    PaymentKey::parse(&format!("payment-key-{key}")).unwrap()
}

/// Which of the buyer's keys this is.
pub fn key_number(key: &PaymentKey) -> u8 {
    u8::from(*key == payment_key(1))
}

pub fn incarnation(node: u8) -> Incarnation {
    Incarnation(Uuid::from_u128(u128::from(node) + 1))
}

impl World {
    pub fn new(size: Size, rulebook: Rulebook) -> World {
        let line = Line {
            product: ProductId::new(1).unwrap(),
            name: None,
            quantity: Quantity::new(1).unwrap(),
            amount: Won::new(1_000).unwrap(),
        };
        let order = Order {
            id: OrderId::new(Uuid::from_u128(0xabc)),
            user: UserId::parse("1").unwrap(),
            name: "Ogu T".into(),
            total: line.amount,
            lines: vec![line].into(),
        };
        World {
            size,
            rulebook,
            order,
        }
    }

    pub fn at(&self, era: u8) -> Timestamp {
        let long = if self.size.fortnights {
            FORTNIGHT_MS
        } else {
            ERA_MS
        };
        Timestamp::from_micros(0).plus_ms(1_000_000_000 + i64::from(era) * long)
    }

    pub fn moment(&self, state: &State) -> Moment<'_> {
        Moment {
            at: self.at(state.era),
            dice: Dice(0),
            transition: TransitionId::default(),
            polled: false,
            steady: true,
            rules: &self.rulebook.rules,
        }
    }

    pub fn claim(&self, node: u8, era: u8) -> Claim {
        let deadline = self.at(era).plus_ms(CLAIM_MS);
        Claim {
            owner: incarnation(node),
            deadline,
        }
    }

    pub fn gateway(&self, node: u8) -> GatewayIdentity {
        GatewayIdentity(if self.is_stranger(node) { "b" } else { "a" }.into())
    }

    pub fn is_stranger(&self, node: u8) -> bool {
        self.size.stranger && node == 1
    }

    pub fn step(&self, state: &State, payment: &Payment) -> Step {
        self.rulebook.next_step(payment, &self.moment(state))
    }

    /// What no rule reads is made equal, so that worlds which differ in nothing else are one.
    pub fn settle_differences(&self, payment: &mut Payment, version: i64) {
        payment.version = version;
        payment.rounds = 0;
        payment.questions = payment.questions.min(self.rulebook.rules.questions);
        payment.next_attempt_at = None;
        for attempt in &mut payment.attempts {
            attempt.started_at = self.at(0);
            if attempt.many_owners || attempt.settled.is_some() {
                attempt.owner = FORMER;
            }
            if attempt.settled.is_some() {
                attempt.may_send_until = self.at(0);
            }
        }
    }

    /// Every copy but the record is old now, and no other commit can land.
    pub fn outdate(&self, state: &mut State) {
        state.ghost = None;
        self.outdate_review(state);
        for flight in state.flights.iter_mut().flatten() {
            if flight.payment.version != STALE {
                Arc::make_mut(&mut flight.payment).version = STALE;
            }
        }
    }

    fn crash(&self, state: &mut State, node: u8) {
        state.flights[usize::from(node)] = None;
        state.toss.leave_behind(node);
        let me = incarnation(node);
        let forget = |payment: &mut Arc<Payment>| {
            let mine = payment.owner == Some(me) || payment.attempts.iter().any(|a| a.owner == me);
            if mine {
                let payment = Arc::make_mut(payment);
                payment.owner = payment.owner.map(|o| if o == me { FORMER } else { o });
                for attempt in payment.attempts.iter_mut().filter(|a| a.owner == me) {
                    attempt.owner = FORMER;
                }
            }
        };
        forget(&mut state.record);
        state
            .flights
            .iter_mut()
            .flatten()
            .for_each(|flight| forget(&mut flight.payment));
        if let Some(review) = &mut state.review {
            forget(&mut review.payment);
        }
        if let Some(Ghost { transition, .. }) = &mut state.ghost {
            let transition = Arc::make_mut(transition);
            let mut next = Arc::new(transition.next.clone());
            forget(&mut next);
            transition.next = (*next).clone();
        }
    }

    pub fn apply(&self, last: &State, action: &Action) -> Option<State> {
        let mut next = last.clone();
        let state = &mut next;
        match *action {
            Action::Confirm(node, key, commit) => self.confirm(state, node, key, commit),
            Action::TakeOver(node, commit) => self.take_over(state, node, commit),
            Action::Expire(node, commit) => {
                self.take_off(state, node, Event::DeadlinePassed, commit);
            }
            Action::Send(node) | Action::Repeat(node) => self.send(state, node),
            Action::Refuse(node, commit) => self.refuse(state, node, commit),
            Action::Silence(node, commit) => self.silence(state, node, commit),
            Action::Hear(node, mix, commit) => self.hear(state, node, mix, commit),
            Action::Ask(node, seen) => self.ask(state, node, seen),
            Action::AskALiar(node, seen) => {
                // What is on record already must survive any lie.
                state.lied |= state.heard == Heard::Nothing;
                self.ask(state, node, seen);
            }
            Action::Rewrite(node, commit) => self.rewrite(state, node, commit),
            Action::Inquire(inquiry) => self.inquire(state, inquiry),
            Action::Rule(ruling, commit) => self.rule(state, ruling, commit),
            Action::Crash(node) => self.crash(state, node),
            Action::Arrive(call, verdict) => self.arrive(state, call, verdict),
            Action::Lose(call) => {
                let at = state.toss.calls.iter().position(|other| *other == call)?;
                state.toss.calls.remove(at);
            }
            Action::Authenticate(key) => state.toss.enter(key, Stage::Authorized),
            Action::Refund(key) => {
                state.toss.enter(key, Stage::Canceled);
                state.refunded = true;
            }
            Action::BuyElsewhere => {
                state.shelf -= 1;
                state.sold_elsewhere += 1;
            }
            Action::GiveBack => {
                state.shelf += 1;
                state.sold_elsewhere -= 1;
            }
            Action::GhostLands => self.ghost_lands(state),
            Action::WindowPasses => {
                state.era += 1;
                state.toss.age(&self.size);
            }
        }
        (next != *last).then_some(next)
    }

    fn arrive(&self, state: &mut State, call: Call, verdict: Verdict) {
        let Some(at) = state.toss.calls.iter().position(|other| *other == call) else {
            return;
        };
        state.toss.calls.remove(at);
        let said = state.toss.arrive(call, verdict);
        let waiting = call.waiting.map(usize::from);
        let flight = waiting.and_then(|node| state.flights[node].as_mut());
        if let Some(Flight {
            doing: Doing::Sending { reply, .. },
            ..
        }) = flight
        {
            *reply = Some(said);
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut ready = Payment::ready(self.order.clone(), self.at(self.size.expires));
        ready.version = FRESH;
        vec![State {
            era: 0,
            record: Arc::new(ready),
            flights: [None, None],
            ghost: None,
            review: None,
            toss: Toss::new(),
            shelf: 1,
            sold_elsewhere: 0,
            told: [None, None],
            heard: Heard::Nothing,
            lied: false,
            refunded: false,
            mixups: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for node in 0..self.size.nodes {
            match &state.flights[usize::from(node)] {
                None => self.resting(state, node, actions),
                Some(flight) => self.flying(state, node, flight, actions),
            }
        }
        self.happens_at_toss(state, actions);
        self.rulings(state, actions);
        if self.size.rival && state.shelf > 0 {
            actions.push(Action::BuyElsewhere);
        }
        if self.size.rival && self.size.operator && state.sold_elsewhere > 0 {
            actions.push(Action::GiveBack);
        }
        if state.ghost.is_some() {
            actions.push(Action::GhostLands);
        }
        if state.era + 1 < self.size.eras {
            actions.push(Action::WindowPasses);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.apply(last, &action)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let most = |payment: &Payment| payment.attempts.iter().all(|a| a.n <= self.size.most_n);
        most(&state.record) && state.record.attempts.len() <= ATTEMPTS
    }

    fn properties(&self) -> Vec<Property<World>> {
        promise::properties()
    }
}
