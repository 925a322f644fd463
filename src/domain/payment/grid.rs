//! The whole grid of Status x Event, and the rules that a grid cannot show, each under the name of what it prevents.

#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::*;
use crate::domain::moment::{Dice, Timestamp};
use crate::domain::order::{Line, OrderId, Quantity, UserId};
use crate::domain::outcome::{Finding, Outcome, Reply, Report, TossStatus};
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
AMOUNT_MISMATCHED          - QUARANTINED QUARANTINED - QUARANTINED[take?] - -
DECLINED                   - FAILED[return] UNKNOWN - - - -
NOT_ATTEMPTED              - UNKNOWN - - - - -
MIXED_UP                   - UNKNOWN - - - - -
UNDECIDED                  - UNKNOWN - - - - -
FOUND_UNCONFIRMED          - - IN_PROGRESS - - - -
FOUND_ENDED                - - FAILED[return] - - - FAILED[return]
FOUND_CANCELED             - QUARANTINED QUARANTINED - QUARANTINED[take?] - -
FOUND_WAITING_FOR_DEPOSIT  - - QUARANTINED - - - -
FOUND_FOREIGN              - - UNKNOWN - - - -
FOUND_NOTHING              - - IN_PROGRESS - - - -
FOUND_UNDECIDED            - - UNKNOWN - - - -
QUESTION_LOST              - - UNKNOWN - - - -
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
            total: 1,
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
    assert_eq!(rows, 18, "an event is missing from the grid");
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

/// 72: a decline is believed while an earlier call of the same attempt is still travelling.
#[test]
fn a_decline_is_not_believed_while_another_call_may_be_travelling() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let second_key = after_all(vec![
        started("key-a", 1_000),
        undecided(true),
        unconfirmed(1, 3_000),
    ]);
    assert_eq!(second_key.current_attempt().unwrap().n, 2);
    let second_owner = after_all(vec![
        started("key-a", 1_000),
        undecided(false),
        unconfirmed(2, 3_000),
    ]);
    for doubtful in [second_key, second_owner] {
        let event = Event::Declined {
            attempt: 1,
            decline: decline(),
        };
        let doubted = after(&doubtful, event, &now).unwrap().next;
        assert_eq!(doubted.status, Status::Unknown);
        // Nothing is sent any more; look-ups decide.
        let still = after(&doubted, unconfirmed(1, MINUTE_MS), &now)
            .unwrap()
            .next;
        assert_eq!(still.status, Status::Unknown);
        let other = Decline::new("ABORTED", "");
        let ended = Event::FoundEnded {
            attempt: 1,
            decline: other,
        };
        let failed = after(&still, ended, &now).unwrap().next;
        // The buyer hears the code that Toss said first.
        let settled = failed.current_attempt().unwrap().settled.clone();
        assert_eq!(
            (failed.status, settled),
            (Status::Failed, Some(Settled::Declined(decline())))
        );
        let paid = after(&doubted, approved(1), &now).unwrap().next;
        assert_eq!(paid.status, Status::Done);
    }
}

/// 7: a retry re-posts with the key of an answered error, which Toss replays for 15 days.
#[test]
fn a_key_advances_after_an_answer_and_only_then() {
    let answered = after_all(vec![
        started("key-a", 1_000),
        undecided(true),
        unconfirmed(1, 3_000),
    ]);
    assert_eq!(answered.current_attempt().unwrap().n, 2);
    let silent = after_all(vec![
        started("key-a", 1_000),
        undecided(false),
        unconfirmed(1, 3_000),
    ]);
    assert_eq!(silent.current_attempt().unwrap().n, 1);
    let order = order();
    let attempt = answered.current_attempt().unwrap();
    assert_eq!(attempt.idempotency_key(&order), format!("{}:1:2", order.id));
}

/// 15: a look-up that answers 404 too early is read as "payment failed".
#[test]
fn not_found_is_evidence_only_after_the_confirm_window() {
    let rules = Rules::default();
    let silent = sample(Status::Unknown);
    let sent_until = silent.current_attempt().unwrap().may_send_until;
    let early = moment(&rules, MINUTE_MS);
    let again = after(&silent, nothing(true, MINUTE_MS), &early)
        .unwrap()
        .next;
    assert_eq!(
        (again.status, again.current_attempt().unwrap().n),
        (Status::InProgress, 1)
    );

    let answered = after_all(vec![started("key-a", 1_000), undecided(true)]);
    let wait = after(&answered, nothing(true, MINUTE_MS), &early)
        .unwrap()
        .next;
    assert_eq!(wait.status, Status::Unknown);

    let last = sent_until.plus_ms(rules.confirm_window_ms).micros() / 1_000;
    let at_the_end = after(&answered, nothing(true, last), &moment(&rules, last))
        .unwrap()
        .next;
    assert_eq!(at_the_end.status, Status::Unknown);
    let past = moment(&rules, last + 1);
    assert_eq!(
        after(&answered, nothing(true, last + 1), &past)
            .unwrap()
            .next
            .status,
        Status::Failed
    );
    // A send again moves the window.
    let later = after(&again, undecided(true), &past).unwrap().next;
    assert_eq!(
        after(&later, nothing(true, last), &past)
            .unwrap()
            .next
            .status,
        Status::Unknown
    );
}

/// 82: the merchant's key or Toss's base URL is changed with payments unsettled.
#[test]
fn another_gateway_never_sends_and_its_not_found_is_no_evidence() {
    let rules = Rules::default();
    let silent = sample(Status::Unknown);
    let now = moment(&rules, 90 * MINUTE_MS);
    let lost = after(&silent, nothing(false, 0), &now).unwrap().next;
    assert_eq!(
        (lost.status, lost.quarantine),
        (Status::Quarantined, Some(QuarantineReason::OtherGateway))
    );
    assert!(after(&lost, nothing(false, 0), &now).is_err());
    let foreign = Event::FoundUnconfirmed {
        attempt: 1,
        claim: claim(1, 0),
        ours: false,
    };
    let early = moment(&rules, MINUTE_MS);
    assert_eq!(
        after(&silent, foreign, &early).unwrap().next.status,
        Status::Unknown
    );
    assert_eq!(
        after(&lost, approved(1), &now).unwrap().next.status,
        Status::Done
    );
}

/// 78: an approval arrives for a payment that was failed meanwhile.
#[test]
fn a_late_approval_is_kept_as_evidence_and_takes_the_stock_again_if_it_is_there() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let late = after(&sample(Status::Failed), approved(1), &now).unwrap();
    assert_eq!(late.stock, StockMove::TakeIfAvailable);
    assert_eq!(late.next.quarantine, Some(QuarantineReason::LateApproval));
    // The buyer was told 402; that answer stays, and the payment no longer settles itself.
    assert!(matches!(
        late.next.answer_for(&key("key-a")),
        Some(Answer::Declined { .. })
    ));
    assert!(!late.next.may_settle_itself());
    let ended = Event::FoundEnded {
        attempt: 1,
        decline: decline(),
    };
    assert!(after(&late.next, ended, &now).is_err());
    assert_eq!(next_step(&late.next, &now), Step::Rest);

    let mut second = sample(Status::Failed);
    second = after(&second, started("key-b", MINUTE_MS), &now)
        .unwrap()
        .next;
    let both = after(&second, approved(1), &now).unwrap();
    assert_eq!(
        (both.next.status, both.stock),
        (Status::Quarantined, StockMove::None)
    );
    assert!(
        both.next.stock_held,
        "the second attempt may still be approved"
    );
}

/// 16: a late approval lands on a closed attempt. 83: an approved order is READY again and expires.
#[test]
fn an_approval_of_an_order_without_attempts_is_kept_with_its_key() {
    let rules = Rules::default();
    for status in [Status::Ready, Status::Expired] {
        let kept = after(&sample(status), approved(1), &moment(&rules, MINUTE_MS))
            .unwrap()
            .next;
        assert_eq!(kept.status, Status::Quarantined);
        assert_eq!(kept.attempts[0].payment_key, key("key-a"));
        assert!(matches!(
            kept.answer_for(&key("key-a")),
            Some(Answer::UnderReview { .. })
        ));
    }
}

/// 78: a quarantined payment that holds no stock becomes DONE only by taking it.
#[test]
fn a_quarantined_payment_without_goods_must_take_them_to_be_done() {
    let rules = Rules::default();
    let mut payment = sample(Status::Quarantined);
    payment.stock_held = false;
    let moved = after(&payment, approved(1), &moment(&rules, MINUTE_MS)).unwrap();
    assert_eq!(
        (moved.next.status, moved.stock),
        (Status::Done, StockMove::Take)
    );
}

/// 11: ABORTED arrives after DONE, and the later one wins.
#[test]
fn aborted_never_overwrites_an_approval() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let ended = || Event::FoundEnded {
        attempt: 1,
        decline: decline(),
    };
    assert!(after(&sample(Status::Done), ended(), &now).is_err());
    let odd = Event::AmountMismatched {
        attempt: 1,
        total: 1,
    };
    let signed = after(&sample(Status::Unknown), odd, &now).unwrap().next;
    assert!(
        after(&signed, ended(), &now).is_err(),
        "an approval was claimed"
    );
    assert_eq!(
        after(&signed, approved(1), &now).unwrap().next.status,
        Status::Done
    );
}

/// 74: a look-up answers CANCELED, read as "never paid".
#[test]
fn canceled_means_that_it_was_approved() {
    let rules = Rules::default();
    let found = Event::FoundCanceled { attempt: 1 };
    let kept = after(&sample(Status::Unknown), found, &moment(&rules, MINUTE_MS))
        .unwrap()
        .next;
    assert_eq!(kept.quarantine, Some(QuarantineReason::CanceledAtToss));
    assert!(kept.stock_held && !kept.may_settle_itself());
}

/// 77: the buyer's first, declined paymentKey comes back after a second one failed.
#[test]
fn a_used_payment_key_never_starts_again() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let first = sample(Status::Failed);
    assert!(after(&first, started("key-a", MINUTE_MS), &now).is_err());
    let second = after(&first, started("key-b", MINUTE_MS), &now)
        .unwrap()
        .next;
    let event = Event::Declined {
        attempt: 2,
        decline: decline(),
    };
    let both = after(&second, event, &now).unwrap().next;
    assert!(after(&both, started("key-a", MINUTE_MS), &now).is_err());
    assert!(after(&both, started("key-b", MINUTE_MS), &now).is_err());
    assert!(after(&both, started("key-c", MINUTE_MS), &now).is_ok());
}

#[test]
fn an_eleventh_payment_key_and_a_late_one_are_refused() {
    let rules = Rules::default();
    let mut payment = sample(Status::Ready);
    for number in 1..=10 {
        let now = moment(&rules, MINUTE_MS);
        payment = after(&payment, started(&format!("key-{number}"), MINUTE_MS), &now)
            .unwrap()
            .next;
        let event = Event::Declined {
            attempt: number,
            decline: decline(),
        };
        payment = after(&payment, event, &now).unwrap().next;
    }
    assert!(
        after(
            &payment,
            started("key-11", MINUTE_MS),
            &moment(&rules, MINUTE_MS)
        )
        .is_err()
    );
    let late = moment(&rules, 40 * MINUTE_MS);
    assert!(after(&sample(Status::Ready), started("key-a", 0), &late).is_err());
    assert!(after(&sample(Status::Failed), started("key-b", 0), &late).is_err());
}

/// 85: an old, paid paymentKey of another order is replayed; the new order must not lock its stock.
#[test]
fn a_foreign_payment_key_fails_after_two_look_ups() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let found = || Event::FoundForeign { attempt: 1 };
    let once = after(&sample(Status::Unknown), found(), &now).unwrap().next;
    assert_eq!(once.status, Status::Unknown);
    let twice = after(&once, found(), &now).unwrap();
    assert_eq!(
        (twice.next.status, twice.stock),
        (Status::Failed, StockMove::Return)
    );
    let settled = twice.next.current_attempt().unwrap().settled.clone();
    assert!(
        matches!(settled, Some(Settled::Declined(d)) if &*d.code == Decline::FOREIGN_PAYMENT_KEY)
    );
}

/// 6: retries run out -> FAILED without ever asking. 87: the budget ends before the confirm window does.
#[test]
fn spent_questions_call_a_human_and_never_before_the_window_ends() {
    let rules = Rules::default();
    let odd = || Event::FoundUndecided {
        attempt: 1,
        why: "?".into(),
    };
    let mut payment = sample(Status::Unknown);
    for second in 0..100 {
        let early = moment(&rules, MINUTE_MS + second);
        payment = after(&payment, odd(), &early).unwrap().next;
        assert_eq!(payment.status, Status::Unknown);
    }
    let past = moment(&rules, 13 * MINUTE_MS);
    // Toss's silence spends nothing, however long it lasts.
    let lost = Event::QuestionLost {
        attempt: 1,
        why: "silence".into(),
    };
    let silent = after(&payment, lost, &past).unwrap().next;
    assert_eq!(
        (silent.status, silent.questions),
        (Status::Unknown, payment.questions)
    );
    let human = after(&payment, odd(), &past).unwrap().next;
    assert_eq!(human.quarantine, Some(QuarantineReason::QuestionsSpent));
    // The last question may still decide.
    let ended = Event::FoundEnded {
        attempt: 1,
        decline: decline(),
    };
    assert_eq!(
        after(&payment, ended, &past).unwrap().next.status,
        Status::Failed
    );
    assert_eq!(
        after(&payment, approved(1), &past).unwrap().next.status,
        Status::Done
    );
    // And a quarantined payment follows a clear answer.
    assert_eq!(
        after(&human, approved(1), &past).unwrap().next.status,
        Status::Done
    );
}

#[test]
fn an_attempt_older_than_its_idempotency_key_is_only_looked_up() {
    let rules = Rules::default();
    let old = Rules::KEY_LIFETIME_MS + 2_000;
    let silent = sample(Status::Unknown);
    let next = after(&silent, unconfirmed(1, old), &moment(&rules, old))
        .unwrap()
        .next;
    assert_eq!(next.status, Status::Unknown);
}

fn report(change: impl FnOnce(&mut Report)) -> Report {
    let mut report = Report {
        payment_key: key("key-a"),
        order_id: order().id.to_string().into(),
        status: TossStatus::Done,
        total: 150_000,
        approved_at: None,
        method: None,
        receipt_url: None,
        failure: None,
    };
    change(&mut report);
    report
}

/// 8: one key replays another payment's approval. 13: Toss's amount is never compared.
#[test]
fn an_approval_counts_only_if_key_order_and_amount_are_ours() {
    let payment = sample(Status::InProgress);
    let attempt = payment.current_attempt().unwrap();
    let judge = |report| {
        let reply = Reply {
            outcome: Outcome::Approved(report),
            answered: true,
        };
        judge_reply(&payment, attempt, reply).name()
    };
    assert_eq!(judge(report(|_| {})), "APPROVED");
    assert_eq!(judge(report(|r| r.total = 1)), "AMOUNT_MISMATCHED");
    assert_eq!(judge(report(|r| r.payment_key = key("key-z"))), "MIXED_UP");
    assert_eq!(
        judge(report(|r| r.order_id = "another".into())),
        "UNDECIDED"
    );
}

/// 75: a look-up by order returns the older, aborted paymentKey: read as evidence against the newer one.
#[test]
fn a_look_up_by_order_adds_positive_evidence_only() {
    let payment = sample(Status::Unknown);
    let attempt = payment.current_attempt().unwrap();
    let add =
        |change: fn(&mut Report)| add_finding_by_order(attempt, Finding::Found(report(change)));
    assert!(matches!(add(|_| {}), Finding::Found(_)));
    let other = |status| {
        let report = report(|r| (r.payment_key, r.status) = (key("key-z"), status));
        add_finding_by_order(attempt, Finding::Found(report))
    };
    assert_eq!(other(TossStatus::Aborted), Finding::NotFound);
    assert!(matches!(other(TossStatus::Done), Finding::PaidUnder(_)));
    let aborted = add(|r| r.status = TossStatus::Aborted);
    assert!(
        matches!(aborted, Finding::NoAnswer(_)),
        "doubt, not evidence"
    );
    assert_eq!(
        add_finding_by_order(attempt, Finding::NotFound),
        Finding::NotFound
    );
}

#[test]
fn every_finding_becomes_one_event() {
    let payment = sample(Status::Unknown);
    let attempt = payment.current_attempt().unwrap();
    let judge = |finding, asked: &GatewayIdentity| {
        judge_finding(&payment, attempt, finding, asked, at(0), claim(1, 0)).name()
    };
    let found = |status| judge(Finding::Found(report(|r| r.status = status)), &gateway());
    assert_eq!(found(TossStatus::Done), "APPROVED");
    assert_eq!(found(TossStatus::InProgress), "FOUND_UNCONFIRMED");
    assert_eq!(found(TossStatus::Ready), "FOUND_UNDECIDED");
    assert_eq!(
        found(TossStatus::WaitingForDeposit),
        "FOUND_WAITING_FOR_DEPOSIT"
    );
    assert_eq!(found(TossStatus::Canceled), "FOUND_CANCELED");
    assert_eq!(found(TossStatus::PartialCanceled), "FOUND_CANCELED");
    assert_eq!(found(TossStatus::Aborted), "FOUND_ENDED");
    assert_eq!(found(TossStatus::Expired), "FOUND_ENDED");
    assert_eq!(judge(Finding::NotFound, &gateway()), "FOUND_NOTHING");
    assert_eq!(
        judge(Finding::NoAnswer("502".into()), &gateway()),
        "QUESTION_LOST"
    );
    let foreign = || Finding::Found(report(|r| r.order_id = "another".into()));
    assert_eq!(judge(foreign(), &gateway()), "FOUND_FOREIGN");
    assert_eq!(
        judge(foreign(), &GatewayIdentity("other".into())),
        "FOUND_UNDECIDED"
    );
    let cheap = Finding::Found(report(|r| {
        (r.total, r.status) = (1, TossStatus::InProgress)
    }));
    assert_eq!(judge(cheap, &gateway()), "FOUND_UNDECIDED");
}

/// 83: the database forgot an approval; Toss still names it, under the key that paid.
#[test]
fn an_approval_under_a_forgotten_key_stops_the_second_charge() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let payment = sample(Status::InProgress);
    let attempt = payment.current_attempt().unwrap();
    let forgotten = report(|r| r.payment_key = key("key-z"));
    let reply = Reply {
        outcome: Outcome::Approved(forgotten.clone()),
        answered: true,
    };
    let event = judge_reply(&payment, attempt, reply);
    let warned = after(&payment, event, &now).unwrap().next;
    assert_eq!(warned.status, Status::Unknown);
    let held_back = after(&warned, unconfirmed(1, MINUTE_MS), &now)
        .unwrap()
        .next;
    assert_eq!(held_back.status, Status::Unknown, "nothing more is sent");
    let ended = Event::FoundEnded {
        attempt: 1,
        decline: decline(),
    };
    let human = after(&held_back, ended, &now).unwrap().next;
    assert_eq!(
        human.quarantine,
        Some(QuarantineReason::ConflictingEvidence)
    );
    // A mere mix-up: our own key is paid.
    assert_eq!(
        after(&warned, approved(1), &now).unwrap().next.status,
        Status::Done
    );

    let unknown = sample(Status::Unknown);
    let found = Finding::PaidUnder(forgotten);
    let event = judge_finding(&unknown, attempt, found, &gateway(), at(0), claim(1, 0));
    let kept = after(&unknown, event, &now).unwrap().next;
    assert_eq!(kept.quarantine, Some(QuarantineReason::LateApproval));
    assert_eq!(kept.attempts[1].payment_key, key("key-z"));
    assert!(kept.stock_held && !kept.may_settle_itself());
}

/// An answer that was held up for long says nothing about the time in which it is read.
#[test]
fn an_early_not_found_that_is_read_late_is_no_evidence() {
    let rules = Rules::default();
    let answered = after_all(vec![started("key-a", 1_000), undecided(true)]);
    let late = moment(&rules, 60 * MINUTE_MS);
    let next = after(&answered, nothing(true, MINUTE_MS), &late)
        .unwrap()
        .next;
    assert_ne!(next.status, Status::Failed);
}

/// A buyer's polling spends no question and slows no pace.
#[test]
fn polling_spends_no_question() {
    let rules = Rules::default();
    let polled = Moment {
        polled: true,
        ..moment(&rules, MINUTE_MS)
    };
    let mut payment = sample(Status::Unknown);
    for _ in 0..50 {
        let claim = claim(1, 100_000);
        payment = after(&payment, Event::RetryClaimed { claim }, &polled)
            .unwrap()
            .next;
        let odd = Event::FoundUndecided {
            attempt: 1,
            why: "?".into(),
        };
        payment = after(&payment, odd, &polled).unwrap().next;
    }
    assert_eq!((payment.rounds, payment.questions), (0, 0));
}
