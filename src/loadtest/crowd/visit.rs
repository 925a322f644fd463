//! One buyer at the shop's door with a paid order in hand: what is said, how often, and what is heard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pace::{Timed, Turn};
use super::phases::Ticket;
use crate::loadtest::buyer::{Answer, Buyer, Silence};
use crate::loadtest::measure::{Oddities, Outcome, in_words};

/// How a buyer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Confirms once, and waits for the answer.
    Plain,
    /// Sends the same confirm to the next node while the first one is on its way.
    ReloadsAtOnce,
    /// Sends the same confirm to the next node when the first one is answered.
    ReloadsLater,
    /// Confirms another amount than the order's, and goes away.
    WrongAmount,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Visit {
    pub manner: Manner,
    /// The first answer.
    pub outcome: Outcome,
    pub reload: Option<Reload>,
    /// What needs an explanation, in words.
    pub odd: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    pub echo: Echo,
    pub latency: Duration,
}

/// A second answer beside the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    Equal,
    Unequal,
    /// Not settled yet, or not taken at all: two such answers may differ.
    Open,
}

type Heard = Result<Answer, Silence>;

/// Timed up to the first answer.
pub async fn visit(
    buyer: &Buyer,
    ticket: &Ticket,
    manner: Manner,
    turn: Turn,
    odd: &Sparing,
) -> Timed<Visit> {
    let node = buyer.next_node();
    let here = buyer.at(node);
    let (timed, again) = match manner {
        Manner::Plain => (turn.answered(here.confirm(&ticket.confirm()).await), None),
        Manner::WrongAmount => (turn.answered(here.confirm(&ticket.tampered()).await), None),
        Manner::ReloadsLater => {
            let timed = turn.answered(here.confirm(&ticket.confirm()).await);
            let again = confirm_again(&buyer.at(node + 1), ticket).await;
            (timed, Some(again))
        }
        Manner::ReloadsAtOnce => {
            let first = async { turn.answered(here.confirm(&ticket.confirm()).await) };
            let next = buyer.at(node + 1);
            let (timed, again) = tokio::join!(first, confirm_again(&next, ticket));
            (timed, Some(again))
        }
    };
    timed.map(|first| judged(manner, &first, again, odd))
}

async fn confirm_again(buyer: &Buyer, ticket: &Ticket) -> (Heard, Duration) {
    let left = Instant::now();
    let heard = buyer.confirm(&ticket.confirm()).await;
    (heard, left.elapsed())
}

fn judged(manner: Manner, first: &Heard, again: Option<(Heard, Duration)>, odd: &Sparing) -> Visit {
    let outcome = asked_for(manner, Outcome::of(first));
    let mut words = odd.may_keep_about(outcome).then(|| in_words(first));
    let reload = again.map(|(again, latency)| {
        let echo = echo(manner, first, &again);
        if echo == Echo::Unequal && odd.may_keep() {
            let (first, again) = (in_words(first), in_words(&again));
            words = Some(format!("a reload heard another answer: {first} | {again}"));
        }
        Reload { echo, latency }
    });
    Visit {
        manner,
        outcome,
        reload,
        odd: words,
    }
}

/// Only a wrong amount is refused as one, and it is never taken.
fn asked_for(manner: Manner, outcome: Outcome) -> Outcome {
    let about_amount = match outcome {
        Outcome::Done | Outcome::Declined | Outcome::OutOfStock | Outcome::Pending => false,
        Outcome::WrongAmount => true,
        Outcome::Refused | Outcome::Unsent | Outcome::Lost | Outcome::Unexpected => return outcome,
    };
    if about_amount == (manner == Manner::WrongAmount) {
        outcome
    } else {
        Outcome::Unexpected
    }
}

/// What is settled stays what it is, whoever asks at whichever node. An answer to a reload that was on its way
/// together with the first one may come too early to know.
fn echo(manner: Manner, first: &Heard, again: &Heard) -> Echo {
    let (before, after) = (Outcome::of(first), Outcome::of(again));
    match after {
        Outcome::Lost | Outcome::Unexpected | Outcome::WrongAmount => Echo::Unequal,
        Outcome::Refused | Outcome::Unsent => Echo::Open,
        Outcome::Pending | Outcome::OutOfStock => {
            if before.is_settled() && manner == Manner::ReloadsLater {
                Echo::Unequal
            } else {
                Echo::Open
            }
        }
        Outcome::Done | Outcome::Declined => match (first, again) {
            (Ok(first), Ok(again)) if before.is_settled() => {
                if first.essence() == again.essence() {
                    Echo::Equal
                } else {
                    Echo::Unequal
                }
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Echo::Open,
        },
    }
}

/// Keeps the first few words of very many: the others' would fill the memory. Refusals, of which there may be most,
/// leave room for what is worse.
#[derive(Debug, Default)]
pub struct Sparing {
    refusals: AtomicUsize,
    others: AtomicUsize,
}

impl Sparing {
    const MOST: usize = Oddities::MOST * 4;

    pub fn may_keep(&self) -> bool {
        self.others.fetch_add(1, Ordering::Relaxed) < Sparing::MOST
    }

    fn may_keep_about(&self, outcome: Outcome) -> bool {
        if outcome == Outcome::Refused {
            return self.refusals.fetch_add(1, Ordering::Relaxed) < Oddities::MOST;
        }
        outcome.is_odd() && self.may_keep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, body: &str) -> Heard {
        Ok(Answer {
            status,
            headers: reqwest::header::HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    fn refused(status: u16, code: &str) -> Heard {
        heard(status, &format!(r#"{{"error":{{"code":"{code}"}}}}"#))
    }

    #[test]
    fn a_settled_answer_is_the_same_for_a_reload_and_an_open_one_may_settle() {
        let done = || heard(200, r#"{"data":{"status":"DONE","amount":1}}"#);
        let other = || heard(200, r#"{"data":{"status":"DONE","amount":2}}"#);
        let declined = || refused(402, "E03010");
        let pending = || refused(503, "E03009");
        let busy = || refused(503, "E99004");
        let sold_out = || refused(409, "E03013");
        let lost = || Err(Silence::Lost("reset".into()));
        // The first answer, the reload's, and what both are to each other: sent at once, and sent later.
        let cases = [
            (done(), done(), Echo::Equal, Echo::Equal),
            (declined(), declined(), Echo::Equal, Echo::Equal),
            (done(), other(), Echo::Unequal, Echo::Unequal),
            (done(), declined(), Echo::Unequal, Echo::Unequal),
            (done(), pending(), Echo::Open, Echo::Unequal),
            (done(), sold_out(), Echo::Open, Echo::Unequal),
            (done(), busy(), Echo::Open, Echo::Open),
            (done(), lost(), Echo::Unequal, Echo::Unequal),
            (pending(), done(), Echo::Open, Echo::Open),
            (pending(), pending(), Echo::Open, Echo::Open),
            (busy(), done(), Echo::Open, Echo::Open),
            (lost(), done(), Echo::Open, Echo::Open),
            (done(), refused(400, "E03002"), Echo::Unequal, Echo::Unequal),
        ];
        for (first, again, at_once, later) in cases {
            for (manner, wanted) in [
                (Manner::ReloadsAtOnce, at_once),
                (Manner::ReloadsLater, later),
            ] {
                let echo = echo(manner, &first, &again);
                assert_eq!(echo, wanted, "{manner:?}: {first:?}, {again:?}");
            }
        }
    }

    #[test]
    fn a_wrong_amount_is_refused_and_a_right_one_is_not() {
        use Outcome::{Done, Lost, Pending, Unexpected, WrongAmount};
        for (manner, outcome, judged) in [
            (Manner::WrongAmount, WrongAmount, WrongAmount),
            (Manner::WrongAmount, Done, Unexpected),
            (Manner::WrongAmount, Pending, Unexpected),
            (Manner::WrongAmount, Lost, Lost),
            (Manner::Plain, WrongAmount, Unexpected),
            (Manner::ReloadsLater, Done, Done),
        ] {
            assert_eq!(asked_for(manner, outcome), judged, "{manner:?} {outcome:?}");
        }
    }

    #[test]
    fn very_many_refusals_leave_room_for_a_word_about_what_is_worse() {
        let odd = Sparing::default();
        let kept = (0..1000).filter(|_| odd.may_keep_about(Outcome::Refused));
        assert_eq!(kept.count(), Oddities::MOST);
        assert!(odd.may_keep_about(Outcome::Lost) && odd.may_keep());
        assert!(!odd.may_keep_about(Outcome::Done));
    }
}
