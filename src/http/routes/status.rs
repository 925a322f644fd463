//! `GET /api/v1/payments/{orderId}[?wait=20]`: where an order stands, as far as this caller may see.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;

use super::MOST_WAIT_S;
use crate::actors::{HistoryView, PaymentView};
use crate::domain::payment::{Approval, Settled};
use crate::domain::{Attempt, Decline, Line, OrderId, Payment, Rejection, Status};
use crate::http::access::Sight;
use crate::http::answers::{Kst, Refusal, Shown, answer, data};
use crate::http::desk::Desk;
use crate::http::reading::wait_s;

/// What everybody sees who knows the id.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody<'a> {
    order_id: Shown<OrderId>,
    status: &'static str,
    total_amount: i64,
    approved_at: Option<Kst>,
    failure: Option<Failure<'a>>,
    #[serde(flatten)]
    receipt: Option<ReceiptBody<'a>>,
    #[serde(flatten)]
    inside: Option<InsideBody<'a>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// What the buyer sees beside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptBody<'a> {
    order_name: &'a str,
    lines: Vec<LineBody<'a>>,
    method: Option<&'a str>,
    receipt_url: Option<&'a str>,
    created_at: Kst,
    expires_at: Kst,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineBody<'a> {
    product_id: i64,
    name: Option<&'a str>,
    quantity: u32,
    amount: i64,
    status: &'static str,
}

/// What the shop sees beside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InsideBody<'a> {
    user_id: &'a str,
    stock_held: bool,
    quarantine_reason: Option<&'static str>,
    next_attempt_at: Option<Kst>,
    attempts: Vec<AttemptBody<'a>>,
    history: Vec<HistoryBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptBody<'a> {
    number: u8,
    payment_key: String,
    status: &'static str,
    code: Option<&'a str>,
    message: Option<&'a str>,
    idempotency_key_number: u32,
    started_at: Kst,
}

#[derive(Serialize)]
struct HistoryBody<'a> {
    version: i64,
    from: Option<&'static str>,
    to: &'static str,
    event: &'a str,
    reason: Option<&'a str>,
    at: Kst,
}

pub async fn status(req: HttpRequest) -> HttpResponse {
    answer(&req, look(&req).await)
}

async fn look(req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    let caller = desk.caller()?;
    let wait = wait_s(req.query_string())?.map(|s| Duration::from_secs(s.min(MOST_WAIT_S)));
    let order = OrderId::parse(desk.part("order_id")).ok_or(Rejection::PaymentNotFound(None))?;
    req.extensions_mut().insert(order);
    let sight = desk.terms.access.sight(caller, order)?;
    let directory = desk.directory()?;
    let view = tokio::select! {
        biased;
        view = directory.view(order, wait) => view?,
        // A reader who waits is told how it is now, and waits at another house.
        () = desk.terms.closing.begun(), if wait.is_some() => directory.view(order, None).await?,
    };
    let view = view.ok_or(Rejection::PaymentNotFound(Some(order)))?;
    let history = match sight {
        Sight::Outline | Sight::Receipt => Vec::new(),
        Sight::Everything => directory.history(order).await?,
    };
    data(StatusCode::OK, body(&view, &history, sight))
}

fn body<'a>(view: &'a PaymentView, history: &'a [HistoryView], sight: Sight) -> StatusBody<'a> {
    let payment = &view.payment;
    let approval = approval(payment);
    let failure = failure(payment).map(|decline| Failure {
        code: &decline.code,
        message: (sight >= Sight::Receipt).then_some(&*decline.message),
    });
    StatusBody {
        order_id: Shown(payment.order.id),
        status: payment.status.name(),
        total_amount: payment.order.total.get(),
        approved_at: approval.and_then(|approval| approval.approved_at).map(Kst),
        failure,
        receipt: (sight >= Sight::Receipt).then(|| receipt(view, approval)),
        inside: (sight >= Sight::Everything).then(|| inside(payment, history)),
    }
}

fn approval(payment: &Payment) -> Option<&Approval> {
    let settled = payment.attempts.iter().flat_map(|a| &a.settled);
    settled.into_iter().find_map(Settled::approval)
}

fn decline(attempt: &Attempt) -> Option<&Decline> {
    attempt.settled.as_ref().and_then(Settled::decline)
}

/// Why the order rests unpaid. While another attempt runs, an older decline is not how the order stands.
fn failure(payment: &Payment) -> Option<&Decline> {
    match payment.status {
        Status::Failed => payment.current_attempt().and_then(decline),
        Status::Ready
        | Status::InProgress
        | Status::Unknown
        | Status::Done
        | Status::Expired
        | Status::Quarantined => None,
    }
}

fn receipt<'a>(view: &'a PaymentView, approval: Option<&'a Approval>) -> ReceiptBody<'a> {
    let payment = &view.payment;
    let line = |line: &'a Line| LineBody {
        product_id: line.product.get(),
        name: (line.name.as_ref())
            .or_else(|| view.names.get(&line.product))
            .map(AsRef::as_ref),
        quantity: line.quantity.get(),
        amount: line.amount.get(),
        status: payment.status.of_lines(),
    };
    ReceiptBody {
        order_name: &payment.order.name,
        lines: payment.order.lines.iter().map(line).collect(),
        method: approval.and_then(|approval| approval.method.as_deref()),
        receipt_url: approval.and_then(|approval| approval.receipt_url.as_deref()),
        created_at: Kst(view.created_at),
        expires_at: Kst(payment.expires_at),
    }
}

fn inside<'a>(payment: &'a Payment, history: &'a [HistoryView]) -> InsideBody<'a> {
    let attempt = |attempt: &'a Attempt| {
        let decline = decline(attempt);
        AttemptBody {
            number: attempt.number,
            payment_key: attempt.payment_key.masked(),
            status: match &attempt.settled {
                Some(Settled::Approved(_) | Settled::Overruled { .. }) => "APPROVED",
                Some(Settled::Declined(_)) => "DECLINED",
                None => payment.status.name(),
            },
            code: decline.map(|decline| &*decline.code),
            message: decline.map(|decline| &*decline.message),
            idempotency_key_number: attempt.n,
            started_at: Kst(attempt.started_at),
        }
    };
    let row = |row: &'a HistoryView| HistoryBody {
        version: row.version,
        from: row.from.map(Status::name),
        to: row.to.name(),
        event: &row.event,
        reason: row.reason.as_deref(),
        at: Kst(row.at),
    };
    InsideBody {
        user_id: payment.order.user.as_str(),
        stock_held: payment.stock_held,
        quarantine_reason: payment.quarantine.map(|reason| reason.name()),
        next_attempt_at: payment.next_attempt_at.map(Kst),
        attempts: payment.attempts.iter().map(attempt).collect(),
        history: history.iter().map(row).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::domain::payment::ApprovalSign;
    use crate::domain::{
        GatewayIdentity, Incarnation, Line, Order, PaymentKey, ProductId, Quantity, Timestamp,
        UserId, Won,
    };
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const ID: &str = "01990000-0000-7000-8000-00000000abcd";
    const KEY: &str = "tgen_20250102210202h9Oy0";

    fn attempt(number: u8, settled: Option<Settled>) -> Attempt {
        Attempt {
            number,
            payment_key: PaymentKey::parse(KEY).unwrap(),
            n: 2,
            answered: true,
            gateway: GatewayIdentity("sandbox".into()),
            started_at: Timestamp::from_micros(0),
            may_send_until: Timestamp::from_micros(0),
            owner: Incarnation(Uuid::nil()),
            many_owners: false,
            foreign_seen: false,
            approval_sign: ApprovalSign::None,
            doubted_decline: None,
            settled,
        }
    }

    fn view(status: Status, attempts: Vec<Attempt>) -> PaymentView {
        let product = ProductId::new(1).unwrap();
        let amount = Won::new(150_000).unwrap();
        let quantity = Quantity::new(3).unwrap();
        let order = Order {
            id: OrderId::parse(ID).unwrap(),
            user: UserId::parse("u-1").unwrap(),
            name: "Ogu T".into(),
            lines: [Line {
                product,
                name: Some("Ogu T".into()),
                quantity,
                amount,
            }]
            .into(),
            total: amount,
        };
        let mut payment = Payment::ready(order, Timestamp::from_micros(60_000_000));
        payment.status = status;
        payment.attempts = attempts;
        PaymentView {
            payment,
            created_at: Timestamp::from_micros(0),
            names: BTreeMap::from([(product, "Ogu T".into())]),
        }
    }

    fn seen(view: &PaymentView, sight: Sight) -> Value {
        let history = [HistoryView {
            version: 1,
            from: None,
            to: Status::Ready,
            event: "CHECKED_OUT".into(),
            reason: None,
            at: Timestamp::from_micros(0),
        }];
        serde_json::to_value(body(view, &history, sight)).unwrap()
    }

    fn declined() -> Settled {
        Settled::Declined(Decline::new("REJECT_CARD_PAYMENT", "한도 초과"))
    }

    fn approved() -> Settled {
        Settled::Approved(Approval {
            approved_at: Some(Timestamp::from_micros(0)),
            method: Some("카드".into()),
            receipt_url: Some("https://r".into()),
        })
    }

    #[test]
    fn nobody_sees_the_outline_and_nothing_of_the_buyer() {
        let paid = view(Status::Done, vec![attempt(1, Some(approved()))]);
        let expected = json!({
            "orderId": ID, "status": "DONE", "totalAmount": 150_000,
            "approvedAt": "1970-01-01T09:00:00+09:00", "failure": null,
        });
        assert_eq!(seen(&paid, Sight::Outline), expected);
        let failed = view(Status::Failed, vec![attempt(1, Some(declined()))]);
        let outline = seen(&failed, Sight::Outline);
        assert_eq!(outline["failure"], json!({"code": "REJECT_CARD_PAYMENT"}));
        assert_eq!(outline["approvedAt"], Value::Null);
    }

    #[test]
    fn the_buyer_sees_the_receipt_beside() {
        let paid = view(Status::Done, vec![attempt(1, Some(approved()))]);
        let line = json!({"productId": 1, "name": "Ogu T", "quantity": 3, "amount": 150_000, "status": "SUCCESS"});
        let expected = json!({
            "orderId": ID, "status": "DONE", "totalAmount": 150_000,
            "approvedAt": "1970-01-01T09:00:00+09:00", "failure": null,
            "orderName": "Ogu T", "lines": [line], "method": "카드", "receiptUrl": "https://r",
            "createdAt": "1970-01-01T09:00:00+09:00", "expiresAt": "1970-01-01T09:01:00+09:00",
        });
        assert_eq!(seen(&paid, Sight::Receipt), expected);
        let failed = view(Status::Failed, vec![attempt(1, Some(declined()))]);
        let failure = json!({"code": "REJECT_CARD_PAYMENT", "message": "한도 초과"});
        assert_eq!(seen(&failed, Sight::Receipt)["failure"], failure);
    }

    #[test]
    fn the_shop_sees_everything_but_a_whole_payment_key() {
        let attempts = vec![attempt(1, Some(declined())), attempt(2, None)];
        let everything = seen(&view(Status::Unknown, attempts), Sight::Everything);
        assert_eq!(everything["userId"], "u-1");
        assert_eq!(everything["stockHeld"], false);
        assert_eq!(everything["failure"], Value::Null, "another attempt runs");
        let attempt = |number: u8, status: &str, code: Value, message: Value| {
            json!({"number": number, "paymentKey": "tgen_2…9Oy0", "status": status, "code": code,
                "message": message, "idempotencyKeyNumber": 2, "startedAt": "1970-01-01T09:00:00+09:00"})
        };
        let first = attempt(
            1,
            "DECLINED",
            json!("REJECT_CARD_PAYMENT"),
            json!("한도 초과"),
        );
        let second = attempt(2, "UNKNOWN", Value::Null, Value::Null);
        assert_eq!(everything["attempts"], json!([first, second]));
        let row = json!({"version": 1, "from": null, "to": "READY", "event": "CHECKED_OUT",
            "reason": null, "at": "1970-01-01T09:00:00+09:00"});
        assert_eq!(everything["history"], json!([row]));
        assert!(!everything.to_string().contains(KEY));
    }
}
