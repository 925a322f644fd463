//! What may happen next: to a payment at rest, to a flight, and at Toss.

use payonce::domain::payment::{Status, Step};

use super::toss::Stage;
use super::world::{Action, Commit, Doing, Flight, Mix, State, World};

/// The same, once for each way in which its commit may go.
fn each(actions: &mut Vec<Action>, commits: &[Commit], action: &dyn Fn(Commit) -> Action) {
    actions.extend(commits.iter().map(|commit| action(*commit)));
}

impl World {
    pub fn commits(&self, state: &State) -> Vec<Commit> {
        match (self.size.commits_lost, &state.ghost) {
            (false, _) => vec![Commit::Heard],
            (true, Some(_)) => vec![Commit::Heard, Commit::AnswerLost],
            (true, None) => vec![Commit::Heard, Commit::AnswerLost, Commit::MayLandLater],
        }
    }

    pub fn resting(&self, state: &State, node: u8, actions: &mut Vec<Action>) {
        let commits = self.commits(state);
        let record = &state.record;
        let asks = match record.status {
            Status::InProgress | Status::Unknown => true,
            Status::Quarantined => self.step(state, record) != Step::Rest,
            Status::Ready | Status::Done | Status::Failed | Status::Expired => false,
        };
        if asks {
            each(actions, &commits, &|commit| Action::TakeOver(node, commit));
        }
        if self.step(state, record) == Step::Expire {
            each(actions, &commits, &|commit| Action::Expire(node, commit));
        }
        // What another merchant's buyer pays is another story.
        if record.status != Status::Done && !self.is_stranger(node) {
            for key in (0..self.size.keys).filter(|key| *key == 0 || !record.attempts.is_empty()) {
                each(actions, &commits, &|commit| {
                    Action::Confirm(node, key, commit)
                });
            }
        }
    }

    pub fn flying(&self, state: &State, node: u8, flight: &Flight, actions: &mut Vec<Action>) {
        let commits = self.commits(state);
        let mixes = if state.mixups < self.size.mixups {
            [Mix::Clean, Mix::OtherKey, Mix::OtherOrder, Mix::OtherAmount].as_slice()
        } else {
            &[Mix::Clean]
        };
        let in_time = flight.term == state.era;
        let room = state.toss.calls.len() < self.size.travelling;
        match flight.doing {
            Doing::Deciding => match self.step(state, &flight.payment) {
                Step::Rest | Step::Expire => {}
                Step::Confirm => {
                    if in_time && room {
                        actions.push(Action::Send(node));
                    }
                    if !in_time || self.size.refusals {
                        each(actions, &commits, &|commit| Action::Refuse(node, commit));
                    }
                }
                Step::Ask { by_order_too, .. } => {
                    self.questions(state, node, flight, by_order_too, actions);
                }
                Step::AskQuietly { .. } => self.questions(state, node, flight, true, actions),
            },
            Doing::Sending { copies, reply } => {
                if reply.is_some() {
                    for mix in mixes {
                        each(actions, &commits, &|commit| {
                            Action::Hear(node, *mix, commit)
                        });
                    }
                }
                each(actions, &commits, &|commit| Action::Silence(node, commit));
                if copies < self.size.copies && in_time && reply.is_none() {
                    if room {
                        actions.push(Action::Repeat(node));
                    }
                    if self.size.refusals {
                        each(actions, &commits, &|commit| Action::Refuse(node, commit));
                    }
                }
            }
            Doing::Asking { .. } => each(actions, &commits, &|commit| {
                Action::Hear(node, Mix::Clean, commit)
            }),
            Doing::Recording { .. } => {
                each(actions, &commits, &|commit| Action::Rewrite(node, commit))
            }
        }
        if self.size.crashes {
            actions.push(Action::Crash(node));
        }
    }

    pub fn happens_at_toss(&self, state: &State, actions: &mut Vec<Action>) {
        let mut calls = state.toss.calls.clone();
        calls.dedup();
        for call in calls {
            let verdicts = state.toss.verdicts(&self.size, call).into_iter();
            actions.extend(verdicts.map(|verdict| Action::Arrive(call, verdict)));
            if call.waiting.is_none() {
                actions.push(Action::Lose(call));
            }
        }
        for key in 0..self.size.keys {
            match state.toss.stage(key) {
                Stage::Opened => actions.push(Action::Authenticate(key)),
                Stage::Approved if self.size.refunds => actions.push(Action::Refund(key)),
                Stage::Absent
                | Stage::Authorized
                | Stage::Approved
                | Stage::Aborted
                | Stage::Expired
                | Stage::Canceled => {}
            }
        }
    }
}
