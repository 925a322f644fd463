//! The pace: every job once, latencies that a stalling server cannot hide, ramps that grow, ends that are kept.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::loadtest::measure::latencies;

fn open(callers: usize, rate: f64) -> Load {
    Load {
        pace: Pace::Open(rate),
        ..Load::closed(callers)
    }
}

fn median_us(lap: &Lap<()>) -> u64 {
    let all = latencies(lap.results.iter().map(|timed| timed.latency)).unwrap();
    all.value_at_quantile(0.5)
}

async fn nap(turn: Turn, millis: u64) -> Timed<()> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    turn.answered(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_runs_once_and_no_more_than_the_callers_at_a_time() {
    let busy = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let results = closed_loop("test", 500, 7, move |at| {
        let (busy, most) = (Arc::clone(&busy), Arc::clone(&most));
        async move {
            let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_micros(200)).await;
            busy.fetch_sub(1, Ordering::SeqCst);
            at
        }
    });
    assert_eq!(results.await.unwrap(), Vec::from_iter(0..500));
    assert!((2..=7).contains(&seen.load(Ordering::SeqCst)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_cannot_hide_the_calls_that_it_held_up() {
    let job = |turn: Turn| nap(turn, if turn.at == 0 { 300 } else { 0 });
    // One caller, 100 calls due within the stall of the first: each of them was late.
    let lap = paced("test", 100, open(1, 1_000.0), job).await.unwrap();
    assert!(lap.results[99].latency >= Duration::from_millis(200));
    assert!(lap.results[99].left >= Duration::from_millis(300));
    assert!(lap.results[99].due < Duration::from_millis(100));
    assert!(median_us(&lap) >= 200_000);
    // The closed loop asks once, waits, and calls the other 99 quick.
    let lap = paced("test", 100, Load::closed(1), job).await.unwrap();
    assert!(lap.results[0].latency >= Duration::from_millis(300));
    assert!(median_us(&lap) < 200_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_sets_the_pace_and_not_the_answers() {
    let lap = paced("test", 100, open(100, 500.0), |turn| nap(turn, 50));
    let lap = lap.await.unwrap();
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
    assert!(lap.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_answer_is_timed_and_not_what_comes_before_or_after() {
    let job = |turn: Turn| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let timed = turn.anew().answered(());
        tokio::time::sleep(Duration::from_millis(100)).await;
        timed
    };
    let lap = paced("test", 1, Load::closed(1), job).await.unwrap();
    assert!(lap.results[0].latency < Duration::from_millis(100));
    assert!(lap.results[0].left >= Duration::from_millis(100));
    assert!(lap.took >= Duration::from_millis(200));
}

#[test]
fn a_rate_grows_evenly_through_the_ramp_and_stays() {
    let load = Load {
        ramp: Duration::from_secs(2),
        ..open(1, 100.0)
    };
    // Half of the full rate on average: 100 calls in the ramp, 100 a second afterwards.
    for (job, seconds) in [(0, 0.0), (25, 1.0), (100, 2.0), (200, 3.0), (1000, 11.0)] {
        let due = load.due(100.0, job).as_secs_f64();
        assert!((due - seconds).abs() < 1e-9, "{job} at {due}");
        let before = load.due_within(100.0, Duration::from_secs_f64(seconds));
        assert_eq!(before, job, "before {seconds} s");
    }
    let at_once = open(1, 100.0);
    assert_eq!(at_once.due(100.0, 50), Duration::from_millis(500));
    assert_eq!(at_once.due_within(100.0, Duration::from_millis(505)), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_come_one_after_the_other_through_the_ramp() {
    let load = Load {
        ramp: Duration::from_millis(400),
        ..Load::closed(4)
    };
    // Each caller has one job: those who come first are still at work when the last one comes.
    let lap = paced("test", 4, load, |turn| nap(turn, 500)).await.unwrap();
    for (at, timed) in lap.results.iter().enumerate() {
        let due = Duration::from_millis(100 * at as u64);
        assert!(timed.left >= due, "{at}: {:?}", timed.left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_time_is_over_nothing_leaves_and_what_left_is_waited_for() {
    let lasts = Duration::from_millis(300);
    for load in [Load::closed(3), open(3, 100.0)] {
        let load = Load {
            lasts: Some(lasts),
            ..load
        };
        let lap = paced("test", 1_000_000, load, |turn| nap(turn, 20));
        let lap = lap.await.unwrap();
        assert!(
            lap.results.iter().all(|timed| timed.due < lasts),
            "{load:?}"
        );
        assert!((2..=60).contains(&lap.results.len()), "{load:?}");
    }
}
