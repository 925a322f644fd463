//! How calls leave: by callers who wait for an answer before they call again, or by the clock, whatever the
//! answers do; at full size from the start or after a ramp; until all jobs are done or the time is over.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::loadtest::measure::{CpuPercent, CpuTime};

/// When a call leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As soon as a caller has its last answer.
    Closed,
    /// This many a second, on a fixed schedule. A call that leaves late because every caller still waits is timed
    /// from the instant at which it should have left: a server that stalls cannot hide the calls it held up.
    Open(f64),
}

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub callers: usize,
    pub pace: Pace,
    /// Until the load has its full size.
    pub ramp: Duration,
    /// After this nothing leaves any more, whatever is left to do.
    pub lasts: Option<Duration>,
}

impl Load {
    pub fn closed(callers: usize) -> Load {
        Load {
            callers,
            pace: Pace::Closed,
            ramp: Duration::ZERO,
            lasts: None,
        }
    }

    /// When a call should leave by the clock, counted from the start: during the ramp the rate grows evenly.
    fn due(&self, rate: f64, job: usize) -> Duration {
        let (job, ramp) = (job as f64, self.ramp.as_secs_f64());
        let in_ramp = rate * ramp / 2.0;
        Duration::from_secs_f64(if job < in_ramp {
            (2.0 * job * ramp / rate).sqrt()
        } else {
            ramp + (job - in_ramp) / rate
        })
    }

    /// How many calls should leave before so much time is over.
    pub fn due_within(&self, rate: f64, time: Duration) -> usize {
        let (time, ramp) = (time.as_secs_f64(), self.ramp.as_secs_f64());
        let calls = if time < ramp {
            rate * time * time / (2.0 * ramp)
        } else {
            rate * (time - ramp / 2.0)
        };
        calls.ceil() as usize
    }
}

/// What a round of calls gave.
pub struct Lap<T> {
    /// One per job, in the order of the jobs.
    pub results: Vec<Timed<T>>,
    pub took: Duration,
    pub cpu: Option<CpuPercent>,
}

/// A result, and its call's times since the round began.
#[derive(Clone, Copy, Debug)]
pub struct Timed<T> {
    pub result: T,
    pub due: Duration,
    pub left: Duration,
    /// From when it was due to the answer.
    pub latency: Duration,
}

impl<T> Timed<T> {
    pub fn map<U>(self, reading: impl FnOnce(T) -> U) -> Timed<U> {
        Timed {
            result: reading(self.result),
            due: self.due,
            left: self.left,
            latency: self.latency,
        }
    }
}

/// A job whose time has come.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub at: usize,
    started: Instant,
    due: Instant,
    left: Instant,
}

impl Turn {
    /// Here the clock stops: what the job does after it is not timed.
    pub fn answered<T>(self, result: T) -> Timed<T> {
        Timed {
            result,
            due: self.due - self.started,
            left: self.left - self.started,
            latency: self.due.elapsed(),
        }
    }

    /// Here it starts anew: what the job did before was a preparation.
    #[must_use]
    pub fn anew(self) -> Turn {
        let now = Instant::now();
        Turn {
            due: now,
            left: now,
            ..self
        }
    }
}

/// Jobs 0 to `jobs` - 1, each once, by at most `callers` callers at a time.
pub async fn closed_loop<T, Job, Answer>(
    title: &'static str,
    jobs: usize,
    callers: usize,
    job: Job,
) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    Job: Fn(usize) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = T> + Send + 'static,
{
    let timed = move |turn: Turn| {
        let answer = job(turn.at);
        async move { turn.answered(answer.await) }
    };
    let lap = paced(title, jobs, Load::closed(callers), timed).await?;
    Ok(lap.results.into_iter().map(|timed| timed.result).collect())
}

/// Jobs 0 to at most `jobs` - 1, each once, as the load has it; each job says when its answer came.
pub async fn paced<T, Job, Answer>(
    title: &'static str,
    jobs: usize,
    load: Load,
    job: Job,
) -> anyhow::Result<Lap<T>>
where
    T: Send + 'static,
    Job: Fn(Turn) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = Timed<T>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    let before = CpuTime::now().await;
    let started = Instant::now();
    let callers = load.callers.min(jobs);
    for place in 0..callers {
        let schedule = Schedule {
            started,
            load,
            first: started + first_call(load, place, callers),
            jobs,
        };
        crowd.spawn(call_until_done(Arc::clone(&next), schedule, job.clone()));
    }
    let bar = progress_bar(title, jobs);
    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut results = Vec::new();
    loop {
        tokio::select! {
            ended = crowd.join_next() => {
                let Some(caller) = ended else { break };
                results.extend(caller?);
            }
            _ = tick.tick() => bar.set_position(next.load(Ordering::Relaxed) as u64),
        }
    }
    let took = started.elapsed();
    let cpu = CpuTime::spent_since(before).await;
    bar.finish_and_clear();
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(Lap {
        results: results.into_iter().map(|(_, timed)| timed).collect(),
        took,
        cpu,
    })
}

/// Callers who wait for answers come one after the other; the clock has a ramp of its own.
fn first_call(load: Load, place: usize, callers: usize) -> Duration {
    match load.pace {
        Pace::Closed => load.ramp.mul_f64(place as f64 / callers as f64),
        Pace::Open(_) => Duration::ZERO,
    }
}

#[derive(Clone, Copy)]
struct Schedule {
    started: Instant,
    load: Load,
    first: Instant,
    jobs: usize,
}

impl Schedule {
    fn is_over(self, at: Instant) -> bool {
        let lasts = self.load.lasts;
        lasts.is_some_and(|lasts| at >= self.started + lasts)
    }

    /// Waits for the next job's turn; `None` when there is none any more. A job that is counted is also done.
    async fn next_turn(self, next: &AtomicUsize) -> Option<Turn> {
        let now = Instant::now();
        if self.load.pace == Pace::Closed && self.is_over(now) {
            return None;
        }
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= self.jobs {
            return None;
        }
        let due = match self.load.pace {
            Pace::Closed => now,
            Pace::Open(rate) => {
                let due = self.started + self.load.due(rate, at);
                if self.is_over(due) {
                    return None;
                }
                sleep_until(due.into()).await;
                due
            }
        };
        Some(Turn {
            at,
            started: self.started,
            due,
            left: Instant::now(),
        })
    }
}

async fn call_until_done<T, Job, Answer>(
    next: Arc<AtomicUsize>,
    schedule: Schedule,
    job: Job,
) -> Vec<(usize, Timed<T>)>
where
    Job: Fn(Turn) -> Answer,
    Answer: Future<Output = Timed<T>>,
{
    let mut results = Vec::new();
    sleep_until(schedule.first.into()).await;
    while let Some(turn) = schedule.next_turn(&next).await {
        results.push((turn.at, job(turn).await));
    }
    results
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
#[path = "pace_tests.rs"]
mod tests;
