//! The whole grid of Status x Event, and the rules that a grid cannot show, each under the name of what it prevents.

#![expect(clippy::unwrap_used, reason = "tests")]

mod advice;
mod bounds;
mod evidence;
mod findings;
mod rulings;

use uuid::Uuid;

use super::*;
use crate::domain::moment::{Dice, Timestamp};
use crate::domain::order::{Line, OrderId, Quantity, UserId};
use crate::domain::outcome::{Charge, Finding, Outcome, Reply, Report, TossStatus, VirtualAccount};
use crate::domain::{ProductId, Won};

const MINUTE_MS: i64 = 60_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(0).plus_ms(ms)
}

fn moment(rules: &Rules, ms: i64) -> Moment<'_> {
    let transition = TransitionId(Uuid::from_u128(7));
    Moment {
        at: at(ms),
        dice: Dice(u32::MAX),
        transition,
        polled: false,
        steady: true,
        rules,
    }
}

pub fn order() -> Order {
    let product = ProductId::new(1).unwrap();
    let (quantity, amount) = (Quantity::new(3).unwrap(), Won::new(150_000).unwrap());
    Order {
        id: OrderId::new(Uuid::from_u128(1)),
        user: UserId::parse("1").unwrap(),
        name: "Ogu T".into(),
        lines: vec![Line {
            product,
            name: Some("Ogu T".into()),
            quantity,
            amount,
        }]
        .into(),
        total: amount,
    }
}

fn key(text: &str) -> PaymentKey {
    PaymentKey::parse(text).unwrap()
}

fn gateway() -> GatewayIdentity {
    GatewayIdentity("http://toss#a".into())
}

fn claim(owner: u128, ms: i64) -> Claim {
    Claim {
        owner: Incarnation(Uuid::from_u128(owner)),
        deadline: at(ms),
    }
}

fn decline() -> Decline {
    Decline::new("REJECT_CARD_PAYMENT", "no")
}

fn approval() -> Approval {
    Approval {
        approved_at: Some(at(5)),
        method: Some("카드".into()),
        receipt_url: None,
    }
}

fn started(name: &str, ms: i64) -> Event {
    let claim = claim(1, ms + 40_000);
    Event::AttemptStarted {
        payment_key: key(name),
        gateway: gateway(),
        claim,
    }
}

fn undecided(answered: bool) -> Event {
    Event::Undecided {
        attempt: 1,
        answered,
        why: "?".into(),
    }
}

fn unconfirmed(owner: u128, ms: i64) -> Event {
    Event::FoundUnconfirmed {
        attempt: 1,
        claim: claim(owner, ms + 40_000),
        ours: true,
    }
}

fn nothing(ours: bool, ms: i64) -> Event {
    Event::FoundNothing {
        attempt: 1,
        claim: claim(1, ms + 40_000),
        ours,
        asked_at: at(ms),
    }
}

fn approved(attempt: u8) -> Event {
    Event::Approved {
        attempt,
        payment_key: key("key-a"),
        approval: approval(),
    }
}

/// A payment after these events, one second apart.
fn after_all(events: Vec<Event>) -> Payment {
    let rules = Rules::default();
    let mut payment = Payment::ready(order(), at(40 * MINUTE_MS));
    for (second, event) in (1..).zip(events) {
        payment = after(&payment, event, &moment(&rules, second * 1_000))
            .unwrap()
            .next;
    }
    payment
}

fn sample(status: Status) -> Payment {
    let start = || started("key-a", 1_000);
    let declined = Event::Declined {
        attempt: 1,
        decline: decline(),
    };
    match status {
        Status::Ready => after_all(vec![]),
        Status::InProgress => after_all(vec![start()]),
        Status::Unknown => after_all(vec![start(), undecided(false)]),
        Status::Done => after_all(vec![start(), approved(1)]),
        Status::Failed => after_all(vec![start(), declined]),
        Status::Expired => {
            let rules = Rules::default();
            let ready = after_all(vec![]);
            after(
                &ready,
                Event::DeadlinePassed,
                &moment(&rules, 40 * MINUTE_MS),
            )
            .unwrap()
            .next
        }
        Status::Quarantined => after_all(vec![
            start(),
            undecided(true),
            Event::FoundWaitingForDeposit { attempt: 1 },
        ]),
    }
}

/// One line an event: what it makes of READY, IN_PROGRESS, UNKNOWN, DONE, FAILED, EXPIRED, QUARANTINED, one
/// minute after checkout; `-` where it cannot happen. In brackets: what happens to the shelf.
const GRID: &str = "
ATTEMPT_STARTED            IN_PROGRESS[take] - - - IN_PROGRESS[take] - -
OWNER_LOST                 - UNKNOWN - - - - -
RETRY_CLAIMED              - - UNKNOWN - - - -
DEADLINE_PASSED            - - - - - - -
APPROVED                   QUARANTINED[take?] DONE[sell] DONE[sell] - QUARANTINED[take?] QUARANTINED[take?] DONE[sell]
AMOUNT_MISMATCHED          - QUARANTINED QUARANTINED - QUARANTINED[take?] - QUARANTINED
DECLINED                   - FAILED[return] UNKNOWN - - - -
NOT_ATTEMPTED              - UNKNOWN - - - - -
MIXED_UP                   - UNKNOWN - - - - -
UNDECIDED                  - UNKNOWN - - - - -
FOUND_UNCONFIRMED          - - IN_PROGRESS - - - -
FOUND_ENDED                - - FAILED[return] - - - FAILED[return]
FOUND_CANCELED             - QUARANTINED QUARANTINED - QUARANTINED[take?] - QUARANTINED
FOUND_WAITING_FOR_DEPOSIT  - - QUARANTINED - - - -
FOUND_FOREIGN              - - UNKNOWN - - - -
FOUND_NOTHING              - - IN_PROGRESS - - - -
FOUND_UNDECIDED            - - UNKNOWN - - - -
QUESTION_LOST              - - UNKNOWN - - - -
RESOLVED_DONE              - - - - - - DONE[sell]
RESOLVED_FAILED            - - - - - - FAILED[return]
";

fn event_named(name: &str) -> Event {
    let events = [
        started("key-b", MINUTE_MS),
        Event::OwnerLost {
            claim: claim(2, 100_000),
        },
        Event::RetryClaimed {
            claim: claim(2, 100_000),
        },
        Event::DeadlinePassed,
        approved(1),
        Event::AmountMismatched {
            attempt: 1,
            total: Charge::Won(1),
        },
        Event::Declined {
            attempt: 1,
            decline: decline(),
        },
        Event::NotAttempted {
            attempt: 1,
            why: "refused".into(),
        },
        Event::MixedUp { attempt: 1 },
        undecided(true),
        unconfirmed(1, MINUTE_MS),
        Event::FoundEnded {
            attempt: 1,
            decline: decline(),
        },
        Event::FoundCanceled { attempt: 1 },
        Event::FoundWaitingForDeposit { attempt: 1 },
        Event::FoundForeign { attempt: 1 },
        nothing(true, MINUTE_MS),
        Event::FoundUndecided {
            attempt: 1,
            why: "?".into(),
        },
        Event::QuestionLost {
            attempt: 1,
            why: "silence".into(),
        },
        rulings::resolved(Ruling::Done, rulings::shown(TossStatus::Done)),
        rulings::resolved(Ruling::Failed, rulings::shown(TossStatus::Aborted)),
    ];
    events
        .into_iter()
        .find(|event| event.name() == name)
        .unwrap()
}

fn cell(result: &Result<Transition, IllegalEvent>) -> String {
    let Ok(transition) = result else {
        return "-".into();
    };
    let shelf = match transition.stock {
        StockMove::None => "",
        StockMove::Take => "[take]",
        StockMove::TakeIfAvailable => "[take?]",
        StockMove::Return => "[return]",
        StockMove::Sell => "[sell]",
    };
    format!("{}{shelf}", transition.next.status.name())
}

#[test]
fn every_pair_of_status_and_event_is_decided() {
    let rules = Rules::default();
    let mut rows = 0;
    for row in GRID.trim().lines() {
        let mut words = row.split_whitespace();
        let name = words.next().unwrap();
        let expected: Vec<&str> = words.collect();
        let actual: Vec<String> = Status::ALL
            .into_iter()
            .map(|status| {
                cell(&after(
                    &sample(status),
                    event_named(name),
                    &moment(&rules, MINUTE_MS),
                ))
            })
            .collect();
        assert_eq!(actual, expected, "{name}");
        rows += 1;
    }
    assert_eq!(rows, 20, "an event is missing from the grid");
}

#[test]
fn every_transition_names_the_version_it_replaces_and_tells_the_shop_only_news() {
    let rules = Rules::default();
    for status in Status::ALL {
        for row in GRID.trim().lines() {
            let event = event_named(row.split_whitespace().next().unwrap());
            let before = sample(status);
            let Ok(moved) = after(&before, event, &moment(&rules, MINUTE_MS)) else {
                continue;
            };
            assert_eq!(
                (moved.replaces, moved.next.version),
                (before.version, before.version + 1)
            );
            assert_eq!(moved.history.from, Some(status));
            assert_eq!(moved.outbox.is_some(), moved.next.status.is_news());
            let held = matches!(
                moved.next.status,
                Status::Unknown | Status::InProgress | Status::Done
            );
            assert!(!held || moved.next.stock_held, "{row}");
        }
    }
}

#[test]
fn next_step_is_read_off_the_payment_alone() {
    let rules = Rules::default();
    let step = |status, ms| next_step(&sample(status), &moment(&rules, ms));
    assert_eq!(step(Status::Ready, 0), Step::Rest);
    assert_eq!(step(Status::Ready, 40 * MINUTE_MS), Step::Expire);
    assert_eq!(step(Status::InProgress, 0), Step::Confirm);
    assert!(matches!(
        step(Status::Unknown, 0),
        Step::Ask {
            by_order_too: false,
            ..
        }
    ));
    assert!(matches!(
        step(Status::Unknown, 30 * MINUTE_MS),
        Step::Ask {
            by_order_too: true,
            ..
        }
    ));
    assert!(matches!(
        step(Status::Quarantined, 0),
        Step::AskQuietly { .. }
    ));
    for settled in [Status::Done, Status::Failed, Status::Expired] {
        assert_eq!(step(settled, 90 * MINUTE_MS), Step::Rest);
    }
}
