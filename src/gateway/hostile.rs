//! Answers that Toss would never write, and some that it almost would: whatever arrives, nobody panics, and money counts
//! as taken only where the body says so, whole and about our payment.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bodies;

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::codes::{self, Meaning};
use super::reading::{self, Heard};
use super::wire::TransactionObject;
use crate::chance::cases;
use crate::domain::payment::ApprovalSign;
use crate::domain::payment::{add_finding_by_order, judge_finding, judge_reply};
use crate::domain::{
    Attempt, Charge, Claim, Event, Finding, GatewayIdentity, Incarnation, Order, OrderId, Outcome,
    Payment, PaymentKey, Reply, Report, Timestamp, TossStatus, UserId, Won,
};
use bodies::{KEY, ORDER, TOTAL, answer, body, code, spoiled, status};

fn payment() -> Payment {
    let order = Order {
        id: OrderId::parse(ORDER).unwrap(),
        user: UserId::parse("1").unwrap(),
        name: "Ogu T".into(),
        lines: [].into(),
        total: Won::new(TOTAL).unwrap(),
    };
    let owner = Incarnation(Uuid::from_u128(1));
    let mut payment = Payment::ready(order, Timestamp::from_micros(1));
    payment.attempts.push(Attempt {
        number: 1,
        payment_key: PaymentKey::parse(KEY).unwrap(),
        n: 1,
        answered: false,
        gateway: gateway(),
        started_at: Timestamp::default(),
        may_send_until: Timestamp::default(),
        owner,
        many_owners: false,
        foreign_seen: false,
        approval_sign: ApprovalSign::None,
        doubted_decline: None,
        settled: None,
    });
    payment
}

fn gateway() -> GatewayIdentity {
    GatewayIdentity("toss".into())
}

fn asked(finding: Finding) -> Event {
    let payment = payment();
    let claim = Claim {
        owner: Incarnation(Uuid::from_u128(1)),
        deadline: Timestamp::default(),
    };
    let at = Timestamp::default();
    judge_finding(
        &payment,
        &payment.attempts[0],
        finding,
        &gateway(),
        at,
        claim,
    )
}

fn confirmed(reply: Reply) -> Event {
    let payment = payment();
    judge_reply(&payment, &payment.attempts[0], reply)
}

/// A second reader of the fields that decide, which shares nothing with the first but the JSON grammar.
struct Plain<'a>(HashMap<String, &'a RawValue>);

impl<'a> Plain<'a> {
    fn read(body: &'a [u8]) -> Option<Plain<'a>> {
        serde_json::from_slice(body).ok().map(Plain)
    }

    fn text(&self, field: &str) -> Option<String> {
        serde_json::from_str(self.0.get(field)?.get()).ok()
    }

    fn total(&self) -> Option<i64> {
        let raw = self.0.get("totalAmount")?.get();
        let float = raw.parse::<f64>().ok().filter(|f| f.fract() == 0.0);
        raw.parse().ok().or(float.map(|float| float as i64))
    }

    /// What must stand there for a report to be one.
    fn vouches_for(&self, report: &Report) -> bool {
        let total = match &report.total {
            Charge::Won(total) => {
                self.text("currency").as_deref() == Some("KRW") && self.total() == Some(*total)
            }
            Charge::Foreign(currency) => {
                &**currency != "KRW" && self.text("currency").as_deref() == Some(currency)
            }
        };
        total
            && self.text("paymentKey").as_deref() == Some(report.payment_key.reveal())
            && self.text("orderId").as_deref() == Some(&report.order_id)
    }

    fn is_done(&self) -> bool {
        self.text("status").as_deref() == Some("DONE")
    }

    fn is_our_approval(&self) -> bool {
        self.is_done()
            && self.text("currency").as_deref() == Some("KRW")
            && self.text("paymentKey").as_deref() == Some(KEY)
            && self.text("orderId").as_deref() == Some(ORDER)
            && self.total() == Some(TOTAL)
    }
}

/// Nothing is believed of an answer but what stands there.
fn is_sober(status: u16, bytes: &[u8]) -> Result<(), TestCaseError> {
    let plain = Plain::read(bytes);
    let Heard { said: reply, .. } = reading::confirm(status, bytes);
    match &reply.outcome {
        Outcome::Approved(report) => {
            let plain = plain.as_ref();
            prop_assert_eq!(status, 200);
            prop_assert!(plain.is_some_and(|plain| plain.is_done() && plain.vouches_for(report)));
            prop_assert_eq!(report.status, TossStatus::Done);
        }
        Outcome::Declined(decline) => {
            let listed = codes::meaning(&decline.code) == Some(Meaning::Declined);
            prop_assert!(listed && (300..500).contains(&status) && status != 429);
            prop_assert!(reply.answered && decline.message.chars().count() <= 510);
        }
        Outcome::NotAttempted(_) => prop_assert!(false, "an answer proves that something left"),
        Outcome::InProgress(why) | Outcome::Temporary(why) | Outcome::Unknown(why) => {
            prop_assert!(why.len() <= 200, "the record keeps a word, not a body");
        }
    }
    let ours = plain.as_ref().is_some_and(Plain::is_our_approval);
    let paid = |event: &Event| matches!(event, Event::Approved { .. });
    prop_assert!(!paid(&confirmed(reply)) || ours && status == 200);

    let Heard { said: finding, .. } = reading::look_up(status, bytes);
    if let Finding::Found(report) = &finding {
        prop_assert_eq!(status, 200);
        prop_assert!(
            plain
                .as_ref()
                .is_some_and(|plain| plain.vouches_for(report))
        );
    }
    let by_order = add_finding_by_order(&payment().attempts[0], finding.clone());
    let event = asked(finding);
    prop_assert!(!paid(&event) || ours && status == 200);
    if let Event::FoundEnded { .. } = event {
        let said = plain.as_ref().and_then(|plain| plain.text("status"));
        let account = plain
            .as_ref()
            .is_some_and(|plain| plain.0.contains_key("virtualAccount"));
        let ended = match said.as_deref() {
            Some("ABORTED" | "EXPIRED") => true,
            Some("CANCELED" | "WAITING_FOR_DEPOSIT") => account,
            _ => false,
        };
        prop_assert!(ended);
    }
    if let Event::Approved { payment_key, .. } = asked(by_order) {
        let plain = plain.as_ref().unwrap();
        prop_assert_eq!(plain.text("orderId").unwrap(), ORDER);
        prop_assert_eq!(plain.text("paymentKey").unwrap(), payment_key.reveal());
    }
    let listed: Result<Vec<TransactionObject>, _> = reading::list(status, bytes);
    prop_assert!(listed.is_err() || status == 200);
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn bytes_of_any_kind_approve_nothing(
        status in status(),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        is_sober(status, &bytes)?;
        let approved = matches!(reading::confirm(status, &bytes).said.outcome, Outcome::Approved(_));
        prop_assert!(!approved);
    }

    #[test]
    fn a_payment_of_which_anything_was_changed_is_believed_only_as_far_as_it_goes(
        status in status(),
        body in body(),
    ) {
        is_sober(status, body.as_bytes())?;
    }

    #[test]
    fn a_body_with_bytes_lost_doubled_or_flipped_is_no_other_payment(
        status in status(),
        body in spoiled(),
    ) {
        is_sober(status, &body)?;
    }

    #[test]
    fn a_code_that_is_not_listed_decides_nothing(status in 100_u16..1_000, code in code()) {
        let body = serde_json::json!({"code": code, "message": "안내"}).to_string();
        is_sober(status, body.as_bytes())?;
        let listed = codes::meaning(&code);
        let reply = reading::confirm(status, body.as_bytes()).said;
        let undecided = matches!(reply.outcome, Outcome::Unknown(_));
        prop_assert!(listed.is_some() || undecided, "{:?}", reply);
        prop_assert!((300..500).contains(&status) || undecided, "{:?}", reply);
        let nothing = reading::look_up(status, body.as_bytes()).said == Finding::NotFound;
        let may = status == 404 && ["NOT_FOUND", "NOT_FOUND_PAYMENT"].contains(&&*code);
        prop_assert_eq!(nothing, may);
    }
}

/// The properties would hold of a reader that believes nothing, so: this one believes the truth.
#[test]
fn the_true_answer_is_believed_whatever_stands_beside_it() {
    for more in [
        String::new(),
        r#""card": "none", "cancels": {}"#.to_owned(),
        format!(r#""card": {}"#, "[".repeat(10_000) + &"]".repeat(10_000)),
        format!(
            r#""next": {}1{}"#,
            "{\"a\":".repeat(10_000),
            "}".repeat(10_000)
        ),
        format!(r#""metadata": "{}""#, "x".repeat(1_000_000)),
        r#""vat": 1e999999, "approvedAt": "9999-12-31T23:59:59-23:59""#.to_owned(),
        r#""failure": {"code": null}, "receipt": {"url": 7}"#.to_owned(),
    ] {
        let body = answer(&more);
        let reply = reading::confirm(200, body.as_bytes()).said;
        assert!(
            matches!(confirmed(reply), Event::Approved { .. }),
            "{body:.300}"
        );
        let found = reading::look_up(200, body.as_bytes()).said;
        assert!(
            matches!(asked(found), Event::Approved { .. }),
            "{body:.300}"
        );
    }
}

#[test]
fn json_without_an_end_exhausts_no_stack() {
    for open in [
        "[",
        "{\"a\":",
        "{\"paymentKey\":",
        "{\"card\":{\"a\":",
        "[{",
    ] {
        let body = open.repeat(200_000);
        is_sober(200, body.as_bytes()).unwrap();
        is_sober(400, body.as_bytes()).unwrap();
    }
}

/// A field that decides and is there twice says two things.
#[test]
fn an_answer_that_says_a_deciding_field_twice_is_not_believed() {
    for twice in [
        r#""status": "ABORTED""#,
        r#""status": "DONE""#,
        r#""totalAmount": 1"#,
        r#""orderId": "another""#,
        r#""paymentKey": "another""#,
        r#""currency": "USD""#,
    ] {
        let body = answer(twice);
        let reply = reading::confirm(200, body.as_bytes()).said;
        assert!(matches!(reply.outcome, Outcome::Unknown(_)), "{body}");
    }
}
