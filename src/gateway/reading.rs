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
mod tests;
