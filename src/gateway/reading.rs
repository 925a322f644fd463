//! From an HTTP status and the bytes of a body to what Toss said. Pure; it trusts nothing that it has not recognised.

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::codes;
use super::wire::{ErrorBody, PaymentObject, PaymentStatus, TransactionObject};
use crate::domain::{
    Charge, Finding, Outcome, PaymentKey, Reply, Report, Timestamp, TossStatus, VirtualAccount,
};

/// What was said, and Toss's code where the answer bore one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard<T> {
    pub said: T,
    pub code: Option<Box<str>>,
    /// Whether it had one of Toss's shapes.
    pub recognised: bool,
}

impl<T> Heard<T> {
    fn of_payment(said: T) -> Heard<T> {
        let (code, recognised) = (None, true);
        Heard {
            said,
            code,
            recognised,
        }
    }

    /// Silence, or something that Toss did not write.
    pub fn unrecognised(said: T) -> Heard<T> {
        let (code, recognised) = (None, false);
        Heard {
            said,
            code,
            recognised,
        }
    }

    pub fn is_misconfigured(&self) -> bool {
        self.code.as_deref().is_some_and(codes::is_misconfigured)
    }
}

/// What arrived, by its shape.
enum Shape {
    Payment(Box<PaymentObject>),
    Error(ErrorBody),
    /// HTML, nothing, half an answer, somebody else's JSON; a 429 of any shape, since it may come from
    /// a gate in front of Toss, which stores nothing.
    Unrecognised,
}

fn shape(status: u16, body: &[u8]) -> Shape {
    if status == 429 {
        return Shape::Unrecognised;
    }
    if status == 200
        && let Some(payment) = object(body)
    {
        return Shape::Payment(payment);
    }
    match object::<ErrorBody>(body) {
        Some(error) if codes::is_code(&error.code) => Shape::Error(error),
        Some(_) | None => Shape::Unrecognised,
    }
}

/// serde reads a struct from a list too; Toss never writes one. And it looks at no byte of a field that nobody reads:
/// a body that is no text was spoiled on its way, wherever the damage shows.
fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    let is_object = text.trim_ascii_start().starts_with('{');
    is_object.then(|| serde_json::from_str(text).ok())?
}

/// What the answer to a confirm means, and whether Toss will replay it to the same idempotency key.
pub(super) fn confirm(status: u16, body: &[u8]) -> Heard<Reply> {
    let (outcome, answered, code) = match shape(status, body) {
        Shape::Payment(payment) => (approval(*payment), true, None),
        Shape::Error(error) => {
            let code = error.code.clone().into_boxed_str();
            let answered = *code != *codes::IDEMPOTENT_REQUEST_PROCESSING;
            (codes::outcome(status, error), answered, Some(code))
        }
        Shape::Unrecognised => {
            let outcome = Outcome::Unknown(unrecognised(status));
            let answered = false;
            return Heard::unrecognised(Reply { outcome, answered });
        }
    };
    Heard {
        said: Reply { outcome, answered },
        code,
        recognised: true,
    }
}

/// A 200 is an approval only in status DONE: a virtual account, for one, is a 200 without money.
fn approval(payment: PaymentObject) -> Outcome {
    let status = payment.status;
    match report(payment) {
        Ok(report) if report.status == TossStatus::Done => Outcome::Approved(report),
        Ok(_) => Outcome::Unknown(format!("status {status} (HTTP 200)").into()),
        Err(why) => Outcome::Unknown(why.into()),
    }
}

/// What the answer to a look-up means.
pub(super) fn look_up(status: u16, body: &[u8]) -> Heard<Finding> {
    match shape(status, body) {
        Shape::Payment(payment) => Heard::of_payment(match report(*payment) {
            Ok(report) => Finding::Found(report),
            Err(why) => Finding::Undecided(why.into()),
        }),
        Shape::Error(error) => {
            let code = error.code.clone().into_boxed_str();
            let said = match (status, &*code) {
                (404, "NOT_FOUND_PAYMENT" | "NOT_FOUND") => Finding::NotFound,
                _ => refused(status, error),
            };
            let code = Some(code);
            let recognised = true;
            Heard {
                said,
                code,
                recognised,
            }
        }
        Shape::Unrecognised => Heard::unrecognised(Finding::NoAnswer(unrecognised(status))),
    }
}

/// An error in answer to a look-up. "Later" and our own fault say nothing about the payment, as a 5xx does not; whatever
/// else Toss says was said about this payment, and asking on for ever would not change it.
fn refused(status: u16, error: ErrorBody) -> Finding {
    let why = format!("{} (HTTP {status})", error.code).into_boxed_str();
    let silent = !(300..500).contains(&status) || codes::is_misconfigured(&error.code);
    match codes::outcome(status, error) {
        Outcome::Temporary(_) | Outcome::InProgress(_) => Finding::NoAnswer(why),
        _ if silent => Finding::NoAnswer(why),
        Outcome::Approved(_)
        | Outcome::Declined(_)
        | Outcome::NotAttempted(_)
        | Outcome::Unknown(_) => Finding::Undecided(why),
    }
}

/// One page of the transactions list.
pub(super) fn list<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<Vec<T>, Box<str>> {
    if status == 200 {
        return serde_json::from_slice(body).map_err(|_| unrecognised(status));
    }
    match shape(status, body) {
        Shape::Error(error) => Err(format!("{} (HTTP {status})", error.code).into()),
        Shape::Payment(_) | Shape::Unrecognised => Err(unrecognised(status)),
    }
}

fn unrecognised(status: u16) -> Box<str> {
    match status {
        429 => "too many requests (HTTP 429)".into(),
        _ => format!("unreadable answer (HTTP {status})").into(),
    }
}

/// Longest words of Toss that our record keeps; what is longer is left out, it decides nothing.
const METHOD_CHARS: usize = 50;
const URL_CHARS: usize = 2_000;
const CURRENCY_CHARS: usize = 10;

/// The Payment object as far as we rely on it, or why it is none that we can judge.
fn report(payment: PaymentObject) -> Result<Report, &'static str> {
    let total = charge(&payment).ok_or("no amount in a currency (HTTP 200)")?;
    let account = payment
        .virtual_account
        .as_ref()
        .map(|account| VirtualAccount {
            due: instant(&account.due_date),
            expired: account.expired,
            unpaid: payment.approved_at.is_none(),
        });
    let payment_key = PaymentKey::parse(&payment.payment_key).ok_or("no paymentKey (HTTP 200)")?;
    let receipt_url = payment.receipt.map(|receipt| receipt.url);
    Ok(Report {
        payment_key,
        order_id: payment.order_id.into(),
        status: status(payment.status),
        total,
        approved_at: payment.approved_at.as_deref().and_then(instant),
        method: payment
            .method
            .and_then(|method| short(method, METHOD_CHARS)),
        receipt_url: receipt_url
            .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
            .and_then(|url| short(url, URL_CHARS)),
        failure: payment.failure.map(codes::decline),
        account,
    })
}

/// How much, in which currency; nothing where either cannot be read.
fn charge(payment: &PaymentObject) -> Option<Charge> {
    match (&*payment.currency, payment.total_amount) {
        ("KRW", total) => total.map(Charge::Won),
        (other, _) => short(other.to_owned(), CURRENCY_CHARS).map(Charge::Foreign),
    }
}

fn short(text: String, chars: usize) -> Option<Box<str>> {
    let fits = !text.is_empty() && text.chars().count() <= chars;
    let fits = fits && !text.chars().any(char::is_control);
    fits.then(|| text.into())
}

impl TransactionObject {
    /// When Toss executed it, if it says so.
    pub fn executed_at(&self) -> Option<Timestamp> {
        instant(&self.transaction_at)
    }
}

/// Toss writes Korean time with its offset; dropping that would settle on the wrong day.
fn instant(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()?;
    Some(Timestamp::from_micros(micros))
}

fn status(status: PaymentStatus) -> TossStatus {
    match status {
        PaymentStatus::Ready => TossStatus::Ready,
        PaymentStatus::InProgress => TossStatus::InProgress,
        PaymentStatus::WaitingForDeposit => TossStatus::WaitingForDeposit,
        PaymentStatus::Done => TossStatus::Done,
        PaymentStatus::Canceled => TossStatus::Canceled,
        PaymentStatus::PartialCanceled => TossStatus::PartialCanceled,
        PaymentStatus::Aborted => TossStatus::Aborted,
        PaymentStatus::Expired => TossStatus::Expired,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payment(changes: &[(&str, Value)]) -> Vec<u8> {
        let mut body = json!({
            "paymentKey": "tgen_20260102210202h9Oy0", "orderId": "order-1", "status": "DONE",
            "currency": "KRW", "totalAmount": 210_000, "method": "카드",
            "approvedAt": "2026-01-02T00:30:00+09:00", "receipt": {"url": "https://r.toss/1"},
            "failure": null,
        });
        for (field, value) in changes {
            body[*field] = value.clone();
        }
        body.to_string().into_bytes()
    }

    fn error(code: &str) -> Vec<u8> {
        json!({"code": code, "message": "안내", "data": null})
            .to_string()
            .into_bytes()
    }

    fn unknown(why: &str, answered: bool) -> Reply {
        let outcome = Outcome::Unknown(why.into());
        Reply { outcome, answered }
    }

    #[test]
    fn a_200_in_status_done_is_an_approval_with_everything_that_we_keep() {
        let Outcome::Approved(report) = confirm(200, &payment(&[])).said.outcome else {
            panic!("not approved");
        };
        assert_eq!(report.payment_key.reveal(), "tgen_20260102210202h9Oy0");
        assert_eq!(&*report.order_id, "order-1");
        assert_eq!((report.total, report.account), (Charge::Won(210_000), None));
        assert_eq!(report.method.as_deref(), Some("카드"));
        assert_eq!(report.receipt_url.as_deref(), Some("https://r.toss/1"));
        assert_eq!(report.failure, None);
    }

    #[test]
    fn the_approval_time_keeps_its_offset() {
        let at = |text: Value| match look_up(200, &payment(&[("approvedAt", text)])).said {
            Finding::Found(report) => report.approved_at.map(Timestamp::micros),
            other => panic!("{other:?}"),
        };
        // 00:30 in Seoul is 15:30 of the day before in UTC.
        let expected = Some(1_767_281_400_000_000);
        assert_eq!(at(json!("2026-01-02T00:30:00+09:00")), expected);
        assert_eq!(at(json!("2026-01-01T15:30:00Z")), expected);
        for nonsense in [
            json!(null),
            json!("2026-01-02T00:30:00"),
            json!("now"),
            json!(7),
        ] {
            assert_eq!(at(nonsense), None);
        }
    }

    #[test]
    fn a_200_whose_status_is_not_done_is_never_an_approval() {
        for status in [
            "READY",
            "IN_PROGRESS",
            "WAITING_FOR_DEPOSIT",
            "CANCELED",
            "PARTIAL_CANCELED",
            "ABORTED",
            "EXPIRED",
        ] {
            let said = confirm(200, &payment(&[("status", json!(status))])).said;
            assert_eq!(said, unknown(&format!("status {status} (HTTP 200)"), true));
        }
    }

    #[test]
    fn an_amount_in_another_currency_is_another_amount_and_without_a_currency_none() {
        for (currency, total) in [
            ("USD", json!(210_000)),
            ("USD", json!(12.5)),
            ("krw", json!(1)),
        ] {
            let body = payment(&[("currency", json!(currency)), ("totalAmount", total)]);
            let Finding::Found(report) = look_up(200, &body).said else {
                panic!("not found");
            };
            assert_eq!(report.total, Charge::Foreign(currency.into()));
            let said = confirm(200, &body).said.outcome;
            assert_eq!(said, Outcome::Approved(report));
        }
        for (currency, total) in [
            (json!(null), json!(1)),
            (json!(7), json!(1)),
            (json!("KRW"), json!(0.5)),
        ] {
            let body = payment(&[("currency", currency), ("totalAmount", total)]);
            let why = "no amount in a currency (HTTP 200)";
            assert_eq!(confirm(200, &body).said, unknown(why, true));
            assert_eq!(look_up(200, &body).said, Finding::Undecided(why.into()));
        }
    }

    #[test]
    fn an_account_that_never_had_a_deposit_is_told_from_one_that_does_not_say() {
        let account = json!({"accountNumber": "X6505636518308", "dueDate": "2026-01-02T00:30:00+09:00", "expired": true});
        let read = |approved_at: Value| {
            let changes = [
                ("virtualAccount", account.clone()),
                ("approvedAt", approved_at),
            ];
            match look_up(200, &payment(&changes)).said {
                Finding::Found(report) => report.account.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let unpaid = read(json!(null));
        assert_eq!(
            unpaid.due.map(Timestamp::micros),
            Some(1_767_281_400_000_000)
        );
        assert!(unpaid.expired && unpaid.unpaid);
        for said in [json!("2026-01-02T00:30:00+09:00"), json!("soon"), json!(7)] {
            assert!(!read(said).unpaid);
        }
    }

    #[test]
    fn what_is_not_toss_shaped_is_unknown_and_unanswered() {
        let html = b"<html>502 Bad Gateway</html>".to_vec();
        let whole = payment(&[]);
        let half = whole[..whole.len() / 2].to_vec();
        let mut not_text = payment(&[("aFieldOfNextYear", json!("?"))]);
        let question = not_text.iter().position(|byte| *byte == b'?');
        not_text[question.unwrap()] = 0xff;
        for (status, body) in [
            (502, html.clone()),
            (404, html.clone()),
            (200, html),
            (200, Vec::new()),
            (200, half),
            (200, payment(&[("status", json!("PAID"))])),
            (200, payment(&[("status", json!({"DONE": null}))])),
            (200, payment(&[("status", json!(["DONE"]))])),
            (200, not_text),
            (200, payment(&[("totalAmount", json!("210000"))])),
            (200, b"[]".to_vec()),
            (400, b"[\"REJECT_CARD_PAYMENT\", \"a list\"]".to_vec()),
            (400, b"null".to_vec()),
            (400, b"{\"code\":\"404 page not found\"}".to_vec()),
            (400, b"{\"code\":404}".to_vec()),
            (400, b"{\"message\":\"no code\"}".to_vec()),
            (400, b"{\"code\":\"REJECT_CARD_PAYMENT\"".to_vec()),
            (201, payment(&[])),
            (500, payment(&[])),
        ] {
            let heard = confirm(status, &body);
            let why = format!("unreadable answer (HTTP {status})");
            assert_eq!(heard.said, unknown(&why, false), "{body:?}");
            assert_eq!(look_up(status, &body).said, Finding::NoAnswer(why.into()));
        }
    }

    #[test]
    fn a_429_is_unanswered_whatever_it_carries() {
        let why = "too many requests (HTTP 429)";
        for body in [
            error("REJECT_CARD_PAYMENT"),
            error("TOO_MANY_REQUESTS"),
            Vec::new(),
        ] {
            assert_eq!(confirm(429, &body).said, unknown(why, false));
            assert_eq!(look_up(429, &body).said, Finding::NoAnswer(why.into()));
        }
    }

    #[test]
    fn every_toss_shaped_error_is_an_answer_but_one() {
        for (status, code, answered) in [
            (403, "REJECT_CARD_PAYMENT", true),
            (400, "PROVIDER_ERROR", true),
            (400, "ALREADY_PROCESSING_REQUEST", true),
            (401, "UNAUTHORIZED_KEY", true),
            (404, "NOT_FOUND_PAYMENT_SESSION", true),
            (400, "A_CODE_OF_NEXT_YEAR", true),
            (500, "UNKNOWN_PAYMENT_ERROR", true),
            (409, "IDEMPOTENT_REQUEST_PROCESSING", false),
        ] {
            let heard = confirm(status, &error(code));
            assert_eq!(heard.said.answered, answered, "{code}");
            assert_eq!(heard.code.as_deref(), Some(code));
            assert_eq!(heard.is_misconfigured(), code == "UNAUTHORIZED_KEY");
        }
    }

    #[test]
    fn only_a_404_in_toss_own_words_finds_nothing() {
        let why = |status, code: &str| format!("{code} (HTTP {status})").into_boxed_str();
        let said = |status, code| look_up(status, &error(code)).said;
        for code in ["NOT_FOUND_PAYMENT", "NOT_FOUND"] {
            assert_eq!(said(404, code), Finding::NotFound);
        }
        // Said about this payment: asking on for ever would not change it.
        for (status, code) in [
            (404, "NOT_FOUND_PAYMENT_SESSION"),
            (404, "NOT_FOUND_HTTP_METHOD"),
            (403, "NOT_FOUND_PAYMENT"),
            (403, "REJECT_CARD_PAYMENT"),
            (400, "A_CODE_OF_NEXT_YEAR"),
        ] {
            let undecided = Finding::Undecided(why(status, code));
            assert_eq!(said(status, code), undecided, "{status} {code}");
        }
        // Said about us, or about Toss.
        for (status, code) in [
            (400, "PROVIDER_ERROR"),
            (409, "IDEMPOTENT_REQUEST_PROCESSING"),
            (401, "UNAUTHORIZED_KEY"),
            (500, "NOT_FOUND_PAYMENT"),
            (200, "NOT_FOUND_PAYMENT"),
        ] {
            let lost = Finding::NoAnswer(why(status, code));
            assert_eq!(said(status, code), lost, "{status} {code}");
        }
    }

    #[test]
    fn a_look_up_tells_how_a_payment_ended() {
        let failure = json!({"code": "EXPIRED_PAYMENT", "message": "결제 시간이 만료되었습니다."});
        let body = payment(&[("status", json!("EXPIRED")), ("failure", failure)]);
        let Finding::Found(report) = look_up(200, &body).said else {
            panic!("not found");
        };
        assert_eq!(report.status, TossStatus::Expired);
        assert_eq!(&*report.failure.unwrap().code, "EXPIRED_PAYMENT");
    }

    #[test]
    fn words_too_long_or_too_odd_to_keep_are_left_out() {
        let body = payment(&[
            ("method", json!("x".repeat(51))),
            ("receipt", json!({"url": "javascript:alert(1)"})),
        ]);
        let Finding::Found(report) = look_up(200, &body).said else {
            panic!("not found");
        };
        assert_eq!((report.method, report.receipt_url), (None, None));
    }
}
