//! What the small Toss says, as the gateway hands it to the rules.

use payonce::domain::{Charge, Decline, Finding, Payment, PaymentKey, Report, TossStatus};

use super::toss::{Seen, Stage};
use super::world::{Mix, payment_key};

pub fn report(payment: &Payment, key: &PaymentKey, status: TossStatus) -> Report {
    Report {
        payment_key: key.clone(),
        order_id: payment.order.id.to_string().into(),
        status,
        total: Charge::Won(payment.order.total.get()),
        approved_at: None,
        method: None,
        receipt_url: None,
        failure: None,
        account: None,
    }
}

pub fn mixed(mix: Mix, mut report: Report) -> Report {
    match mix {
        Mix::Clean => {}
        Mix::OtherKey => report.payment_key = PaymentKey::parse("somebody-elses").unwrap(),
        Mix::OtherOrder => report.order_id = "somebody-elses".into(),
        Mix::OtherAmount => report.total = Charge::Foreign("USD".into()),
    }
    report
}

fn status(stage: Stage) -> Option<TossStatus> {
    match stage {
        Stage::Absent => None,
        Stage::Opened => Some(TossStatus::Ready),
        Stage::Authorized => Some(TossStatus::InProgress),
        Stage::Approved => Some(TossStatus::Done),
        Stage::Aborted => Some(TossStatus::Aborted),
        Stage::Expired => Some(TossStatus::Expired),
        Stage::Canceled => Some(TossStatus::Canceled),
    }
}

pub fn finding(payment: &Payment, key: &PaymentKey, seen: Seen) -> Finding {
    let found = |key: &PaymentKey, stage| match status(stage) {
        Some(status) => Finding::Found(report(payment, key, status)),
        None => Finding::NotFound,
    };
    match seen {
        Seen::Stage(stage) => found(key, stage),
        Seen::ByOrder(number, stage) => found(&payment_key(number), stage),
        Seen::NotFound => Finding::NotFound,
        Seen::OtherKey => {
            Finding::Found(mixed(Mix::OtherKey, report(payment, key, TossStatus::Done)))
        }
        Seen::OtherOrder => Finding::Found(mixed(
            Mix::OtherOrder,
            report(payment, key, TossStatus::Done),
        )),
    }
}

/// What a refusal by Toss is made of.
pub fn decline() -> Decline {
    Decline::new("REJECT_CARD_PAYMENT", "no")
}
