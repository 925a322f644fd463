//! What travels between a merchant and Toss, as JSON (core API v1, Payment object 2022-11-16).
//! Our client reads these types, the sandbox writes them. Reading is tolerant: only the fields that decide about
//! money are required, and a surprise in any other field leaves that field empty instead of losing the answer.

mod status;

use serde::de::{DeserializeOwned, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub use status::PaymentStatus;

/// `POST /v1/payments/confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmRequest {
    pub payment_key: String,
    pub order_id: String,
    /// Won. Read from a number or, as Toss's own sample sends it, from a string of digits.
    #[serde(deserialize_with = "won_or_digits")]
    pub amount: i64,
}

/// `POST /v1/payments/{paymentKey}/cancel`. No `cancelAmount` means all that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelRequest {
    pub cancel_reason: String,
    #[serde(
        default,
        deserialize_with = "optional_won_or_digits",
        skip_serializing_if = "Option::is_none"
    )]
    pub cancel_amount: Option<i64>,
    /// The balance that the caller believes in; another balance refuses the cancel.
    #[serde(
        default,
        deserialize_with = "optional_won_or_digits",
        skip_serializing_if = "Option::is_none"
    )]
    pub refundable_amount: Option<i64>,
}

/// The Payment object. Everything is always present when written; what is not used is `null`.
/// Required when read: `paymentKey`, `orderId`, `status`, `totalAmount`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentObject {
    #[serde(default, deserialize_with = "lenient")]
    pub version: String,
    pub payment_key: String,
    #[serde(default, deserialize_with = "lenient", rename = "type")]
    pub kind: String,
    pub order_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub order_name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub m_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub currency: String,
    /// A Korean word (`카드`, `간편결제`, ...), English on request; absent before the buyer chose.
    #[serde(default, deserialize_with = "lenient")]
    pub method: Option<String>,
    /// In whole units of the currency; `None` where it is a fraction.
    #[serde(deserialize_with = "whole")]
    pub total_amount: Option<i64>,
    /// What can still be cancelled. Not defaulted to zero: zero would mean "fully refunded".
    #[serde(default, deserialize_with = "optional_won")]
    pub balance_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient_won")]
    pub supplied_amount: i64,
    #[serde(default, deserialize_with = "lenient_won")]
    pub vat: i64,
    #[serde(default, deserialize_with = "lenient_won")]
    pub tax_free_amount: i64,
    #[serde(default, deserialize_with = "lenient_won")]
    pub tax_exemption_amount: i64,
    pub status: PaymentStatus,
    /// `2026-11-23T10:20:47+09:00`.
    #[serde(default, deserialize_with = "lenient")]
    pub requested_at: String,
    /// As `requestedAt`; `null` until approved.
    #[serde(default = "unread", deserialize_with = "text_or_null")]
    pub approved_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub use_escrow: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub culture_expense: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub last_transaction_key: Option<String>,
    /// `null`, never an empty list, while nothing was cancelled.
    #[serde(default, deserialize_with = "lenient")]
    pub cancels: Option<Vec<Cancel>>,
    #[serde(default, deserialize_with = "lenient")]
    pub is_partial_cancelable: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub card: Option<Card>,
    #[serde(default, deserialize_with = "lenient")]
    pub virtual_account: Option<VirtualAccountObject>,
    #[serde(default, deserialize_with = "lenient")]
    pub transfer: Option<Transfer>,
    #[serde(default, deserialize_with = "lenient")]
    pub mobile_phone: Option<MobilePhone>,
    #[serde(default, deserialize_with = "lenient")]
    pub gift_certificate: Option<GiftCertificate>,
    #[serde(default, deserialize_with = "lenient")]
    pub easy_pay: Option<EasyPay>,
    #[serde(default, deserialize_with = "lenient")]
    pub cash_receipt: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub cash_receipts: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "lenient")]
    pub discount: Option<Value>,
    /// Why it was aborted or expired.
    #[serde(default, deserialize_with = "lenient")]
    pub failure: Option<ErrorBody>,
    #[serde(default, deserialize_with = "lenient")]
    pub secret: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub country: String,
    #[serde(default, deserialize_with = "lenient")]
    pub receipt: Option<Link>,
    #[serde(default, deserialize_with = "lenient")]
    pub checkout: Option<Link>,
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Card {
    #[serde(deserialize_with = "lenient_won")]
    pub amount: i64,
    pub issuer_code: String,
    pub acquirer_code: Option<String>,
    /// Masked: `43301234****123*`.
    pub number: String,
    pub installment_plan_months: i64,
    pub approve_no: String,
    pub use_card_point: bool,
    pub card_type: String,
    pub owner_type: String,
    pub acquire_status: String,
    pub is_interest_free: bool,
    pub interest_payer: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EasyPay {
    pub provider: String,
    #[serde(deserialize_with = "lenient_won")]
    pub amount: i64,
    #[serde(deserialize_with = "lenient_won")]
    pub discount_amount: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transfer {
    pub bank_code: String,
    pub settlement_status: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MobilePhone {
    pub customer_mobile_phone: String,
    pub settlement_status: String,
    pub receipt_url: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GiftCertificate {
    pub approve_no: String,
    pub settlement_status: String,
}

/// The account that a buyer was told to pay into, as far as we rely on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualAccountObject {
    /// As `requestedAt`.
    #[serde(deserialize_with = "lenient")]
    pub due_date: String,
    /// The due date has passed; the payment's status does not tell.
    #[serde(deserialize_with = "lenient")]
    pub expired: bool,
}

/// One refund of a payment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cancel {
    #[serde(deserialize_with = "won")]
    pub cancel_amount: i64,
    pub cancel_reason: String,
    #[serde(deserialize_with = "lenient_won")]
    pub tax_free_amount: i64,
    #[serde(deserialize_with = "lenient_won")]
    pub tax_exemption_amount: i64,
    /// The balance after this cancel.
    #[serde(deserialize_with = "lenient_won")]
    pub refundable_amount: i64,
    #[serde(deserialize_with = "lenient_won")]
    pub card_discount_amount: i64,
    #[serde(deserialize_with = "lenient_won")]
    pub transfer_discount_amount: i64,
    #[serde(deserialize_with = "lenient_won")]
    pub easy_pay_discount_amount: i64,
    pub canceled_at: String,
    pub transaction_key: String,
    pub receipt_key: Option<String>,
    pub cancel_status: String,
    pub cancel_request_id: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    pub url: String,
}

/// What every refusal looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub code: String,
    #[serde(default, deserialize_with = "lenient")]
    pub message: String,
}

/// One line of `GET /v1/transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionObject {
    #[serde(default, deserialize_with = "lenient")]
    pub m_id: String,
    pub transaction_key: String,
    pub payment_key: String,
    pub order_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub method: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub customer_key: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub use_escrow: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub receipt_url: Option<String>,
    pub status: PaymentStatus,
    #[serde(default, deserialize_with = "lenient")]
    pub transaction_at: String,
    #[serde(default, deserialize_with = "lenient")]
    pub currency: String,
    /// As [`PaymentObject::total_amount`].
    #[serde(deserialize_with = "whole")]
    pub amount: Option<i64>,
}

/// Reads a field that nothing depends on: whatever is not a `T` reads as `T::default()`.
/// Works with serde_json only, which is the only format on this wire.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(raw
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default())
}

/// `null` says that there is none; what is missing, or no text, says nothing, and is kept as an empty text.
fn text_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let read = Option::<Value>::deserialize(deserializer)?;
    Ok(read.map(|value| value.as_str().unwrap_or_default().to_owned()))
}

fn unread() -> Option<String> {
    Some(String::new())
}

/// As [`won`], but a fraction is an amount too, of another currency.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let won = Won::<false>::deserialize(number);
    Ok(won.ok().map(|won| won.0))
}

fn lenient_won<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    lenient::<D, Option<Won<false>>>(deserializer).map(|won| won.map_or(0, |won| won.0))
}

fn won<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Won::<false>::deserialize(deserializer).map(|won| won.0)
}

fn optional_won<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::<Won<false>>::deserialize(deserializer).map(|won| won.map(|won| won.0))
}

fn won_or_digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Won::<true>::deserialize(deserializer).map(|won| won.0)
}

fn optional_won_or_digits<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    Option::<Won<true>>::deserialize(deserializer).map(|won| won.map(|won| won.0))
}

/// An amount in whole won. Toss's type is "number", so `210000.0` is one too; a fraction never is.
struct Won<const DIGITS: bool>(i64);

/// Beyond this a double no longer names one integer.
const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;

impl<'de, const DIGITS: bool> Deserialize<'de> for Won<DIGITS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WonVisitor::<DIGITS>)
    }
}

struct WonVisitor<const DIGITS: bool>;

impl<const DIGITS: bool> Visitor<'_> for WonVisitor<DIGITS> {
    type Value = Won<DIGITS>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an amount in whole won")
    }

    fn visit_i64<E: Error>(self, amount: i64) -> Result<Self::Value, E> {
        Ok(Won(amount))
    }

    fn visit_u64<E: Error>(self, amount: u64) -> Result<Self::Value, E> {
        i64::try_from(amount)
            .map(Won)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(amount), &self))
    }

    fn visit_f64<E: Error>(self, amount: f64) -> Result<Self::Value, E> {
        if amount.fract() == 0.0 && amount.abs() <= LARGEST_EXACT {
            Ok(Won(amount as i64))
        } else {
            Err(E::invalid_value(Unexpected::Float(amount), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(amount) if DIGITS && digits => Ok(Won(amount)),
            _ => Err(E::invalid_type(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn least() -> Value {
        json!({"paymentKey": "tpayo1", "orderId": "order-1", "status": "DONE", "totalAmount": 210000})
    }

    #[test]
    fn a_payment_is_read_from_the_four_fields_that_decide() {
        let payment: PaymentObject = serde_json::from_str(&least().to_string()).unwrap();
        assert_eq!(payment.total_amount, Some(210_000));
        assert_eq!(payment.status, PaymentStatus::Done);
        assert_eq!(
            payment.balance_amount, None,
            "absent must not look like fully refunded"
        );
        for field in ["paymentKey", "orderId", "status", "totalAmount"] {
            let mut body = least();
            body.as_object_mut().unwrap().remove(field);
            assert!(
                serde_json::from_value::<PaymentObject>(body).is_err(),
                "{field} is required"
            );
        }
    }

    #[test]
    fn surprises_in_other_fields_do_not_lose_the_payment() {
        let mut body = least();
        for (field, value) in [
            ("card", json!("none")),
            ("cancels", json!({"not": "a list"})),
            ("version", json!(null)),
            ("cultureExpense", json!("no")),
            ("vat", json!("much")),
            ("aFieldOfNextYear", json!([1, 2])),
            ("approvedAt", json!(7)),
        ] {
            body[field] = value;
        }
        let payment: PaymentObject = serde_json::from_slice(body.to_string().as_bytes()).unwrap();
        assert_eq!(
            (payment.card, payment.cancels, payment.vat),
            (None, None, 0)
        );
        assert_eq!(payment.approved_at.as_deref(), Some(""), "it says nothing");
    }

    #[test]
    fn amounts_are_whole_won_however_they_are_written() {
        let read = |amount: &str| {
            let body = least().to_string().replace("210000", amount);
            serde_json::from_str::<PaymentObject>(&body)
                .map_or(None, |payment| payment.total_amount)
        };
        for (written, wanted) in [
            ("210000", Some(210_000)),
            ("210000.0", Some(210_000)),
            ("2.1e5", Some(210_000)),
            ("210000.5", None),
            ("1e300", None),
            ("99999999999999999999", None),
            ("\"210000\"", None),
            ("null", None),
        ] {
            assert_eq!(read(written), wanted, "{written}");
        }
    }

    #[test]
    fn a_confirm_may_carry_its_amount_as_digits() {
        let read = |amount: &str| {
            let body = format!(r#"{{"paymentKey":"k","orderId":"o","amount":{amount}}}"#);
            serde_json::from_str::<ConfirmRequest>(&body)
                .map(|confirm| confirm.amount)
                .ok()
        };
        for (written, wanted) in [
            ("50000", Some(50_000)),
            ("\"50000\"", Some(50_000)),
            ("50000.0", Some(50_000)),
            ("\"50000.0\"", None),
            ("\"-1\"", None),
            ("\"\"", None),
            ("\"1e5\"", None),
            ("true", None),
        ] {
            assert_eq!(read(written), wanted, "{written}");
        }
    }

    #[test]
    fn a_written_payment_shows_its_nulls_and_reads_back_the_same() {
        let mut unapproved = least();
        unapproved["approvedAt"] = Value::Null;
        let payment: PaymentObject = serde_json::from_value(unapproved).unwrap();
        let written = serde_json::to_value(&payment).unwrap();
        for field in [
            "card",
            "cancels",
            "virtualAccount",
            "failure",
            "receipt",
            "metadata",
            "secret",
            "approvedAt",
        ] {
            assert_eq!(
                written.get(field),
                Some(&Value::Null),
                "{field} is present and null"
            );
        }
        assert_eq!(
            serde_json::from_value::<PaymentObject>(written).unwrap(),
            payment
        );
    }
}
