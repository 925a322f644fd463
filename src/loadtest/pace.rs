//! How calls leave: by callers who wait for an answer before they call again, or by the clock, whatever the
//! answers do.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

/// Microseconds, three digits, up to two minutes: twice what any call may take.
pub type Latencies = Histogram<u64>;

pub fn latencies() -> anyhow::Result<Latencies> {
    Ok(Histogram::new_with_bounds(1, 120_000_000, 3)?)
}

pub fn record(latencies: &mut Latencies, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// When a call leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As soon as a caller has its last answer.
    Closed,
    /// This many a second, on a fixed schedule. A call that leaves late because every caller still waits is timed
    /// from the instant at which it should have left: a server that stalls cannot hide the calls it held up.
    Open(f64),
}

/// What a round of calls gave.
pub struct Lap<T> {
    /// One per job, in the order of the jobs.
    pub results: Vec<T>,
    pub latencies: Latencies,
    pub took: Duration,
}

/// A result and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Timed<T> {
    pub result: T,
    pub latency: Duration,
}

struct Caller<T> {
    results: Vec<(usize, T)>,
    latencies: Latencies,
}

/// Jobs 0 to `jobs` - 1, each once, by at most `callers` callers at a time.
pub async fn closed_loop<T, Job, Answer>(
    title: &'static str,
    jobs: usize,
    callers: usize,
    job: Job,
) -> anyhow::Result<Lap<T>>
where
    T: Send + 'static,
    Job: Fn(usize) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = T> + Send + 'static,
{
    let lap = paced(title, jobs, callers, Pace::Closed, job).await?;
    Ok(Lap {
        results: lap.results.into_iter().map(|timed| timed.result).collect(),
        latencies: lap.latencies,
        took: lap.took,
    })
}

/// As [`closed_loop`], at a pace, and with the latency of each job beside its result.
pub async fn paced<T, Job, Answer>(
    title: &'static str,
    jobs: usize,
    callers: usize,
    pace: Pace,
    job: Job,
) -> anyhow::Result<Lap<Timed<T>>>
where
    T: Send + 'static,
    Job: Fn(usize) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = T> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    let mut all = latencies()?;
    let started = Instant::now();
    for _ in 0..callers.min(jobs) {
        let (next, job, own) = (Arc::clone(&next), job.clone(), latencies()?);
        crowd.spawn(call_until_done(
            next,
            jobs,
            Schedule { started, pace },
            job,
            own,
        ));
    }
    let bar = progress_bar(title, jobs);
    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut results = Vec::with_capacity(jobs);
    loop {
        tokio::select! {
            ended = crowd.join_next() => {
                let Some(caller) = ended else { break };
                let caller: Caller<Timed<T>> = caller?;
                all.add(&caller.latencies)?;
                results.extend(caller.results);
            }
            _ = tick.tick() => bar.set_position(next.load(Ordering::Relaxed) as u64),
        }
    }
    let took = started.elapsed();
    bar.finish_and_clear();
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(Lap {
        results: results.into_iter().map(|(_, result)| result).collect(),
        latencies: all,
        took,
    })
}

#[derive(Clone, Copy)]
struct Schedule {
    started: Instant,
    pace: Pace,
}

impl Schedule {
    /// Waits for the job's turn; from when on it is timed.
    async fn turn_of(self, job: usize) -> Instant {
        match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(per_second) => {
                let due = self.started + Duration::from_secs_f64(job as f64 / per_second);
                sleep_until(due.into()).await;
                due
            }
        }
    }
}

async fn call_until_done<T, Job, Answer>(
    next: Arc<AtomicUsize>,
    jobs: usize,
    schedule: Schedule,
    job: Job,
    latencies: Latencies,
) -> Caller<Timed<T>>
where
    Job: Fn(usize) -> Answer,
    Answer: Future<Output = T>,
{
    let mut caller = Caller {
        results: Vec::new(),
        latencies,
    };
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= jobs {
            return caller;
        }
        let due = schedule.turn_of(at).await;
        let result = job(at).await;
        let latency = due.elapsed();
        record(&mut caller.latencies, latency);
        caller.results.push((at, Timed { result, latency }));
    }
}

/// On standard error, and only where a person watches.
pub fn progress_bar(title: &'static str, length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(title);
    match ProgressStyle::with_template("{msg:<12} {bar:32} {human_pos}/{human_len}  {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_job_runs_once_and_no_more_than_the_callers_at_a_time() {
        let busy = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        let lap = closed_loop("test", 500, 7, move |at| {
            let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
            async move {
                let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_micros(200)).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                at
            }
        });
        let lap = lap.await.unwrap();
        assert_eq!(lap.results, Vec::from_iter(0..500));
        assert_eq!(lap.latencies.len(), 500);
        assert!(lap.latencies.min() >= 200);
        assert!((2..=7).contains(&seen.load(Ordering::SeqCst)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_stalls_cannot_hide_the_calls_that_it_held_up() {
        let job = |at| async move {
            let stall = if at == 0 { 300 } else { 0 };
            tokio::time::sleep(Duration::from_millis(stall)).await;
        };
        // One caller, 100 calls due within the stall of the first: each of them was late.
        let open = paced("test", 100, 1, Pace::Open(1_000.0), job)
            .await
            .unwrap();
        assert!(open.results[99].latency >= Duration::from_millis(200));
        assert!(open.latencies.value_at_quantile(0.5) >= 200_000);
        // The closed loop asks once, waits, and calls the other 99 quick.
        let closed = paced("test", 100, 1, Pace::Closed, job).await.unwrap();
        assert!(closed.results[0].latency >= Duration::from_millis(300));
        assert!(closed.latencies.value_at_quantile(0.5) < 200_000);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_clock_sets_the_pace_and_not_the_answers() {
        let job = |_| tokio::time::sleep(Duration::from_millis(50));
        let lap = paced("test", 100, 100, Pace::Open(500.0), job)
            .await
            .unwrap();
        // The last of 100 calls leaves after 198 ms; one after the other they would take 5 s.
        assert!(
            lap.took >= Duration::from_millis(198 + 50),
            "{:?}",
            lap.took
        );
        assert!(lap.took < Duration::from_secs(4), "{:?}", lap.took);
    }

    #[tokio::test]
    async fn nothing_to_do_ends_at_once() {
        let lap = closed_loop("test", 0, 4, |at| async move { at }).await;
        assert!(lap.unwrap().results.is_empty());
    }
}
