//! The loop: what next -> do it -> what happened -> journal it. A confirm, a retry and a recovery after a crash
//! all run it; none of them has a rule of its own.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::time::{Instant, sleep};

use super::actor::{Advanced, PaymentActor};
use super::ask::{Question, ask};
use super::hands::{Hands, SharedHands, Term};
use super::opening::{self, Opened};
use super::recorder::{Recorder, Unwritten};
use super::sight::{Sight, reload};
use crate::actors::api::TraceId;
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::toss::{Admit, Lane, Permit, SendConfirm};
use crate::domain::payment::judge_reply;
use crate::domain::{
    Event, Outcome, Payment, PaymentKey, Rejection, Reply, Status, Step, Timestamp, after,
    next_step,
};
use crate::gateway::ConfirmCall;
use crate::store::{Change, Verdict};

/// Why a flight takes off.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// A new attempt with this paymentKey.
    Confirm(PaymentKey),
    /// An unfinished payment: ask, and go on from the answer.
    Recover(Lane),
    /// The deadline.
    Expire,
    /// The snapshot is in doubt: only read the payment afresh.
    Refresh,
}

/// One run of the loop. It owns its copy of the payment; the actor keeps the last committed one.
#[derive(Debug)]
pub struct Flight {
    pub hands: SharedHands,
    pub sight: Sight,
    /// When whoever sent it came.
    pub since: Instant,
    pub purpose: Purpose,
    pub actor: Addr<PaymentActor>,
    pub trace: TraceId,
    pub unwritten: Unwritten,
}

/// How a flight ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The payment rests where its snapshot says.
    Rested,
    /// Not opened, and nothing written.
    Rejected(Rejection),
    /// Nothing was begun, and the payment is not what it was when the callers were checked.
    CheckAgain,
    /// Not begun: no slot, no rate, or no database. The timer will come again.
    Postponed,
    /// Somebody else's write came first.
    Stale,
    /// A write may or may not have landed: look before deciding anything.
    Doubtful,
    /// Past its deadline, stopped from outside.
    Overdue,
    Panicked,
    /// The store does not have the order any more, or cannot read it.
    Gone,
}

impl Landing {
    /// Whether the snapshot can no longer be trusted.
    pub const fn needs_reload(&self) -> bool {
        match self {
            Landing::CheckAgain | Landing::Stale | Landing::Doubtful | Landing::Overdue => true,
            Landing::Rested
            | Landing::Rejected(_)
            | Landing::Postponed
            | Landing::Panicked
            | Landing::Gone => false,
        }
    }
}

/// Pause before another question of the same flight: a buyer is waiting, but Toss needs a moment too.
const QUESTION_PAUSE_MIN_MS: i64 = 500;
const QUESTION_PAUSE_SPREAD_MS: i64 = 500;

pub async fn advance(mut flight: Flight) -> (Landing, Sight) {
    #[cfg(test)]
    flight.hands.stumble();
    let mut course = match begin(&mut flight).await {
        Ok(Some(course)) => course,
        Ok(None) => return (Landing::Rested, flight.sight),
        Err(landing) => return (*landing, flight.sight),
    };
    let landing = match course.run().await {
        Ok(()) => Landing::Rested,
        Err(landing) => *landing,
    };
    (landing, course.recorder.sight())
}

impl Flight {
    /// Whether the payment is ours to take in hand. With other nodes at work on the record: as it is now, not as it
    /// was when somebody here read it last.
    async fn is_ours(&mut self, lane: Lane) -> Result<bool, Ended> {
        if !self.hands.store.is_shared() {
            return Ok(true);
        }
        if self.sight.as_of < self.since {
            let sight = reload(&self.hands, self.sight.payment.order.id).await;
            self.sight = sight.ok_or_else(|| Box::new(Landing::Gone))?;
            let (sight, written) = (self.sight.clone(), false);
            self.actor.do_send(Advanced { sight, written });
        } else {
            let anothers = self.hands.is_anothers(&self.sight.payment).await;
            self.sight.is_anothers = anothers.map_err(|fault| {
                tracing::warn!(%fault, "could not ask whose the payment is; later");
                Box::new(Landing::Postponed)
            })?;
        }
        let (payment, now) = (&self.sight.payment, self.hands.clock.now());
        if self.sight.is_anothers && !self.hands.may_take_over(payment, lane) {
            return Ok(false);
        }
        let due = payment.due_at().is_some_and(|due| due <= now);
        match payment.status {
            Status::InProgress => Ok(true),
            Status::Unknown => Ok(due || lane == Lane::Live),
            Status::Quarantined => Ok(due),
            Status::Ready | Status::Done | Status::Failed | Status::Expired => Ok(false),
        }
    }
}

type Ended = Box<Landing>;

/// Journals the event that the flight begins with; `None` where there is nothing to do.
async fn begin(flight: &mut Flight) -> Result<Option<Course>, Ended> {
    match flight.purpose.clone() {
        Purpose::Confirm(key) => {
            let Opened {
                payment,
                as_of,
                permit,
                term,
            } = opening::open(flight, &key).await?;
            flight.sight = Sight {
                payment,
                as_of,
                is_anothers: false,
            };
            let course = Course::new(flight, permit, term, false);
            course.recorder.report();
            Ok(Some(course))
        }
        Purpose::Refresh => Err(Box::new(Landing::CheckAgain)),
        Purpose::Expire => {
            let mut journal = Recorder::of(flight);
            fault_point!(ExpiryReady);
            let expired = journal.record(Event::DeadlinePassed).await;
            expired.map_err(nothing_begun)?;
            fault_point!(ExpiryDone);
            flight.sight = journal.sight();
            Ok(None)
        }
        Purpose::Recover(lane) => {
            if !flight.is_ours(lane).await? {
                return Ok(None);
            }
            // The permit comes first: a claim that then waits in line would only write.
            let admitted = flight.hands.admit.send(Admit { lane }).await;
            let permit = match admitted {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) | Err(_) => return Err(Box::new(Landing::Postponed)),
            };
            let Some(term) = flight.hands.term() else {
                return Err(Box::new(Landing::Postponed));
            };
            let mut course = Course::new(flight, permit, term, true);
            fault_point!(ClaimReady);
            course.claim().await.map_err(nothing_begun)?;
            fault_point!(Claimed);
            Ok(Some(course))
        }
    }
}

/// Somebody else's write came before our first one: whoever waits is looked at in the new light.
fn nothing_begun(landing: Ended) -> Ended {
    match *landing {
        Landing::Stale => Box::new(Landing::CheckAgain),
        Landing::Rested
        | Landing::Rejected(_)
        | Landing::CheckAgain
        | Landing::Postponed
        | Landing::Doubtful
        | Landing::Overdue
        | Landing::Panicked
        | Landing::Gone => landing,
    }
}

#[derive(Debug)]
struct Course {
    recorder: Recorder,
    permit: Permit,
    term: Term,
    first_send: Option<Instant>,
    /// Questions that may start without looking at the budget: a recovery has one.
    free_questions: u32,
    /// Dropped with the flight: what it has not sent by then, nobody sends.
    aboard: Arc<()>,
}

impl Course {
    fn new(flight: &Flight, permit: Permit, term: Term, recovery: bool) -> Course {
        Course {
            recorder: Recorder::of(flight),
            permit,
            term,
            first_send: None,
            free_questions: u32::from(recovery),
            aboard: Arc::default(),
        }
    }

    fn hands(&self) -> &Hands {
        &self.recorder.hands
    }

    fn payment(&self) -> &Payment {
        &self.recorder.payment
    }

    async fn record(&mut self, event: Event) -> Result<(), Ended> {
        self.recorder.record(event).await
    }

    /// Takes an unfinished payment in hand, in one write.
    async fn claim(&mut self) -> Result<(), Ended> {
        let claim = self.term.claim;
        match self.recorder.payment.status {
            Status::InProgress => self.record(Event::OwnerLost { claim }).await,
            Status::Unknown => self.record(Event::RetryClaimed { claim }).await,
            Status::Quarantined => self.postpone().await,
            Status::Ready | Status::Done | Status::Failed | Status::Expired => Ok(()),
        }
    }

    /// A slow question of a quarantined payment leaves no history; only its next time is moved.
    async fn postpone(&mut self) -> Result<(), Ended> {
        let moment = self.hands().clock.moment();
        let until = moment.at.plus_ms(moment.rules.quarantine_ask_ms);
        let (order, version) = (self.payment().order.id, self.payment().version);
        let change = Change::Postpone {
            order,
            version,
            until,
        };
        let sent = Instant::now();
        match self
            .hands()
            .journal
            .send(Write::new(change))
            .await
            .unwrap_or(Err(NoVerdict::Doubtful))
        {
            Ok(Verdict::Committed { .. }) => {
                self.recorder.as_of = sent;
                self.recorder.payment.next_attempt_at = Some(until);
                Ok(())
            }
            Ok(Verdict::Stale { .. } | Verdict::NotFound) => Err(Box::new(Landing::Stale)),
            Err(NoVerdict::Busy | NoVerdict::Fault | NoVerdict::Doubtful)
            | Ok(
                Verdict::OutOfStock(_) | Verdict::Duplicate { .. } | Verdict::NotEnoughStock { .. },
            ) => Err(Box::new(Landing::Postponed)),
        }
    }

    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            let moment = self.hands().clock.moment();
            let (step, at) = (next_step(self.payment(), &moment), moment.at);
            let event = match step {
                Step::Rest | Step::Expire => return Ok(()),
                Step::Confirm => self.send().await,
                Step::Ask { by_order_too, .. } => {
                    if !self.may_ask().await || !self.renew() {
                        return Ok(());
                    }
                    self.ask(by_order_too, at).await
                }
                Step::AskQuietly { .. } => {
                    if self.free_questions == 0 || !self.renew() {
                        return Ok(());
                    }
                    self.free_questions = 0;
                    let event = self.ask(true, at).await;
                    let moment = self.hands().clock.moment();
                    // Nothing new: a quarantined payment moves for a clear answer only.
                    if after(self.payment(), event.clone(), &moment).is_err() {
                        return Ok(());
                    }
                    event
                }
            };
            self.record(event).await?;
        }
    }

    async fn send(&mut self) -> Event {
        let Some(attempt) = self.payment().current_attempt().cloned() else {
            return Event::DeadlinePassed;
        };
        let order = &self.payment().order;
        let call = ConfirmCall {
            payment_key: attempt.payment_key.clone(),
            order: order.id,
            amount: order.total,
            idempotency_key: attempt.idempotency_key(order),
        };
        self.first_send.get_or_insert_with(Instant::now);
        let flight = Arc::downgrade(&self.aboard);
        let warrant = self.hands().warrant(self.term, flight);
        if !warrant.holds() {
            let outcome = Outcome::NotAttempted("another node may be at it".into());
            let answered = false;
            return judge_reply(self.payment(), &attempt, Reply { outcome, answered });
        }
        let (pass, trace) = (self.permit.pass(), self.recorder.trace);
        let sent = self
            .hands()
            .confirm
            .send(SendConfirm {
                call,
                pass,
                warrant,
                trace,
            })
            .await;
        // The TossActor stopped with our call in hand: it may have left.
        let lost = |_| Reply {
            outcome: Outcome::Unknown("no reply".into()),
            answered: false,
        };
        judge_reply(self.payment(), &attempt, sent.unwrap_or_else(lost))
    }

    async fn ask(&mut self, by_order_too: bool, at: Timestamp) -> Event {
        let asked = Question {
            by_order_too,
            at,
            claim: self.term.claim,
        };
        let pass = self.permit.pass();
        let trace = self.recorder.trace;
        ask(self.hands(), self.payment(), asked, pass, trace).await
    }

    /// A send that the answer allows is a send of a fresh term. An incarnation that has ended gets none; the flight's
    /// rest is left to whoever recovers.
    fn renew(&mut self) -> bool {
        let owner = self.term.claim.owner;
        let fresh = self.hands().term().filter(|term| term.claim.owner == owner);
        self.term = fresh.unwrap_or(self.term);
        fresh.is_some()
    }

    /// Whether another question may start in this flight; waits for its time.
    async fn may_ask(&mut self) -> bool {
        if self.free_questions > 0 {
            self.free_questions -= 1;
            return true;
        }
        let Some(began) = self.first_send else {
            return false;
        };
        let dice = self.hands().clock.moment().dice;
        let pause = QUESTION_PAUSE_MIN_MS + dice.up_to_ms(QUESTION_PAUSE_SPREAD_MS);
        let pause = Duration::from_millis(pause.unsigned_abs());
        if began.elapsed() + pause >= self.hands().limits.budget {
            return false;
        }
        sleep(pause).await;
        true
    }
}
