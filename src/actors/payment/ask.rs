//! One question to Toss about one attempt: by paymentKey, and where "not found" would be believed, by order too.

use super::hands::Hands;
use crate::actors::api::TraceId;
use crate::actors::toss::{LookUp, Pass, Subject};
use crate::domain::payment::{add_finding_by_order, judge_finding};
use crate::domain::{Claim, Event, Finding, Payment, Timestamp};

/// What is asked, when, and under which claim.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub by_order_too: bool,
    /// Before the first look-up left: what it says is judged by this instant.
    pub at: Timestamp,
    /// Covers the confirm that the answer may allow.
    pub claim: Claim,
}

pub async fn ask(
    hands: &Hands,
    payment: &Payment,
    asked: Question,
    pass: Pass,
    trace: TraceId,
) -> Event {
    let Some(attempt) = payment.current_attempt() else {
        return Event::QuestionLost {
            attempt: 0,
            why: "no attempt to ask about".into(),
        };
    };
    let look = |subject, pass| async move {
        let asked = hands
            .look_up
            .send(LookUp {
                subject,
                pass,
                trace,
            })
            .await;
        asked.unwrap_or_else(|_| Finding::NoAnswer("no reply".into()))
    };
    let by_key = Subject::PaymentKey(attempt.payment_key.clone());
    let mut finding = look(by_key, pass).await;
    if asked.by_order_too && finding == Finding::NotFound {
        let by_order = look(Subject::Order(payment.order.id), pass.spent()).await;
        finding = add_finding_by_order(attempt, by_order);
    }
    judge_finding(
        payment,
        attempt,
        finding,
        &hands.gateway,
        asked.at,
        asked.claim,
    )
}
