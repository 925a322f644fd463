//! The closed loop: a fixed number of callers, each of whom waits for an answer before it calls again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Microseconds, three digits, up to two minutes: twice what any call may take.
pub type Latencies = Histogram<u64>;

pub fn latencies() -> anyhow::Result<Latencies> {
    Ok(Histogram::new_with_bounds(1, 120_000_000, 3)?)
}

pub fn record(latencies: &mut Latencies, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// What a round of calls gave.
pub struct Lap<T> {
    /// One per job, in the order of the jobs.
    pub results: Vec<T>,
    pub latencies: Latencies,
    pub took: Duration,
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
    let next = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    let mut all = latencies()?;
    let started = Instant::now();
    for _ in 0..callers.min(jobs) {
        let (next, job, own) = (Arc::clone(&next), job.clone(), latencies()?);
        crowd.spawn(call_until_done(next, jobs, job, own));
    }
    let bar = progress_bar(title, jobs);
    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut results = Vec::with_capacity(jobs);
    loop {
        tokio::select! {
            ended = crowd.join_next() => {
                let Some(caller) = ended else { break };
                let caller: Caller<T> = caller?;
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

async fn call_until_done<T, Job, Answer>(
    next: Arc<AtomicUsize>,
    jobs: usize,
    job: Job,
    latencies: Latencies,
) -> Caller<T>
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
        let called = Instant::now();
        let result = job(at).await;
        record(&mut caller.latencies, called.elapsed());
        caller.results.push((at, result));
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

    #[tokio::test]
    async fn nothing_to_do_ends_at_once() {
        let lap = closed_loop("test", 0, 4, |at| async move { at }).await;
        assert!(lap.unwrap().results.is_empty());
    }
}
