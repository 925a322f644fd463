//! The operator, beside the nodes: reads what is quarantined, asks Toss about every attempt and then about the order
//! while the world moves on, and rules. As the command does: one write, guarded by the version that was read.

use std::sync::Arc;

use payonce::domain::payment::{
    Event, Evidence, IllegalEvent, Resolution, Ruling, Settled, Status, Transition,
};
use payonce::domain::{Finding, Moment, Payment, TossStatus};

use super::broken::Broken;
use super::report::{finding, report};
use super::toss::{Seen, Stage};
use super::world::{Action, Commit, Heard, STALE, State, World, key_number};

/// What has been heard so far about the copy that was read first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Review {
    pub payment: Arc<Payment>,
    /// The era in which the first question left.
    asked: u8,
    /// The merchant that the attempts were sent for is the one who asks.
    home: bool,
    by_key: Vec<Seen>,
    by_order: Option<Seen>,
}

/// One question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    home: bool,
    seen: Seen,
    lie: bool,
}

impl Review {
    fn of(state: &State, home: bool) -> Review {
        Review {
            payment: state.record.clone(),
            asked: state.era,
            home,
            by_key: Vec::new(),
            by_order: None,
        }
    }

    /// The paymentKey to ask about next; when there is none left, the order is.
    fn next_key(&self) -> Option<u8> {
        let attempt = self.payment.attempts.get(self.by_key.len())?;
        Some(key_number(&attempt.payment_key))
    }

    fn hear(&mut self, seen: Seen) {
        match self.next_key() {
            Some(_) => self.by_key.push(seen),
            None => self.by_order = Some(seen),
        }
    }
}

impl World {
    /// Whose copy is outdated is refused, whatever he finds: he has left.
    pub fn outdate_review(&self, state: &mut State) {
        if !self.rulebook.keeps_old_reviews() {
            state.review = None;
        }
        if let Some(review) = &mut state.review {
            Arc::make_mut(&mut review.payment).version = STALE;
        }
    }

    pub fn rulings(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.size.operator {
            return;
        }
        match &state.review {
            None if state.record.status == Status::Quarantined => {
                self.inquiries(state, &Review::of(state, true), actions);
                if self.size.stranger {
                    self.inquiries(state, &Review::of(state, false), actions);
                }
            }
            None => {}
            Some(review) if review.by_order.is_none() => self.inquiries(state, review, actions),
            Some(_) => {
                // He reads back what he wrote, so a lost answer is an answer.
                let mut commits = self.commits(state);
                commits.retain(|commit| *commit != Commit::AnswerLost);
                for commit in commits {
                    actions.push(Action::Rule(Ruling::Done, commit));
                    actions.push(Action::Rule(Ruling::Failed, commit));
                }
            }
        }
    }

    fn inquiries(&self, state: &State, review: &Review, actions: &mut Vec<Action>) {
        let home = review.home;
        let answers = match review.next_key() {
            _ if !home => vec![(Seen::NotFound, false)],
            Some(key) => self.answers(state, key),
            None => {
                let seen = state.toss.look_up_order().into_iter();
                seen.map(|seen| (seen, false)).collect()
            }
        };
        let inquiries = answers
            .into_iter()
            .map(|(seen, lie)| Inquiry { home, seen, lie });
        actions.extend(inquiries.map(Action::Inquire));
    }

    pub fn inquire(&self, state: &mut State, inquiry: Inquiry) {
        let Inquiry { home, seen, lie } = inquiry;
        let opened = Review::of(state, home);
        state.review.get_or_insert(opened).hear(seen);
        state.mixups += u8::from(matches!(seen, Seen::OtherKey | Seen::OtherOrder));
        // He clears a claim by what Toss shows, so a lie may hide it; an approval survives any.
        state.lied |= lie && state.heard < Heard::Approval;
    }

    fn evidence(&self, review: &Review) -> Evidence {
        let payment = &review.payment;
        let asked = payment.attempts.iter().zip(&review.by_key);
        let by_key = asked.map(|(attempt, seen)| {
            let said = finding(payment, &attempt.payment_key, *seen);
            (attempt.number, said)
        });
        let by_order = match (review.by_order, payment.attempts.first()) {
            (Some(seen), Some(attempt)) => finding(payment, &attempt.payment_key, seen),
            (Some(_) | None, _) => Finding::NotFound,
        };
        Evidence {
            gateway: self.gateway(u8::from(!review.home)),
            asked_at: self.at(review.asked),
            by_key: by_key.collect(),
            by_order,
        }
    }

    fn judged(
        &self,
        review: &Review,
        ruling: Ruling,
        now: &Moment<'_>,
    ) -> Result<Transition, IllegalEvent> {
        let resolution = Resolution {
            ruling,
            evidence: self.evidence(review),
            by: "kim".into(),
            why: "seen".into(),
        };
        let event = Event::Resolved(Box::new(resolution));
        self.rulebook.after(&review.payment, event, now)
    }

    pub fn rule(&self, state: &mut State, ruling: Ruling, commit: Commit) {
        let Some(review) = state.review.take() else {
            return;
        };
        let Ok(transition) = self.judged(&review, ruling, &self.moment(state)) else {
            return;
        };
        match commit {
            Commit::Heard | Commit::AnswerLost => _ = self.commit(state, transition),
            Commit::MayLandLater => self.leave_open(state, transition, None),
        }
    }

    /// Whether a ruling stands on the whole truth, when the window of everything sent is over.
    pub fn can_rule(&self, state: &State) -> bool {
        let mut later = state.clone();
        later.era += 1;
        later.toss.age(&self.size);
        let mut review = Review::of(&later, true);
        while let Some(key) = review.next_key() {
            review.hear(match later.toss.stage(key) {
                Stage::Absent => Seen::NotFound,
                stage => Seen::Stage(stage),
            });
        }
        let mut by_order = later.toss.look_up_order();
        by_order.sort_by_key(|seen| !matches!(seen, Seen::ByOrder(_, Stage::Approved)));
        review.by_order = by_order.first().copied();
        let moment = self.moment(&later);
        let stands = |ruling| self.judged(&review, ruling, &moment).is_ok();
        stands(Ruling::Done) || stands(Ruling::Failed)
    }
}

/// What Toss is made to have shown about every attempt.
fn ended(payment: &Payment, evidence: &mut Evidence) {
    for attempt in &payment.attempts {
        let ended = report(payment, &attempt.payment_key, TossStatus::Aborted);
        let mut asked = evidence.by_key.iter_mut();
        if let Some((_, said)) = asked.find(|(number, _)| *number == attempt.number) {
            *said = Finding::Found(ended);
        }
    }
    evidence.by_order = Finding::NotFound;
}

/// The evidence of a ruling, told otherwise than it was.
pub fn misled(
    broken: Broken,
    payment: &Payment,
    mut resolution: Box<Resolution>,
    now: &Moment<'_>,
) -> Event {
    let current = payment.current_attempt();
    let evidence = &mut resolution.evidence;
    match (broken, resolution.ruling, current) {
        (Broken::RuledFailedUnasked, Ruling::Failed, _) => ended(payment, evidence),
        (Broken::RuledDoneUnapproved, Ruling::Done, Some(current)) => {
            ended(payment, evidence);
            let paid = report(payment, &current.payment_key, TossStatus::Done);
            if let Some((_, said)) = evidence.by_key.last_mut() {
                *said = Finding::Found(paid);
            }
        }
        (Broken::RulingOnAnOldNotFound, _, _) => evidence.asked_at = now.at,
        (Broken::RulingOnAStrangersNotFound, _, Some(current)) => {
            evidence.gateway = current.gateway.clone();
        }
        _ => {}
    }
    Event::Resolved(resolution)
}

/// Who was told of a decline is told of the payment instead.
pub fn take_back(next: &mut Payment) {
    for attempt in &mut next.attempts {
        let overruled = |settled: &mut Settled| matches!(settled, Settled::Overruled { .. });
        if let Some(Settled::Overruled { approval, .. }) = attempt.settled.take_if(overruled) {
            attempt.settled = Some(Settled::Approved(approval));
        }
    }
}
