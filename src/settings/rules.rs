//! What the settings must be, alone and together. A forgotten Toss key must stop a production start, never
//! approve for free.

use std::ops::RangeInclusive;

use tracing_subscriber::EnvFilter;

use super::layers::as_variable;
use super::{Purpose, Settings, SettingsFault, is_loopback_url};

mod money;

const HOUR_MS: u64 = 3_600_000;

pub fn check(settings: &Settings, purpose: Purpose) -> Result<(), SettingsFault> {
    ranges(settings)?;
    relations(settings)?;
    match purpose {
        Purpose::Serving => {
            who_may_call(settings)?;
            money::where_it_moves(settings)?;
            money::who_sets_prices(settings)
        }
        Purpose::Payments => money::where_it_moves(settings),
        Purpose::Records => Ok(()),
    }
}

fn wrong(name: &str, wants: impl Into<String>, got: Option<String>) -> SettingsFault {
    SettingsFault::Wrong {
        name: as_variable(name),
        wants: wants.into(),
        got,
    }
}

fn within(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), SettingsFault> {
    if range.contains(&value) {
        return Ok(());
    }
    let wants = format!("{} to {}", range.start(), range.end());
    Err(wrong(name, wants, Some(value.to_string())))
}

fn ranges(s: &Settings) -> Result<(), SettingsFault> {
    door_ranges(s)?;
    work_ranges(s)?;
    world_ranges(s)
}

fn server_ranges(s: &Settings) -> Result<(), SettingsFault> {
    let server = &s.server;
    let million = 1..=1_000_000;
    within("server.workers", server.workers.unwrap_or(1) as u64, 1..=64)?;
    within(
        "server.max_connections",
        server.max_connections as u64,
        million.clone(),
    )?;
    within("server.keep_alive_ms", server.keep_alive_ms, 100..=HOUR_MS)?;
    within(
        "server.head_timeout_ms",
        server.head_timeout_ms,
        100..=120_000,
    )?;
    within(
        "server.body_timeout_ms",
        server.body_timeout_ms,
        100..=120_000,
    )?;
    within("server.max_in_flight", server.max_in_flight as u64, million)?;
    within(
        "server.max_confirms",
        s.max_confirms() as u64,
        1..=1_000_000,
    )?;
    within(
        "server.body_limit_bytes",
        server.body_limit_bytes as u64,
        1_024..=16_777_216,
    )?;
    within("server.shutdown_ms", server.shutdown_ms, 1..=HOUR_MS)
}

fn door_ranges(s: &Settings) -> Result<(), SettingsFault> {
    server_ranges(s)?;
    within("database.readers", u64::from(s.database.readers), 1..=256)?;
    within(
        "database.busy_timeout_ms",
        s.database.busy_timeout_ms,
        1..=60_000,
    )?;
    within(
        "checkout.expires_after_s",
        s.checkout.expires_after_s,
        1..=86_400,
    )?;
    within("confirm.patience_ms", s.confirm.patience_ms, 1..=120_000)?;
    within(
        "confirm.flight_budget_ms",
        s.confirm.flight_budget_ms,
        1..=120_000,
    )?;
    within("confirm.tries", s.confirm.tries as u64, 1..=10)?;
    within("confirm.window_s", s.confirm.window_s, 1..=86_400)?;
    within(
        "confirm.max_waiters",
        s.confirm.max_waiters as u64,
        1..=1_000_000,
    )
}

fn work_ranges(s: &Settings) -> Result<(), SettingsFault> {
    within("journal.batch", s.journal.batch as u64, 1..=4_096)?;
    within("journal.queue", s.journal.queue as u64, 1..=1_000_000)?;
    within("products.recheck_ms", s.products.recheck_ms, 1..=60_000)?;
    within("recovery.tick_ms", s.recovery.tick_ms, 10..=60_000)?;
    within(
        "recovery.backoff_min_ms",
        s.recovery.backoff_min_ms,
        1..=HOUR_MS,
    )?;
    within(
        "recovery.backoff_max_ms",
        s.recovery.backoff_max_ms,
        1..=24 * HOUR_MS,
    )?;
    within(
        "recovery.questions",
        u64::from(s.recovery.questions),
        1..=1_000,
    )?;
    within("recovery.batch", s.recovery.batch as u64, 1..=10_000)?;
    within(
        "recovery.per_second",
        s.recovery.per_second as u64,
        50..=100_000,
    )?;
    within(
        "recovery.quarantine_ask_s",
        s.recovery.quarantine_ask_s,
        1..=86_400,
    )?;
    retention_ranges(s)?;
    within("actors.idle_s", s.actors.idle_s, 1..=86_400)?;
    within(
        "actors.shards",
        s.actors.shards.unwrap_or(1) as u64,
        1..=256,
    )?;
    within("actors.loading", s.actors.loading as u64, 1..=1_000_000)
}

/// Nothing that happened is forgotten within a day: nodes that doubt what they wrote, and Toss itself, still ask about it.
fn retention_ranges(s: &Settings) -> Result<(), SettingsFault> {
    let keep = &s.retention;
    let century = 0..=36_500;
    within("retention.history_days", keep.history_days, century.clone())?;
    within("retention.outbox_days", keep.outbox_days, century)?;
    within("retention.batch", u64::from(keep.batch), 1..=10_000)?;
    within("retention.pause_ms", keep.pause_ms, 1..=HOUR_MS)?;
    within("retention.every_s", keep.every_s, 1..=86_400)
}

fn world_ranges(s: &Settings) -> Result<(), SettingsFault> {
    within("node.heartbeat_ms", s.node.heartbeat_ms, 50..=60_000)?;
    within("node.dead_after_ms", s.node.dead_after_ms, 200..=HOUR_MS)?;
    within(
        "toss.connect_timeout_ms",
        s.toss.connect_timeout_ms,
        1..=60_000,
    )?;
    within("toss.read_timeout_ms", s.toss.read_timeout_ms, 1..=120_000)?;
    let calls = u64::from(s.toss.calls_per_minute.unwrap_or(1));
    within("toss.calls_per_minute", calls, 1..=u64::from(u32::MAX))?;
    within("toss.concurrency", s.toss.concurrency as u64, 1..=100_000)?;
    within(
        "toss.admission_wait_ms",
        s.toss.admission_wait_ms,
        1..=60_000,
    )?;
    within("toss.waiting", s.toss.waiting as u64, 0..=100_000)?;
    within(
        "toss.recovery_share_percent",
        u64::from(s.toss.recovery_share_percent),
        1..=100,
    )?;
    breaker_ranges(s)
}

fn breaker_ranges(s: &Settings) -> Result<(), SettingsFault> {
    let breaker = &s.breaker;
    let million = 1..=1_000_000;
    within(
        "breaker.failures",
        u64::from(breaker.failures),
        million.clone(),
    )?;
    within(
        "breaker.failure_percent",
        u64::from(breaker.failure_percent),
        1..=100,
    )?;
    within("breaker.sample", u64::from(breaker.sample), million)?;
    within("breaker.window_ms", breaker.window_ms, 100..=HOUR_MS)?;
    within("breaker.open_ms", breaker.open_ms, 10..=HOUR_MS)?;
    within("breaker.open_max_ms", breaker.open_max_ms, 10..=HOUR_MS)?;
    within("breaker.probes", u64::from(breaker.probes), 1..=100)?;
    within("breaker.probe_ms", breaker.probe_ms, 10..=120_000)?;
    within("breaker.trial", u64::from(breaker.trial), 1..=100_000)
}

fn relations(s: &Settings) -> Result<(), SettingsFault> {
    if s.recovery.backoff_min_ms > s.recovery.backoff_max_ms {
        let wants = format!(
            "at least recovery.backoff_min_ms, {}",
            s.recovery.backoff_min_ms
        );
        let got = Some(s.recovery.backoff_max_ms.to_string());
        return Err(wrong("recovery.backoff_max_ms", wants, got));
    }
    if s.breaker.open_ms > s.breaker.open_max_ms {
        let wants = format!("at least breaker.open_ms, {}", s.breaker.open_ms);
        let got = Some(s.breaker.open_max_ms.to_string());
        return Err(wrong("breaker.open_max_ms", wants, got));
    }
    // Four beats may be lost before a live node counts as dead.
    if s.node.dead_after_ms < 4 * s.node.heartbeat_ms {
        let wants = format!("at least four heartbeats, {}", 4 * s.node.heartbeat_ms);
        return Err(wrong(
            "node.dead_after_ms",
            wants,
            Some(s.node.dead_after_ms.to_string()),
        ));
    }
    database(s)?;
    let url = &s.toss.base_url;
    let stays_here = url.starts_with("http://") && is_loopback_url(url);
    if !url.starts_with("https://") && !stays_here {
        let wants = "https://..., or http:// on loopback";
        let got = Some(url.clone()).filter(|url| !url.contains('@'));
        return Err(wrong("toss.base_url", wants, got));
    }
    money::window(s)?;
    let addresses_differ = s.server.bind != s.sandbox.bind || s.server.bind.port() == 0;
    if !addresses_differ {
        let wants = "another address than server.bind";
        return Err(wrong(
            "sandbox.bind",
            wants,
            Some(s.sandbox.bind.to_string()),
        ));
    }
    if !s.sandbox.bind.ip().is_loopback() {
        let wants = "a loopback address: whoever reaches it approves payments for free";
        return Err(wrong(
            "sandbox.bind",
            wants,
            Some(s.sandbox.bind.to_string()),
        ));
    }
    words(s)
}

fn database(s: &Settings) -> Result<(), SettingsFault> {
    const SCHEMES: [&str; 5] = [
        "sqlite:",
        "postgres://",
        "postgresql://",
        "mysql://",
        "mariadb://",
    ];
    let url = &s.database.url;
    let known = SCHEMES.iter().any(|scheme| url.starts_with(scheme));
    if known && !url.contains(":memory:") {
        return Ok(());
    }
    let wants =
        "sqlite://FILE, postgres://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME";
    let got = Some(s.database.url_without_password());
    Err(wrong("database.url", wants, got))
}

fn words(s: &Settings) -> Result<(), SettingsFault> {
    for origin in &s.server.allowed_origins {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*'])) {
            let wants = "origins as browsers send them, https://shop.example, or nothing for any";
            return Err(wrong("server.allowed_origins", wants, Some(origin.clone())));
        }
    }
    if let Some(name) = &s.node.name {
        let visible = name.bytes().all(|b| b.is_ascii_graphic());
        if !(1..=100).contains(&name.len()) || !visible {
            let wants = "1 to 100 visible ASCII characters";
            return Err(wrong("node.name", wants, Some(name.clone())));
        }
    }
    let filter = EnvFilter::try_new(&s.log.filter);
    if s.log.filter.trim().is_empty() || filter.is_err() {
        let wants = "error, warn, info, debug, trace, or a filter of tracing";
        return Err(wrong("log.filter", wants, Some(s.log.filter.clone())));
    }
    Ok(())
}

fn who_may_call(s: &Settings) -> Result<(), SettingsFault> {
    if s.server.bind.ip().is_loopback() || !s.server.api_keys.is_empty() {
        return Ok(());
    }
    let bind = s.server.bind;
    let wants = format!("at least one key (`payonce key new`), because {bind} is not loopback");
    Err(wrong("server.api_keys", wants, None))
}
