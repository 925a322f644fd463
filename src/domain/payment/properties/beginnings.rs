//! Beginnings of stories that have led to trouble before: rare by chance, so half of the stories start from one.

use proptest::prelude::*;

use super::actions::{Action, What};
use super::flight::Line;
use super::journal::Commit;
use super::toss::{Verdict, View};

/// What happens to the first order, first flight and first call; the first node does it.
fn first(what: What) -> Action {
    Action {
        what,
        pick: 0,
        node: 0,
        dice: 1,
        commit: Commit::Heard,
    }
}

fn second(what: What) -> Action {
    let (pick, node) = (1, 1);
    Action {
        pick,
        node,
        ..first(what)
    }
}

fn confirm(key: usize) -> Action {
    let authorized = true;
    first(What::Confirm { key, authorized })
}

fn proceed(view: View) -> What {
    let refused = false;
    What::Proceed { view, refused }
}

fn exchange(verdict: Verdict, line: Line) -> What {
    let view = View::Fresh;
    What::Exchange {
        view,
        verdict,
        line,
    }
}

/// Sent, not answered, asked about: Toss says "not found" while the call is still on its way.
pub fn not_found_while_travelling() -> Vec<Action> {
    vec![
        confirm(0),
        first(proceed(View::Fresh)),
        first(What::Hear(Line::Broken)),
        first(proceed(View::Hidden)),
    ]
}

/// The first key is answered once and travels once more; the second key is in use.
fn left_behind() -> Vec<Action> {
    let second_call = Action {
        pick: 1,
        ..first(What::Arrive(Verdict::ServerError))
    };
    vec![
        confirm(0),
        first(proceed(View::Fresh)),
        first(proceed(View::Fresh)),
        second_call,
        first(What::Finish),
        first(What::Hear(Line::Clean)),
        first(exchange(Verdict::Approve, Line::Clean)),
    ]
}

/// Toss lies to the second node about a call of the first, which is still on its way: the payment has failed.
fn failed_by_a_lie() -> Vec<Action> {
    vec![
        first(What::Lie),
        confirm(0),
        first(proceed(View::Fresh)),
        Action {
            pick: 0,
            ..second(What::TakeOver)
        },
        second(exchange(Verdict::Approve, Line::Clean)),
    ]
}

/// ... and then the call is approved after all, and heard.
fn approved_after_a_lie() -> Vec<Action> {
    let mut story = failed_by_a_lie();
    story.extend([
        first(What::Arrive(Verdict::Approve)),
        first(What::Finish),
        first(What::Hear(Line::Clean)),
    ]);
    story
}

/// Toss has said that it took another amount, and is about to deny everything.
fn contradicted() -> Vec<Action> {
    vec![
        confirm(0),
        first(exchange(Verdict::Approve, Line::OtherAmount)),
        first(What::Lie),
    ]
}

/// The first paymentKey was declined, the second is on its way.
fn second_key() -> Vec<Action> {
    vec![
        confirm(0),
        first(exchange(Verdict::DeclineAndKeepOpen, Line::Clean)),
        confirm(1),
        first(proceed(View::Fresh)),
    ]
}

pub fn beginning() -> impl Strategy<Value = Vec<Action>> {
    prop_oneof![
        6 => Just(Vec::new()),
        1 => Just(not_found_while_travelling()),
        2 => Just(left_behind()),
        1 => Just(failed_by_a_lie()),
        1 => Just(approved_after_a_lie()),
        1 => Just(contradicted()),
        1 => Just(second_key()),
    ]
}
