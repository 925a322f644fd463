//! Answers written out: the Payment object with all its nulls, the transactions list, the error body.

use serde_json::{Value, json};

use super::bank::{Method, Payment, State};
use super::books::TransactionLine;
use super::clock::Instant;
use super::codes::Code;
use super::ids::{Hex, Language};
use crate::gateway::wire::{
    Cancel, Card, EasyPay, ErrorBody, GiftCertificate, Link, MobilePhone, PaymentObject,
    PaymentStatus, TransactionObject, Transfer,
};

const VERSION: &str = "2022-11-16";
const MERCHANT: &str = "tpayonce";
const CURRENCY: &str = "KRW";

/// What will be told, copied out of the books so that writing it out needs no lock.
#[derive(Debug)]
pub enum Page {
    /// A payment as it is after its first `cancels` refunds.
    Payment {
        payment: Payment,
        cancels: usize,
        now: Instant,
        language: Language,
    },
    Transactions {
        lines: Vec<TransactionLine>,
        now: Instant,
        language: Language,
    },
    Refusal {
        code: Code,
        language: Language,
    },
}

impl Page {
    /// The HTTP status and the body.
    pub fn write(&self) -> (u16, Vec<u8>) {
        let (status, body) = match self {
            Self::Payment {
                payment,
                cancels,
                now,
                language,
            } => (
                200,
                serde_json::to_vec(&payment_object(payment, *cancels, *now, *language)),
            ),
            Self::Transactions {
                lines,
                now,
                language,
            } => {
                let list: Vec<_> = lines
                    .iter()
                    .map(|line| transaction_object(line, *now, *language))
                    .collect();
                (200, serde_json::to_vec(&list))
            }
            Self::Refusal { code, language } => (
                code.status(),
                serde_json::to_vec(&error_body(*code, *language)),
            ),
        };
        match body {
            Ok(body) => (status, body),
            Err(_) => (500, Vec::new()),
        }
    }
}

fn error_body(code: Code, language: Language) -> ErrorBody {
    ErrorBody {
        code: code.as_str().to_owned(),
        message: code.message(language).to_owned(),
    }
}

fn method_name(method: Method, language: Language) -> &'static str {
    match (method, language) {
        (Method::Card, Language::Korean) => "카드",
        (Method::EasyPay, Language::Korean) => "간편결제",
        (Method::Transfer, Language::Korean) => "계좌이체",
        (Method::MobilePhone, Language::Korean) => "휴대폰",
        (Method::CultureGiftCertificate, Language::Korean) => "문화상품권",
        (Method::Card, Language::English) => "Card",
        (Method::EasyPay, Language::English) => "EasyPay",
        (Method::Transfer, Language::English) => "Transfer",
        (Method::MobilePhone, Language::English) => "Mobile",
        (Method::CultureGiftCertificate, Language::English) => "Culture Gift Certificate",
    }
}

/// The share without the tenth that is tax: 15000 is 13636 + 1364.
fn supplied_won(amount: i64) -> i64 {
    // amount / 1.1, rounded, in whole numbers; wider, because twenty times the largest amount is too much for 64 bits.
    i64::try_from((i128::from(amount) * 20 + 11) / 22).unwrap_or(amount)
}

/// What was paid with: at most one of these is there, and none before the approval.
#[derive(Default)]
struct Means {
    card: Option<Card>,
    transfer: Option<Transfer>,
    mobile_phone: Option<MobilePhone>,
    gift_certificate: Option<GiftCertificate>,
    easy_pay: Option<EasyPay>,
}

impl Means {
    fn of(payment: &Payment, transaction_key: Option<Hex>) -> Self {
        let Some(key) = transaction_key else {
            return Self::default();
        };
        let settlement_status = "INCOMPLETED".to_owned();
        let none = Self::default();
        match payment.method {
            Method::Card => Self {
                card: Some(card(key, payment.amount)),
                ..none
            },
            Method::Transfer => {
                let transfer = Transfer {
                    bank_code: "92".to_owned(),
                    settlement_status,
                };
                Self {
                    transfer: Some(transfer),
                    ..none
                }
            }
            Method::MobilePhone => {
                let customer_mobile_phone = "010****0000".to_owned();
                let receipt_url = receipt_url(payment);
                let phone = MobilePhone {
                    customer_mobile_phone,
                    settlement_status,
                    receipt_url,
                };
                Self {
                    mobile_phone: Some(phone),
                    ..none
                }
            }
            Method::CultureGiftCertificate => {
                let voucher = GiftCertificate {
                    approve_no: approve_no(key),
                    settlement_status,
                };
                Self {
                    gift_certificate: Some(voucher),
                    ..none
                }
            }
            Method::EasyPay => {
                let provider = "토스페이".to_owned();
                let easy = EasyPay {
                    provider,
                    amount: payment.amount,
                    discount_amount: 0,
                };
                Self {
                    easy_pay: Some(easy),
                    ..none
                }
            }
        }
    }
}

fn payment_object(
    payment: &Payment,
    cancels: usize,
    now: Instant,
    language: Language,
) -> PaymentObject {
    let status = payment.status_after(cancels, now);
    let (approved_at, approval_key) = match payment.state {
        State::Approved {
            at,
            transaction_key,
        } => (Some(at), Some(transaction_key)),
        State::Open | State::Aborted { .. } => (None, None),
    };
    let balance = payment.balance_after(cancels);
    let supplied = supplied_won(balance);
    let last_cancel = payment.cancels.iter().take(cancels).next_back();
    let last_key = last_cancel
        .map(|cancel| cancel.transaction_key)
        .or(approval_key);
    let means = Means::of(payment, approval_key);
    let blank = blank_object(payment);
    let expired = status == PaymentStatus::Expired;
    PaymentObject {
        status,
        method: (!expired).then(|| method_name(payment.method, language).to_owned()),
        use_escrow: (!expired).then_some(false),
        balance_amount: Some(balance),
        supplied_amount: supplied,
        vat: balance - supplied,
        approved_at: approved_at.map(Instant::rfc3339),
        last_transaction_key: last_key.map(|key| key.to_string()),
        cancels: last_cancel
            .is_some()
            .then(|| cancel_objects(payment, cancels)),
        card: means.card,
        transfer: means.transfer,
        mobile_phone: means.mobile_phone,
        gift_certificate: means.gift_certificate,
        easy_pay: means.easy_pay,
        failure: failure(payment, status).map(|code| error_body(code, language)),
        receipt: approval_key.map(|_| Link {
            url: receipt_url(payment),
        }),
        ..blank
    }
}

/// What never changes over the life of a payment; the rest is null or as it was requested.
fn blank_object(payment: &Payment) -> PaymentObject {
    let payment_key = payment.payment_key.to_string();
    let checkout = format!("https://api.tosspayments.com/v1/payments/{payment_key}/checkout");
    PaymentObject {
        version: VERSION.to_owned(),
        payment_key,
        kind: "NORMAL".to_owned(),
        order_id: payment.order_id.to_string(),
        order_name: payment.order_name.to_string(),
        m_id: MERCHANT.to_owned(),
        currency: CURRENCY.to_owned(),
        method: None,
        total_amount: Some(payment.amount),
        balance_amount: None,
        supplied_amount: 0,
        vat: 0,
        tax_free_amount: 0,
        tax_exemption_amount: 0,
        status: PaymentStatus::Ready,
        requested_at: payment.authorized_at.rfc3339(),
        approved_at: None,
        use_escrow: None,
        culture_expense: false,
        last_transaction_key: None,
        cancels: None,
        is_partial_cancelable: true,
        card: None,
        virtual_account: None,
        transfer: None,
        mobile_phone: None,
        gift_certificate: None,
        easy_pay: None,
        cash_receipt: None,
        cash_receipts: None,
        discount: None,
        failure: None,
        secret: None,
        country: "KR".to_owned(),
        receipt: None,
        checkout: Some(Link { url: checkout }),
        metadata: None,
    }
}

fn failure(payment: &Payment, status: PaymentStatus) -> Option<Code> {
    match (payment.state, status) {
        (State::Aborted { code }, _) => Some(code),
        (State::Open, PaymentStatus::Expired) => Some(Code::EXPIRED_PAYMENT),
        (State::Open | State::Approved { .. }, _) => None,
    }
}

fn cancel_objects(payment: &Payment, cancels: usize) -> Vec<Cancel> {
    let object = |(position, cancel): (usize, &super::bank::Cancellation)| Cancel {
        cancel_amount: cancel.amount,
        cancel_reason: cancel.reason.clone(),
        refundable_amount: payment.balance_after(position + 1),
        canceled_at: cancel.at.rfc3339(),
        transaction_key: cancel.transaction_key.to_string(),
        cancel_status: "DONE".to_owned(),
        ..Cancel::default()
    };
    payment
        .cancels
        .iter()
        .take(cancels)
        .enumerate()
        .map(object)
        .collect()
}

/// Derived from the transaction key, so that it is the same in every answer and need not be kept.
fn card(key: Hex, amount: i64) -> Card {
    Card {
        amount,
        issuer_code: "61".to_owned(),
        acquirer_code: Some("31".to_owned()),
        number: format!("{:08}****{:03}*", 43_301_234, (key.0 >> 64) % 1_000),
        installment_plan_months: 0,
        approve_no: approve_no(key),
        use_card_point: false,
        card_type: "신용".to_owned(),
        owner_type: "개인".to_owned(),
        acquire_status: "READY".to_owned(),
        is_interest_free: false,
        interest_payer: None,
    }
}

fn approve_no(key: Hex) -> String {
    format!("{:08}", (key.0 >> 40) % 100_000_000)
}

fn receipt_url(payment: &Payment) -> String {
    format!(
        "https://dashboard.tosspayments.com/receipt/redirection?transactionId={}&ref=PX",
        payment.payment_key
    )
}

/// Cancels are listed with their own, positive amount; which sign the real list gives them is not documented.
fn transaction_object(
    line: &TransactionLine,
    now: Instant,
    language: Language,
) -> TransactionObject {
    let payment = &line.payment;
    let (cancels, amount) = match line.cancel {
        None => (0, payment.amount),
        Some(position) => {
            let position = position as usize;
            (
                position + 1,
                payment
                    .cancels
                    .get(position)
                    .map_or(0, |cancel| cancel.amount),
            )
        }
    };
    TransactionObject {
        m_id: MERCHANT.to_owned(),
        transaction_key: line.transaction_key.to_string(),
        payment_key: payment.payment_key.to_string(),
        order_id: payment.order_id.to_string(),
        method: Some(method_name(payment.method, language).to_owned()),
        customer_key: None,
        use_escrow: false,
        receipt_url: Some(receipt_url(payment)),
        status: payment.status_after(cancels, now),
        transaction_at: line.at.rfc3339(),
        currency: CURRENCY.to_owned(),
        amount: Some(amount),
    }
}

/// A body cut off in the middle: no longer JSON.
pub fn garbled(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() / 2);
    body
}

/// The same body with one top-level field replaced. A list stays as it is.
pub fn tampered(body: Vec<u8>, field: &str, value: &Value) -> Vec<u8> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&body) else {
        return body;
    };
    object.insert(field.to_owned(), value.clone());
    json!(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tax_is_split_as_toss_does() {
        for (amount, supplied) in [
            (15_000, 13_636),
            (9_026, 8_205),
            (0, 0),
            (1, 1),
            (11, 10),
            (i64::MAX, 8_384_883_669_867_978_006),
        ] {
            assert_eq!(supplied_won(amount), supplied, "{amount}");
        }
    }

    #[test]
    fn a_garbled_body_is_not_json_and_a_tampered_one_differs_in_one_field() {
        let body = br#"{"a":1,"b":{"c":2}}"#.to_vec();
        assert!(serde_json::from_slice::<Value>(&garbled(body.clone())).is_err());
        let tampered = tampered(body, "a", &json!("x"));
        assert_eq!(
            serde_json::from_slice::<Value>(&tampered).ok(),
            Some(json!({"a": "x", "b": {"c": 2}}))
        );
    }
}
