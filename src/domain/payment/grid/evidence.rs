//! What counts as evidence: when a decline, an approval or a silence is believed.

use super::*;

/// A decline is believed while an earlier call of the same attempt is still travelling.
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

/// A retry re-posts with the key of an answered error, which Toss replays for 15 days.
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

/// A look-up that answers 404 too early is read as "payment failed".
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
    // Nor where the clock has jumped: the call may have left a second ago.
    let jumped = Moment {
        steady: false,
        ..past
    };
    let finding = nothing(true, last + 1);
    let unsure = after(&answered, finding, &jumped).unwrap().next;
    assert_eq!(unsure.status, Status::Unknown);
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

/// The merchant's key or Toss's base URL is changed with payments unsettled.
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

/// An approval arrives for a payment that was failed meanwhile.
#[test]
fn a_late_approval_is_kept_as_evidence_and_takes_the_stock_again_if_it_is_there() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let late = after(&sample(Status::Failed), approved(1), &now).unwrap();
    assert_eq!(late.stock, StockMove::TakeIfAvailable);
    assert_eq!(late.next.quarantine, Some(QuarantineReason::LateApproval));
    // The buyer was told 402; that answer stays, and the payment no longer settles itself.
    assert!(matches!(
        late.next.answer_for(&key("key-a"), at(0)),
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

/// A late approval lands on a closed attempt. an approved order is READY again and expires.
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
            kept.answer_for(&key("key-a"), at(0)),
            Some(Answer::UnderReview { .. })
        ));
    }
}

/// A quarantined payment that holds no stock becomes DONE only by taking it.
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

/// ABORTED arrives after DONE, and the later one wins.
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
        total: Charge::Won(1),
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

/// A look-up answers CANCELED, read as "never paid".
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

/// The questions are spent; a slow one finds the payment refunded, or approved for another amount. A later
/// "aborted" or "not found" must not make it FAILED: it was approved.
#[test]
fn a_slow_question_that_finds_an_approval_is_written_down() {
    let rules = Rules::default();
    let now = moment(&rules, 90 * MINUTE_MS);
    let mut payment = sample(Status::Quarantined);
    payment.quarantine = Some(QuarantineReason::QuestionsSpent);
    let odd = Event::AmountMismatched {
        attempt: 1,
        total: Charge::Won(1),
    };
    for found in [Event::FoundCanceled { attempt: 1 }, odd] {
        let kept = after(&payment, found.clone(), &now).unwrap().next;
        assert_eq!(kept.status, Status::Quarantined);
        let ended = Event::FoundEnded {
            attempt: 1,
            decline: decline(),
        };
        for denied in [ended, nothing(true, 90 * MINUTE_MS)] {
            assert!(after(&kept, denied, &now).is_err());
        }
        assert!(after(&kept, found, &now).is_err(), "it is written once");
    }
}

/// The buyer's first, declined paymentKey comes back after a second one failed.
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
