//! Phase three of a commit: what was accepted. What payments write goes together, to a file in one round trip, and what they
//! move on shelves that nobody has looked at goes after it; the rest is rare, and nothing is said about a table with nothing
//! to write.

use sea_orm::DatabaseTransaction;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::offset;
use uuid::Uuid;

use super::Aborted;
use super::decide::{Stand, State, Writes};
use super::optimism::Locking;
use super::stock;
use crate::domain::{Line, ProductId, Status, Timestamp, Transition};
use crate::store::dialect::{Sql, Together};
use crate::store::execute;
use crate::store::rows::{
    AttemptRow, AttemptStateRow, LineRow, ListingRow, NewPaymentRow, StateRow, StockRow,
};

#[derive(Serialize)]
struct CheckoutKeyRow<'a> {
    user_id: &'a str,
    key: &'a str,
    body_hash: String,
    order_id: Uuid,
    created_at: i64,
}

#[derive(Serialize)]
struct ExpiredKeyRow<'a> {
    user_id: &'a str,
    key: &'a str,
    created_at: i64,
}

#[derive(Serialize)]
struct PostponedRow {
    order_id: Uuid,
    version: i64,
    until: i64,
}

#[derive(Serialize)]
struct HistoryRow<'a> {
    version: i64,
    at: i64,
    from_status: Option<&'static str>,
    to_status: &'static str,
    event: &'static str,
    order_id: Uuid,
    transition_id: Uuid,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct OutboxRow {
    version: i64,
    at: i64,
    event: &'static str,
    order_id: Uuid,
    payload: String,
}

/// What the shop is told. Without the paymentKey: news travels further than money should.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    order_id: Uuid,
    status: &'static str,
    amount: i64,
    version: i64,
    occurred_at: String,
}

#[derive(Serialize)]
struct RegisteredRow<'a> {
    incarnation: Uuid,
    name: &'a str,
}

#[derive(Serialize)]
struct NodeRow {
    incarnation: Uuid,
    beats: bool,
    closes: bool,
    saturated: bool,
}

pub(super) async fn write(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    writes: &Writes<'_>,
    locking: Locking,
) -> Result<Vec<(ProductId, i64)>, Aborted> {
    let stock = stock::moves(writes);
    let (known, unknown): (&[StockRow], &[StockRow]) = match locking {
        Locking::Pessimistic => (&stock, &[]),
        Locking::Optimistic => (&[], &stock),
    };
    // Products and payments come before the rows that point at them.
    put(txn, sql, sql.put_listings, &listings(writes)).await?;
    put_all(txn, sql, sql.postpone_payments, &postponed(writes)).await?;
    write_payments(txn, sql, writes, known).await?;
    // As late as can be, so that what everybody wants is held for the shortest time; and before the checkout keys, as
    // whoever looks first locks them: in another order, the two would meet in a deadlock.
    let told = stock::move_and_tell(txn, sql, unknown).await?;
    put(txn, sql, sql.drop_checkout_keys, &expired_keys(writes)).await?;
    put(txn, sql, sql.put_checkout_keys, &checkout_keys(writes)).await?;
    stock::put_changes(txn, sql, &writes.restocks).await?;
    put(txn, sql, sql.put_nodes, &registered(writes)).await?;
    put_all(txn, sql, sql.update_nodes, &nodes(writes)).await?;
    Ok(told)
}

async fn write_payments(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    writes: &Writes<'_>,
    stock: &[StockRow],
) -> Result<(), Aborted> {
    let checkouts = writes.checkouts.values();
    let payments: Vec<NewPaymentRow<'_>> = checkouts.clone().map(|t| new_payment(t)).collect();
    let lines: Vec<LineRow<'_>> = checkouts.flat_map(|t| lines(t)).collect();
    let states: Vec<StateRow<'_>> = writes.states.values().map(state).collect();
    let parts = [
        Part::of(sql, &payments)?,
        Part::of(sql, &lines)?,
        Part::of(sql, &states)?,
        Part::of(sql, &new_attempts(writes))?,
        Part::of(sql, &changed_attempts(writes))?,
        Part::of(sql, &history(writes))?,
        Part::of(sql, &outbox(writes)?)?,
        Part::of(sql, stock)?,
    ];
    let wanted = parts.iter().map(|part| part.wanted).sum();
    if wanted == 0 {
        return Ok(());
    }
    match sql.write_payments {
        Together::One(text) => {
            let values = parts.into_iter().flat_map(|part| part.values);
            all_of(wanted, execute(txn, text, values).await?)
        }
        Together::Each(texts) => {
            for (text, part) in texts.into_iter().zip(parts) {
                if part.wanted > 0 {
                    all_of(part.wanted, execute(txn, text, part.values).await?)?;
                }
            }
            Ok(())
        }
    }
}

/// The rows of one table as values, and how many of them must be written.
struct Part {
    values: Vec<sea_orm::Value>,
    wanted: usize,
}

impl Part {
    fn of<T: Serialize>(sql: &Sql, rows: &[T]) -> Result<Part, Aborted> {
        Ok(Part {
            values: sql.batch.values(rows).map_err(Aborted::refused)?,
            wanted: rows.len(),
        })
    }
}

/// Updates must find each of their rows: they were read, under the lock, a moment ago, or are taken for granted.
pub(super) fn all_of(wanted: usize, wrote: u64) -> Result<(), Aborted> {
    if u64::try_from(wanted) == Ok(wrote) {
        return Ok(());
    }
    let why = format!("{wanted} rows were to be written, and {wrote} were");
    Err(Aborted::refused(why))
}

/// Returns the number of rows that the statement wrote.
pub(super) async fn put<T: Serialize>(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    text: &'static str,
    rows: &[T],
) -> Result<u64, Aborted> {
    if rows.is_empty() {
        return Ok(0);
    }
    let values = sql.batch.values(rows).map_err(Aborted::refused)?;
    Ok(execute(txn, text, values).await?)
}

async fn put_all<T: Serialize>(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    text: &'static str,
    rows: &[T],
) -> Result<(), Aborted> {
    all_of(rows.len(), put(txn, sql, text, rows).await?)
}

fn new_payment(transition: &Transition) -> NewPaymentRow<'_> {
    let payment = &transition.next;
    NewPaymentRow {
        state: StateRow::of(payment, (transition.replaces, false), payment.stock_held),
        total_amount: payment.order.total.get(),
        created_at: transition.history.at.micros(),
        user_id: payment.order.user.as_str(),
        order_name: &payment.order.name,
    }
}

fn lines<'a>(transition: &'a Transition) -> impl Iterator<Item = LineRow<'a>> {
    let order_id = transition.order_id().uuid();
    let row = move |line: &'a Line| LineRow {
        order_id,
        product_id: line.product.get(),
        quantity: line.quantity.get().into(),
        amount: line.amount.get(),
        name: line.name.as_deref().map(Into::into),
    };
    transition.next.order.lines.iter().map(row)
}

fn state<'a>(state: &State<'a>) -> StateRow<'a> {
    let Stand { version, held } = state.replaces;
    let mut row = StateRow::of(state.payment, (version, held), state.held);
    if let Some(until) = state.postponed {
        row.next_attempt_at = Some(until.micros());
    }
    row
}

fn postponed(writes: &Writes<'_>) -> Vec<PostponedRow> {
    let row = |(order, (version, until)): (&crate::domain::OrderId, &(i64, Timestamp))| {
        let (version, until) = (*version, until.micros());
        PostponedRow {
            order_id: order.uuid(),
            version,
            until,
        }
    };
    writes.postponed.iter().map(row).collect()
}

fn checkout_keys<'a>(writes: &Writes<'a>) -> Vec<CheckoutKeyRow<'a>> {
    let keys = writes.checkout_keys.iter();
    keys.map(|((user_id, key), made)| CheckoutKeyRow {
        user_id,
        key,
        body_hash: hex::encode(made.body_hash),
        order_id: made.order.uuid(),
        created_at: made.at.micros(),
    })
    .collect()
}

fn expired_keys<'a>(writes: &Writes<'a>) -> Vec<ExpiredKeyRow<'a>> {
    let keys = writes.expired_keys.iter();
    keys.map(|((user_id, key), made_at)| ExpiredKeyRow {
        user_id,
        key,
        created_at: made_at.micros(),
    })
    .collect()
}

fn new_attempts<'a>(writes: &Writes<'a>) -> Vec<AttemptRow<'a>> {
    let attempts = writes.new_attempts.iter();
    attempts
        .map(|((order, _), attempt)| AttemptRow::of(*order, attempt))
        .collect()
}

fn changed_attempts<'a>(writes: &Writes<'a>) -> Vec<AttemptStateRow<'a>> {
    let attempts = writes.changed_attempts.iter();
    attempts
        .map(|((order, _), attempt)| AttemptStateRow::of(*order, attempt))
        .collect()
}

fn history<'a>(writes: &Writes<'a>) -> Vec<HistoryRow<'a>> {
    let row = |transition: &&'a Transition| {
        let history = &transition.history;
        HistoryRow {
            version: transition.next.version,
            at: history.at.micros(),
            from_status: history.from.map(Status::name),
            to_status: history.to.name(),
            event: history.event,
            order_id: transition.order_id().uuid(),
            transition_id: transition.id.0,
            reason: history.reason.as_deref(),
        }
    };
    writes.transitions.values().map(row).collect()
}

fn outbox(writes: &Writes<'_>) -> Result<Vec<OutboxRow>, Aborted> {
    let transitions = writes.transitions.values();
    transitions.filter_map(|t| news(t).transpose()).collect()
}

fn news(transition: &Transition) -> Result<Option<OutboxRow>, Aborted> {
    let Some(outbox) = transition.outbox else {
        return Ok(None);
    };
    let payment = &transition.next;
    let payload = Payload {
        order_id: payment.order.id.uuid(),
        status: outbox.to.name(),
        amount: payment.order.total.get(),
        version: payment.version,
        occurred_at: korean_time(outbox.at)?,
    };
    let payload = serde_json::to_string(&payload).map_err(|e| Aborted::refused(e.to_string()))?;
    Ok(Some(OutboxRow {
        version: payment.version,
        at: outbox.at.micros(),
        event: outbox.to.name(),
        order_id: payment.order.id.uuid(),
        payload,
    }))
}

/// RFC 3339 with Toss's offset, as everywhere outside of the database.
fn korean_time(at: Timestamp) -> Result<String, Aborted> {
    let refused = |why: &dyn std::fmt::Display| Aborted::refused(format!("a time: {why}"));
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1_000)
        .map_err(|e| refused(&e))?
        .to_offset(offset!(+9))
        .format(&Rfc3339)
        .map_err(|e| refused(&e))
}

fn listings<'a>(writes: &Writes<'a>) -> Vec<ListingRow<'a>> {
    let listings = writes.listings.values();
    listings
        .map(|listing| ListingRow {
            id: listing.id.get(),
            name: &listing.name,
            price: listing.price.get(),
            seller_id: listing.seller_id,
        })
        .collect()
}

fn registered<'a>(writes: &Writes<'a>) -> Vec<RegisteredRow<'a>> {
    let nodes = writes.registered.iter();
    nodes
        .map(|(incarnation, name)| RegisteredRow {
            incarnation: incarnation.0,
            name,
        })
        .collect()
}

fn nodes(writes: &Writes<'_>) -> Vec<NodeRow> {
    let nodes = writes.nodes.iter();
    nodes
        .map(|(incarnation, change)| NodeRow {
            incarnation: incarnation.0,
            beats: change.beats,
            closes: change.closes,
            saturated: change.saturated,
        })
        .collect()
}
