//! What Toss makes of the one order of a cell, as faults of the sandbox, and where the payment must rest in the end.

use payonce::crash::{Kind, Phase, Point};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Approved,
    Declined,
    /// PROVIDER_ERROR, once.
    Temporary,
    /// Processed, and the answer never comes.
    LostAnswer,
    /// Never processed; the look-up says so.
    Unconfirmed,
    /// Toss never issued the paymentKey.
    NotFound,
    /// A status that nobody expects: a human is called, and the slow questions settle it before one comes.
    Quarantined,
}

impl Outcome {
    pub const ALL: [Outcome; 7] = [
        Outcome::Approved,
        Outcome::Declined,
        Outcome::Temporary,
        Outcome::LostAnswer,
        Outcome::Unconfirmed,
        Outcome::NotFound,
        Outcome::Quarantined,
    ];

    /// The final status, and how often Toss has approved.
    pub fn rest(self) -> (&'static str, i64) {
        match self {
            Outcome::Approved
            | Outcome::Temporary
            | Outcome::LostAnswer
            | Outcome::Unconfirmed
            | Outcome::Quarantined => ("DONE", 1),
            Outcome::Declined | Outcome::NotFound => ("FAILED", 0),
        }
    }

    /// A call that is out when its caller dies, or that holds a shutdown up, is processed late.
    pub fn faults(self, point: Point) -> Value {
        let late = json!({"kind": "delay", "millis": 400});
        let mut rules = match point {
            // A sandbox that is late cannot decline as well.
            _ if self == Outcome::Declined => vec![],
            Point::ConfirmOut => vec![json!({"on": "confirm", "times": 1, "do": late})],
            Point::KeyLookUpOut | Point::OrderLookUpOut => {
                vec![json!({"on": "lookup", "times": 1, "do": late})]
            }
            _ if is_shutdown(point) && self == Outcome::Approved => {
                vec![json!({"on": "confirm", "times": 1, "do": late})]
            }
            _ => vec![],
        };
        let declined = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT"});
        let temporary = json!({"kind": "error", "code": "PROVIDER_ERROR"});
        let deposit = json!({"kind": "tamper", "field": "status", "value": "WAITING_FOR_DEPOSIT"});
        rules.extend(match self {
            Outcome::Approved | Outcome::NotFound => vec![],
            Outcome::Declined => vec![json!({"on": "confirm", "do": declined})],
            Outcome::Temporary => vec![json!({"on": "confirm", "times": 1, "do": temporary})],
            Outcome::LostAnswer => {
                vec![json!({"on": "confirm", "times": 1, "do": {"kind": "reset_after"}})]
            }
            Outcome::Unconfirmed => {
                vec![json!({"on": "confirm", "times": 2, "do": {"kind": "reset_before"}})]
            }
            Outcome::Quarantined => vec![
                json!({"on": "confirm", "times": 1, "do": deposit}),
                json!({"on": "lookup", "times": 1, "do": deposit}),
            ],
        });
        Value::Array(rules)
    }

    /// The outcomes whose path leads over this point for sure; the others may miss it.
    pub fn leading_to(point: Point) -> &'static [Outcome] {
        use Outcome::*;
        match point {
            Point::OrderLookUpReady | Point::OrderLookUpOut | Point::OrderLookUpAnswered => {
                &[NotFound]
            }
            Point::Batch(_, Kind::Postpone) => &[Quarantined],
            Point::Batch(_, Kind::Again) => &[Temporary, Unconfirmed],
            Point::KeyLookUpReady | Point::KeyLookUpOut | Point::KeyLookUpAnswered => {
                &[Temporary, Unconfirmed, NotFound, Quarantined]
            }
            Point::Batch(_, Kind::Doubt) => &[Temporary, Unconfirmed, NotFound],
            _ => &Outcome::ALL,
        }
    }
}

pub fn is_startup(point: Point) -> bool {
    matches!(
        point,
        Point::Migrated
            | Point::DemoDataIn
            | Point::OrphansMarked
            | Point::OrphansDue
            | Point::SecretKnown
            | Point::CrewStarted
            | Point::DoorOpen
            | Point::Batch(_, Kind::Register)
    )
}

pub fn is_shutdown(point: Point) -> bool {
    matches!(
        point,
        Point::Drained
            | Point::DoorClosed
            | Point::TimerCeased
            | Point::FlightsLanded
            | Point::NodeClosed
            | Point::Flushed
            | Point::StoreClosing
            | Point::StoreClosed
            | Point::Batch(_, Kind::Close)
    )
}

pub fn is_expiry(point: Point) -> bool {
    matches!(
        point,
        Point::ExpiryReady | Point::ExpiryDone | Point::Batch(_, Kind::Expiry)
    )
}

/// Reached while an unfinished payment is taken up again.
pub fn is_taking_up(point: Point) -> bool {
    let claims = matches!(
        point,
        Point::DueFound | Point::ClaimReady | Point::Claimed | Point::Batch(_, Kind::Claim)
    );
    claims || is_startup(point)
}

/// Reached at the door or for a buyer only: never by a process that nobody asks for anything.
pub fn needs_a_request(point: Point) -> bool {
    matches!(
        point,
        Point::Admitted
            | Point::Opened
            | Point::Batch(
                _,
                Kind::Checkout | Kind::Opening | Kind::List | Kind::Restock
            )
    ) || is_expiry(point)
}

/// Whoever dies here has journaled the intent: the payment cannot be READY any more.
pub fn follows_the_intent(point: Point) -> bool {
    matches!(
        point,
        Point::Opened
            | Point::ConfirmReady
            | Point::ConfirmOut
            | Point::ConfirmAnswered
            | Point::KeyLookUpReady
            | Point::KeyLookUpOut
            | Point::KeyLookUpAnswered
            | Point::OrderLookUpReady
            | Point::OrderLookUpOut
            | Point::OrderLookUpAnswered
            | Point::ClaimReady
            | Point::Claimed
            | Point::Batch(Phase::Committed | Phase::Told, Kind::Opening)
            | Point::Batch(
                _,
                Kind::Claim | Kind::Again | Kind::Doubt | Kind::Settled | Kind::Postpone
            )
    )
}
