//! The timed heart: every order confirmed once by somebody, or by everybody at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::buyer::{Answer, AtOnce, Buyer, Silence};
use super::pace::{Latencies, Pace, Timed, closed_loop, latencies, paced, progress_bar, record};
use super::phases::Ticket;
use super::report::{Phase, millis, rounded};
use super::steal::CpuTime;
use super::tally::{Oddities, Outcome, Tally};
use super::{LoadtestArgs, Scenario};

pub struct Confirmed {
    pub latencies: Latencies,
    pub took: Duration,
    pub tally: Tally,
    /// The places of the orders that may be anywhere.
    pub open: Vec<usize>,
    pub same_order: Option<SameOrder>,
    pub open_loop: Option<OpenLoop>,
    pub steal_percent: Option<f64>,
    pub odd: Vec<String>,
}

/// What `--rate` adds: what was asked of the server, what came of it, and how quickly it said no.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenLoop {
    /// Confirms a second that should leave.
    pub rate: f64,
    /// Confirms a second that did, from the first one's turn to the last one's.
    pub offered_per_second: f64,
    /// Paid orders a second.
    pub goodput_per_second: f64,
    /// The confirms that ended paid.
    pub paid: Phase,
    /// The confirms that were refused before anything was written.
    pub refusals: Phase,
}

/// What `same-order` adds: how long the last of an order's callers waits, and whether all heard the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SameOrder {
    pub last_answer_p50_ms: f64,
    pub last_answer_max_ms: f64,
    /// Orders whose callers heard different things.
    pub unequal: u64,
}

pub async fn confirm(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Confirmed> {
    let still_open = warm_up(buyer, args, tickets).await?;
    let before = CpuTime::now().await;
    let mut confirmed = match args.scenario {
        Scenario::Distinct | Scenario::Hot => one_by_one(buyer, args, tickets).await?,
        Scenario::SameOrder => all_at_once(buyer, args, tickets).await?,
    };
    let after = CpuTime::now().await;
    confirmed.open.extend(still_open);
    confirmed.steal_percent = before
        .zip(after)
        .and_then(|(before, after)| after.steal_percent_since(before));
    Ok(confirmed)
}

/// Opens the connections, so that the first confirms do not pay for it. `same-order` needs one for each caller,
/// and only slow answers keep that many open: its first order is that warm-up, and its place is returned if it did
/// not come to rest.
async fn warm_up(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Option<usize>> {
    match (args.scenario, tickets.first()) {
        (Scenario::SameOrder, Some(first)) => {
            let crowd = buyer
                .confirm_at_once(&first.confirm(), args.callers())
                .await?;
            let open = crowd
                .calls
                .iter()
                .any(|(heard, _)| Outcome::of(heard).is_open());
            Ok(open.then_some(0))
        }
        (Scenario::SameOrder, None) | (Scenario::Distinct | Scenario::Hot, _) => {
            let buyer = Arc::clone(buyer);
            let calls = args.callers() * 4;
            closed_loop("warm-up", calls, args.callers(), move |_| {
                let buyer = Arc::clone(&buyer);
                async move { buyer.ready().await.is_ok() }
            })
            .await?;
            Ok(None)
        }
    }
}

async fn one_by_one(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Confirmed> {
    let (buyer, asked) = (Arc::clone(buyer), Arc::clone(tickets));
    let pace = args.rate.map_or(Pace::Closed, Pace::Open);
    let refusals = Arc::new(AtomicUsize::new(0));
    let job = move |at: usize| {
        let (buyer, asked) = (Arc::clone(&buyer), Arc::clone(&asked));
        let refusals = Arc::clone(&refusals);
        async move {
            let left = Instant::now();
            let heard = buyer.confirm(&asked[at].confirm()).await;
            let outcome = Outcome::of(&heard);
            // Kept only where it needs an explanation: the others' bodies would fill the memory.
            let told_often = outcome == Outcome::Refused
                && refusals.fetch_add(1, Ordering::Relaxed) >= Oddities::MOST;
            (
                left,
                outcome,
                (outcome.is_odd() && !told_often).then_some(heard),
            )
        }
    };
    let lap = paced("confirm", tickets.len(), args.callers(), pace, job).await?;
    let mut sorted = Sorted::default();
    for (at, timed) in lap.results.iter().enumerate() {
        let (_, outcome, odd) = &timed.result;
        sorted.add(at, *outcome, odd.as_ref());
    }
    let open_loop = match args.rate {
        Some(rate) => Some(open_loop(rate, &lap.results, lap.took)?),
        None => None,
    };
    let confirmed = sorted.into_confirmed(lap.latencies, lap.took, None);
    Ok(Confirmed {
        open_loop,
        ..confirmed
    })
}

type Sent = (Instant, Outcome, Option<Result<Answer, Silence>>);

fn open_loop(rate: f64, sent: &[Timed<Sent>], took: Duration) -> anyhow::Result<OpenLoop> {
    let (mut paid, mut refusals) = (latencies()?, latencies()?);
    for Timed { result, latency } in sent {
        match result.1 {
            Outcome::Done => record(&mut paid, *latency),
            Outcome::Refused => record(&mut refusals, *latency),
            Outcome::Declined
            | Outcome::OutOfStock
            | Outcome::Pending
            | Outcome::Unsent
            | Outcome::Lost
            | Outcome::Unexpected => {}
        }
    }
    let left = sent.iter().map(|timed| timed.result.0);
    let spread = left.clone().max().zip(left.min());
    let spread = spread.map_or(Duration::ZERO, |(last, first)| last - first);
    let gaps = sent.len().saturating_sub(1) as f64;
    let offered = gaps / spread.as_secs_f64().max(f64::EPSILON);
    let (paid, refusals) = (Phase::of(&paid, took), Phase::of(&refusals, took));
    Ok(OpenLoop {
        rate,
        offered_per_second: rounded(offered),
        goodput_per_second: paid.per_second,
        paid,
        refusals,
    })
}

async fn all_at_once(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Confirmed> {
    let bar = progress_bar("confirm", tickets.len().saturating_sub(1));
    let (mut calls, mut last_answers) = (latencies()?, latencies()?);
    let (mut sorted, mut unequal, mut took) = (Sorted::default(), 0, Duration::ZERO);
    for (at, ticket) in tickets.iter().enumerate().skip(1) {
        let confirm = ticket.confirm();
        let crowd: AtOnce = buyer.confirm_at_once(&confirm, args.callers()).await?;
        record(&mut last_answers, crowd.last_answer);
        took += crowd.last_answer;
        let versions = crowd.versions();
        if versions.len() > 1 {
            unequal += 1;
            sorted.odd.keep_text(format!(
                "one order, several answers: {}",
                versions.join(" | ")
            ));
        }
        for (heard, latency) in &crowd.calls {
            record(&mut calls, *latency);
            sorted.add(at, Outcome::of(heard), Some(heard));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let same_order = same_order(&last_answers, unequal);
    Ok(sorted.into_confirmed(calls, took, Some(same_order)))
}

fn same_order(last_answers: &Histogram<u64>, unequal: u64) -> SameOrder {
    SameOrder {
        last_answer_p50_ms: millis(last_answers.value_at_quantile(0.5)),
        last_answer_max_ms: millis(last_answers.max()),
        unequal,
    }
}

#[derive(Default)]
struct Sorted {
    tally: Tally,
    open: Vec<usize>,
    odd: Oddities,
}

impl Sorted {
    fn add(&mut self, at: usize, outcome: Outcome, heard: Option<&Result<Answer, Silence>>) {
        self.tally.count(outcome);
        if outcome.is_open() && self.open.last() != Some(&at) {
            self.open.push(at);
        }
        if let Some(heard) = heard.filter(|_| outcome.is_odd()) {
            self.odd.keep(heard);
        }
    }

    fn into_confirmed(
        self,
        latencies: Latencies,
        took: Duration,
        same_order: Option<SameOrder>,
    ) -> Confirmed {
        Confirmed {
            latencies,
            took,
            tally: self.tally,
            open: self.open,
            same_order,
            open_loop: None,
            steal_percent: None,
            odd: self.odd.into_vec(),
        }
    }
}
