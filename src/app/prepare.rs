//! What must be so, and is done, before anybody is served.

use std::time::{Duration, Instant};

use super::AppFault;
use crate::actors::Clock;
use crate::domain::Incarnation;
use crate::settings::is_loopback_url;
use crate::store::{Store, StoreFault};

/// Orders that a start looks at to see which Toss they were tried at.
const NEWEST: u32 = 100;

pub(super) struct Preparing {
    pub store: Store,
    /// A sandbox will approve, and nobody has asked for one.
    pub for_free: bool,
    pub demo_data: bool,
    pub incarnation: Incarnation,
    pub dead_after: Duration,
    pub clock: Clock,
}

/// What the database needs before anybody is served. Returns the secret that order tokens are made with.
pub(super) async fn prepare(what: Preparing) -> Result<[u8; 32], AppFault> {
    let Preparing {
        store,
        for_free,
        demo_data,
        incarnation,
        dead_after,
        clock,
    } = what;
    store.migrate().await?;
    fault_point!(Migrated);
    if for_free && let Some(gateway) = paid_elsewhere(&store).await? {
        return Err(AppFault::KeyForgotten(gateway));
    }
    if demo_data && store.load_demo_data().await? {
        tracing::info!("demo users and products are in");
    }
    fault_point!(DemoDataIn);
    // By the database's clock, as everywhere that several nodes must agree.
    let asked = Instant::now();
    let now = store.now().await?;
    if store.is_shared() {
        clock.start(now, asked);
    }
    let orphans = store.make_orphans_due(incarnation, now, dead_after).await;
    fault_point!(OrphansDue);
    match orphans {
        Ok(0) => {}
        Ok(orphans) => tracing::info!(
            orphans,
            "unfinished payments of a former incarnation are asked about first"
        ),
        // They are due when their claims end.
        Err(fault) => tracing::warn!(%fault, "what the dead were asking could not be made due"),
    }
    Ok(store.secret("order-token").await?)
}

/// The Toss beyond this machine at which one of the newest orders was tried, if any was.
async fn paid_elsewhere(store: &Store) -> Result<Option<String>, StoreFault> {
    for order in store.recent(NEWEST).await? {
        let payment = match store.load(order.order).await {
            Ok(Some(payment)) => payment,
            // The audit names it.
            Ok(None) | Err(StoreFault::Broken { .. }) => continue,
            Err(fault) => return Err(fault),
        };
        for attempt in payment.attempts {
            let gateway = attempt.gateway.to_string();
            let base = gateway.split('#').next().unwrap_or_default();
            if base.starts_with("https://") && !is_loopback_url(base) {
                return Ok(Some(base.to_owned()));
            }
        }
    }
    Ok(None)
}
