//! How a report of Toss becomes a finding, and a finding an event.

use super::*;

fn report(change: impl FnOnce(&mut Report)) -> Report {
    let mut report = Report {
        payment_key: key("key-a"),
        order_id: order().id.to_string().into(),
        status: TossStatus::Done,
        total: Charge::Won(150_000),
        approved_at: None,
        method: None,
        receipt_url: None,
        failure: None,
        account: None,
    };
    change(&mut report);
    report
}

/// One key replays another payment's approval. Toss's amount is never compared.
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
    assert_eq!(
        judge(report(|r| r.total = Charge::Won(1))),
        "AMOUNT_MISMATCHED"
    );
    assert_eq!(judge(report(|r| r.payment_key = key("key-z"))), "MIXED_UP");
    assert_eq!(
        judge(report(|r| r.order_id = "another".into())),
        "UNDECIDED"
    );
}

/// A look-up by order returns the older, aborted paymentKey: read as evidence against the newer one.
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
    for approved in [
        TossStatus::Done,
        TossStatus::PartialCanceled,
        TossStatus::Canceled,
    ] {
        assert!(matches!(other(approved), Finding::PaidUnder(_)));
    }
    let account = |status| {
        let report = report(|r| {
            (r.payment_key, r.status) = (key("key-z"), status);
            r.account = Some(VirtualAccount {
                due: None,
                expired: false,
                unpaid: true,
            });
        });
        add_finding_by_order(attempt, Finding::Found(report))
    };
    assert_eq!(account(TossStatus::Canceled), Finding::NotFound, "unpaid");
    let paid = account(TossStatus::Done);
    assert!(matches!(paid, Finding::PaidUnder(_)), "whenever it was");
    let aborted = add(|r| r.status = TossStatus::Aborted);
    assert!(
        matches!(aborted, Finding::Undecided(_)),
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
        (r.total, r.status) = (Charge::Won(1), TossStatus::InProgress)
    }));
    assert_eq!(judge(cheap, &gateway()), "FOUND_UNDECIDED");
    // Another currency is another amount, and it ends as one.
    for (status, event) in [
        (TossStatus::Done, "AMOUNT_MISMATCHED"),
        (TossStatus::Expired, "FOUND_ENDED"),
    ] {
        let dollars = Finding::Found(report(|r| {
            (r.total, r.status) = (Charge::Foreign("USD".into()), status)
        }));
        assert_eq!(judge(dollars, &gateway()), event);
    }
}

/// Toss leaves it WAITING_FOR_DEPOSIT after its due date, calls it CANCELED without a refund, and a bank may take a wrong deposit
/// back within minutes.
#[test]
fn a_virtual_account_ends_and_is_paid_by_more_than_its_status() {
    let waiting = after(
        &sample(Status::Unknown),
        Event::FoundWaitingForDeposit { attempt: 1 },
        &moment(&Rules::default(), MINUTE_MS),
    );
    let waiting = waiting.unwrap().next;
    let attempt = waiting.current_attempt().unwrap();
    let now = 100 * MINUTE_MS;
    let judge = |status, expired, due: i64, approved: Option<i64>, unpaid| {
        let report = report(|r| {
            r.status = status;
            r.approved_at = approved.map(at);
            r.account = Some(VirtualAccount {
                due: Some(at(due)),
                expired,
                unpaid,
            });
        });
        let finding = Finding::Found(report);
        let claim = claim(1, now);
        judge_finding(&waiting, attempt, finding, &gateway(), at(now), claim)
    };
    use TossStatus::{Canceled, Done, WaitingForDeposit};
    let (long_ago, just_now) = (MINUTE_MS, now - MINUTE_MS);
    for (event, name) in [
        (
            judge(WaitingForDeposit, true, long_ago, None, true),
            "FOUND_ENDED",
        ),
        (
            judge(WaitingForDeposit, true, just_now, None, true),
            "FOUND_WAITING_FOR_DEPOSIT",
        ),
        (
            judge(WaitingForDeposit, false, long_ago, None, true),
            "FOUND_WAITING_FOR_DEPOSIT",
        ),
        (judge(Canceled, false, just_now, None, true), "FOUND_ENDED"),
        (
            judge(Canceled, false, just_now, None, false),
            "FOUND_CANCELED",
        ),
        (
            judge(Canceled, false, just_now, Some(long_ago), false),
            "FOUND_CANCELED",
        ),
        (
            judge(Done, false, just_now, Some(just_now), false),
            "FOUND_WAITING_FOR_DEPOSIT",
        ),
        (
            judge(Done, false, just_now, Some(long_ago), false),
            "APPROVED",
        ),
        (judge(Done, false, just_now, None, false), "APPROVED"),
    ] {
        assert_eq!(event.name(), name, "{event:?}");
        let moved = after(&waiting, event, &moment(&Rules::default(), now));
        let rests = moved.map(|moved| (moved.next.status, moved.stock));
        let expected = match name {
            "FOUND_ENDED" => Some((Status::Failed, StockMove::Return)),
            "APPROVED" => Some((Status::Done, StockMove::Sell)),
            "FOUND_CANCELED" => Some((Status::Quarantined, StockMove::None)),
            _ => None,
        };
        assert_eq!(rests.ok(), expected, "{name}");
    }
}

/// The database forgot an approval; Toss still names it, under the key that paid.
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

/// Refunded before our record knew of it, under a paymentKey that it forgot: Toss approved the order, so a human looks.
#[test]
fn a_refund_under_another_key_is_evidence_of_an_approval() {
    let rules = Rules::default();
    let now = moment(&rules, 30 * MINUTE_MS);
    let unknown = sample(Status::Unknown);
    let attempt = unknown.current_attempt().unwrap();
    let refund = report(|r| (r.payment_key, r.status) = (key("key-z"), TossStatus::Canceled));
    let found = Finding::PaidUnder(refund);
    let event = judge_finding(&unknown, attempt, found, &gateway(), at(0), claim(1, 0));
    let kept = after(&unknown, event, &now).unwrap().next;
    assert_eq!(kept.status, Status::Quarantined);
    assert_eq!(kept.quarantine, Some(QuarantineReason::LateApproval));
}

/// The question was asked before another attempt began; its answer is heard after.
#[test]
fn a_late_approval_does_not_take_the_number_of_another_attempt() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let first = sample(Status::Unknown);
    let found = Finding::PaidUnder(report(|r| r.payment_key = key("key-z")));
    let attempt = first.current_attempt().unwrap();
    let event = judge_finding(&first, attempt, found, &gateway(), at(0), claim(1, 0));
    let failed = sample(Status::Failed);
    let second = after(&failed, started("key-b", MINUTE_MS), &now)
        .unwrap()
        .next;
    let warned = after(&second, event, &now).unwrap();
    let names = |a: &Attempt| (a.number, a.payment_key.clone());
    let named: Vec<_> = warned.next.attempts.iter().map(names).collect();
    let wanted = [(1, key("key-a")), (2, key("key-b")), (3, key("key-z"))];
    assert_eq!(named, wanted);
    assert!(warned.begins(&warned.next.attempts[2]) && !warned.begins(&warned.next.attempts[1]));
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

/// Toss claimed an approval of an older attempt; a refusal of the newer one does not make the order unpaid.
#[test]
fn a_claimed_approval_of_any_attempt_stops_every_failure() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let again = started("key-b", MINUTE_MS);
    let second = after(&sample(Status::Failed), again, &now).unwrap().next;
    let claimed = Event::AmountMismatched {
        attempt: 1,
        total: Charge::Won(1),
    };
    let signed = after(&second, claimed, &now).unwrap().next;
    let ended = Event::FoundEnded {
        attempt: 2,
        decline: decline(),
    };
    assert!(after(&signed, ended, &now).is_err());
}
