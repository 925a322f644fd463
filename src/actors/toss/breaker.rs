//! The breaker: when calls to Toss are in vain, none is made but a probe now and then. A pure state machine;
//! time, chance and what the calls came to arrive as arguments.

use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::Health;
use crate::metrics::{Breaker as Standing, BreakerState};

/// When it opens, for how long, and what closes it.
#[derive(Clone, Copy, Debug)]
pub struct BreakerRules {
    /// Faulty calls in a row that open it.
    pub failures: u32,
    /// Or this share of a window's calls, in percent, once there are `sample` of them.
    pub failure_percent: u32,
    pub sample: u32,
    pub window: Duration,
    /// From the opening to the first probe; doubled by each probe that fails, up to `open_max`.
    pub open: Duration,
    pub open_max: Duration,
    /// Healthy probes in a row that close it.
    pub probes: u32,
    /// How long a probe may take.
    pub probe: Duration,
    /// Confirms at once after it has closed, until Toss has answered one; and so many faults open it again.
    pub trial: u32,
}

/// The right to one probe; the next one is given when this one has come to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// How a call was let through. An ordinary call counts only for the closed spell in which it began: what hung
/// since before an opening says nothing about the time after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Confirm { spell: u64 },
    Question { spell: u64 },
    Probe(Ticket),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The line: connections, timeouts, 5xx.
    Faults,
    /// Toss refuses our secret key.
    KeyRefused,
}

/// A change that somebody should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Opened(Cause, Duration),
    /// It was open for faults; now Toss answers, and refuses our key.
    KeyRefused,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed(Spell),
    Open { until: Instant },
    HalfOpen { probe: Option<Ticket>, well: u32 },
}

/// What was heard while closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spell {
    in_a_row: u32,
    last_fault: Option<Instant>,
    since: Instant,
    calls: u32,
    faulty: u32,
    /// Look-ups closed it; no confirm has been answered since.
    on_trial: bool,
}

impl Spell {
    const fn new(now: Instant, on_trial: bool) -> Spell {
        Spell {
            in_a_row: 0,
            last_fault: None,
            since: now,
            calls: 0,
            faulty: 0,
            on_trial,
        }
    }
}

#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Counts the closed spells.
    spell: u64,
    tickets: u64,
    /// Doublings of the open time.
    round: u32,
    closed_at: Option<Instant>,
    cause: Cause,
    openings: u64,
}

impl Breaker {
    pub const fn new(rules: BreakerRules, now: Instant) -> Breaker {
        Breaker {
            rules,
            state: State::Closed(Spell::new(now, false)),
            spell: 0,
            tickets: 0,
            round: 0,
            closed_at: None,
            cause: Cause::Faults,
            openings: 0,
        }
    }

    pub const fn standing(&self) -> Standing {
        let (state, is_open) = match self.state {
            State::Closed(_) => (BreakerState::Closed, false),
            State::Open { .. } => (BreakerState::Open, true),
            State::HalfOpen { .. } => (BreakerState::HalfOpen, true),
        };
        Standing {
            state,
            openings: self.openings,
            key_refused: is_open && matches!(self.cause, Cause::KeyRefused),
        }
    }

    /// Money moves only while it is closed.
    pub const fn confirm(&self) -> Option<Leave> {
        match self.state {
            State::Closed(_) => Some(Leave::Confirm { spell: self.spell }),
            State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// A question goes through while it is closed, and as a probe when one is due: on the ticket that it
    /// holds, or on a new one.
    pub fn question(&mut self, held: Option<Ticket>, now: Instant) -> Option<Leave> {
        match self.state {
            State::Closed(_) => Some(Leave::Question { spell: self.spell }),
            State::HalfOpen { probe, .. } if held.is_some() && probe == held => {
                held.map(Leave::Probe)
            }
            State::Open { .. } | State::HalfOpen { .. } => self.probe(now).map(Leave::Probe),
        }
    }

    /// Whether a probe would be let through now, and for how long it would have been already.
    pub fn probe_due(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed(_) | State::HalfOpen { probe: Some(_), .. } => None,
            State::Open { until } => now.checked_duration_since(until),
            State::HalfOpen { probe: None, .. } => Some(Duration::MAX),
        }
    }

    /// A ticket, if a probe is due and none is out.
    pub fn probe(&mut self, now: Instant) -> Option<Ticket> {
        self.probe_due(now)?;
        let well = match self.state {
            State::HalfOpen { well, .. } => well,
            State::Closed(_) | State::Open { .. } => 0,
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let probe = Some(ticket);
        self.state = State::HalfOpen { probe, well };
        Some(ticket)
    }

    /// A probe that was never sent.
    pub fn give_back(&mut self, ticket: Ticket) {
        if let State::HalfOpen { probe, .. } = &mut self.state
            && *probe == Some(ticket)
        {
            *probe = None;
        }
    }

    /// Closed by look-ups, and no confirm has been answered since: only a few may try.
    pub const fn is_on_trial(&self) -> bool {
        matches!(self.state, State::Closed(Spell { on_trial: true, .. }))
    }

    /// When to come back: at the next probe, at the earliest.
    pub fn retry_after(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed(_) | State::HalfOpen { .. } => Duration::ZERO,
            State::Open { until } => until.saturating_duration_since(now),
        }
    }

    /// What a call came to. `dice`: 0 to `u32::MAX`.
    pub fn heard(&mut self, leave: Leave, health: Health, now: Instant, dice: u32) -> Option<News> {
        match (leave, self.state) {
            (Leave::Confirm { spell }, State::Closed(counts)) if spell == self.spell => {
                self.ordinary(counts, true, health, now, dice)
            }
            (Leave::Question { spell }, State::Closed(counts)) if spell == self.spell => {
                self.ordinary(counts, false, health, now, dice)
            }
            (Leave::Probe(ticket), State::HalfOpen { probe, well }) if probe == Some(ticket) => {
                self.probed(well, health, now, dice)
            }
            (
                Leave::Confirm { .. } | Leave::Question { .. } | Leave::Probe(_),
                State::Closed(_) | State::Open { .. } | State::HalfOpen { .. },
            ) => None,
        }
    }

    fn ordinary(
        &mut self,
        mut counts: Spell,
        money: bool,
        health: Health,
        now: Instant,
        dice: u32,
    ) -> Option<News> {
        match health {
            Health::Mute => return None,
            Health::KeyRefused => return self.trip(Cause::KeyRefused, now, dice),
            Health::Well | Health::Faulty => {}
        }
        let window = self.rules.window;
        if now.saturating_duration_since(counts.since) >= window {
            counts.since = now;
            (counts.calls, counts.faulty) = (0, 0);
        }
        counts.calls += 1;
        if health == Health::Well {
            counts.in_a_row = 0;
            counts.on_trial &= !money;
            self.state = State::Closed(counts);
            return None;
        }
        let is_fresh = counts
            .last_fault
            .is_some_and(|last| now.saturating_duration_since(last) < window);
        counts.in_a_row = if is_fresh { counts.in_a_row + 1 } else { 1 };
        counts.last_fault = Some(now);
        counts.faulty += 1;
        self.state = State::Closed(counts);
        let share = u64::from(counts.faulty) * 100;
        let many = counts.calls >= self.rules.sample
            && share >= u64::from(counts.calls) * u64::from(self.rules.failure_percent);
        let most = match counts.on_trial {
            true => self.rules.failures.min(self.rules.trial),
            false => self.rules.failures,
        };
        let in_a_row = counts.in_a_row >= most;
        if many || in_a_row {
            return self.trip(Cause::Faults, now, dice);
        }
        None
    }

    /// From closed to open. A spell that was short did not mend anything: the wait goes on growing.
    fn trip(&mut self, cause: Cause, now: Instant, dice: u32) -> Option<News> {
        let short = self
            .closed_at
            .is_some_and(|at| now.saturating_duration_since(at) < self.rules.window);
        self.round = if short { self.round + 1 } else { 0 };
        self.cause = cause;
        self.openings += 1;
        let wait = self.open(now, dice);
        Some(News::Opened(cause, wait))
    }

    fn open(&mut self, now: Instant, dice: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(self.round.min(30));
        let most = self.rules.open.saturating_mul(doubled);
        let half = most.min(self.rules.open_max) / 2;
        // Half of it is chance, so that nodes which opened together do not probe together.
        let wait = half + half.mul_f64(f64::from(dice) / f64::from(u32::MAX));
        self.state = State::Open { until: now + wait };
        wait
    }

    fn probed(&mut self, well: u32, health: Health, now: Instant, dice: u32) -> Option<News> {
        let cause = match health {
            Health::Well if well + 1 >= self.rules.probes => {
                self.spell += 1;
                self.closed_at = Some(now);
                self.state = State::Closed(Spell::new(now, true));
                return Some(News::Closed);
            }
            Health::Well => {
                let (probe, well) = (None, well + 1);
                self.state = State::HalfOpen { probe, well };
                return None;
            }
            // It told nothing: another one, no later than this one.
            Health::Mute => {
                self.open(now, dice);
                return None;
            }
            Health::Faulty => Cause::Faults,
            Health::KeyRefused => Cause::KeyRefused,
        };
        self.round = self.round.saturating_add(1);
        self.open(now, dice);
        let is_news = cause == Cause::KeyRefused && self.cause != cause;
        self.cause = cause;
        is_news.then_some(News::KeyRefused)
    }
}
