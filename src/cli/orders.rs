//! `payonce order`: what happened to an order, and what happens next, for a terminal.

use anyhow::bail;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use tokio::runtime::Runtime;

use crate::app;
use crate::domain::payment::Settled;
use crate::domain::{Attempt, Line, OrderId, Payment, Status, Timestamp};
use crate::settings::Settings;
use crate::store::{HistoryRow, Opened};

pub async fn list(settings: &Settings, runtime: &Runtime, limit: u32) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let orders = store.recent(limit).await?;
    if orders.is_empty() {
        say!("no orders yet");
        return Ok(true);
    }
    for order in orders {
        let (at, status) = (clock(order.created_at), order.status.name());
        let (id, total, name) = (order.order, order.total.get(), order.name);
        say!(
            "{at}  {id}  {status:<11}  {total:>12} KRW  user {}  {name}",
            order.user.as_str()
        );
    }
    Ok(true)
}

pub async fn show(settings: &Settings, runtime: &Runtime, text: &str) -> anyhow::Result<bool> {
    let Some(order) = OrderId::parse(text) else {
        bail!("{text:?} is not an order id; `payonce order list` shows some");
    };
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let Some(record) = store.record(order).await? else {
        bail!("there is no order {order}");
    };
    let now = store.now().await?;
    timeline(&record.payment, &store.history(order).await?, now);
    Ok(true)
}

pub fn timeline(payment: &Payment, history: &[HistoryRow], now: Timestamp) {
    let (order, name, total) = (payment.order.id, &payment.order.name, payment.order.total);
    let user = payment.order.user.as_str();
    say!("order     {order}  {name}, {total}, user {user}");
    say!("status    {}{}", payment.status.name(), reason(payment));
    payment.order.lines.iter().for_each(line);
    say!("stock     {}", stock(payment));
    say!("next      {}", what_next(payment, now));
    say!("timeline");
    history.iter().for_each(transition);
    if !payment.attempts.is_empty() {
        say!("attempts");
        payment.attempts.iter().for_each(attempt);
    }
}

fn line(line: &Line) {
    let (quantity, product, amount) = (line.quantity.get(), line.product, line.amount);
    match &line.name {
        Some(name) => say!("  {quantity} x {name} (product {product}), {amount}"),
        None => say!("  {quantity} x product {product}, {amount}"),
    }
}

fn reason(payment: &Payment) -> String {
    payment
        .quarantine
        .map_or_else(String::new, |reason| format!("  {}", reason.name()))
}

const fn stock(payment: &Payment) -> &'static str {
    match (payment.stock_held, payment.status) {
        (true, Status::Done) => "sold",
        (true, _) => "held",
        (false, _) => "on the shelf",
    }
}

fn what_next(payment: &Payment, now: Timestamp) -> String {
    let at = payment.due_at().map_or_else(|| "now".to_owned(), clock);
    match payment.status {
        Status::Ready => format!("waits for a confirm until {at}"),
        Status::InProgress => "Toss is being called".to_owned(),
        Status::Unknown => format!("asks Toss at {at}; question {}", payment.questions + 1),
        Status::Done => "nothing: it is paid".to_owned(),
        Status::Failed if payment.may_be_tried(now) => {
            format!(
                "another paymentKey may pay it until {}",
                clock(payment.expires_at)
            )
        }
        Status::Failed | Status::Expired => "nothing: the buyer orders anew".to_owned(),
        Status::Quarantined if payment.may_settle_itself() => {
            format!("a human decides; asks Toss again at {at}")
        }
        Status::Quarantined => "a human decides".to_owned(),
    }
}

fn transition(row: &HistoryRow) {
    let from = row.from.map_or("-", Status::name);
    let (at, version, to, event) = (clock(row.at), row.version, row.to.name(), &row.event);
    let reason = row.reason.as_deref().unwrap_or("");
    say!("  {version:>3}  {at}  {from:>11} -> {to:<11}  {event}  {reason}");
}

fn attempt(attempt: &Attempt) {
    let (number, key, n) = (attempt.number, &attempt.payment_key, attempt.n);
    let (at, gateway) = (clock(attempt.started_at), &attempt.gateway);
    let how = match (&attempt.settled, &attempt.doubted_decline) {
        (Some(Settled::Approved(_)), _) => "approved".to_owned(),
        (Some(Settled::Declined(decline)), _) => format!("declined: {}", decline.code),
        (Some(Settled::Overruled { told, .. }), _) => {
            format!(
                "paid by an operator's decision; its callers hear {}",
                told.code
            )
        }
        (None, Some(decline)) => format!("declined, not believed yet: {}", decline.code),
        (None, None) => "open".to_owned(),
    };
    say!("  {number:>3}  {at}  {key}  key number {n}  {how}  at {gateway}");
}

/// Korean time, in the terminal as at the door.
pub fn clock(at: Timestamp) -> String {
    let kst = UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC);
    let instant = OffsetDateTime::from_unix_timestamp(at.micros().div_euclid(1_000_000));
    let text = instant
        .ok()
        .and_then(|instant| instant.to_offset(kst).format(&Rfc3339).ok());
    text.unwrap_or_else(|| at.micros().to_string())
}
