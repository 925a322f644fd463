//! `POST /api/v1/payments/confirm`: the buyer paid in Toss's window; take the money, once, and say how it went.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;

use super::patience::{applied, patience};
use super::{location, status_url};
use crate::actors::{ConfirmRequest, Heard, Patience};
use crate::domain::payment::Receipt;
use crate::domain::{Answer, OrderId, PaymentKey, Rejection, Status, UserId, Won};
use crate::http::answers::{Kst, Refusal, Shown, answer, data};
use crate::http::desk::Desk;
use crate::http::reading::{Preference, fields, prefers};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptBody<'a> {
    order_id: Shown<OrderId>,
    amount: i64,
    status: &'static str,
    approved_at: Option<Kst>,
    method: Option<&'a str>,
    receipt_url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedBody<'a> {
    order_id: Shown<OrderId>,
    status: &'static str,
    status_url: &'a str,
}

pub async fn confirm(req: HttpRequest, payload: Payload) -> HttpResponse {
    let preference = prefers(req.headers());
    let heard = hear(&req, payload, preference).await;
    // Only who got as far as the actors was waited for as they liked.
    let applied = heard
        .as_ref()
        .ok()
        .and_then(|(_, patience)| applied(preference, *patience));
    let mut res = answer(&req, heard.and_then(|(heard, _)| say(heard)));
    if let Some(applied) = applied {
        res.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    res
}

async fn hear(
    req: &HttpRequest,
    payload: Payload,
    preference: Preference,
) -> Result<(Heard, Patience), Refusal> {
    let desk = Desk::of(req)?;
    let caller = desk.caller()?;
    let body = desk.body(payload).await?;
    let asked = parse(&body)?;
    req.extensions_mut().insert(asked.order);
    let token = asked.token.as_deref();
    let vouched = desk.terms.access.vouched(caller, asked.order, token)?;
    if asked.user.is_none() && !vouched {
        let wants = "the buyer of the order, unless an orderToken or an API key is given";
        return Err(Refusal::invalid("userId", wants));
    }
    let request = ConfirmRequest {
        order: asked.order,
        user: asked.user,
        amount: asked.amount,
        payment_key: asked.payment_key,
        trace: desk.trace(),
    };
    let patience = patience(preference, desk.terms.patience);
    let order = request.order;
    let heard = tokio::select! {
        biased;
        heard = desk.directory()?.confirm(request, patience) => heard,
        () = desk.terms.closing.end_of_waiting() => Heard::Answer(Answer::Pending {
            order_id: order,
            status: Status::InProgress,
        }),
    };
    Ok((heard, patience))
}

fn say(heard: Heard) -> Result<HttpResponse, Refusal> {
    match heard {
        Heard::Answer(Answer::Paid(receipt)) => paid(&receipt),
        Heard::Answer(Answer::Declined {
            order_id,
            decline,
            further,
        }) => Err(Refusal::Declined {
            order: order_id,
            decline,
            further,
        }),
        Heard::Answer(Answer::Pending { order_id, status }) => Err(Refusal::Pending {
            order: order_id,
            status,
        }),
        Heard::Answer(Answer::UnderReview { order_id, reason }) => Err(Refusal::UnderReview {
            order: order_id,
            reason,
        }),
        Heard::Accepted { order, status } => accepted(order, status),
        Heard::Rejected(rejection) => Err(rejection.into()),
    }
}

fn paid(receipt: &Receipt) -> Result<HttpResponse, Refusal> {
    let body = ReceiptBody {
        order_id: Shown(receipt.order_id),
        amount: receipt.amount.get(),
        status: Status::Done.name(),
        approved_at: receipt.approval.approved_at.map(Kst),
        method: receipt.approval.method.as_deref(),
        receipt_url: receipt.approval.receipt_url.as_deref(),
    };
    data(StatusCode::OK, body)
}

fn accepted(order: OrderId, status: Status) -> Result<HttpResponse, Refusal> {
    let status_url = status_url(order);
    let body = AcceptedBody {
        order_id: Shown(order),
        status: status.name(),
        status_url: &status_url,
    };
    let mut res = data(StatusCode::ACCEPTED, body)?;
    let retry_after = HeaderValue::from(Refusal::PENDING_RETRY_S);
    res.headers_mut().insert(header::RETRY_AFTER, retry_after);
    let location = location(status_url)?;
    res.headers_mut().insert(header::LOCATION, location);
    Ok(res)
}

/// What the caller asks, once it is readable.
#[derive(Debug, PartialEq)]
struct Asked {
    order: OrderId,
    user: Option<UserId>,
    amount: Won,
    payment_key: PaymentKey,
    token: Option<Box<str>>,
}

fn parse(body: &[u8]) -> Result<Asked, Refusal> {
    const NAMES: [&str; 5] = ["userId", "orderId", "amount", "paymentKey", "orderToken"];
    let [user, order, amount, payment_key, token] = fields(body, &NAMES)?;
    let user = match user.is_absent() {
        true => None,
        false => Some(user.user()?),
    };
    let id = order.text().ok().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| order.refuse("the orderId of a checkout, a string"))?;
    let amount = amount.won()?;
    let key = payment_key.text().ok();
    let key = key.and_then(|key| PaymentKey::offered(&key));
    let wants = || {
        format!(
            "a string of 1 to {} letters, digits or {}",
            PaymentKey::CHARS,
            PaymentKey::SYMBOLS
        )
    };
    let key = key.ok_or_else(|| payment_key.refuse(wants()))?;
    let token = match token.is_absent() {
        true => None,
        false => Some(token.text()?.into()),
    };
    // After all else: a body that is wrong in itself is said to be so, whatever order it names.
    let order = OrderId::parse(&id).ok_or(Rejection::PaymentNotFound(None))?;
    Ok(Asked {
        order,
        user,
        amount,
        payment_key: key,
        token,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ORDER: &str = "01990000-0000-7000-8000-00000000abcd";

    fn complaint(body: &str) -> String {
        match parse(body.as_bytes()) {
            Err(Refusal::Rejected(Rejection::InvalidInput { field, wants })) => {
                format!("{field}: {wants}")
            }
            other => format!("{other:?}"),
        }
    }

    fn body(over: &str) -> String {
        format!(r#"{{"userId": 1, "orderId": "{ORDER}", "amount": 5, "paymentKey": "k", {over}}}"#)
    }

    #[test]
    fn a_confirm_is_read_and_all_else_is_ignored() {
        let asked =
            parse(body(r#""orderToken": "t", "paymentType": "NORMAL""#).as_bytes()).unwrap();
        assert_eq!(asked.order.to_string(), ORDER);
        assert_eq!(asked.user, UserId::parse("1"));
        assert_eq!((asked.amount.get(), asked.payment_key.reveal()), (5, "k"));
        assert_eq!(asked.token.as_deref(), Some("t"));
        let bare = format!(
            r#"{{"orderId": "{ORDER}", "amount": "5", "paymentKey": "k", "orderToken": null}}"#
        );
        let asked = parse(bare.as_bytes()).unwrap();
        assert_eq!(
            (asked.user, asked.token, asked.amount.get()),
            (None, None, 5)
        );
    }

    #[test]
    fn each_unfit_confirm_names_the_field() {
        let amount = "amount: whole won, plain digits only: 0 to 9007199254740991";
        let id = "orderId: the orderId of a checkout, a string";
        let key = "paymentKey: a string of 1 to 200 letters, digits or -_.~=+:";
        let all = body(r#""x": 0"#);
        for (body, expected) in [
            (
                all.replace("\"userId\": 1", "\"userId\": []"),
                "userId: an integer, or 1 to 64 characters without control characters or spaces at its ends",
            ),
            (all.replace(&format!("\"{ORDER}\""), "7"), id),
            (all.replace("orderId", "orderID"), id),
            (all.replace("\"k\"", "\"k/../k\""), key),
            (
                all.replace(ORDER, ""),
                "orderId: the orderId of a checkout, a string",
            ),
            (all.replace("\"amount\": 5", "\"amount\": 5.0"), amount),
            (all.replace("\"amount\": 5", "\"amount\": null"), amount),
            (all.replace("\"k\"", "7"), key),
            (all.replace("\"k\"", "null"), key),
            (all.replace("\"k\"", "\"\""), key),
            (all.replace("\"k\"", "\"a b\""), key),
            (
                all.replace("\"k\"", &format!("\"{}\"", "k".repeat(201))),
                key,
            ),
            (
                all.replace("\"x\": 0", "\"orderToken\": 7"),
                "orderToken: a string",
            ),
            (
                all.replace("\"x\"", "\"amount\""),
                "amount: to appear only once",
            ),
        ] {
            assert_eq!(complaint(&body), expected, "{body}");
        }
        let strange = all.replace(ORDER, "ORDER-1");
        let missing = Refusal::from(Rejection::PaymentNotFound(None));
        assert_eq!(
            parse(strange.as_bytes()),
            Err(missing),
            "an id that cannot be ours"
        );
    }

    #[test]
    fn only_paid_is_200() {
        let order = OrderId::parse(ORDER).unwrap();
        let approval = crate::domain::payment::Approval {
            approved_at: Some(crate::domain::Timestamp::from_micros(0)),
            method: Some("CARD".into()),
            receipt_url: None,
        };
        let amount = Won::new(5).unwrap();
        let receipt = Receipt {
            order_id: order,
            amount,
            approval,
        };
        let decline = crate::domain::Decline::new("REJECT_CARD_PAYMENT", "한도 초과");
        let status = |heard| match say(heard) {
            Ok(res) => res.status().as_u16(),
            Err(refusal) => refusal.status().as_u16(),
        };
        let answered = |answer| status(Heard::Answer(answer));
        let body = br#"{"data":{"orderId":"01990000-0000-7000-8000-00000000abcd","amount":5,"status":"DONE","approvedAt":"1970-01-01T09:00:00+09:00","method":"CARD","receiptUrl":null}}"#;
        let said = paid(&receipt).unwrap().into_body();
        assert_eq!(
            actix_web::body::MessageBody::try_into_bytes(said)
                .ok()
                .unwrap(),
            &body[..]
        );
        assert_eq!(answered(Answer::Paid(receipt)), 200);
        assert_eq!(
            answered(Answer::Declined {
                order_id: order,
                decline,
                further: crate::domain::Further::PayAgain,
            }),
            402
        );
        assert_eq!(
            answered(Answer::Pending {
                order_id: order,
                status: Status::Unknown
            }),
            503
        );
        assert_eq!(
            answered(Answer::UnderReview {
                order_id: order,
                reason: None
            }),
            409
        );
        let accepted = || Heard::Accepted {
            order,
            status: Status::InProgress,
        };
        assert_eq!(status(accepted()), 202);
        let res = say(accepted()).unwrap();
        let location = format!("/api/v1/payments/{ORDER}");
        assert_eq!(res.headers().get(header::LOCATION).unwrap(), &location);
        assert_eq!(res.headers().get(header::RETRY_AFTER).unwrap(), "2");
    }
}
