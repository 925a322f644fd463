//! The breaker alone: every opening, every probe, and what must never open it.

use std::time::Duration;

use tokio::time::Instant;

use crate::actors::toss::breaker::{Breaker, BreakerRules, Cause, Leave, News, Ticket};
use crate::gateway::Health;
use crate::metrics::BreakerState;

const RULES: BreakerRules = BreakerRules {
    failures: 5,
    failure_percent: 50,
    sample: 20,
    window: Duration::from_secs(10),
    open: Duration::from_secs(1),
    open_max: Duration::from_secs(8),
    probes: 2,
    probe: Duration::from_secs(1),
    trial: 2,
};

/// With dice that never shorten a wait.
struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let now = Instant::now();
        let breaker = Breaker::new(RULES, now);
        Bench { breaker, now }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn hear(&mut self, leave: Leave, health: Health) -> Option<News> {
        self.breaker.heard(leave, health, self.now, u32::MAX)
    }

    fn confirm(&mut self, health: Health) -> Option<News> {
        let leave = self.breaker.confirm().expect("closed");
        self.hear(leave, health)
    }

    fn ticket(&mut self) -> Option<Ticket> {
        self.breaker.probe(self.now)
    }

    fn probe(&mut self, health: Health) -> Option<News> {
        let ticket = self.ticket().expect("a probe is due");
        self.hear(Leave::Probe(ticket), health)
    }

    fn state(&self) -> BreakerState {
        self.breaker.standing().state
    }

    fn opened() -> Bench {
        let mut bench = Bench::new();
        for _ in 0..4 {
            assert_eq!(bench.confirm(Health::Faulty), None);
        }
        let news = News::Opened(Cause::Faults, Duration::from_secs(1));
        assert_eq!(bench.confirm(Health::Faulty), Some(news));
        bench
    }
}

#[test]
fn declines_and_gates_in_front_of_toss_never_open_it() {
    let mut bench = Bench::new();
    for _ in 0..10_000 {
        assert_eq!(bench.confirm(Health::Well), None);
        assert_eq!(bench.confirm(Health::Mute), None);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn faults_in_a_row_open_it_and_one_answer_or_a_long_pause_begins_the_row_anew() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        for _ in 0..4 {
            bench.confirm(Health::Faulty);
        }
        bench.confirm(Health::Well);
    }
    let mut slow = Bench::new();
    for _ in 0..20 {
        slow.confirm(Health::Faulty);
        slow.pass(10_000);
    }
    assert_eq!(
        slow.state(),
        BreakerState::Closed,
        "one fault in ten seconds"
    );
    assert_eq!(Bench::opened().state(), BreakerState::Open);
}

#[test]
fn a_large_share_of_faults_opens_it_though_they_are_not_in_a_row() {
    let mut bench = Bench::new();
    for round in 0..9 {
        assert_eq!(bench.confirm(Health::Well), None);
        assert_eq!(bench.confirm(Health::Faulty), None, "round {round}");
    }
    assert_eq!(bench.confirm(Health::Well), None);
    assert!(bench.confirm(Health::Faulty).is_some(), "10 of 20");

    let mut third = Bench::new();
    for _ in 0..1_000 {
        for health in [Health::Faulty, Health::Well, Health::Well] {
            assert_eq!(third.confirm(health), None);
        }
    }
}

#[test]
fn a_refused_key_opens_it_at_once_and_is_told_once() {
    let mut bench = Bench::new();
    let news = bench.confirm(Health::KeyRefused);
    assert!(matches!(news, Some(News::Opened(Cause::KeyRefused, _))));
    assert!(bench.breaker.standing().key_refused);
    for wait in [1_000, 2_000, 4_000, 8_000, 8_000] {
        bench.pass(wait);
        assert_eq!(bench.probe(Health::KeyRefused), None);
        assert!(bench.breaker.confirm().is_none());
    }
    // Open for faults, and then it turns out that the key is refused as well: that is news, once.
    let mut bench = Bench::opened();
    bench.pass(1_000);
    assert_eq!(bench.probe(Health::KeyRefused), Some(News::KeyRefused));
    bench.pass(2_000);
    assert_eq!(bench.probe(Health::KeyRefused), None);
}

#[test]
fn open_it_lets_no_money_through_and_one_question_at_a_time() {
    let mut bench = Bench::opened();
    assert!(bench.breaker.confirm().is_none());
    assert_eq!(bench.breaker.question(None, bench.now), None);
    bench.pass(999);
    assert_eq!(bench.ticket(), None);
    assert_eq!(
        bench.breaker.retry_after(bench.now),
        Duration::from_millis(1)
    );
    bench.pass(1);
    let ticket = bench.ticket();
    assert!(ticket.is_some());
    assert_eq!(bench.ticket(), None, "one at a time");
    assert_eq!(bench.breaker.question(None, bench.now), None);
    let held = bench.breaker.question(ticket, bench.now);
    assert_eq!(held, ticket.map(Leave::Probe));
    assert!(bench.breaker.confirm().is_none(), "half-open is not closed");
    // Never sent: the next one may.
    bench.breaker.give_back(ticket.expect("given"));
    assert!(bench.ticket().is_some());
}

#[test]
fn healthy_probes_in_a_row_close_it_and_failing_ones_make_it_wait_longer() {
    let mut bench = Bench::opened();
    for wait in [1_000, 2_000, 4_000, 8_000, 8_000] {
        bench.pass(wait - 1);
        assert_eq!(bench.ticket(), None, "{wait}");
        bench.pass(1);
        assert_eq!(bench.probe(Health::Faulty), None);
    }
    bench.pass(8_000);
    assert_eq!(bench.probe(Health::Well), None);
    assert!(bench.breaker.confirm().is_none(), "two are wanted");
    assert_eq!(bench.probe(Health::Well), Some(News::Closed));
    assert_eq!(bench.confirm(Health::Well), None);
    assert_eq!(bench.breaker.standing().openings, 1);
}

/// Calls that have hung since before the opening end when Toss is well again: they are no news.
#[test]
fn what_began_before_an_opening_says_nothing_after_it() {
    let mut bench = Bench::new();
    let old = bench.breaker.confirm().expect("closed");
    for _ in 0..5 {
        bench.confirm(Health::Faulty);
    }
    assert_eq!(bench.hear(old, Health::Well), None);
    assert_eq!(
        bench.state(),
        BreakerState::Open,
        "an old answer is no probe"
    );
    bench.pass(1_000);
    bench.probe(Health::Well);
    bench.probe(Health::Well);
    for _ in 0..100 {
        assert_eq!(bench.hear(old, Health::Faulty), None);
        assert_eq!(bench.hear(old, Health::KeyRefused), None);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

/// Look-ups are well, confirms are not: few are caught by each closing, and the closings grow rare.
#[test]
fn closed_by_look_ups_it_is_on_trial_until_a_confirm_is_answered() {
    let mut bench = Bench::opened();
    for wait in [1_000, 2_000, 4_000] {
        bench.pass(wait);
        bench.probe(Health::Well);
        assert_eq!(bench.probe(Health::Well), Some(News::Closed));
        assert!(bench.breaker.is_on_trial());
        let question = bench.breaker.question(None, bench.now).expect("closed");
        bench.hear(question, Health::Well);
        assert!(bench.breaker.is_on_trial(), "a look-up proves nothing");
        assert_eq!(bench.confirm(Health::Faulty), None);
        let news = News::Opened(Cause::Faults, Duration::from_millis(wait * 2));
        assert_eq!(bench.confirm(Health::Faulty), Some(news));
    }
    bench.pass(8_000);
    bench.probe(Health::Well);
    bench.probe(Health::Well);
    bench.confirm(Health::Well);
    assert!(!bench.breaker.is_on_trial());
    for _ in 0..4 {
        assert_eq!(bench.confirm(Health::Faulty), None);
    }
}

#[test]
fn chance_spreads_the_probes_over_half_of_the_wait() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.confirm(Health::Faulty);
    }
    let leave = bench.breaker.confirm().expect("closed");
    let news = bench.breaker.heard(leave, Health::Faulty, bench.now, 0);
    let wait = Duration::from_millis(500);
    assert_eq!(news, Some(News::Opened(Cause::Faults, wait)));
}
