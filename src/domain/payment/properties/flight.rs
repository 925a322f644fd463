//! What a flight does: its next step, and what it hears.

use super::journal::Commit;
use super::toss::{Call, Place, View};
use super::world::{Doing, Flight, World, ours};
use crate::domain::Status;
use crate::domain::moment::Timestamp;
use crate::domain::order::PaymentKey;
use crate::domain::outcome::{Charge, Finding, Outcome, Reply, Report};
use crate::domain::payment::{
    Event, Step, add_finding_by_order, after, judge_finding, judge_reply, next_step,
};

/// How long an answer is waited for.
const HEARING_MS: i64 = 30_000;
/// How long, from its first send, an unanswered call is repeated, and how often.
const REPEAT_MS: i64 = 5_000;
const TRIES: usize = 3;

/// What the line does to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Clean,
    Broken,
    OtherAmount,
    OtherKey,
    OtherOrder,
}

/// How one step is made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub dice: u32,
    pub commit: Commit,
    pub view: View,
    pub refused: bool,
}

impl World {
    /// A flight makes its next step, or repeats the call that nobody has answered.
    pub fn proceed(&mut self, flight: usize, manner: Manner) -> Result<(), String> {
        let Flight {
            node,
            payment,
            doing,
            claim,
            ..
        } = self.flights[flight].clone();
        let moment = self.moment(node, manner.dice);
        match doing {
            Doing::Deciding => match next_step(&payment, &moment) {
                Step::Rest | Step::Expire => {
                    self.flights.remove(flight);
                }
                Step::Confirm if manner.refused || moment.at > claim.deadline => {
                    let attempt = payment.current_attempt().unwrap().number;
                    let event = Event::NotAttempted {
                        attempt,
                        why: "not sent".into(),
                    };
                    self.record(flight, &event, (manner.dice, manner.commit));
                }
                Step::Confirm => {
                    let (call, since) = (self.send(flight)?, self.now);
                    self.flights[flight].doing = Doing::Sending {
                        series: vec![call],
                        since,
                    };
                }
                Step::Ask { by_order_too, .. } => self.ask(flight, by_order_too, manner),
                Step::AskQuietly { .. } => self.ask(flight, true, manner),
            },
            Doing::Sending { mut series, since } => {
                let in_time = self.now.ms_since(since) < REPEAT_MS && moment.at <= claim.deadline;
                if in_time && series.len() < TRIES {
                    series.push(self.send(flight)?);
                    self.flights[flight].doing = Doing::Sending { series, since };
                }
            }
            Doing::Asking { .. } => {}
        }
        Ok(())
    }

    /// A confirm leaves the house; what must be true of it then is checked here.
    fn send(&mut self, flight: usize) -> Result<usize, String> {
        let Flight {
            node,
            order,
            payment,
            ..
        } = &self.flights[flight];
        let attempt = payment.current_attempt().unwrap();
        let key = attempt.idempotency_key(&payment.order);
        let before = format!("{}:{}:{}", payment.order.id, attempt.number, attempt.n - 1);
        if attempt.n > 1 && !self.toss.answered.contains(&before) {
            return Err(format!("{key} is used before {before} was answered"));
        }
        if self
            .answered
            .get(&key)
            .is_some_and(|since| payment.version >= *since)
        {
            return Err(format!(
                "{key} is used again though it is on record as answered"
            ));
        }
        if attempt.doubted_decline.is_some() || attempt.gateway != self.nodes[*node].gateway {
            return Err(format!(
                "{key} is sent after a decline, or to another gateway"
            ));
        }
        let (owner, me) = (payment.owner, self.nodes[*node].incarnation);
        if owner != Some(me) {
            return Err(format!("{me} sends for the claim of {owner:?}"));
        }
        let written = self.journal.payments[*order]
            .attempts
            .get(usize::from(attempt.number) - 1);
        let until = written.map(|attempt| attempt.may_send_until);
        if until.is_none_or(|until| until < self.clock(*node)) {
            return Err(format!("{key} leaves after the last instant on record"));
        }
        let call = Call {
            idempotency_key: key,
            attempt: attempt.number,
            payment_key: attempt.payment_key.clone(),
            order_id: payment.order.id.to_string().into(),
            total: payment.order.total.get(),
            elsewhere: self.nodes[*node].gateway != ours(),
            left_at: self.now,
            place: Place::Travelling,
        };
        self.toss.calls.push(call);
        Ok(self.toss.calls.len() - 1)
    }

    /// Toss answers at once, from one of its copies; when that is heard is another matter.
    fn ask(&mut self, flight: usize, by_order_too: bool, manner: Manner) {
        let Flight {
            node,
            order,
            ref payment,
            ..
        } = self.flights[flight];
        let attempt = payment.current_attempt().unwrap();
        let home = self.nodes[node].gateway == ours();
        let mut finding = match home {
            true => self
                .toss
                .look_up(&attempt.payment_key, manner.view, self.now),
            false => Finding::NotFound,
        };
        if by_order_too && finding == Finding::NotFound {
            let any = manner.dice as usize;
            let by_order = match home {
                true => self.toss.look_up_order(order, any, manner.view, self.now),
                false => Finding::NotFound,
            };
            finding = add_finding_by_order(attempt, by_order);
        }
        let (claim, since) = (self.claim(node), self.now);
        self.flights[flight].claim = claim;
        self.flights[flight].doing = Doing::Asking { finding, since };
    }

    /// A flight hears what it waits for, if it is there, or nothing at all.
    pub fn hear(&mut self, flight: usize, line: Line, manner: Manner) -> Result<(), String> {
        let Flight {
            node,
            order,
            payment,
            doing,
            claim,
        } = self.flights[flight].clone();
        let attempt = payment.current_attempt().unwrap().clone();
        let tampered;
        let event = match doing {
            Doing::Deciding => return Ok(()),
            Doing::Sending { series, since } => {
                let reply = self.reply_to(&series);
                let lost = line == Line::Broken || self.is_too_late(since);
                let reply = match reply {
                    _ if lost => Reply {
                        outcome: Outcome::Unknown("silence".into()),
                        answered: false,
                    },
                    Some(reply) => reply,
                    None => return Ok(()),
                };
                let heard = self.tamper_reply(order, line, reply.clone());
                tampered = heard != reply;
                judge_reply(&payment, &attempt, heard)
            }
            Doing::Asking { finding, since } => {
                let heard = match line == Line::Broken || self.is_too_late(since) {
                    true => Finding::NoAnswer("silence".into()),
                    false => self.tamper_finding(order, line, finding.clone()),
                };
                tampered = heard != finding;
                let gateway = self.nodes[node].gateway.clone();
                let asked_at = since.plus_ms(self.nodes[node].skew_ms);
                judge_finding(&payment, &attempt, heard, &gateway, asked_at, claim)
            }
        };
        if tampered && matches!(event, Event::Approved { .. }) {
            return Err(format!(
                "no phantom: an approval of order {order} that is not ours counts"
            ));
        }
        if payment.status == Status::Quarantined {
            // A quiet question: written only if it settles something.
            let moment = self.moment(node, manner.dice);
            if after(&payment, event.clone(), &moment).is_err() {
                self.flights.remove(flight);
                return Ok(());
            }
        }
        self.record(flight, &event, (manner.dice, manner.commit));
        let stranger = self.nodes[node].gateway != attempt.gateway;
        let failed = self.journal.payments[order].status == Status::Failed;
        let moved = self.journal.payments[order].version == payment.version + 1;
        if matches!(event, Event::FoundNothing { .. }) && stranger && failed && moved {
            return Err(format!(
                "no lost approval: order {order} failed on the word of another gateway"
            ));
        }
        Ok(())
    }

    fn is_too_late(&self, since: Timestamp) -> bool {
        !self.hears_late && self.now.ms_since(since) > HEARING_MS
    }

    /// Any answer to any call of the series; one that decides is preferred to one that does not.
    fn reply_to(&self, series: &[usize]) -> Option<Reply> {
        let replies = series
            .iter()
            .filter_map(|call| match &self.toss.calls[*call].place {
                Place::Answered(reply) => Some(reply.clone()),
                Place::Travelling | Place::Processing { .. } | Place::Gone => None,
            });
        replies.max_by_key(|reply| reply.answered)
    }

    fn tamper_reply(&mut self, order: usize, line: Line, reply: Reply) -> Reply {
        match reply.outcome {
            Outcome::Approved(report) => {
                let outcome = Outcome::Approved(self.tamper(order, line, report));
                Reply { outcome, ..reply }
            }
            Outcome::Declined(_)
            | Outcome::NotAttempted(_)
            | Outcome::InProgress(_)
            | Outcome::Temporary(_)
            | Outcome::Unknown(_) => reply,
        }
    }

    fn tamper_finding(&mut self, order: usize, line: Line, finding: Finding) -> Finding {
        match finding {
            Finding::Found(report) => Finding::Found(self.tamper(order, line, report)),
            Finding::PaidUnder(_)
            | Finding::NotFound
            | Finding::Undecided(_)
            | Finding::NoAnswer(_) => finding,
        }
    }

    /// A wrong amount or a mix-up of orders happens to an order once: twice would be a fact.
    fn tamper(&mut self, order: usize, line: Line, mut report: Report) -> Report {
        let once = matches!(line, Line::OtherAmount | Line::OtherOrder);
        if once && !self.odd.insert(order) {
            return report;
        }
        match line {
            Line::Clean | Line::Broken => {}
            Line::OtherAmount => report.total = Charge::Foreign("USD".into()),
            Line::OtherKey => report.payment_key = PaymentKey::parse("somebody-elses").unwrap(),
            Line::OtherOrder => report.order_id = "somebody-elses".into(),
        }
        report
    }
}
