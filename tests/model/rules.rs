//! The real rules, and each of them broken on purpose: what is handed to them or what they hand out is altered,
//! never a copy of them.

use payonce::domain::payment::{
    ApprovalSign, Attempt, Event, IllegalEvent, QuarantineReason, Status, Step, StockMove,
    Transition, add_finding_by_order, after, judge_finding, judge_reply, next_step,
};
use payonce::domain::{
    Charge, Claim, Decline, Finding, GatewayIdentity, Moment, Outcome, Payment, PaymentKey, Reply,
    Report, Rules, Timestamp, TossStatus,
};

use super::broken::Broken;
use super::operator;
use super::report::decline;
use super::toss::Said;

const AFTER_A_SILENCE: &str = "after a silence";

#[derive(Debug)]
pub struct Rulebook {
    pub rules: Rules,
    pub broken: Option<Broken>,
}

fn last(payment: &Payment, change: impl FnOnce(&mut Attempt)) -> Payment {
    let mut payment = payment.clone();
    if let Some(current) = payment.attempts.last_mut() {
        change(current);
    }
    payment
}

/// Nothing in the record speaks against a decline.
fn doubtless(payment: &Payment) -> Payment {
    let mut payment = last(payment, |current| {
        current.n = 1;
        current.many_owners = false;
    });
    unsign(&mut payment);
    payment
}

fn unsign(payment: &mut Payment) {
    for attempt in &mut payment.attempts {
        attempt.approval_sign = ApprovalSign::None;
    }
}

fn declined(attempt: u8) -> Event {
    let decline = decline();
    Event::Declined { attempt, decline }
}

impl Rulebook {
    pub fn whole() -> Rulebook {
        Rulebook {
            rules: Rules {
                questions: 2,
                ..Rules::default()
            },
            broken: None,
        }
    }

    pub fn without(broken: Broken) -> Rulebook {
        Rulebook {
            broken: Some(broken),
            ..Rulebook::whole()
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// Whether a write lands though what it replaces is no longer there.
    pub fn accepts_stale(&self, transition: &Transition) -> bool {
        let ruling = transition.history.event.starts_with("RESOLVED");
        self.is(Broken::StaleWriteIsAccepted) || (self.is(Broken::RulingIsUnguarded) && ruling)
    }

    /// A write of unknown fate is judged again by the reloaded payment, which may contain it.
    pub fn looks_for_nothing(&self) -> bool {
        self.is(Broken::DoubtfulWriteIsJudgedAgain)
    }

    pub fn keeps_old_reviews(&self) -> bool {
        self.is(Broken::StaleWriteIsAccepted) || self.is(Broken::RulingIsUnguarded)
    }

    /// What the recorder never drops, even when its copy was stale.
    pub fn is_evidence(&self, event: &Event) -> bool {
        let kept = matches!(
            event,
            Event::Approved { .. } | Event::AmountMismatched { .. } | Event::FoundCanceled { .. }
        );
        kept && !self.is(Broken::LateApprovalIsDropped)
    }

    pub fn next_step(&self, payment: &Payment, now: &Moment<'_>) -> Step {
        let quarantined = payment.status == Status::Quarantined;
        let step = match self.broken {
            Some(Broken::QuarantinedSettlesThoughApprovalSeen) if quarantined => {
                let mut payment = payment.clone();
                unsign(&mut payment);
                next_step(&payment, now)
            }
            Some(Broken::QuarantinedSettlesThoughAnswerGiven) if quarantined => {
                let mut payment = last(payment, |a| a.settled = None);
                unsign(&mut payment);
                next_step(&payment, now)
            }
            _ => next_step(payment, now),
        };
        match step {
            Step::Ask { not_before, .. } if self.is(Broken::OrderLookUpIsBelieved) => Step::Ask {
                not_before,
                by_order_too: true,
            },
            step => step,
        }
    }

    /// The idempotency key that a confirm goes out with.
    pub fn n_to_send(&self, attempt: &Attempt) -> u8 {
        let next = self.is(Broken::NextKeyIsNotJournaled) && attempt.answered;
        u8::try_from(attempt.n + u32::from(next)).unwrap()
    }

    /// What a series of tries comes to if one was sent and not answered, and the last could not leave.
    pub fn refused_after_a_silence(&self) -> Outcome {
        match self.is(Broken::SeriesIsJudgedByItsLastTry) {
            true => Outcome::NotAttempted(AFTER_A_SILENCE.into()),
            false => Outcome::Unknown("silence".into()),
        }
    }

    /// The gateway's table, as far as the model speaks it.
    pub fn outcome(&self, said: Said, approval: Report) -> Outcome {
        match said {
            Said::Approved => Outcome::Approved(approval),
            Said::Declined => Outcome::Declined(decline()),
            Said::Undecided => Outcome::Temporary("PROVIDER_ERROR".into()),
            Said::NotFound if self.is(Broken::NotFoundOnConfirmIsADecline) => {
                Outcome::Declined(Decline::new("NOT_FOUND_PAYMENT", ""))
            }
            Said::NotFound => Outcome::Unknown("NOT_FOUND_PAYMENT".into()),
            Said::Running => Outcome::InProgress("IDEMPOTENT_REQUEST_PROCESSING".into()),
        }
    }

    fn without_cross_check(
        &self,
        payment: &Payment,
        attempt: &Attempt,
        mut report: Report,
    ) -> Report {
        if self.is(Broken::ApprovalIsNotCrossChecked) {
            report.payment_key = attempt.payment_key.clone();
            report.order_id = payment.order.id.to_string().into();
            report.total = Charge::Won(payment.order.total.get());
        }
        report
    }

    pub fn judge_reply(&self, payment: &Payment, attempt: &Attempt, mut reply: Reply) -> Event {
        if let Outcome::Approved(report) = reply.outcome {
            reply.outcome = Outcome::Approved(self.without_cross_check(payment, attempt, report));
        }
        judge_reply(payment, attempt, reply)
    }

    pub fn judge_finding(
        &self,
        payment: &Payment,
        attempt: &Attempt,
        mut finding: Finding,
        asked: &GatewayIdentity,
        asked_at: Timestamp,
        claim: Claim,
    ) -> Event {
        if let Finding::Found(report) = finding {
            let mut report = self.without_cross_check(payment, attempt, report);
            if self.is(Broken::ReadyIsReadAsUnpaid) && report.status == TossStatus::Ready {
                report.status = TossStatus::Aborted;
            }
            finding = Finding::Found(report);
        }
        judge_finding(payment, attempt, finding, asked, asked_at, claim)
    }

    pub fn add_finding_by_order(&self, attempt: &Attempt, by_order: Finding) -> Finding {
        match by_order {
            Finding::Found(mut report)
                if self.is(Broken::OrderLookUpIsBelieved)
                    && matches!(report.status, TossStatus::Aborted | TossStatus::Expired) =>
            {
                report.payment_key = attempt.payment_key.clone();
                Finding::Found(report)
            }
            by_order => add_finding_by_order(attempt, by_order),
        }
    }

    pub fn after(
        &self,
        payment: &Payment,
        event: Event,
        now: &Moment<'_>,
    ) -> Result<Transition, IllegalEvent> {
        let Some(broken) = self.broken else {
            return after(payment, event, now);
        };
        let (altered, event) = before_rules(broken, payment, event, now);
        if broken == Broken::LateApprovalIsDropped
            && matches!(event, Event::Approved { .. })
            && matches!(
                payment.status,
                Status::Failed | Status::Expired | Status::Ready
            )
        {
            let event = event.name();
            let status = payment.status;
            return Err(IllegalEvent { status, event });
        }
        let transition = after(&altered, event.clone(), now)?;
        Ok(behind_rules(broken, payment, &event, transition, now))
    }
}

/// What the rules are shown instead.
fn before_rules(
    broken: Broken,
    payment: &Payment,
    event: Event,
    now: &Moment<'_>,
) -> (Payment, Event) {
    let mut altered = payment.clone();
    match (broken, &event) {
        (
            Broken::KeyAdvancesUnanswered,
            Event::FoundUnconfirmed { .. } | Event::FoundNothing { .. },
        )
        | (Broken::TakeOverAdvancesTheKey, Event::OwnerLost { .. }) => {
            altered = last(payment, |a| a.answered = true);
        }
        (Broken::AnsweredKeyIsSentAgain, Event::FoundUnconfirmed { .. }) => {
            altered = last(payment, |a| a.answered = false);
        }
        (
            Broken::SilenceIsADecline,
            Event::Undecided {
                answered: false,
                attempt,
                ..
            },
        )
        | (
            Broken::AnswerThatDecidesNothingIsADecline,
            Event::Undecided {
                answered: true,
                attempt,
                ..
            },
        )
        | (Broken::NotAttemptedIsADecline, Event::NotAttempted { attempt, .. }) => {
            return (doubtless(payment), declined(*attempt));
        }
        (Broken::SeriesIsJudgedByItsLastTry, Event::NotAttempted { attempt, why })
            if **why == *AFTER_A_SILENCE =>
        {
            return (doubtless(payment), declined(*attempt));
        }
        (Broken::DeclineOfALaterKeyIsBelieved, Event::Declined { .. }) => {
            altered = last(payment, |a| a.n = 1);
        }
        (Broken::DeclineAfterATakeOverIsBelieved, Event::Declined { .. }) => {
            altered = last(payment, |a| a.many_owners = false);
        }
        (Broken::DoubtedDeclineIsSentAgain, Event::FoundUnconfirmed { .. }) => {
            altered = last(payment, |a| a.doubted_decline = None);
        }
        (Broken::CanceledIsReadAsUnpaid, Event::FoundCanceled { attempt }) => {
            let (attempt, decline) = (*attempt, decline());
            return (altered, Event::FoundEnded { attempt, decline });
        }
        (Broken::AbortedOverwritesAnApprovalSign, Event::FoundEnded { .. }) => {
            unsign(&mut altered);
        }
        (Broken::OneForeignLookUpIsBelieved, Event::FoundForeign { .. }) => {
            altered = last(payment, |a| a.foreign_seen = true);
        }
        _ => altered = reopened(broken, payment, &event, now),
    }
    let event = match event {
        Event::Resolved(ruling) => operator::misled(broken, payment, ruling, now),
        event => told_otherwise(broken, payment, event, now),
    };
    (altered, event)
}

/// A payment that is shown in a state in which more may happen to it than should.
fn reopened(broken: Broken, payment: &Payment, event: &Event, now: &Moment<'_>) -> Payment {
    let mut altered = payment.clone();
    let quarantined = payment.status == Status::Quarantined;
    match (broken, event) {
        (Broken::LateApprovalPaysTheFailed, Event::Approved { .. })
            if payment.status == Status::Failed =>
        {
            altered = last(payment, |a| a.settled = None);
            altered.status = Status::Unknown;
        }
        (Broken::QuarantinedPaysWithoutGoods, Event::Approved { .. }) if quarantined => {
            altered.stock_held = true;
        }
        (Broken::QuarantinedSettlesThoughApprovalSeen, _) if quarantined => unsign(&mut altered),
        (Broken::QuarantinedSettlesThoughAnswerGiven, _) if quarantined => {
            altered = last(payment, |a| a.settled = None);
            unsign(&mut altered);
        }
        (
            Broken::OldAttemptIsSentAgain,
            Event::FoundUnconfirmed { .. } | Event::FoundNothing { .. },
        ) => altered = last(payment, |a| a.started_at = now.at),
        (Broken::ConfirmPastTheDeadlineStarts, Event::AttemptStarted { .. }) => {
            altered.expires_at = now.at.plus_ms(1);
        }
        (Broken::SecondKeyStartsWhileTheFirstIsUnknown, Event::AttemptStarted { .. })
            if payment.status == Status::Unknown =>
        {
            altered.status = Status::Failed;
            altered.stock_held = false;
        }
        (Broken::RuledFailedThoughApprovalSeen, Event::Resolved(_)) => unsign(&mut altered),
        (Broken::UsedKeyStartsAgain, Event::AttemptStarted { .. }) => {
            for attempt in &mut altered.attempts {
                attempt.payment_key = PaymentKey::parse("forgotten").unwrap();
            }
        }
        _ => {}
    }
    altered
}

/// A "not found" that is told otherwise than it was.
fn told_otherwise(broken: Broken, payment: &Payment, event: Event, now: &Moment<'_>) -> Event {
    let answered = payment.current_attempt().is_some_and(|a| a.answered);
    match event {
        Event::FoundNothing {
            attempt,
            claim,
            ours,
            ..
        } if broken == Broken::StrangerSends && !ours
            || broken == Broken::EarlyNotFoundAllowsTheNextKey && answered =>
        {
            Event::FoundUnconfirmed {
                attempt,
                claim,
                ours: true,
            }
        }
        Event::FoundNothing {
            attempt,
            claim,
            ours,
            asked_at,
        } => Event::FoundNothing {
            attempt,
            claim,
            ours: ours || broken == Broken::StrangersNotFoundIsBelieved,
            asked_at: match broken {
                Broken::EarlyNotFoundIsBelieved => now.at.plus_ms(86_400_000),
                Broken::OldNotFoundIsBelieved => now.at,
                _ => asked_at,
            },
        },
        event => event,
    }
}

/// What the rules are made to have said.
fn behind_rules(
    broken: Broken,
    before: &Payment,
    event: &Event,
    mut transition: Transition,
    now: &Moment<'_>,
) -> Transition {
    let next = &mut transition.next;
    match (broken, event) {
        (
            Broken::NextKeyWithoutLookUp,
            Event::Undecided {
                attempt,
                answered: true,
                ..
            },
        ) => {
            let owner = before.owner.unwrap_or(before.attempts[0].owner);
            let deadline = now.at.plus_ms(40_000);
            let claim = Claim { owner, deadline };
            let found = Event::FoundUnconfirmed {
                attempt: *attempt,
                claim,
                ours: true,
            };
            if let Ok(again) = after(next, found, now) {
                *next = again.next;
            }
        }
        (Broken::NextKeyIsNotJournaled, Event::FoundUnconfirmed { .. }) => {
            if let (Some(now), Some(was)) = (next.attempts.last_mut(), before.attempts.last()) {
                (now.n, now.answered) = (was.n, was.answered);
            }
        }
        (Broken::WindowIsNotMoved, Event::FoundUnconfirmed { .. } | Event::FoundNothing { .. }) => {
            if let (Some(now), Some(was)) = (next.attempts.last_mut(), before.attempts.last()) {
                now.may_send_until = was.may_send_until;
            }
        }
        (Broken::GivingUpFails, _)
            if next.quarantine == Some(QuarantineReason::QuestionsSpent)
                && before.status == Status::Unknown =>
        {
            let attempt = next.attempts.last().map_or(0, |a| a.number);
            let ended = Event::FoundEnded {
                attempt,
                decline: decline(),
            };
            if let Ok(failed) = after(before, ended, now) {
                return failed;
            }
        }
        (Broken::RulingTakesBackADecline, Event::Resolved(_)) => operator::take_back(next),
        (Broken::RuledDoneTakesNoGoods, Event::Resolved(_))
            if transition.stock == StockMove::Take =>
        {
            transition.stock = StockMove::None;
        }
        (Broken::LateApprovalTakesNoGoods, _) if transition.stock == StockMove::TakeIfAvailable => {
            transition.stock = StockMove::None;
        }
        (Broken::SecondKeyStartsWhileTheFirstIsUnknown, Event::AttemptStarted { .. })
            if before.stock_held =>
        {
            transition.stock = StockMove::None;
        }
        (Broken::UsedKeyStartsAgain, Event::AttemptStarted { .. }) => {
            for (now, was) in next.attempts.iter_mut().zip(&before.attempts) {
                now.payment_key = was.payment_key.clone();
            }
        }
        _ => {}
    }
    transition
}
