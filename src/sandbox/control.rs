//! What Toss does not have: the buyer who pays, faults on order, the whole ledger, a clock to turn. For this machine only.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bank::{Method, Payment};
use super::books::{Books, Totals};
use super::clock::Instant;
use super::faults;
use super::ids::Id;
use super::ledger::{Authorized, Entry, LedgerLost};
use super::toss::Toss;
use crate::gateway::wire::PaymentStatus;

const LARGEST_AMOUNT: i64 = 9_007_199_254_740_991;
/// Room for the longest list of fault rules.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// Ten years.
const FARTHEST_JUMP_S: u64 = 315_360_000;
/// Payments written out under one lock.
const REPORT_PIECE: usize = 512;
/// 62^10: no two paymentKeys of one second are alike.
const RANDOM_CHARS: usize = 10;

pub fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/sandbox")
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .route("/authorizations", web::post().to(authorize))
            .service(
                web::resource("/faults")
                    .route(web::put().to(put_faults))
                    .route(web::get().to(get_faults))
                    .route(web::delete().to(delete_faults)),
            )
            .route("/ledger", web::get().to(ledger))
            .route("/clock", web::post().to(clock))
            .route("/reset", web::post().to(reset)),
    );
}

/// A body that is too long or breaks off reads as empty, which no control request takes.
type Body = Result<Bytes, actix_web::Error>;

/// The caller is on this machine.
struct Local;

impl FromRequest for Local {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let local = request
            .peer_addr()
            .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        ready(local.then_some(Self).ok_or_else(|| {
            let answer = refusal(
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "the sandbox is controlled from its own machine only",
            );
            InternalError::from_response("not a loopback peer", answer).into()
        }))
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"code": code, "message": message}))
}

fn invalid(message: &str) -> HttpResponse {
    refusal(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
}

fn lost(_: LedgerLost) -> HttpResponse {
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "LEDGER_LOST",
        "the sandbox's ledger cannot be written: see its log",
    )
}

#[derive(Debug)]
struct Authorization {
    order_id: Id,
    order_name: Id,
    amount: i64,
    method: Method,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorizationBody {
    order_id: Option<Value>,
    amount: Option<Value>,
    order_name: Option<Value>,
    method: Option<Value>,
}

/// Reads the body, or says which field is wrong and what it wants.
fn read_authorization(body: &[u8]) -> Result<Authorization, String> {
    let body: AuthorizationBody = serde_json::from_slice(body)
        .map_err(|wrong| format!("body: wants a JSON object: {wrong}"))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    let order_id = body
        .order_id
        .as_ref()
        .and_then(Value::as_str)
        .filter(|id| (6..=64).contains(&id.len()) && id.bytes().all(allowed))
        .ok_or("orderId: wants 6 to 64 letters, digits, '-', '_' or '='")?;
    let amount = match &body.amount {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        Some(_) | None => None,
    };
    let amount = amount
        .filter(|amount| (1..=LARGEST_AMOUNT).contains(amount))
        .ok_or("amount: wants a whole number of won, at least 1")?;
    let order_name = match &body.order_name {
        None | Some(Value::Null) => "샌드박스 주문",
        Some(Value::String(name)) if (1..=100).contains(&name.chars().count()) => name,
        Some(_) => return Err("orderName: wants 1 to 100 characters".to_owned()),
    };
    let method = match body.method {
        None | Some(Value::Null) => Method::Card,
        Some(method) => serde_json::from_value(method).map_err(
            |_| "method: wants 카드, 간편결제, 계좌이체, 휴대폰 or 문화상품권 (default 카드)",
        )?,
    };
    Ok(Authorization {
        order_id: Id::from(order_id),
        order_name: Id::from(order_name),
        amount,
        method,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationAnswer<'a> {
    payment_key: &'a Id,
    order_id: &'a Id,
    amount: i64,
    status: PaymentStatus,
    expires_at: String,
}

/// The buyer paid in the window. Each call is another try, with a paymentKey of its own.
async fn authorize(_: Local, toss: Data<Toss>, body: Body) -> HttpResponse {
    let wanted = match read_authorization(&body.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(wrong) => return invalid(&wrong),
    };
    let place = match toss.ledger.place().await {
        Ok(place) => place,
        Err(gone) => return lost(gone),
    };
    let (payment, now, written) = {
        let mut books = toss.books();
        let now = books.now();
        let payment_key = unused_payment_key(&books, now);
        let entry = Entry::Authorized(Authorized {
            at: now,
            payment_key: payment_key.clone(),
            order_id: wanted.order_id,
            order_name: wanted.order_name,
            amount: wanted.amount,
            method: wanted.method,
        });
        books.apply(&entry);
        (
            books.payment(payment_key.as_str()).cloned(),
            now,
            place.write(entry),
        )
    };
    if let Err(gone) = written.wait().await {
        return lost(gone);
    }
    match &payment {
        None => lost(LedgerLost),
        Some(payment) => HttpResponse::Created().json(AuthorizationAnswer {
            payment_key: &payment.payment_key,
            order_id: &payment.order_id,
            amount: payment.amount,
            status: payment.status(now),
            expires_at: payment.expires_at().rfc3339(),
        }),
    }
}

/// Like Toss's: five letters of the merchant, the time, and chance.
fn unused_payment_key(books: &Books, now: Instant) -> Id {
    loop {
        let random: String = rand::rng()
            .sample_iter(rand::distr::Alphanumeric)
            .take(RANDOM_CHARS)
            .map(char::from)
            .collect();
        let key = format!("tpayo{}{random}", now.digits());
        if books.payment(&key).is_none() {
            return Id::from(key.as_str());
        }
    }
}

async fn put_faults(_: Local, toss: Data<Toss>, body: Body) -> HttpResponse {
    match faults::read_rules(&body.unwrap_or_default()) {
        Err(wrong) => invalid(&wrong),
        Ok(rules) => {
            let mut books = toss.books();
            books.faults.replace(rules);
            HttpResponse::Ok().json(books.faults.rules())
        }
    }
}

async fn get_faults(_: Local, toss: Data<Toss>) -> HttpResponse {
    HttpResponse::Ok().json(toss.books().faults.rules())
}

async fn delete_faults(_: Local, toss: Data<Toss>) -> HttpResponse {
    toss.books().faults.replace(Vec::new());
    HttpResponse::Ok().json(json!([]))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerQuery {
    order_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentReport<'a> {
    order_id: &'a Id,
    payment_key: &'a Id,
    status: PaymentStatus,
    total_amount: i64,
    balance_amount: i64,
    confirm_calls: u32,
    approvals: u32,
    lookups: u32,
    cancels: u32,
}

impl<'a> PaymentReport<'a> {
    fn of(payment: &'a Payment, now: Instant) -> Self {
        Self {
            order_id: &payment.order_id,
            payment_key: &payment.payment_key,
            status: payment.status(now),
            total_amount: payment.amount,
            balance_amount: payment.balance(),
            confirm_calls: payment.calls.confirms,
            approvals: u32::from(payment.is_approved()),
            lookups: payment.calls.lookups,
            cancels: payment.calls.cancels,
        }
    }
}

async fn ledger(_: Local, toss: Data<Toss>, query: Query<LedgerQuery>) -> HttpResponse {
    if let Some(order_id) = &query.order_id {
        return order_report(&toss.books(), order_id);
    }
    // Piece by piece: a million payments are neither one string nor one long lock.
    let pieces = futures_util::stream::unfold(Some(0), move |from| {
        let piece = from.and_then(|from| report_piece(&toss.books(), from));
        ready(piece.map(|(piece, next)| (Ok::<_, actix_web::Error>(Bytes::from(piece)), next)))
    });
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .streaming(pieces)
}

fn order_report(books: &Books, order_id: &str) -> HttpResponse {
    let now = books.now();
    let mut totals = Totals::default();
    let mut payments: Vec<_> = books.all_of_order(order_id).collect();
    payments.reverse();
    for payment in &payments {
        totals.confirm_calls += u64::from(payment.calls.confirms);
        totals.lookups += u64::from(payment.calls.lookups);
        totals.cancels += u64::from(payment.calls.cancels);
        if payment.is_approved() {
            totals.approvals += 1;
            totals.approved_amount = totals.approved_amount.saturating_add(payment.amount);
        }
    }
    let reports: Vec<_> = payments
        .iter()
        .map(|payment| PaymentReport::of(payment, now))
        .collect();
    HttpResponse::Ok()
        .json(json!({"payments": reports, "totals": totals_report(reports.len(), totals)}))
}

/// The next piece of the whole report and where to go on, if it was not the last.
fn report_piece(books: &Books, from: usize) -> Option<(Vec<u8>, Option<usize>)> {
    let (now, payments) = (books.now(), books.payments());
    // Fewer than before: a reset came between two pieces, and the report ends with what is left.
    let to = payments.len().min(from.saturating_add(REPORT_PIECE));
    let mut piece = Vec::from(if from == 0 {
        &b"{\"payments\":["[..]
    } else {
        b""
    });
    for (position, payment) in payments.iter().enumerate().take(to).skip(from) {
        if position > 0 {
            piece.push(b',');
        }
        serde_json::to_writer(&mut piece, &PaymentReport::of(payment, now)).ok()?;
    }
    if to < payments.len() {
        return Some((piece, Some(to)));
    }
    piece.extend_from_slice(b"],\"totals\":");
    serde_json::to_writer(&mut piece, &totals_report(payments.len(), books.totals())).ok()?;
    piece.push(b'}');
    Some((piece, None))
}

fn totals_report(payments: usize, totals: Totals) -> Value {
    json!({
        "payments": payments,
        "confirmCalls": totals.confirm_calls,
        "approvals": totals.approvals,
        "approvedAmount": totals.approved_amount,
        "lookups": totals.lookups,
        "cancels": totals.cancels,
    })
}

async fn clock(_: Local, toss: Data<Toss>, body: Body) -> HttpResponse {
    let wanted = serde_json::from_slice::<Value>(&body.unwrap_or_default()).ok();
    let seconds = wanted
        .and_then(|body| body["advanceSeconds"].as_u64())
        .filter(|&seconds| seconds <= FARTHEST_JUMP_S)
        .and_then(|seconds| u32::try_from(seconds).ok());
    let Some(seconds) = seconds else {
        return invalid(
            "advanceSeconds: wants whole seconds, from 0 to ten years: time does not go back",
        );
    };
    match record(&toss, Entry::ClockMoved { seconds }).await {
        Err(gone) => lost(gone),
        Ok(()) => {
            let books = toss.books();
            HttpResponse::Ok()
                .json(json!({"now": books.now().rfc3339(), "aheadSeconds": books.clock.ahead_s()}))
        }
    }
}

async fn reset(_: Local, toss: Data<Toss>) -> HttpResponse {
    match record(&toss, Entry::Reset {}).await {
        Err(gone) => lost(gone),
        Ok(()) => HttpResponse::Ok().json(json!({})),
    }
}

async fn record(toss: &Toss, entry: Entry) -> Result<(), LedgerLost> {
    let place = toss.ledger.place().await?;
    let written = {
        let mut books = toss.books();
        books.apply(&entry);
        place.write(entry)
    };
    written.wait().await
}
