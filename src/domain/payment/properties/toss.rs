//! A Toss that remembers: sessions by paymentKey, the first answer to every idempotency key, and calls that are
//! still on their way. It protects a paymentKey from a second approval, never an order.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::moment::Timestamp;
use crate::domain::order::PaymentKey;
use crate::domain::outcome::{Charge, Decline, Finding, Outcome, Reply, Report, TossStatus};

/// From the buyer's authentication to the confirm.
const CONFIRM_MS: i64 = 600_000;
/// From opening the window to the authentication.
const WINDOW_MS: i64 = 1_800_000;
/// A call that has not arrived by then never will.
const TRAVEL_MS: i64 = 600_000;
/// Toss is done with a call that has arrived.
const PROCESSING_MS: i64 = 10_000;
/// How old the copy is that a look-up may be answered from.
const LAG_MS: i64 = 5_000;
const KEY_LIFETIME_MS: i64 = 15 * 24 * 3_600 * 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Opened,
    Authorized,
    AwaitingDeposit,
    Approved,
    Aborted,
    Expired,
    Canceled,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub key: PaymentKey,
    /// Index of the order in the world.
    pub order: usize,
    order_id: Box<str>,
    pub total: i64,
    virtual_account: bool,
    /// Oldest first; the last one is the present.
    stages: Vec<(Timestamp, Stage)>,
    pub approvals: u32,
    /// Look-ups say ABORTED, or 404, of what can still be approved or was; the lagging copy is honest.
    pub lies: bool,
}

impl Session {
    pub fn stage(&self) -> Stage {
        self.stages.last().unwrap().1
    }

    fn since(&self) -> Timestamp {
        self.stages.last().unwrap().0
    }

    fn enter(&mut self, stage: Stage, now: Timestamp) {
        if stage == Stage::Approved {
            self.approvals += 1;
        }
        self.stages.push((now, stage));
    }

    fn stage_at(&self, then: Timestamp) -> Option<Stage> {
        let past = self.stages.iter().rev().find(|(since, _)| *since <= then);
        past.map(|(_, stage)| *stage)
    }

    fn report(&self, stage: Stage) -> Report {
        let failure = (stage == Stage::Expired).then(|| Decline::new("EXPIRED_PAYMENT", "expired"));
        let status = match stage {
            Stage::Opened => TossStatus::Ready,
            Stage::Authorized => TossStatus::InProgress,
            Stage::AwaitingDeposit => TossStatus::WaitingForDeposit,
            Stage::Approved => TossStatus::Done,
            Stage::Aborted => TossStatus::Aborted,
            Stage::Expired => TossStatus::Expired,
            Stage::Canceled => TossStatus::Canceled,
        };
        let approved = self
            .stages
            .iter()
            .find(|(_, stage)| *stage == Stage::Approved);
        Report {
            payment_key: self.key.clone(),
            order_id: self.order_id.clone(),
            status,
            total: Charge::Won(self.total),
            approved_at: approved.map(|(at, _)| *at),
            method: None,
            receipt_url: None,
            failure,
            account: None,
        }
    }
}

/// What Toss makes of a confirm that it could approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Decline,
    /// Declined, and yet the session stays open.
    DeclineAndKeepOpen,
    Temporary,
    /// A 5xx in Toss's shape, not kept under the idempotency key.
    ServerError,
    /// An HTML page: no answer at all, and nothing was done.
    BadGateway,
}

#[derive(Clone, Debug)]
pub enum Place {
    Travelling,
    Processing { since: Timestamp, verdict: Verdict },
    Answered(Reply),
    Gone,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub idempotency_key: String,
    /// Number of the attempt within its order.
    pub attempt: u8,
    pub payment_key: PaymentKey,
    pub order_id: Box<str>,
    pub total: i64,
    /// Sent to another gateway, which knows none of this.
    pub elsewhere: bool,
    pub left_at: Timestamp,
    pub place: Place,
}

/// Which copy of the truth a look-up is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Fresh,
    Lagging,
    /// 404 for what is not settled yet.
    Hidden,
    /// A 5xx.
    Silent,
}

#[derive(Clone, Debug, Default)]
pub struct Toss {
    pub sessions: Vec<Session>,
    pub calls: Vec<Call>,
    first_answers: BTreeMap<String, (Timestamp, Reply)>,
    /// Keys that were answered at all, kept or not.
    pub answered: BTreeSet<String>,
    /// paymentKeys that were declined at least once.
    pub declined: BTreeSet<PaymentKey>,
}

fn answered(outcome: Outcome) -> Reply {
    Reply {
        outcome,
        answered: true,
    }
}

impl Toss {
    pub fn open(&mut self, key: PaymentKey, order: (usize, &str), total: i64, now: Timestamp) {
        let virtual_account = key.reveal().ends_with("va");
        let (order, order_id) = (order.0, order.1.into());
        let stages = vec![(now, Stage::Opened)];
        let (approvals, lies) = (0, false);
        let session = Session {
            key,
            order,
            order_id,
            total,
            virtual_account,
            stages,
            approvals,
            lies,
        };
        self.sessions.push(session);
    }

    pub fn session_mut(&mut self, key: &PaymentKey) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.key == *key)
    }

    pub fn session(&self, key: &PaymentKey) -> Option<&Session> {
        self.sessions.iter().find(|session| session.key == *key)
    }

    pub fn move_on(&mut self, key: &PaymentKey, from: Stage, to: Stage, now: Timestamp) {
        if let Some(session) = self.session_mut(key).filter(|s| s.stage() == from) {
            session.enter(to, now);
        }
    }

    /// The call stands before Toss: replayed, turned away, or taken up.
    pub fn arrive(&mut self, call: usize, verdict: Verdict, now: Timestamp) {
        let Call {
            idempotency_key,
            payment_key,
            elsewhere,
            place,
            ..
        } = self.calls[call].clone();
        if !matches!(place, Place::Travelling) {
            return;
        }
        let forgotten = |at: Timestamp| now.ms_since(at) > KEY_LIFETIME_MS;
        let kept = self
            .first_answers
            .get(&idempotency_key)
            .filter(|(at, _)| !forgotten(*at));
        let processing = |other: &&Call| {
            matches!(other.place, Place::Processing { .. }) && other.payment_key == payment_key
        };
        let rival = self
            .calls
            .iter()
            .find(processing)
            .map(|c| c.idempotency_key.clone());
        self.calls[call].place = match (kept, rival) {
            (Some((_, first)), _) => Place::Answered(first.clone()),
            (None, Some(rival)) if rival == idempotency_key => Place::Answered(Reply {
                outcome: Outcome::InProgress("IDEMPOTENT_REQUEST_PROCESSING".into()),
                answered: false,
            }),
            (None, Some(_)) => {
                let reply = answered(Outcome::InProgress("ALREADY_PROCESSING_REQUEST".into()));
                Place::Answered(self.keep(idempotency_key, reply, now))
            }
            (None, None) if elsewhere => {
                let reply = answered(Outcome::Unknown("NOT_FOUND_PAYMENT".into()));
                self.answered.insert(idempotency_key);
                Place::Answered(reply)
            }
            (None, None) => Place::Processing {
                since: now,
                verdict,
            },
        };
    }

    fn keep(&mut self, key: String, reply: Reply, now: Timestamp) -> Reply {
        self.answered.insert(key.clone());
        self.first_answers.insert(key, (now, reply.clone()));
        reply
    }

    /// Toss is done with the call: what it does, and what it says, once.
    pub fn finish(&mut self, call: usize, now: Timestamp) {
        let Place::Processing { verdict, .. } = self.calls[call].place else {
            return;
        };
        let Call {
            idempotency_key,
            payment_key,
            order_id,
            total,
            ..
        } = self.calls[call].clone();
        let refuse = |code: &str| answered(Outcome::Unknown(code.into()));
        let Some(session) = self.session_mut(&payment_key) else {
            let reply = self.keep(idempotency_key, refuse("NOT_FOUND_PAYMENT"), now);
            self.calls[call].place = Place::Answered(reply);
            return;
        };
        let reply = match session.stage() {
            _ if session.order_id != order_id || session.total != total => {
                refuse("FORBIDDEN_REQUEST")
            }
            Stage::Authorized => execute(session, verdict, now),
            Stage::Opened | Stage::Aborted | Stage::Expired => refuse("NOT_FOUND_PAYMENT_SESSION"),
            Stage::Approved | Stage::Canceled | Stage::AwaitingDeposit => {
                refuse("ALREADY_PROCESSED_PAYMENT")
            }
        };
        if matches!(reply.outcome, Outcome::Declined(_)) {
            self.declined.insert(payment_key);
        }
        let lost = verdict == Verdict::BadGateway && !reply.answered;
        let unkept = verdict == Verdict::ServerError && reply.outcome == server_error().outcome;
        let reply = match (lost, unkept) {
            (true, _) => reply,
            (false, true) => {
                self.answered.insert(idempotency_key);
                reply
            }
            (false, false) => self.keep(idempotency_key, reply, now),
        };
        self.calls[call].place = Place::Answered(reply);
    }

    /// Time has passed: what was taken up is done, what was on its way is lost, what was open has expired.
    pub fn age(&mut self, now: Timestamp) {
        for call in 0..self.calls.len() {
            match self.calls[call].place {
                Place::Processing { since, .. } if now.ms_since(since) >= PROCESSING_MS => {
                    self.finish(call, since.plus_ms(PROCESSING_MS));
                }
                Place::Travelling if now.ms_since(self.calls[call].left_at) > TRAVEL_MS => {
                    self.calls[call].place = Place::Gone;
                }
                Place::Travelling | Place::Processing { .. } | Place::Answered(_) | Place::Gone => {
                }
            }
        }
        let calls = &self.calls;
        for session in &mut self.sessions {
            let busy = calls.iter().any(|call| {
                call.payment_key == session.key && matches!(call.place, Place::Processing { .. })
            });
            let age_ms = now.ms_since(session.since());
            let over = match session.stage() {
                Stage::Opened => age_ms > WINDOW_MS,
                Stage::Authorized => age_ms > CONFIRM_MS && !busy,
                Stage::AwaitingDeposit
                | Stage::Approved
                | Stage::Aborted
                | Stage::Expired
                | Stage::Canceled => false,
            };
            if over {
                session.enter(Stage::Expired, now);
            }
        }
    }

    pub fn look_up(&self, key: &PaymentKey, view: View, now: Timestamp) -> Finding {
        let Some(session) = self.session(key) else {
            return Finding::NotFound;
        };
        let stage = match view {
            View::Silent => return Finding::NoAnswer("FAILED_INTERNAL_SYSTEM_PROCESSING".into()),
            View::Hidden if session.lies => None,
            View::Hidden if matches!(session.stage(), Stage::Opened | Stage::Authorized) => None,
            View::Hidden | View::Fresh => Some(session.stage()),
            View::Lagging => session.stage_at(now.plus_ms(-LAG_MS)),
        };
        let lie = session.lies && view != View::Lagging;
        let stage = stage.map(|stage| match stage {
            Stage::Authorized | Stage::Approved if lie => Stage::Aborted,
            honest => honest,
        });
        stage.map_or(Finding::NotFound, |stage| {
            Finding::Found(session.report(stage))
        })
    }

    /// Which payment of an order is returned is not documented: any of them.
    pub fn look_up_order(&self, order: usize, any: usize, view: View, now: Timestamp) -> Finding {
        let known: Vec<&Session> = self.sessions.iter().filter(|s| s.order == order).collect();
        match known.len() {
            0 => Finding::NotFound,
            len => self.look_up(&known[any % len].key, view, now),
        }
    }
}

fn server_error() -> Reply {
    answered(Outcome::Unknown("FAILED_INTERNAL_SYSTEM_PROCESSING".into()))
}

fn execute(session: &mut Session, verdict: Verdict, now: Timestamp) -> Reply {
    match verdict {
        Verdict::Approve if session.virtual_account => {
            session.enter(Stage::AwaitingDeposit, now);
            answered(Outcome::Unknown("200, but WAITING_FOR_DEPOSIT".into()))
        }
        Verdict::Approve => {
            session.enter(Stage::Approved, now);
            answered(Outcome::Approved(session.report(Stage::Approved)))
        }
        Verdict::Decline => {
            session.enter(Stage::Aborted, now);
            answered(Outcome::Declined(Decline::new("REJECT_CARD_PAYMENT", "no")))
        }
        Verdict::DeclineAndKeepOpen => answered(Outcome::Declined(Decline::new(
            "EXCEED_MAX_AMOUNT",
            "too much",
        ))),
        Verdict::Temporary => answered(Outcome::Temporary("PROVIDER_ERROR".into())),
        Verdict::ServerError => server_error(),
        Verdict::BadGateway => Reply {
            outcome: Outcome::Unknown("502".into()),
            answered: false,
        },
    }
}
