//! `payonce audit`: our record against Toss's ledger. Beside a running server the two are read at different
//! moments, so what disagrees is looked at again before it is reported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::app;
use crate::audit::collect::{self, Read, Scope};
use crate::audit::{Comparison, Terms, TossLedger, Violation};
use crate::domain::Timestamp;
use crate::gateway::{GatewayKind, Toss};
use crate::settings::Settings;
use crate::store::{Opened, Store};

/// An order that moved between the two readings has come to rest by then, or moves on and is read anew.
const SECOND_LOOK: Duration = Duration::from_secs(2);

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// So far Toss's clock may be behind those that name our orders.
const CLOCKS_APART_MS: i64 = 60 * 60 * 1_000;

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
    let (mut read, mut violations) = look(&store, &toss, settings, scope).await?;
    if !violations.is_empty() {
        tokio::time::sleep(SECOND_LOOK).await;
        let (again, still) = look(&store, &toss, settings, scope).await?;
        // Both are sorted.
        violations.retain(|violation| still.binary_search(violation).is_ok());
        read = again;
    }
    let ok = violations.is_empty() && read.unreadable.is_empty();
    match as_json {
        true => print_json(&read, &violations, ok),
        false => print(&read, &violations, ok),
    }
    Ok(ok)
}

fn print_json(read: &Read, violations: &[Violation], ok: bool) {
    let unreadable: Vec<_> = read
        .unreadable
        .iter()
        .map(|row| json!({"orderId": row.order_id, "why": row.why}))
        .collect();
    let report = json!({
        "ok": ok,
        "orders": read.orders,
        "products": read.products,
        "violations": violations,
        "unreadable": unreadable,
    });
    println!("{report:#}");
}

fn print(read: &Read, violations: &[Violation], ok: bool) {
    for row in &read.unreadable {
        println!("{}  cannot be read: {}", row.order_id, row.why);
    }
    for violation in violations {
        println!("{violation}");
    }
    let orders = read.orders;
    match ok {
        true => println!("{orders} orders: our record and Toss's ledger agree"),
        false => println!(
            "{orders} orders: {} disagree",
            violations.len() + read.unreadable.len()
        ),
    }
}

async fn look(
    store: &Store,
    toss: &Toss,
    settings: &Settings,
    scope: Scope,
) -> anyhow::Result<(Read, Vec<Violation>)> {
    let from = match scope.since {
        Some(since) => Some(since.plus_ms(-CLOCKS_APART_MS)),
        None => collect::oldest(store).await?,
    };
    let ledger = ledger(toss, settings, from).await?;
    let terms = Terms {
        settled: false,
        complete: true,
        ..Terms::default()
    };
    let mut comparison = Comparison::with(&ledger, terms);
    let read = collect::read_into(&mut comparison, store, scope).await?;
    Ok((read, comparison.end()))
}

async fn ledger(
    toss: &Toss,
    settings: &Settings,
    since: Option<Timestamp>,
) -> anyhow::Result<TossLedger> {
    if toss.kind() == GatewayKind::Sandbox {
        let base_url = app::gateway_url(settings);
        return Ok(collect::sandbox_ledger(&base_url).await?);
    }
    let Some(since) = since else {
        return Ok(TossLedger::default());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp::from_micros(i64::try_from(now.as_micros())?);
    Ok(collect::transactions(toss, since, now).await?)
}
