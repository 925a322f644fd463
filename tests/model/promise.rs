//! The promise, invariant by invariant, as properties of every state; and the way from every state to its end.

use payonce::domain::payment::{Status, Step};
use payonce::domain::{Answer, Further, Payment, PaymentKey, Timestamp};
use stateright::Property;

use super::flight::is_signed;
use super::toss::{KEYS, Seen, Stage, Verdict};
use super::world::{Action, Commit, Doing, Flight, Heard, Mix, State, World, key_number};

pub const ONE_APPROVAL: &str = "at most one approval";
pub const NO_LOST_APPROVAL: &str = "no lost approval";
pub const NO_PHANTOM: &str = "no phantom";
pub const STOCK_CONSERVED: &str = "stock is conserved";
pub const STABLE_ANSWERS: &str = "stable answers";
pub const CAN_SETTLE: &str = "liveness: can settle";
pub const CAN_BE_RULED: &str = "liveness: an operator can settle";

pub fn properties() -> Vec<Property<World>> {
    vec![
        Property::always(ONE_APPROVAL, at_most_one_approval),
        Property::always(NO_LOST_APPROVAL, no_lost_approval),
        Property::always(NO_PHANTOM, no_phantom),
        Property::always(STOCK_CONSERVED, stock_is_conserved),
        Property::always(STABLE_ANSWERS, answers_are_stable),
        Property::always(CAN_SETTLE, can_settle),
        Property::always(CAN_BE_RULED, can_be_ruled),
    ]
}

fn at_most_one_approval(_: &World, state: &State) -> bool {
    state.toss.approvals <= 1 || state.lied
}

/// An approval behind a closed payment is a lost one, at once, unless Toss had lied. One that was heard is never
/// forgotten, whatever Toss says; a claim of one (another amount, another name) may be cleared by an operator only.
fn no_lost_approval(_: &World, state: &State) -> bool {
    let closed = matches!(state.record.status, Status::Failed | Status::Expired);
    let kept = matches!(state.record.status, Status::Done | Status::Quarantined);
    let approved = state.toss.approvals > 0 && !state.lied;
    let claimed = state.heard == Heard::Claim || is_signed(&state.record);
    !(closed && (approved || claimed)) && (kept || state.heard < Heard::OtherAmount)
}

fn no_phantom(_: &World, state: &State) -> bool {
    let payment = &state.record;
    let paid = |key: &PaymentKey| {
        let settled = payment.attempt_with(key).and_then(|a| a.settled.as_ref());
        settled.is_some_and(|settled| settled.approval().is_some())
    };
    let approved = |key: &PaymentKey| state.toss.stage(key_number(key)).was_approved();
    let mut attempts = payment.attempts.iter();
    payment.status != Status::Done
        || attempts.any(|attempt| paid(&attempt.payment_key) && approved(&attempt.payment_key))
}

fn stock_is_conserved(_: &World, state: &State) -> bool {
    let held = state.record.stock_held;
    let right = match state.record.status {
        Status::InProgress | Status::Unknown | Status::Done => held,
        Status::Ready | Status::Failed | Status::Expired => !held,
        Status::Quarantined => true,
    };
    let out = state.sold_elsewhere + i8::from(held);
    right && state.shelf >= 0 && state.shelf + out == 1
}

/// Without the advice, which may change.
pub fn settled_answer(payment: &Payment, key: &PaymentKey) -> Option<Answer> {
    match payment
        .answer_for(key, Timestamp::default())
        .filter(Answer::is_settled)?
    {
        Answer::Declined {
            order_id, decline, ..
        } => Some(Answer::Declined {
            order_id,
            decline,
            further: Further::PayAgain,
        }),
        other => Some(other),
    }
}

fn answers_are_stable(_: &World, state: &State) -> bool {
    (0..).zip(&state.told).all(|(number, told)| {
        let key = super::world::payment_key(number);
        told.is_none() || settled_answer(&state.record, &key) == *told
    })
}

fn is_at_rest(payment: &Payment) -> bool {
    match payment.status {
        Status::Done | Status::Failed | Status::Expired | Status::Quarantined => true,
        Status::Ready | Status::InProgress | Status::Unknown => false,
    }
}

/// Nobody flies, nobody looks at it, and nothing is half written.
fn is_left_alone(state: &State) -> bool {
    let flies = state.flights.iter().any(Option::is_some);
    !flies && state.ghost.is_none() && state.review.is_none()
}

/// What is quarantined is not stuck: once the window is over and Toss speaks the truth, one of the rulings stands. Not
/// for what was refunded, approved twice, or may still be authenticated: there the money itself is not settled.
fn can_be_ruled(world: &World, state: &State) -> bool {
    let stages = (0..).take(KEYS).map(|key| state.toss.stage(key));
    let open = |stage| matches!(stage, Stage::Canceled | Stage::Opened);
    let unsettled = state.toss.approvals > 1 || stages.into_iter().any(open);
    state.record.status != Status::Quarantined
        || !is_left_alone(state)
        || unsettled
        || world.can_rule(state)
}

/// From every state in which nobody flies (each other one is a crash away): Toss and the database answer again, and
/// one node recovers. The order must come to rest, and an honest approval must be DONE.
fn can_settle(world: &World, state: &State) -> bool {
    const STEPS: usize = 80;
    const PATIENCE: usize = 3;
    if !is_left_alone(state) {
        return true;
    }
    let mut now = state.clone();
    let mut asked = 0;
    let mut reviewed = false;
    for _ in 0..STEPS {
        let under_review = now.record.status == Status::Quarantined
            && world.step(&now, &now.record) != Step::Rest
            && !reviewed;
        let quiet = now.toss.calls.is_empty() && now.flights[0].is_none();
        if quiet && is_at_rest(&now.record) && !under_review {
            let honest = !now.is_odd() && now.toss.approvals == 1;
            return !honest || now.record.status == Status::Done;
        }
        reviewed |= quiet && under_review;
        let action = match heals(world, &now) {
            Action::Ask(..) if asked == PATIENCE => {
                asked = 0;
                now.flights[0] = None;
                Action::WindowPasses
            }
            action => action,
        };
        asked += usize::from(matches!(action, Action::Ask(..)));
        if let Some(next) = world.apply(&now, &action) {
            now = next;
        }
    }
    false
}

fn heals(world: &World, state: &State) -> Action {
    if let Some(call) = state.toss.calls.first() {
        let verdict = match state.toss.verdicts(&world.size, *call).first() {
            Some(verdict) => *verdict,
            None => Verdict::Repeat,
        };
        return Action::Arrive(*call, verdict);
    }
    let Some(Flight {
        payment,
        doing,
        term,
    }) = &state.flights[0]
    else {
        return match world.step(state, &state.record) {
            Step::Expire => Action::Expire(0, Commit::Heard),
            _ if state.record.status == Status::Ready => Action::WindowPasses,
            _ => Action::TakeOver(0, Commit::Heard),
        };
    };
    match doing {
        Doing::Deciding => match world.step(state, payment) {
            Step::Confirm if *term == state.era => Action::Send(0),
            Step::Confirm | Step::Rest | Step::Expire => Action::Refuse(0, Commit::Heard),
            Step::Ask { .. } | Step::AskQuietly { .. } => {
                let key = payment
                    .current_attempt()
                    .map_or(0, |a| key_number(&a.payment_key));
                let stage = state.toss.stage(key);
                Action::Ask(
                    0,
                    if stage == Stage::Absent {
                        Seen::NotFound
                    } else {
                        Seen::Stage(stage)
                    },
                )
            }
        },
        Doing::Sending { reply: None, .. } => Action::Silence(0, Commit::Heard),
        Doing::Sending { .. } | Doing::Asking { .. } => Action::Hear(0, Mix::Clean, Commit::Heard),
        Doing::Recording { .. } => Action::Rewrite(0, Commit::Heard),
    }
}
