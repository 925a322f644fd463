//! `payonce audit`: our record against Toss's ledger. Beside a running server the two are read at different
//! moments, so what disagrees is looked at again before it is reported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::app;
use crate::audit::collect::{self, Collected};
use crate::audit::{Kept, Terms, TossLedger, Violation, compare};
use crate::domain::Timestamp;
use crate::gateway::{GatewayKind, Toss};
use crate::settings::Settings;
use crate::store::{Opened, Store};

/// An order that moved between the two readings has come to rest by then, or moves on and is read anew.
const SECOND_LOOK: Duration = Duration::from_secs(2);

pub async fn run(settings: &Settings, runtime: &Runtime, as_json: bool) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let toss = app::open_gateway(settings, None)?;
    let (mut collected, mut violations) = look(&store, &toss, settings).await?;
    if !violations.is_empty() {
        tokio::time::sleep(SECOND_LOOK).await;
        let (again, still) = look(&store, &toss, settings).await?;
        violations.retain(|violation| still.contains(violation));
        collected = again;
    }
    let (orders, unreadable) = (collected.ours.orders.len(), &collected.unreadable);
    let ok = violations.is_empty() && unreadable.is_empty();
    if as_json {
        let unreadable: Vec<_> = unreadable
            .iter()
            .map(|row| json!({"orderId": row.order_id, "why": row.why}))
            .collect();
        let report = json!({
            "ok": ok,
            "orders": orders,
            "products": collected.ours.products.len(),
            "violations": violations,
            "unreadable": unreadable,
        });
        println!("{report:#}");
        return Ok(ok);
    }
    for row in unreadable {
        println!("{}  cannot be read: {}", row.order_id, row.why);
    }
    for violation in &violations {
        println!("{violation}");
    }
    match ok {
        true => println!("{orders} orders: our record and Toss's ledger agree"),
        false => println!(
            "{orders} orders: {} disagree",
            violations.len() + unreadable.len()
        ),
    }
    Ok(ok)
}

async fn look(
    store: &Store,
    toss: &Toss,
    settings: &Settings,
) -> anyhow::Result<(Collected, Vec<Violation>)> {
    let collected = collect::our_record(store).await?;
    let ledger = ledger(toss, settings, collected.since).await?;
    let terms = Terms {
        settled: false,
        complete: true,
        kept: kept(store, settings).await?,
    };
    let violations = compare(&collected.ours, &ledger, terms);
    Ok((collected, violations))
}

/// By the settings of this process, and by the clock that those go by who delete.
async fn kept(store: &Store, settings: &Settings) -> anyhow::Result<Kept> {
    let now = store.now().await?;
    let ago = |kept: Duration| {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        now.plus_ms(-kept_ms)
    };
    Ok(Kept {
        history_since: settings.retention.history().map(ago),
        outbox_since: settings.retention.outbox().map(ago),
    })
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
