//! A hostile Toss, as small as it can be: two payment windows, the answers it keeps by idempotency key, and the
//! calls that are still on their way. It guards a paymentKey against a second approval, never an order.

use super::size::Size;

pub const KEYS: usize = 2;
/// Attempts and idempotency keys of one attempt that the world has room for.
pub const ATTEMPTS: usize = 3;
pub const MOST_N: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The buyer has not come with this paymentKey.
    Absent,
    /// The buyer is still to authenticate.
    Opened,
    Authorized,
    Approved,
    Aborted,
    Expired,
    Canceled,
}

impl Stage {
    pub const fn was_approved(self) -> bool {
        matches!(self, Stage::Approved | Stage::Canceled)
    }

    const fn is_settled(self) -> bool {
        self.was_approved() || matches!(self, Stage::Aborted | Stage::Expired)
    }
}

/// What Toss says to a confirm, as far as the rules can tell answers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Said {
    Approved,
    Declined,
    /// Temporary, a 5xx in Toss's shape, already processed, already processing: answered, and nothing decided.
    Undecided,
    /// NOT_FOUND_PAYMENT or NOT_FOUND_PAYMENT_SESSION.
    NotFound,
    /// 409 IDEMPOTENT_REQUEST_PROCESSING: does not count as an answer.
    Running,
}

/// What Toss makes of a confirm that it could approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Approve,
    Decline,
    /// Declined, and yet the window stays open.
    DeclineAndKeepOpen,
    /// Kept under its idempotency key, as 4xx are.
    Temporary,
    /// Not kept under its idempotency key, as 5xx may be.
    ServerError,
    /// A copy of Toss that does not know the payment yet; not kept.
    NotFoundYet,
    /// Another call of the payment is being processed just now.
    Busy,
    /// Whatever there is to say about a window that is no longer open, or an answer that was kept.
    Repeat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    pub attempt: u8,
    pub n: u8,
    pub key: u8,
    /// Under another merchant key than the order's.
    pub stranger: bool,
    /// The node that waits for the answer, if anyone still does.
    pub waiting: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub stage: Stage,
    /// What it was just before, as long as a copy of Toss may still say so.
    pub was: Option<Stage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toss {
    pub sessions: [Session; KEYS],
    pub approvals: u8,
    pub calls: Vec<Call>,
    /// By merchant, attempt and n.
    kept: [[[Option<Said>; MOST_N]; ATTEMPTS]; 2],
}

/// What a look-up comes back with. An index names a paymentKey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    Stage(Stage),
    NotFound,
    /// Not found by paymentKey; by order, this one was.
    ByOrder(u8, Stage),
    /// The answer is about a stranger's paymentKey.
    OtherKey,
    /// Our paymentKey, and a stranger's order.
    OtherOrder,
}

impl Toss {
    const NOTHING_KEPT: [[[Option<Said>; MOST_N]; ATTEMPTS]; 2] = [[[None; MOST_N]; ATTEMPTS]; 2];

    pub fn new() -> Toss {
        let session = Session {
            stage: Stage::Absent,
            was: None,
        };
        Toss {
            sessions: [session; KEYS],
            approvals: 0,
            calls: Vec::new(),
            kept: Toss::NOTHING_KEPT,
        }
    }

    pub fn stage(&self, key: u8) -> Stage {
        self.sessions[usize::from(key)].stage
    }

    pub fn enter(&mut self, key: u8, stage: Stage) {
        let session = &mut self.sessions[usize::from(key)];
        session.was = (session.stage != Stage::Absent).then_some(session.stage);
        session.stage = stage;
        self.approvals += u8::from(stage == Stage::Approved);
    }

    pub fn send(&mut self, call: Call) {
        self.calls.push(call);
        self.calls.sort_unstable();
    }

    /// Nobody waits for these answers any more.
    pub fn leave_behind(&mut self, node: u8) {
        for call in &mut self.calls {
            call.waiting = call.waiting.filter(|waiting| *waiting != node);
        }
        self.calls.sort_unstable();
    }

    fn kept(&self, call: Call) -> Option<Said> {
        self.kept[usize::from(call.stranger)][usize::from(call.attempt) - 1]
            [usize::from(call.n) - 1]
    }

    fn keep(&mut self, call: Call, said: Said) -> Said {
        self.kept[usize::from(call.stranger)][usize::from(call.attempt) - 1]
            [usize::from(call.n) - 1] = Some(said);
        said
    }

    /// What may become of a call that arrives now.
    pub fn verdicts(&self, size: &Size, call: Call) -> Vec<Verdict> {
        if self.kept(call).is_some() || call.stranger && !size.charges_again {
            return vec![Verdict::Repeat];
        }
        if self.stage(call.key) == Stage::Approved && size.charges_again {
            return vec![Verdict::Approve];
        }
        let mut verdicts = match self.stage(call.key) {
            Stage::Authorized => vec![Verdict::Approve, Verdict::Decline, Verdict::Temporary],
            Stage::Absent
            | Stage::Opened
            | Stage::Approved
            | Stage::Aborted
            | Stage::Expired
            | Stage::Canceled => vec![Verdict::Repeat],
        };
        if self.stage(call.key) == Stage::Authorized {
            if size.declines_stay_open {
                verdicts.push(Verdict::DeclineAndKeepOpen);
            }
            if size.forgets_answers {
                verdicts.push(Verdict::ServerError);
            }
            if size.forgets_answers && size.hides {
                verdicts.push(Verdict::NotFoundYet);
            }
        }
        let rivals = self.calls.iter().filter(|other| other.key == call.key);
        if size.forgets_answers && rivals.count() > 1 {
            verdicts.push(Verdict::Busy);
        }
        verdicts
    }

    /// A call stands before Toss: what it says.
    pub fn arrive(&mut self, call: Call, verdict: Verdict) -> Said {
        if let Some(said) = self.kept(call) {
            return said;
        }
        match verdict {
            Verdict::Approve => {
                self.enter(call.key, Stage::Approved);
                self.keep(call, Said::Approved)
            }
            Verdict::Decline => {
                self.enter(call.key, Stage::Aborted);
                self.keep(call, Said::Declined)
            }
            Verdict::DeclineAndKeepOpen => self.keep(call, Said::Declined),
            Verdict::Temporary => self.keep(call, Said::Undecided),
            Verdict::ServerError => Said::Undecided,
            Verdict::NotFoundYet => Said::NotFound,
            Verdict::Busy => {
                let name = |call: &Call| (call.stranger, call.attempt, call.n);
                let same = |other: &&Call| name(other) == name(&call);
                match self.calls.iter().filter(same).count() {
                    0 => self.keep(call, Said::Undecided),
                    _ => Said::Running,
                }
            }
            // Another merchant's payment is not there.
            Verdict::Repeat if call.stranger => self.keep(call, Said::NotFound),
            Verdict::Repeat if self.stage(call.key).was_approved() => {
                self.keep(call, Said::Undecided)
            }
            Verdict::Repeat => self.keep(call, Said::NotFound),
        }
    }

    /// The confirm window of everything sent so far is over: what was open has expired, what travelled would find it
    /// so, and every copy of Toss says the same.
    pub fn age(&mut self, size: &Size) {
        self.calls.clear();
        if size.fortnights {
            self.kept = Toss::NOTHING_KEPT;
        }
        for session in &mut self.sessions {
            if !size.fortnights {
                session.was = None;
            }
            if session.stage == Stage::Authorized {
                session.stage = Stage::Expired;
            }
        }
    }

    /// What a look-up by this paymentKey may say.
    pub fn look_up(&self, size: &Size, key: u8) -> Vec<Seen> {
        let Session { stage, was } = self.sessions[usize::from(key)];
        let mut seen = vec![if stage == Stage::Absent {
            Seen::NotFound
        } else {
            Seen::Stage(stage)
        }];
        if let Some(was) = was.filter(|_| size.stale) {
            seen.push(Seen::Stage(was));
        }
        let just_settled = was.is_some_and(|was| !was.is_settled());
        let unknown = !stage.is_settled() || stage == Stage::Expired || just_settled;
        if size.hides && unknown {
            seen.push(Seen::NotFound);
        }
        seen.dedup();
        seen
    }

    /// What a look-up by order may add: any payment of the order, or none.
    pub fn look_up_order(&self) -> Vec<Seen> {
        let known = (0_u8..).zip(&self.sessions);
        let known = known.filter(|(_, session)| session.stage != Stage::Absent);
        let mut seen: Vec<Seen> = known
            .map(|(key, session)| Seen::ByOrder(key, session.stage))
            .collect();
        seen.push(Seen::NotFound);
        seen
    }
}
