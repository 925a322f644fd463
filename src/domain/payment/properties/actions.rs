//! What may happen in the small world, and how often.

use proptest::collection::vec;
use proptest::prelude::*;

use super::flight::{Line, Manner};
use super::journal::Commit;
use super::toss::{Place, Stage, Verdict, View};
use super::world::{KEYS, Opening, World};

#[derive(Clone, Debug)]
pub enum What {
    /// A buyer confirms, mostly with a key that was authorized.
    Confirm { key: usize, authorized: bool },
    /// A buyer confirms with the paymentKey of another order.
    ConfirmWithAnothers { key: usize },
    Proceed { view: View, refused: bool },
    Arrive(Verdict),
    Finish,
    Hear(Line),
    TakeOver,
    /// `moved`: it comes back under another merchant key.
    Crash { moved: bool },
    Wait { ms: i64 },
    LandGhost,
    CancelAtToss,
    Lie,
    Deposit,
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

pub fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(Verdict::Approve),
        2 => Just(Verdict::DeclineAndKeepOpen),
        1 => Just(Verdict::Decline),
        2 => Just(Verdict::Temporary),
        2 => Just(Verdict::ServerError),
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
        8 => Just(Line::Broken),
        1 => Just(Line::OtherAmount),
        1 => Just(Line::OtherKey),
        1 => Just(Line::OtherOrder),
    ]
}

fn wait() -> impl Strategy<Value = i64> {
    let days = 16 * 24 * 3_600_000;
    prop_oneof![
        8 => Just(1_000), 6 => Just(6_000), 6 => Just(35_000), 4 => Just(120_000),
        4 => Just(310_000), 4 => Just(670_000), 1 => Just(1_500_000), 1 => Just(days),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let refused = || prop::bool::weighted(0.05);
    prop_oneof![
        12 => (0..KEYS, prop::bool::weighted(0.85))
            .prop_map(|(key, authorized)| What::Confirm { key, authorized }),
        1 => (0..KEYS).prop_map(|key| What::ConfirmWithAnothers { key }),
        30 => (view(), refused()).prop_map(|(view, refused)| What::Proceed { view, refused }),
        18 => verdict().prop_map(What::Arrive),
        14 => Just(What::Finish),
        24 => line().prop_map(What::Hear),
        14 => Just(What::TakeOver),
        3 => prop::bool::weighted(0.2).prop_map(|moved| What::Crash { moved }),
        12 => wait().prop_map(|ms| What::Wait { ms }),
        2 => Just(What::LandGhost),
        1 => Just(What::CancelAtToss),
        1 => Just(What::Lie),
        1 => Just(What::Deposit),
    ]
}

fn commit() -> impl Strategy<Value = Commit> {
    prop_oneof![
        40 => Just(Commit::Heard),
        2 => Just(Commit::AnswerLost),
        1 => Just(Commit::NeverLands),
        1 => Just(Commit::MayLandLater),
    ]
}

pub fn action() -> impl Strategy<Value = Action> {
    (what(), 0..64_usize, 0..2_usize, any::<u32>(), commit())
        .prop_map(|(what, pick, node, dice, commit)| Action { what, pick, node, dice, commit })
}

pub fn opening() -> impl Strategy<Value = Opening> {
    let quantities = (1..=2_u8, 0..=1_u8);
    (vec(quantities, 1..=3), (1..=4_u8, 1..=2_u8), (-2_000..=2_000_i64, -2_000..=2_000_i64))
        .prop_map(|(orders, shelf, skews_ms)| Opening { orders, shelf, skews_ms })
}

impl World {
    pub fn perform(&mut self, action: &Action) -> Result<(), String> {
        let Action { what, pick, node, dice, commit } = action.clone();
        let order = pick % self.orders();
        let manner = |view, refused| Manner { dice, commit, view, refused };
        self.wait(1);
        match what {
            What::Confirm { key, authorized } => {
                let key = self.key(order, key);
                if authorized {
                    self.toss.move_on(&key, Stage::Opened, Stage::Authorized, self.now);
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
            What::Arrive(verdict) => {
                if let Some(call) = self.nth_call(pick, |place| matches!(place, Place::Travelling)) {
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
                if let Some(flight) = nth(self.flights.len(), pick) {
                    self.hear(flight, line, manner(View::Fresh, false));
                }
            }
            What::TakeOver => self.take_over(node, order, dice, commit),
            What::Crash { moved } => self.restart(node, moved),
            What::Wait { ms } => self.wait(ms),
            What::LandGhost => self.land_ghost(pick),
            What::CancelAtToss => self.cancel(pick),
            What::Lie => self.lie(pick),
            What::Deposit => self.deposit(pick),
        }
        Ok(())
    }

    fn nth_call(&self, pick: usize, fits: impl Fn(&Place) -> bool) -> Option<usize> {
        let calls = self.toss.calls.iter().enumerate();
        let fitting: Vec<usize> = calls.filter(|(_, call)| fits(&call.place)).map(|(i, _)| i).collect();
        nth(fitting.len(), pick).map(|at| fitting[at])
    }

    fn lie(&mut self, pick: usize) {
        let session = pick % self.toss.sessions.len();
        let session = &mut self.toss.sessions[session];
        session.lies = true;
        self.lied.insert(session.order);
    }

    fn deposit(&mut self, pick: usize) {
        let waiting: Vec<_> = self.toss.sessions.iter().map(|s| (s.key.clone(), s.stage())).collect();
        let waiting: Vec<_> =
            waiting.into_iter().filter(|(_, stage)| *stage == Stage::AwaitingDeposit).collect();
        if let Some(at) = nth(waiting.len(), pick) {
            let (key, from) = &waiting[at];
            self.toss.move_on(key, *from, Stage::Approved, self.now);
        }
    }
}

fn nth(len: usize, pick: usize) -> Option<usize> {
    (len > 0).then(|| pick % len)
}
