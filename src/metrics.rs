//! What the process does, counted: the series of `GET /metrics`. Every series is there from the start, at zero, so that
//! an alert on its absence means what it says.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{AtomicU64, GenericCounter};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use prometheus::Error as MetricsFault;

use crate::domain::Status;

mod labels;

pub use labels::{BreakerState, CallEnd, Operation, Shed, Table};

/// The breaker before the gateway, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub state: BreakerState,
    /// Times that it went from closed to open.
    pub openings: u64,
    /// Open because the gateway refuses our secret key.
    pub key_refused: bool,
}

/// A cheap clone of the one set of series of a process.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

struct Series {
    registry: Registry,
    transitions: IntCounterVec,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    batch_changes: Histogram,
    commit_seconds: Histogram,
    queue_seconds: Histogram,
    queued: IntGauge,
    breaker: IntGaugeVec,
    openings: IntCounter,
    key_refused: IntGauge,
    backlog: IntGauge,
    oldest: Gauge,
    unknown: IntGauge,
    quarantined: IntGauge,
    unwritten: IntGauge,
    gateway: IntGaugeVec,
    waiters: IntGauge,
    actors: IntGauge,
    shed: IntCounterVec,
    pruned: IntCounterVec,
}

/// From a commit of one change on a fast disk to the longest that a call to the gateway may take.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const CHANGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

impl Metrics {
    /// Fails only where two series bear one name.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let new = Register(Registry::new());
        let series = Series {
            transitions: new.counters("payonce_transitions_total", TRANSITIONS, &["from", "to"])?,
            calls: new.counters(
                "payonce_gateway_calls_total",
                CALLS,
                &["operation", "outcome"],
            )?,
            call_seconds: new.call_seconds()?,
            batch_changes: new.histogram("payonce_journal_batch_changes", BATCH, CHANGES)?,
            commit_seconds: new.histogram("payonce_journal_commit_seconds", COMMIT, SECONDS)?,
            queue_seconds: new.histogram("payonce_journal_queue_seconds", QUEUE, SECONDS)?,
            queued: new.gauge("payonce_journal_queued", QUEUED)?,
            breaker: new.gauges("payonce_breaker_state", BREAKER, "state")?,
            openings: new.counter("payonce_breaker_openings_total", OPENINGS)?,
            key_refused: new.gauge("payonce_gateway_key_refused", KEY_REFUSED)?,
            backlog: new.gauge("payonce_recovery_backlog", BACKLOG)?,
            oldest: new.oldest()?,
            unknown: new.gauge("payonce_unknown", UNKNOWN)?,
            quarantined: new.gauge("payonce_quarantined", QUARANTINED)?,
            unwritten: new.gauge("payonce_approvals_unwritten", UNWRITTEN)?,
            gateway: new.gauges("payonce_gateway", GATEWAY, "kind")?,
            waiters: new.gauge("payonce_waiters", WAITERS)?,
            actors: new.gauge("payonce_live_actors", ACTORS)?,
            shed: new.counters("payonce_shed_total", SHED, &["where"])?,
            pruned: new.counters("payonce_pruned_rows_total", PRUNED, &["table"])?,
            registry: new.0,
        };
        let metrics = Metrics(Arc::new(series));
        metrics.show_all_at_zero();
        Ok(metrics)
    }

    fn show_all_at_zero(&self) {
        for to in Status::ALL {
            let from = Status::ALL.into_iter().map(Some).chain([None]);
            from.for_each(|from| _ = self.transitions(from, to));
        }
        for operation in Operation::ALL {
            for end in CallEnd::of(operation) {
                _ = self.calls(operation, *end);
            }
            _ = self.0.call_seconds.with_label_values(&[operation.name()]);
        }
        for place in Shed::ALL {
            _ = self.0.shed.with_label_values(&[place.name()]);
        }
        for table in Table::ALL {
            self.pruned(table, 0);
        }
        self.breaker(Breaker {
            state: BreakerState::Closed,
            openings: 0,
            key_refused: false,
        });
        for kind in GATEWAYS {
            self.0.gateway.with_label_values(&[kind]).set(0);
        }
    }

    fn transitions(&self, from: Option<Status>, to: Status) -> GenericCounter<AtomicU64> {
        let from = from.map_or("", Status::name);
        self.0.transitions.with_label_values(&[from, to.name()])
    }

    fn calls(&self, operation: Operation, end: CallEnd) -> GenericCounter<AtomicU64> {
        let labels = [operation.name(), end.name()];
        self.0.calls.with_label_values(&labels)
    }

    /// A transition is durable; `from` is absent for a checkout.
    pub fn moved(&self, from: Option<Status>, to: Status) {
        self.transitions(from, to).inc();
    }

    pub fn called(&self, operation: Operation, end: CallEnd, took: Duration) {
        self.calls(operation, end).inc();
        let seconds = &self.0.call_seconds;
        seconds
            .with_label_values(&[operation.name()])
            .observe(took.as_secs_f64());
    }

    pub fn committed(&self, changes: usize, took: Duration) {
        self.0.batch_changes.observe(changes as f64);
        self.0.commit_seconds.observe(took.as_secs_f64());
    }

    /// A change left the journal's queue for a batch.
    pub fn dequeued(&self, waited: Duration) {
        self.0.queue_seconds.observe(waited.as_secs_f64());
    }

    pub fn queued(&self, changes: usize) {
        self.0
            .queued
            .set(i64::try_from(changes).unwrap_or(i64::MAX));
    }

    pub fn breaker(&self, now: Breaker) {
        for state in BreakerState::ALL {
            let gauge = self.0.breaker.with_label_values(&[state.name()]);
            gauge.set(i64::from(state == now.state));
        }
        let openings = &self.0.openings;
        openings.inc_by(now.openings.saturating_sub(openings.get()));
        self.0.key_refused.set(i64::from(now.key_refused));
    }

    /// How many unfinished payments are due, and how long the oldest of them has been.
    pub fn due(&self, count: u64, oldest: Duration) {
        self.0.backlog.set(whole(count));
        self.0.oldest.set(oldest.as_secs_f64());
    }

    /// How many payments nobody knows the outcome of, and how many wait for a human.
    pub fn unsettled(&self, unknown: u64, quarantined: u64) {
        self.0.unknown.set(whole(unknown));
        self.0.quarantined.set(whole(quarantined));
    }

    /// News of an approval that the database did not take at the first try, until the guard is dropped.
    pub fn unwritten_approval(&self) -> Present {
        Present::in_sight_of(&self.0.unwritten)
    }

    /// Which kind of gateway this process pays at, from its start to its end.
    pub fn pays_at(&self, kind: &str) {
        self.0.gateway.with_label_values(&[kind]).set(1);
    }

    /// A caller who waits, until the guard is dropped.
    pub fn waiter(&self) -> Present {
        Present::in_sight_of(&self.0.waiters)
    }

    /// A loaded PaymentActor, until the guard is dropped.
    pub fn actor(&self) -> Present {
        Present::in_sight_of(&self.0.actors)
    }

    pub fn shed(&self, place: Shed) {
        self.0.shed.with_label_values(&[place.name()]).inc();
    }

    /// Rows that housekeeping has deleted.
    pub fn pruned(&self, table: Table, rows: u64) {
        let pruned = &self.0.pruned;
        pruned.with_label_values(&[table.name()]).inc_by(rows);
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counted in a gauge for as long as it lives.
#[derive(Debug)]
pub struct Present(IntGauge);

impl Present {
    fn in_sight_of(gauge: &IntGauge) -> Present {
        gauge.inc();
        Present(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const TRANSITIONS: &str = "Durable transitions of payments; from is empty for a checkout.";
const CALLS: &str = "Calls to the gateway by what they came to; repeats count each.";
const CALL_SECONDS: &str = "How long calls to the gateway took.";
const BATCH: &str = "Changes in one commit of the journal.";
const COMMIT: &str = "How long one commit of the journal took.";
const QUEUE: &str = "How long a change waited for its batch.";
const QUEUED: &str = "Changes that wait in the journal's queue now.";
const BREAKER: &str = "1 for the state in which the breaker before the gateway is.";
const OPENINGS: &str = "Times that the breaker went from closed to open.";
const KEY_REFUSED: &str = "1 while the breaker is open because the gateway refuses our secret key.";
const BACKLOG: &str = "Unfinished payments whose time to be asked about has come.";
const OLDEST: &str = "For how long the oldest payment of the backlog has been due.";
const UNKNOWN: &str = "Payments whose outcome nobody knows yet; their stock is held.";
const QUARANTINED: &str = "Payments that wait for a human.";
const UNWRITTEN: &str =
    "Approvals that the gateway told of and the database has not taken at the first try.";
const GATEWAYS: [&str; 3] = ["sandbox", "test", "live"];
const GATEWAY: &str = "1 for the kind of gateway that payments are made at: sandbox, test or live.";
const WAITERS: &str = "Callers who wait for the outcome of a confirm.";
const ACTORS: &str = "PaymentActors that are loaded.";
const SHED: &str = "Requests turned away before anything was written.";
const PRUNED: &str = "Rows that were deleted because they were old enough.";

/// Makes series and enters them into the registry.
struct Register(Registry);

impl Register {
    fn enter<S>(&self, series: prometheus::Result<S>) -> prometheus::Result<S>
    where
        S: prometheus::core::Collector + Clone + 'static,
    {
        let series = series?;
        self.0.register(Box::new(series.clone()))?;
        Ok(series)
    }

    fn counters(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.enter(IntCounterVec::new(Opts::new(name, help), by))
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.enter(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.enter(IntGauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, at: &[f64]) -> prometheus::Result<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(at.to_vec());
        self.enter(Histogram::with_opts(opts))
    }

    fn call_seconds(&self) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new("payonce_gateway_call_seconds", CALL_SECONDS);
        self.enter(HistogramVec::new(
            opts.buckets(SECONDS.to_vec()),
            &["operation"],
        ))
    }

    fn gauges(&self, name: &str, help: &str, by: &str) -> prometheus::Result<IntGaugeVec> {
        self.enter(IntGaugeVec::new(Opts::new(name, help), &[by]))
    }

    fn oldest(&self) -> prometheus::Result<Gauge> {
        self.enter(Gauge::new("payonce_recovery_oldest_seconds", OLDEST))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// `name{labels} value` lines, without comments.
    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text().unwrap();
        let told = text.lines().filter(|line| !line.starts_with('#'));
        told.map(str::to_owned).collect()
    }

    #[test]
    fn every_series_is_there_at_zero_before_anything_happens() {
        let lines = lines(&Metrics::new().unwrap());
        let named = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(named("payonce_transitions_total{"), 7 * 8);
        assert_eq!(named("payonce_gateway_calls_total{"), 6 + 4 + 4);
        assert_eq!(named("payonce_gateway_call_seconds_count{"), 3);
        assert_eq!(named("payonce_breaker_state{"), 3);
        assert_eq!(named("payonce_shed_total{"), Shed::ALL.len());
        assert_eq!(named("payonce_pruned_rows_total{"), Table::ALL.len());
        for alone in [
            "payonce_journal_batch_changes_count 0",
            "payonce_journal_commit_seconds_count 0",
            "payonce_journal_queue_seconds_count 0",
            "payonce_journal_queued 0",
            "payonce_recovery_backlog 0",
            "payonce_recovery_oldest_seconds 0",
            "payonce_unknown 0",
            "payonce_quarantined 0",
            "payonce_approvals_unwritten 0",
            "payonce_breaker_openings_total 0",
            "payonce_gateway_key_refused 0",
            "payonce_waiters 0",
            "payonce_live_actors 0",
        ] {
            assert!(
                lines.iter().any(|line| line == alone),
                "{alone}\n{lines:#?}"
            );
        }
        // A closed breaker is the only thing that is so from the start.
        let on: Vec<_> = lines.iter().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(on, [r#"payonce_breaker_state{state="closed"} 1"#]);
    }

    #[test]
    fn what_leaves_is_not_counted_any_more() {
        let metrics = Metrics::new().unwrap();
        let (first, second) = (metrics.waiter(), metrics.waiter());
        drop(first);
        assert!(lines(&metrics).contains(&"payonce_waiters 1".to_owned()));
        drop(second);
        assert!(lines(&metrics).contains(&"payonce_waiters 0".to_owned()));
    }

    #[test]
    fn the_breaker_is_in_one_state_at_a_time() {
        let metrics = Metrics::new().unwrap();
        let stands = |state| Breaker {
            state,
            openings: 2,
            key_refused: false,
        };
        metrics.breaker(stands(BreakerState::Open));
        metrics.breaker(stands(BreakerState::HalfOpen));
        let lines = lines(&metrics);
        assert!(lines.contains(&"payonce_breaker_openings_total 2".to_owned()));
        let on = lines
            .iter()
            .filter(|line| line.starts_with("payonce_breaker_state"));
        let on: Vec<_> = on.filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(on, [r#"payonce_breaker_state{state="half_open"} 1"#]);
    }
}
