//! Bodies of every kind, and what they are read as.

#![expect(clippy::unwrap_used, reason = "tests")]

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
