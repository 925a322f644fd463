//! `payonce audit`: our record against Toss's ledger. Beside a running server the two are read at different
//! moments, so what disagrees is looked at again before it is reported.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::app;
use crate::audit::collect::{self, Read, Scope};
use crate::audit::{Comparison, Terms, TossLedger, TwiceSeen, Violation};
use crate::domain::Timestamp;
use crate::gateway::{GatewayKind, Toss};
use crate::settings::Settings;
use crate::store::{Opened, Store};

/// An order that moved between the two readings has come to rest by then, or moves on and is read anew.
const SECOND_LOOK: Duration = Duration::from_secs(2);

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// By then a payment that Toss never answered usably waits for a human.
const UNSETTLED_MS: i64 = 2 * DAY_MS;

/// How far back Toss is asked where we have no order at all: a backup may have been restored without any.
const NOTHING_SINCE_MS: i64 = 30 * DAY_MS;

pub async fn run(
    settings: &Settings,
    runtime: &Runtime,
    days: Option<u32>,
    as_json: bool,
) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let toss = app::open_gateway(settings, None)?;
    let scope = Scope {
        since: match days {
            Some(days) => Some(store.now().await?.plus_ms(-i64::from(days) * DAY_MS)),
            None => None,
        },
        history: settings.retention.history(),
        outbox: settings.retention.outbox(),
    };
    let from = match scope.since {
        Some(since) => since,
        None => {
            let nothing_since = store.now().await?.plus_ms(-NOTHING_SINCE_MS);
            collect::oldest(&store).await?.unwrap_or(nothing_since)
        }
    };
    let look = || look(&store, &toss, settings, (scope, from));
    let (mut read, first) = look().await?;
    let mut seen = TwiceSeen::default();
    if !first.is_empty() {
        tokio::time::sleep(SECOND_LOOK).await;
        let (again, second) = look().await?;
        let products = first.iter().chain(&second).filter_map(Violation::product);
        let products: BTreeSet<i64> = products.collect();
        seen = TwiceSeen::of(&first, second);
        read = again;
        hold_against_books(&store, &products, &mut seen).await;
    }
    let ok = seen.violations.is_empty() && read.unreadable.is_empty();
    match as_json {
        true => print_json(&read, &seen, days, ok),
        false => print(&read, &seen, days, ok),
    }
    Ok(ok)
}

/// Orders are read one after the other, and products after them: what sells meanwhile disagrees, and what is broken may agree
/// by chance. Their whole books decide. In a very large shop the database may not answer that in time; then the looks do.
async fn hold_against_books(store: &Store, products: &BTreeSet<i64>, seen: &mut TwiceSeen) {
    if products.is_empty() {
        return;
    }
    match collect::booked(store, products).await {
        Ok(violations) => {
            seen.moving.clear();
            seen.violations.retain(|seen| seen.product().is_none());
            seen.violations.extend(violations);
            seen.violations.sort();
        }
        Err(fault) => tracing::warn!(%fault, "the whole books of products could not be read"),
    }
}

fn print_json(read: &Read, seen: &TwiceSeen, days: Option<u32>, ok: bool) {
    let unreadable: Vec<_> = read
        .unreadable
        .iter()
        .map(|row| json!({"orderId": row.order_id, "why": row.why}))
        .collect();
    let report = json!({
        "ok": ok,
        "days": days,
        "orders": read.orders,
        "products": read.products,
        "othersAtToss": read.others,
        "stockCompared": days.is_none(),
        "violations": seen.violations,
        "moving": seen.moving,
        "unreadable": unreadable,
    });
    say!("{report:#}");
}

fn print(read: &Read, seen: &TwiceSeen, days: Option<u32>, ok: bool) {
    for row in &read.unreadable {
        say!("{}  cannot be read: {}", row.order_id, row.why);
    }
    for violation in &seen.violations {
        say!("{violation}");
    }
    if read.others > 0 {
        say!(
            "left out: {} approvals of orders that payonce cannot have named; somebody else sells on this Toss account",
            read.others
        );
    }
    for product in &seen.moving {
        say!("product {product}: it moved while it was read; its stock could not be compared");
    }
    let mut orders = match read.orders {
        1 => "1 order".to_owned(),
        orders => format!("{orders} orders"),
    };
    if let Some(days) = days {
        orders.push_str(&format!(" of {days} d, or approved in them"));
    }
    let left_out = match seen.moving.len() {
        0 => String::new(),
        1 => "; 1 product moved and was not compared".to_owned(),
        moving => format!("; {moving} products moved and were not compared"),
    };
    match ok {
        true => say!("{orders}: our record and Toss's ledger agree{left_out}"),
        false => say!(
            "{orders}: {} disagree{left_out}",
            seen.violations.len() + read.unreadable.len()
        ),
    }
}

async fn look(
    store: &Store,
    toss: &Toss,
    settings: &Settings,
    (scope, from): (Scope, Timestamp),
) -> anyhow::Result<(Read, Vec<Violation>)> {
    let now = store.now().await?;
    let ledger = ledger(toss, settings, from, now).await?;
    let terms = Terms {
        settled: false,
        settled_before: Some(now.plus_ms(-UNSETTLED_MS)),
        complete: true,
        ..Terms::default()
    };
    let mut comparison = Comparison::with(&ledger, terms);
    let mut read = collect::read_into(&mut comparison, store, scope).await?;
    read.others = ledger.others;
    Ok((read, comparison.end()))
}

/// Until now by the database's clock or by ours: this host may be behind.
async fn ledger(
    toss: &Toss,
    settings: &Settings,
    from: Timestamp,
    now: Timestamp,
) -> anyhow::Result<TossLedger> {
    if toss.kind() == GatewayKind::Sandbox {
        let base_url = app::gateway_url(settings);
        return Ok(collect::sandbox_ledger(&base_url).await?);
    }
    let ours = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let ours = Timestamp::from_micros(i64::try_from(ours.as_micros())?);
    Ok(collect::transactions(toss, from, now.max(ours)).await?)
}
