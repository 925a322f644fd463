//! One flight of the loop: take off, ask the rules, do it, hear what happened, write it down; as the actors do.

use std::sync::Arc;

use payonce::domain::payment::{ApprovalSign, Event, Status, Step, StockMove, Transition};
use payonce::domain::{Outcome, Payment, Reply, TossStatus};

use super::report::{finding, mixed, report};
use super::toss::{Call, Said, Seen, Stage};
use super::world::Action;
use super::world::{
    Commit, Doing, FRESH, Flight, Ghost, Heard, Mix, State, World, key_number, payment_key,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Committed,
    Stale,
    OutOfStock,
}

/// What the event says of an approval, whatever the rules make of it.
fn weight(event: &Event) -> Heard {
    match event {
        Event::Approved { .. } | Event::FoundCanceled { .. } => Heard::Approval,
        Event::AmountMismatched { .. } => Heard::OtherAmount,
        Event::MixedUp { .. } => Heard::Claim,
        Event::AttemptStarted { .. }
        | Event::OwnerLost { .. }
        | Event::RetryClaimed { .. }
        | Event::DeadlinePassed
        | Event::Declined { .. }
        | Event::NotAttempted { .. }
        | Event::Undecided { .. }
        | Event::FoundUnconfirmed { .. }
        | Event::FoundEnded { .. }
        | Event::FoundWaitingForDeposit { .. }
        | Event::FoundForeign { .. }
        | Event::FoundNothing { .. }
        | Event::FoundUndecided { .. }
        | Event::QuestionLost { .. }
        | Event::Resolved(_) => Heard::Nothing,
    }
}

/// What an operator leaves of what has been heard: who lets it pay, stands for it; who closes it, has cleared a claim
/// by what Toss showed, never an approval.
fn ruled(event: &str, heard: Heard) -> Heard {
    match event {
        "RESOLVED_DONE" => Heard::Approval,
        "RESOLVED_FAILED" if heard < Heard::Approval => Heard::Nothing,
        _ => heard,
    }
}

impl World {
    /// The journal: one write, if it names the version that it replaces and the goods are there.
    pub fn commit(&self, state: &mut State, transition: Transition) -> Written {
        let fresh = state.record.version == transition.replaces;
        if !fresh && !self.rulebook.accepts_stale(&transition) {
            return Written::Stale;
        }
        let mut next = transition.next;
        match transition.stock {
            StockMove::None | StockMove::Sell => {}
            StockMove::Take if state.shelf == 0 => return Written::OutOfStock,
            StockMove::Take => state.shelf -= 1,
            StockMove::TakeIfAvailable => {
                next.stock_held = state.shelf > 0;
                state.shelf -= i8::from(next.stock_held);
            }
            StockMove::Return => state.shelf += 1,
        }
        self.settle_differences(&mut next, FRESH);
        self.outdate(state);
        for attempt in &next.attempts {
            let told = &mut state.told[usize::from(key_number(&attempt.payment_key))];
            if told.is_none() {
                *told = super::promise::settled_answer(&next, &attempt.payment_key);
            }
        }
        state.heard = ruled(transition.history.event, state.heard);
        state.record = Arc::new(next);
        Written::Committed
    }

    fn land(&self, state: &mut State, node: u8) {
        state.flights[usize::from(node)] = None;
        state.toss.leave_behind(node);
    }

    /// Writes what happened: evidence of an approval survives a stale copy, an outcome of unknown fate is judged
    /// and written again, everything else lands.
    fn record(&self, state: &mut State, node: u8, event: Event, how: Commit) {
        let place = usize::from(node);
        let mut heard = weight(&event);
        for _ in 0..3 {
            let Some(flight) = &state.flights[place] else {
                return;
            };
            let judged = self
                .rulebook
                .after(&flight.payment, event.clone(), &self.moment(state));
            let Ok(transition) = judged else {
                break;
            };
            match how {
                Commit::Heard => {}
                Commit::AnswerLost => {
                    let landed = self.commit(state, transition) == Written::Committed;
                    if landed {
                        state.heard = state.heard.max(heard);
                    }
                    return self.in_doubt(state, node, event, landed);
                }
                Commit::MayLandLater => {
                    self.leave_open(state, transition, Some(node));
                    return self.in_doubt(state, node, event, false);
                }
            }
            match self.commit(state, transition) {
                Written::Committed => {
                    state.heard = state.heard.max(heard);
                    return self.moved(state, node);
                }
                Written::Stale if self.rulebook.is_evidence(&event) => {
                    self.reload(state, place);
                }
                Written::Stale | Written::OutOfStock => break,
            }
        }
        // A claim under another name counts once it is on record; an approval is never discarded.
        if heard == Heard::Claim {
            heard = Heard::Nothing;
        }
        state.heard = state.heard.max(heard);
        self.land(state, node);
    }

    /// Not written so far; it lands later, or never.
    pub fn leave_open(&self, state: &mut State, mut transition: Transition, writer: Option<u8>) {
        let fresh = transition.replaces == state.record.version;
        self.settle_differences(&mut transition.next, FRESH);
        state.ghost = fresh.then(|| Ghost {
            transition: Arc::new(transition),
            writer,
        });
    }

    /// It lands after all; whoever wrote it finds its own name when it looks.
    pub fn ghost_lands(&self, state: &mut State) {
        let Some(Ghost { transition, writer }) = state.ghost.take() else {
            return;
        };
        self.commit(state, (*transition).clone());
        let Some(place) = writer.map(usize::from) else {
            return;
        };
        if let Some(flight) = &mut state.flights[place]
            && let Doing::Recording { event, landed } = &mut flight.doing
        {
            *landed = true;
            state.heard = state.heard.max(weight(event));
            flight.payment = state.record.clone();
        }
    }

    fn reload(&self, state: &mut State, place: usize) {
        let record = state.record.clone();
        if let Some(flight) = &mut state.flights[place] {
            flight.payment = record;
        }
    }

    /// Written or not, nobody knows: an outcome is looked for, a beginning is given up.
    fn in_doubt(&self, state: &mut State, node: u8, event: Event, landed: bool) {
        let place = usize::from(node);
        if event.attempt().is_none() {
            return self.land(state, node);
        }
        self.reload(state, place);
        state.toss.leave_behind(node);
        if let Some(flight) = &mut state.flights[place] {
            flight.doing = Doing::Recording { event, landed };
        }
    }

    fn moved(&self, state: &mut State, node: u8) {
        let place = usize::from(node);
        state.toss.leave_behind(node);
        self.reload(state, place);
        if let Some(flight) = &mut state.flights[place] {
            flight.doing = Doing::Deciding;
        }
        if matches!(
            self.step(state, &state.record),
            Step::Rest | Step::Expire | Step::AskQuietly { .. }
        ) {
            state.flights[place] = None;
        }
    }

    /// A flight begins with what it writes.
    pub fn take_off(&self, state: &mut State, node: u8, event: Event, commit: Commit) {
        state.flights[usize::from(node)] = Some(Flight {
            payment: state.record.clone(),
            term: state.era,
            doing: Doing::Deciding,
        });
        self.record(state, node, event, commit);
    }

    pub fn confirm(&self, state: &mut State, node: u8, key: u8, commit: Commit) {
        let event = Event::AttemptStarted {
            payment_key: payment_key(key),
            gateway: self.gateway(node),
            claim: self.claim(node, state.era),
        };
        if self
            .rulebook
            .after(&state.record, event.clone(), &self.moment(state))
            .is_err()
        {
            return;
        }
        if state.toss.stage(key) == Stage::Absent {
            let early = self.size.early_buyer;
            let stage = if early {
                Stage::Opened
            } else {
                Stage::Authorized
            };
            state.toss.enter(key, stage);
        }
        self.take_off(state, node, event, commit);
    }

    pub fn take_over(&self, state: &mut State, node: u8, commit: Commit) {
        let claim = self.claim(node, state.era);
        let event = match state.record.status {
            Status::InProgress => Event::OwnerLost { claim },
            Status::Unknown => Event::RetryClaimed { claim },
            Status::Quarantined => {
                // A slow question writes no history.
                state.flights[usize::from(node)] = Some(Flight {
                    payment: state.record.clone(),
                    term: state.era,
                    doing: Doing::Deciding,
                });
                return;
            }
            Status::Ready | Status::Done | Status::Failed | Status::Expired => return,
        };
        self.take_off(state, node, event, commit);
    }

    /// The confirm leaves, once more perhaps; who repeats it no longer listens for the call before.
    pub fn send(&self, state: &mut State, node: u8) {
        state.toss.leave_behind(node);
        let Some(flight) = &mut state.flights[usize::from(node)] else {
            return;
        };
        let Some(attempt) = flight.payment.current_attempt() else {
            return;
        };
        let copies = match flight.doing {
            Doing::Sending { copies, .. } => copies + 1,
            Doing::Deciding | Doing::Asking { .. } | Doing::Recording { .. } => 1,
        };
        let call = Call {
            attempt: attempt.number,
            n: self.rulebook.n_to_send(attempt),
            key: key_number(&attempt.payment_key),
            stranger: self.is_stranger(node),
            waiting: Some(node),
        };
        flight.doing = Doing::Sending {
            copies,
            reply: None,
        };
        state.toss.send(call);
    }

    fn current(state: &State, node: u8) -> Option<(Arc<Payment>, Flight)> {
        let flight = state.flights[usize::from(node)].clone()?;
        Some((flight.payment.clone(), flight))
    }

    /// A call cannot leave: the first one, or one more after a silence.
    pub fn refuse(&self, state: &mut State, node: u8, commit: Commit) {
        let Some((_, flight)) = World::current(state, node) else {
            return;
        };
        let outcome = match flight.doing {
            Doing::Sending { .. } => self.rulebook.refused_after_a_silence(),
            Doing::Deciding | Doing::Asking { .. } | Doing::Recording { .. } => {
                Outcome::NotAttempted("no".into())
            }
        };
        self.judge_said(state, node, outcome, false, commit);
    }

    pub fn silence(&self, state: &mut State, node: u8, commit: Commit) {
        self.judge_said(
            state,
            node,
            Outcome::Unknown("silence".into()),
            false,
            commit,
        );
    }

    fn judge_said(
        &self,
        state: &mut State,
        node: u8,
        outcome: Outcome,
        answered: bool,
        commit: Commit,
    ) {
        let Some((payment, _)) = World::current(state, node) else {
            return;
        };
        let Some(attempt) = payment.current_attempt() else {
            return;
        };
        let reply = Reply { outcome, answered };
        let event = self.rulebook.judge_reply(&payment, attempt, reply);
        self.record(state, node, event, commit);
    }

    /// What has landed is done, unless somebody else has written since; what has not is judged by what is there now.
    pub fn rewrite(&self, state: &mut State, node: u8, commit: Commit) {
        let Some((_, flight)) = World::current(state, node) else {
            return;
        };
        let Doing::Recording { event, landed } = flight.doing else {
            return;
        };
        if !landed || self.rulebook.looks_for_nothing() {
            self.reload(state, usize::from(node));
            return self.record(state, node, event, commit);
        }
        match flight.payment.version {
            FRESH => self.moved(state, node),
            _ => self.land(state, node),
        }
    }

    pub fn hear(&self, state: &mut State, node: u8, mix: Mix, commit: Commit) {
        let Some((payment, flight)) = World::current(state, node) else {
            return;
        };
        let Some(attempt) = payment.current_attempt() else {
            return;
        };
        let ours = report(&payment, &attempt.payment_key, TossStatus::Done);
        match flight.doing {
            Doing::Deciding | Doing::Recording { .. } | Doing::Sending { reply: None, .. } => {}
            Doing::Sending {
                reply: Some(said), ..
            } => {
                let answered = said != Said::Running || mix != Mix::Clean;
                let outcome = match (mix, said) {
                    (Mix::Clean, said) => self.rulebook.outcome(said, ours),
                    (Mix::OtherAmount, said) if said != Said::Approved => return,
                    (mix, _) => Outcome::Approved(mixed(mix, ours)),
                };
                state.mixups += u8::from(mix != Mix::Clean);
                self.judge_said(state, node, outcome, answered, commit);
            }
            Doing::Asking { seen, asked } => {
                let mut finding = finding(&payment, &attempt.payment_key, seen);
                if let Seen::ByOrder(..) = seen {
                    finding = self.rulebook.add_finding_by_order(attempt, finding);
                }
                let event = self.rulebook.judge_finding(
                    &payment,
                    attempt,
                    finding,
                    &self.gateway(node),
                    self.at(asked),
                    self.claim(node, flight.term),
                );
                self.record(state, node, event, commit);
            }
        }
    }

    /// A question is answered when it is asked; when that is heard is another matter.
    pub fn ask(&self, state: &mut State, node: u8, seen: Seen) {
        state.mixups += u8::from(matches!(seen, Seen::OtherKey | Seen::OtherOrder));
        let asked = state.era;
        if let Some(flight) = &mut state.flights[usize::from(node)] {
            flight.term = asked;
            flight.doing = Doing::Asking { seen, asked };
        }
    }

    /// What may come back from a question that this flight asks now.
    pub fn questions(
        &self,
        state: &State,
        node: u8,
        flight: &Flight,
        by_order_too: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = flight.payment.current_attempt() else {
            return;
        };
        if self.is_stranger(node) {
            return actions.push(Action::Ask(node, Seen::NotFound));
        }
        let key = key_number(&attempt.payment_key);
        for (seen, lie) in self.answers(state, key) {
            match seen {
                Seen::NotFound if by_order_too && !lie => {
                    let by_order = state.toss.look_up_order().into_iter();
                    actions.extend(by_order.map(|seen| Action::Ask(node, seen)));
                }
                seen if lie => actions.push(Action::AskALiar(node, seen)),
                Seen::NotFound
                | Seen::Stage(_)
                | Seen::ByOrder(..)
                | Seen::OtherKey
                | Seen::OtherOrder => actions.push(Action::Ask(node, seen)),
            }
        }
    }

    /// What a look-up by this paymentKey may hear now, and whether it is a lie.
    pub fn answers(&self, state: &State, key: u8) -> Vec<(Seen, bool)> {
        let mut seen = state.toss.look_up(&self.size, key);
        if state.mixups < self.size.mixups {
            seen.extend([Seen::OtherKey, Seen::OtherOrder]);
        }
        let mut answers: Vec<(Seen, bool)> = seen.into_iter().map(|seen| (seen, false)).collect();
        let stage = state.toss.stage(key);
        if self.size.lies && matches!(stage, Stage::Authorized | Stage::Approved | Stage::Canceled)
        {
            let lies = [Seen::Stage(Stage::Aborted), Seen::NotFound];
            answers.extend(lies.map(|seen| (seen, true)));
        }
        answers
    }
}

/// Toss has claimed an approval of some attempt, on record, and no operator has cleared it since.
pub fn is_signed(payment: &Payment) -> bool {
    payment
        .attempts
        .iter()
        .any(|attempt| match (attempt.approval_sign, &attempt.settled) {
            (ApprovalSign::Seen, _) => true,
            (ApprovalSign::Contradicted, settled) => settled.is_none(),
            (ApprovalSign::None, _) => false,
        })
}
