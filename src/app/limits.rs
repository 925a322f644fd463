//! What the settings say, in the words of the rooms that go by it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::actors::{
    BreakerRules, CheckoutRules, Clock, CrewSettings, DoorBounds, FlightLimits, JournalLimits,
    RecoveryLimits, RetentionLimits, ShardLimits, TossLimits,
};
use crate::domain::Rules;
use crate::gateway::GatewayKind;
use crate::http::DoorSettings;
use crate::metrics::Metrics;
use crate::settings::{ApiKeyHash, Settings};

/// The numbers behind the payment's rules.
pub fn rules(settings: &Settings) -> Rules {
    let (confirm, recovery) = (&settings.confirm, &settings.recovery);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Rules {
        confirm_window_ms: signed(confirm.window_s.saturating_mul(1_000)),
        questions: recovery.questions,
        backoff_min_ms: signed(recovery.backoff_min_ms),
        backoff_max_ms: signed(recovery.backoff_max_ms),
        quarantine_ask_ms: signed(recovery.quarantine_ask_s.saturating_mul(1_000)),
    }
}

pub(super) fn door_settings(
    settings: &Settings,
    kind: GatewayKind,
    token_secret: [u8; 32],
    metrics: Metrics,
) -> DoorSettings {
    DoorSettings {
        bind: settings.server.bind,
        api_keys: settings
            .server
            .api_keys
            .iter()
            .map(ApiKeyHash::bytes)
            .collect(),
        allow_anonymous: settings.allow_anonymous(),
        allowed_origins: settings.server.allowed_origins.clone(),
        workers: settings.server.workers.unwrap_or_else(|| cores().min(2)),
        max_connections: settings.server.max_connections,
        keep_alive: Duration::from_millis(settings.server.keep_alive_ms),
        head_timeout: Duration::from_millis(settings.server.head_timeout_ms),
        body_timeout: Duration::from_millis(settings.server.body_timeout_ms),
        max_in_flight: settings.server.max_in_flight,
        body_limit_bytes: settings.server.body_limit_bytes,
        patience: Duration::from_millis(settings.confirm.patience_ms),
        shutdown_s: settings.server.shutdown_ms.div_ceil(1_000),
        token_secret,
        gateway: kind.name(),
        metrics,
    }
}

pub(super) fn crew_settings(settings: &Settings, clock: Clock, demo_data: bool) -> CrewSettings {
    let ms = Duration::from_millis;
    let (confirm, recovery, toss) = (&settings.confirm, &settings.recovery, &settings.toss);
    CrewSettings {
        clock,
        flight: FlightLimits {
            budget: ms(confirm.flight_budget_ms),
            call: ms(toss.connect_timeout_ms + toss.read_timeout_ms),
        },
        toss: toss_limits(settings),
        journal: JournalLimits {
            batch: settings.journal.batch,
            queue: settings.journal.queue,
        },
        shard: ShardLimits {
            idle: Duration::from_secs(settings.actors.idle_s),
            loading: settings.actors.loading,
        },
        recovery: RecoveryLimits {
            tick: ms(recovery.tick_ms),
            batch: recovery.batch,
            per_second: recovery.per_second,
        },
        retention: retention_limits(settings),
        checkout: CheckoutRules {
            expires_after: Duration::from_secs(settings.checkout.expires_after_s),
            known_users_only: settings.checkout.known_users_only.unwrap_or(demo_data),
        },
        door: DoorBounds {
            confirms: settings.max_confirms(),
            readers: (settings.server.max_in_flight / 8).max(1),
        },
        shards: settings
            .actors
            .shards
            .unwrap_or_else(|| (cores() / 2).max(1)),
        most_waiters: confirm.max_waiters,
        product_recheck: ms(settings.products.recheck_ms),
        node_name: settings.node_name().into(),
        heartbeat: ms(settings.node.heartbeat_ms),
        dead_after: ms(settings.node.dead_after_ms),
    }
}

fn retention_limits(settings: &Settings) -> RetentionLimits {
    let kept = &settings.retention;
    RetentionLimits {
        history: kept.history(),
        outbox: kept.outbox(),
        batch: kept.batch,
        pause: Duration::from_millis(kept.pause_ms),
        every: Duration::from_secs(kept.every_s),
    }
}

fn toss_limits(settings: &Settings) -> TossLimits {
    let ms = Duration::from_millis;
    let (confirm, toss, breaker) = (&settings.confirm, &settings.toss, &settings.breaker);
    TossLimits {
        concurrency: toss.concurrency,
        calls_per_minute: settings.calls_per_minute().and_then(NonZeroU32::new),
        admission_wait: ms(toss.admission_wait_ms),
        waiting: toss.waiting,
        recovery_share_percent: toss.recovery_share_percent,
        tries: confirm.tries,
        repeat_within: ms(confirm.flight_budget_ms),
        breaker: BreakerRules {
            failures: breaker.failures,
            failure_percent: breaker.failure_percent,
            sample: breaker.sample,
            window: ms(breaker.window_ms),
            open: ms(breaker.open_ms),
            open_max: ms(breaker.open_max_ms),
            probes: breaker.probes,
            probe: ms(breaker.probe_ms),
            trial: breaker.trial,
        },
        // Long enough for the timer to have looked once.
        probe_patience: ms(settings.recovery.tick_ms + 100),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
