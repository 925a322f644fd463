//! What may happen in the small world, and how often.

use proptest::collection::vec;
use proptest::prelude::*;

use super::flight::{Line, Manner};
use super::journal::Commit;
use super::toss::{Place, Stage, Verdict, View};
use super::world::{Doing, Flight, KEYS, Opening, World};
use crate::domain::payment::Ruling;

#[derive(Clone, Debug)]
pub enum What {
    /// A buyer confirms, mostly with a key that was authorized.
    Confirm {
        key: usize,
        authorized: bool,
    },
    /// A buyer confirms with the paymentKey of another order.
    ConfirmWithAnothers {
        key: usize,
    },
    /// A flight makes its next step; or repeats a call that nobody has answered.
    Proceed {
        view: View,
        refused: bool,
    },
    /// The same, there and back again.
    Exchange {
        view: View,
        verdict: Verdict,
        line: Line,
    },
    Arrive(Verdict),
    Finish,
    Hear(Line),
    TakeOver,
    TimeOut,
    /// `moved`: it comes back under another merchant key.
    Crash {
        moved: bool,
    },
    Wait {
        ms: i64,
    },
    LandGhost,
    CancelAtToss,
    Lie,
    Deposit,
    /// An operator decides about what is quarantined.
    Rule {
        ruling: Ruling,
        view: View,
    },
}

/// `pick` chooses among what the action could be about.
#[derive(Clone, Debug)]
pub struct Action {
    pub what: What,
    pub pick: usize,
    pub node: usize,
    pub dice: u32,
    pub commit: Commit,
}

/// What keeps a call dangerous that has been left behind.
fn treacherous() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Approve),
        Just(Verdict::DeclineAndKeepOpen),
        Just(Verdict::ServerError),
    ]
}

pub fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(Verdict::Approve),
        3 => Just(Verdict::DeclineAndKeepOpen),
        2 => Just(Verdict::Decline),
        3 => Just(Verdict::Temporary),
        3 => Just(Verdict::ServerError),
        1 => Just(Verdict::BadGateway),
    ]
}

fn view() -> impl Strategy<Value = View> {
    prop_oneof![
        6 => Just(View::Fresh),
        2 => Just(View::Lagging),
        3 => Just(View::Hidden),
        1 => Just(View::Silent),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        24 => Just(Line::Clean),
        4 => Just(Line::Broken),
        1 => Just(Line::OtherAmount),
        1 => Just(Line::OtherKey),
        1 => Just(Line::OtherOrder),
    ]
}

fn wait() -> impl Strategy<Value = i64> {
    let days = 16 * 24 * 3_600_000;
    prop_oneof![
        300 => Just(1_000), 150 => Just(6_000), 60 => Just(35_000), 60 => Just(120_000),
        40 => Just(310_000), 30 => Just(670_000), 8 => Just(1_500_000), 1 => Just(days),
    ]
}

/// The last one, by virtual account, rarely.
fn key() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..KEYS - 1, 1 => Just(KEYS - 1)]
}

/// How a story leans. Each trouble is likelier to be met where others are rare.
#[derive(Clone, Copy, Debug)]
enum Style {
    Mixed,
    /// Calls stay behind and arrive when nobody waits for them any more.
    LateCalls,
    /// Two nodes take the work out of each other's hands.
    Rivals,
    /// Toss says "aborted" or "not found" of what it approves.
    Lies,
    /// Refunds in the dashboard, tampered answers, deposits, another merchant key.
    Oddities,
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        2 => Just(Style::Mixed),
        3 => Just(Style::LateCalls),
        2 => Just(Style::Rivals),
        2 => Just(Style::Lies),
        1 => Just(Style::Oddities),
    ]
}

fn what(style: Style) -> impl Strategy<Value = What> {
    let verdict = || match style {
        Style::LateCalls => treacherous().boxed(),
        Style::Mixed | Style::Rivals | Style::Lies | Style::Oddities => verdict().boxed(),
    };
    // Exchange, proceed, arrive, take over, crash, wait, lie, oddities.
    let weights = match style {
        Style::Mixed => [300, 240, 160, 80, 30, 100, 1, 10],
        Style::LateCalls => [500, 120, 60, 30, 10, 15, 1, 1],
        Style::Rivals => [300, 240, 120, 200, 10, 20, 1, 1],
        Style::Lies => [300, 160, 160, 120, 10, 15, 200, 10],
        Style::Oddities => [300, 160, 100, 100, 20, 60, 1, 60],
    };
    let [exchange, proceed, arrive, over, crash, waits, lie, odd] = weights;
    let refused = prop::bool::weighted(0.03);
    let moved = prop::bool::weighted(0.2);
    prop_oneof![
        120 => (key(), prop::bool::weighted(0.85))
            .prop_map(|(key, authorized)| What::Confirm { key, authorized }),
        10 => key().prop_map(|key| What::ConfirmWithAnothers { key }),
        exchange => (view(), verdict(), line())
            .prop_map(|(view, verdict, line)| What::Exchange { view, verdict, line }),
        proceed => (view(), refused).prop_map(|(view, refused)| What::Proceed { view, refused }),
        arrive => verdict().prop_map(What::Arrive),
        arrive => Just(What::Finish),
        arrive => line().prop_map(What::Hear),
        over => Just(What::TakeOver),
        10 => Just(What::TimeOut),
        crash => moved.prop_map(|moved| What::Crash { moved }),
        waits => wait().prop_map(|ms| What::Wait { ms }),
        20 => Just(What::LandGhost),
        odd => Just(What::CancelAtToss),
        lie => Just(What::Lie),
        odd => Just(What::Deposit),
        40 => (ruling(), view()).prop_map(|(ruling, view)| What::Rule { ruling, view }),
    ]
}

fn ruling() -> impl Strategy<Value = Ruling> {
    prop_oneof![Just(Ruling::Done), Just(Ruling::Failed)]
}

fn commit() -> impl Strategy<Value = Commit> {
    prop_oneof![
        40 => Just(Commit::Heard),
        2 => Just(Commit::AnswerLost),
        1 => Just(Commit::NeverLands),
        1 => Just(Commit::MayLandLater),
    ]
}

fn action(style: Style) -> impl Strategy<Value = Action> {
    (what(style), 0..64_usize, 0..2_usize, any::<u32>(), commit()).prop_map(
        |(what, pick, node, dice, commit)| Action {
            what,
            pick,
            node,
            dice,
            commit,
        },
    )
}

pub fn story() -> impl Strategy<Value = Vec<Action>> {
    style().prop_flat_map(|style| vec(action(style), 1..=80))
}

pub fn opening() -> impl Strategy<Value = Opening> {
    let quantities = (1..=2_u8, prop_oneof![3 => Just(0_u8), 1 => Just(1)]);
    let orders = prop_oneof![4 => 1..=1_usize, 2 => 2..=2_usize, 1 => 3..=3_usize];
    let orders = orders.prop_flat_map(move |orders| vec(quantities.clone(), orders));
    (
        orders,
        (1..=4_u8, 1..=2_u8),
        (-2_000..=2_000_i64, -2_000..=2_000_i64),
    )
        .prop_map(|(orders, shelf, skews_ms)| Opening {
            orders,
            shelf,
            skews_ms,
        })
}

impl World {
    pub fn perform(&mut self, action: &Action) -> Result<(), String> {
        let Action {
            what,
            pick,
            node,
            dice,
            commit,
        } = action.clone();
        let order = pick % self.orders();
        let manner = |view, refused| Manner {
            dice,
            commit,
            view,
            refused,
        };
        self.wait(1);
        match what {
            What::Confirm { key, authorized } => {
                let key = self.key(order, key);
                if authorized {
                    self.toss
                        .move_on(&key, Stage::Opened, Stage::Authorized, self.now);
                }
                self.confirm(node, order, key, dice, commit);
            }
            What::ConfirmWithAnothers { key } => {
                let key = self.key((order + 1) % self.orders(), key);
                self.confirm(node, order, key, dice, commit);
            }
            What::Proceed { view, refused } => {
                if let Some(flight) = nth(self.flights.len(), pick) {
                    self.proceed(flight, manner(view, refused))?;
                }
            }
            What::Exchange {
                view,
                verdict,
                line,
            } => {
                if let Some(flight) = nth(self.flights.len(), pick) {
                    self.exchange(flight, verdict, line, manner(view, false))?;
                }
            }
            What::Arrive(verdict) => {
                if let Some(call) = self.nth_call(pick, |place| matches!(place, Place::Travelling))
                {
                    self.toss.arrive(call, verdict, self.now);
                }
            }
            What::Finish => {
                let taken_up = |place: &Place| matches!(place, Place::Processing { .. });
                if let Some(call) = self.nth_call(pick, taken_up) {
                    self.toss.finish(call, self.now);
                }
            }
            What::Hear(line) => {
                if let Some(flight) = self.nth_waiting(pick, line) {
                    self.hear(flight, line, manner(View::Fresh, false))?;
                }
            }
            What::TakeOver => self.take_over(node, order, dice, commit),
            What::TimeOut => self.time_out(node, order, dice, commit),
            What::Crash { moved } => self.restart(node, moved),
            What::Wait { ms } => self.wait(ms),
            What::LandGhost => self.land_ghost(pick),
            What::CancelAtToss => self.cancel(pick),
            What::Lie => self.lie(),
            What::Deposit => self.deposit(pick),
            What::Rule { ruling, view } => self.rule(node, order, ruling, view, (dice, commit)),
        }
        Ok(())
    }

    fn nth_call(&self, pick: usize, fits: impl Fn(&Place) -> bool) -> Option<usize> {
        let calls = self.toss.calls.iter().enumerate();
        let fitting: Vec<usize> = calls
            .filter(|(_, call)| fits(&call.place))
            .map(|(i, _)| i)
            .collect();
        nth(fitting.len(), pick).map(|at| fitting[at])
    }

    fn exchange(
        &mut self,
        flight: usize,
        verdict: Verdict,
        line: Line,
        manner: Manner,
    ) -> Result<(), String> {
        let (flights, calls) = (self.flights.len(), self.toss.calls.len());
        self.proceed(flight, manner)?;
        for call in calls..self.toss.calls.len() {
            self.toss.arrive(call, verdict, self.now);
            self.toss.finish(call, self.now);
        }
        if self.flights.len() == flights {
            self.hear(flight, line, manner)?;
        }
        Ok(())
    }

    /// A flight for which there is something to hear, silence included.
    fn nth_waiting(&self, pick: usize, line: Line) -> Option<usize> {
        let answered = |call: &usize| matches!(self.toss.calls[*call].place, Place::Answered(_));
        let waiting = |flight: &Flight| match &flight.doing {
            Doing::Deciding => false,
            Doing::Sending { series, .. } => line == Line::Broken || series.iter().any(answered),
            Doing::Asking { .. } => true,
        };
        let flights = self.flights.iter().enumerate();
        let fitting: Vec<usize> = flights
            .filter(|(_, f)| waiting(f))
            .map(|(i, _)| i)
            .collect();
        nth(fitting.len(), pick).map(|at| fitting[at])
    }

    fn lie(&mut self) {
        for session in &mut self.toss.sessions {
            session.lies = true;
            self.lied.insert(session.order);
        }
    }

    fn deposit(&mut self, pick: usize) {
        let waiting: Vec<_> = self
            .toss
            .sessions
            .iter()
            .map(|s| (s.key.clone(), s.stage()))
            .collect();
        let waiting: Vec<_> = waiting
            .into_iter()
            .filter(|(_, stage)| *stage == Stage::AwaitingDeposit)
            .collect();
        if let Some(at) = nth(waiting.len(), pick) {
            let (key, from) = &waiting[at];
            self.toss.move_on(key, *from, Stage::Approved, self.now);
        }
    }
}

fn nth(len: usize, pick: usize) -> Option<usize> {
    (len > 0).then(|| pick % len)
}
