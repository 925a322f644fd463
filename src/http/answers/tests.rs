//! Every refusal, once, with all that its caller sees of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::domain::payment::QuarantineReason;
use crate::domain::rejection::{self, KeyConflict, Rejection, Shortage};
use crate::domain::{Decline, Further, OrderId, ProductId, Status, Won};

const ID: &str = "01990000-0000-7000-8000-00000000abcd";

/// A refusal; its HTTP status, code, advice and header; its fields.
type Row = (Refusal, &'static str, Value);

fn order() -> OrderId {
    OrderId::parse(ID).unwrap()
}

fn rejections_of_a_shelf_or_an_order() -> Vec<Row> {
    use Rejection::*;
    let product = ProductId::new(7).unwrap();
    let expected = Won::new(210_000).unwrap();
    let short = Shortage {
        product,
        requested: 5,
        available: 2,
    };
    let shorts = json!({"products": [{"productId": 7, "requested": 5, "available": 2}]});
    let stock = json!({"productId": 7, "stock": 2});
    let row = |rejection, seen, fields| (Refusal::Rejected(rejection), seen, fields);
    vec![
        row(
            NotEnoughStock { product, stock: 2 },
            "409 E01002 fix_request",
            stock,
        ),
        row(
            ProductNotFound(product),
            "404 E01003 fix_request",
            json!({"productId": 7}),
        ),
        row(UserNotFound, "404 E02001 fix_request", json!({})),
        row(PaymentNotFound(None), "404 E03001 fix_request", json!({})),
        row(
            InvalidTotalAmount { expected },
            "400 E03002 fix_request",
            json!({"totalAmount": 210_000}),
        ),
        row(InvalidUserId, "403 E03004 fix_request", json!({})),
        row(OutOfStock(vec![short]), "409 E03013 retry_same", shorts),
    ]
}

fn rejections_of_a_request() -> Vec<Row> {
    use Rejection::*;
    let row = |rejection, seen, fields| (Refusal::Rejected(rejection), seen, fields);
    let conflict = |conflict| InvalidPaymentKey(conflict);
    let input = || Rejection::invalid("f", "w");
    let reason = |reason: &str| json!({"reason": reason});
    let tries = rejection::NotPayable::TooManyAttempts;
    vec![
        row(
            conflict(KeyConflict::InFlight),
            "409 E03005 wait retry-after: 5",
            json!({}),
        ),
        row(conflict(KeyConflict::Paid), "409 E03005 none", json!({})),
        row(
            NotPayable(rejection::NotPayable::Expired),
            "409 E03008 new_order",
            reason("EXPIRED"),
        ),
        row(
            NotPayable(tries),
            "409 E03008 new_order",
            reason("TOO_MANY_ATTEMPTS"),
        ),
        row(
            input(),
            "400 E99001 fix_request",
            json!({"field": "f", "wants": "w"}),
        ),
        row(IdempotencyKeyReused, "422 E99003 fix_request", json!({})),
        row(
            Busy { retry_after_s: 3 },
            "503 E99004 retry_same retry-after: 3",
            json!({}),
        ),
    ]
}

fn answers_to_a_confirm() -> Vec<Row> {
    let order = order();
    let declined = |further| Refusal::Declined {
        order,
        decline: Decline::new("REJECT_CARD_PAYMENT", "한도 초과"),
        further,
    };
    let pending = Refusal::Pending {
        order,
        status: Status::Unknown,
    };
    let gateway = json!({"code": "REJECT_CARD_PAYMENT", "message": "한도 초과"});
    let url = format!("/api/v1/payments/{ID}");
    let gateway = json!({"orderId": ID, "statusUrl": url, "gateway": gateway});
    let waiting = json!({"orderId": ID, "status": "UNKNOWN", "statusUrl": url});
    let reason = Some(QuarantineReason::WaitingForDeposit);
    let review = Refusal::UnderReview { order, reason };
    let reviewed = json!({"orderId": ID, "status": "QUARANTINED", "statusUrl": url, "reason": "WAITING_FOR_DEPOSIT"});
    let product = ProductId::new(7).unwrap();
    let stock = json!({"productId": 7, "statusUrl": "/api/v1/products/7"});
    vec![
        (pending, "503 E03009 wait retry-after: 2", waiting),
        (
            Refusal::ProductPending { product },
            "503 E03009 wait retry-after: 2",
            stock,
        ),
        (
            declined(Further::PayAgain),
            "402 E03010 pay_again",
            gateway.clone(),
        ),
        (
            declined(Further::Wait),
            "402 E03010 wait retry-after: 5",
            gateway.clone(),
        ),
        (
            declined(Further::Ask),
            "402 E03010 contact_shop",
            gateway.clone(),
        ),
        (
            declined(Further::OrderAnew),
            "402 E03010 new_order",
            gateway.clone(),
        ),
        (declined(Further::Nothing), "402 E03010 none", gateway),
        (review, "409 E03017 contact_shop", reviewed),
    ]
}

fn refusals_of_the_door() -> Vec<Row> {
    use Refusal::*;
    let input = |field: &str, wants: &str| json!({"field": field, "wants": wants});
    let large = input("body", "at most 9 bytes");
    let media = "application/json in UTF-8, without a Content-Encoding";
    let media = input("Content-Type", media);
    let ready = json!({"notReady": ["database"]});
    let unknown = "401 E99401 fix_request www-authenticate: Bearer";
    let method = MethodNotAllowed { allow: "POST" };
    vec![
        (TooLarge { limit_bytes: 9 }, "413 E99001 fix_request", large),
        (MediaType, "415 E99001 fix_request", media),
        (
            NotReady(vec!["database"]),
            "503 E99004 retry_same retry-after: 1",
            ready,
        ),
        (Unauthenticated, unknown, json!({})),
        (Forbidden, "403 E99403 fix_request", json!({})),
        (NotFound, "404 E99404 fix_request", json!({})),
        (method, "405 E99405 fix_request allow: POST", json!({})),
        (Broken, "500 E99999 wait", json!({})),
    ]
}

fn every_refusal() -> Vec<Row> {
    let mut rows = rejections_of_a_shelf_or_an_order();
    rows.extend(rejections_of_a_request());
    rows.extend(answers_to_a_confirm());
    rows.extend(refusals_of_the_door());
    rows
}

fn said(refusal: &Refusal, language: Language) -> (String, Value) {
    let res = refusal_in(refusal, language, TraceId(0xabc));
    let error = serde_json::from_slice::<Value>(&bytes(res)).unwrap();
    let header = refusal.header();
    let header = header.map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap()));
    let status = refusal.status().as_u16();
    let (code, next) = (&error["code"], &error["error"]["next"]);
    let (code, next) = (code.as_str().unwrap(), next.as_str().unwrap());
    (
        format!("{status} {code} {next}{}", header.unwrap_or_default()),
        error,
    )
}

fn bytes(res: HttpResponse) -> Vec<u8> {
    let body = actix_web::body::MessageBody::try_into_bytes(res.into_body());
    body.ok().unwrap().to_vec()
}

#[test]
fn every_refusal_has_its_status_code_advice_header_and_fields() {
    for (refusal, seen, fields) in every_refusal() {
        let (found, mut envelope) = said(&refusal, Language::Korean);
        assert_eq!(found, seen, "{refusal:?}");
        let error = envelope["error"].as_object_mut().unwrap();
        for common in ["code", "message", "next", "traceId"] {
            assert!(
                error.remove(common).is_some_and(|v| v.is_string()),
                "{common}"
            );
        }
        assert_eq!(envelope["error"], fields, "{refusal:?}");
    }
}

#[test]
fn the_answer_bears_the_status_and_the_header() {
    let res = refusal_in(&Refusal::Unauthenticated, Language::Korean, TraceId(1));
    assert_eq!(res.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(res.headers().get("www-authenticate").unwrap(), "Bearer");
}

#[test]
fn every_code_of_the_table_is_said_by_some_refusal() {
    let rows = every_refusal();
    for code in table::ALL {
        let says = |(refusal, ..): &Row| refusal.code() == *code;
        assert!(rows.iter().any(says), "{} is never said", code.code);
    }
}

#[test]
fn the_envelope_repeats_code_and_message_for_the_browser_client() {
    let (message, trace) = ("인증이 필요합니다.", "00000000000000000000000000000abc");
    let error =
        json!({"code": "E99401", "message": message, "next": "fix_request", "traceId": trace});
    let expected = json!({"error": error, "code": "E99401", "message": message});
    assert_eq!(
        said(&Refusal::Unauthenticated, Language::Korean).1,
        expected
    );
    let (_, english) = said(&Refusal::Unauthenticated, Language::English);
    assert_eq!(english["message"], "Authentication is required.");
    assert_eq!(english["error"]["message"], english["message"]);
}

#[test]
fn data_is_wrapped_and_nothing_else() {
    let res = data(StatusCode::CREATED, json!({"a": 1})).unwrap();
    assert_eq!(
        (res.status(), &*bytes(res)),
        (StatusCode::CREATED, br#"{"data":{"a":1}}"# as &[u8])
    );
}
