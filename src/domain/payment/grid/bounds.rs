//! Where a payment stops trying: keys, look-ups, questions and age.

use super::*;

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

/// An old, paid paymentKey of another order is replayed; the new order must not lock its stock.
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

/// Retries run out -> FAILED without ever asking. the budget ends before the confirm window does.
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
    // Toss's silence spends nothing.
    let lost = || Event::QuestionLost {
        attempt: 1,
        why: "silence".into(),
    };
    let silent = after(&payment, lost(), &past).unwrap().next;
    assert_eq!(
        (silent.status, silent.questions),
        (Status::Unknown, payment.questions)
    );
    // But it may be silent about this one payment alone, and nobody would ever see it.
    let a_day = moment(&rules, Rules::SILENCE_MS);
    let patient = after(&silent, lost(), &a_day).unwrap().next;
    assert_eq!(patient.status, Status::Unknown);
    let later = moment(&rules, Rules::SILENCE_MS + 2 * MINUTE_MS);
    // A server that was off for that day has asked once.
    let first = after(&patient, lost(), &later).unwrap().next;
    assert_eq!(first.status, Status::Unknown);
    let often = Payment {
        rounds: rules.questions,
        ..patient
    };
    let seen = after(&often, lost(), &later).unwrap().next;
    assert_eq!(seen.quarantine, Some(QuarantineReason::QuestionsSpent));
    assert!(seen.stock_held);
    let human = after(&payment, odd(), &past).unwrap().next;
    assert_eq!(human.quarantine, Some(QuarantineReason::QuestionsSpent));
    // One that was asked within the window and heard after it says nothing about now, and spends nothing.
    let mut answered = payment.clone();
    answered.attempts[0].answered = true;
    for (asked, status) in [(2, Status::Unknown), (13, Status::Failed)] {
        let nothing = Event::FoundNothing {
            attempt: 1,
            claim: claim(1, 14 * MINUTE_MS),
            ours: true,
            asked_at: at(asked * MINUTE_MS),
        };
        let heard = after(&answered, nothing, &past).unwrap().next;
        assert_eq!(heard.status, status, "asked in minute {asked}");
    }
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

/// Toss answers every look-up, and no confirm: each send would begin a new window, in which nothing is decided.
#[test]
fn a_confirm_that_is_never_answered_is_not_sent_for_ever() {
    for finding in ["unconfirmed", "nothing"] {
        let rules = Rules::default();
        let mut payment = sample(Status::Unknown);
        let (mut ms, mut sends) = (MINUTE_MS, 0);
        while payment.status == Status::Unknown {
            ms += payment.next_attempt_at.unwrap().ms_since(at(ms)).max(1_000);
            assert!(ms < 24 * 60 * MINUTE_MS, "{finding}: {sends} sends");
            let event = match finding {
                "unconfirmed" => unconfirmed(1, ms + 8_000),
                _ => Event::FoundNothing {
                    attempt: 1,
                    claim: claim(1, ms + 8_000),
                    ours: true,
                    asked_at: at(ms),
                },
            };
            payment = after(&payment, event, &moment(&rules, ms)).unwrap().next;
            if payment.status == Status::InProgress {
                sends += 1;
                ms += 8_000;
                let silent = Event::Undecided {
                    attempt: 1,
                    answered: false,
                    why: "502".into(),
                };
                payment = after(&payment, silent, &moment(&rules, ms)).unwrap().next;
            }
        }
        assert!(sends > 5, "{sends}");
        let age = ms - Rules::SENT_FOR_MS;
        assert!(
            age < 2 * rules.confirm_window_ms,
            "{finding}: {age} ms later"
        );
        let rests = match finding {
            "unconfirmed" => Status::Quarantined,
            _ => Status::Failed,
        };
        assert_eq!(payment.status, rests, "{finding}");
    }
}

#[test]
fn an_attempt_of_an_hour_ago_is_only_looked_up() {
    let rules = Rules::default();
    let old = Rules::SENT_FOR_MS + 2_000;
    let silent = sample(Status::Unknown);
    let next = after(&silent, unconfirmed(1, old), &moment(&rules, old))
        .unwrap()
        .next;
    assert_eq!(next.status, Status::Unknown);
}
