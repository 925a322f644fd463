//! The operator's rulings: which evidence carries them, which refuses them, and what callers hear afterwards.

use super::*;

fn report(name: &str, status: TossStatus) -> Report {
    Report {
        payment_key: key(name),
        order_id: order().id.to_string().into(),
        status,
        total: Charge::Won(150_000),
        approved_at: Some(at(5)),
        method: Some("카드".into()),
        receipt_url: None,
        failure: None,
        account: None,
    }
}

/// Toss has never shown anything.
fn spent() -> Payment {
    Payment {
        quarantine: Some(QuarantineReason::QuestionsSpent),
        ..sample(Status::Quarantined)
    }
}

fn found(name: &str, status: TossStatus) -> Finding {
    Finding::Found(report(name, status))
}

/// Evidence of the gateway that the attempts went to, twenty minutes after checkout; nothing by order.
fn evidence(by_key: Vec<Finding>) -> Evidence {
    Evidence {
        gateway: gateway(),
        asked_at: at(20 * MINUTE_MS),
        by_key: (1..).zip(by_key).collect(),
        by_order: Finding::NotFound,
    }
}

pub fn shown(status: TossStatus) -> Evidence {
    evidence(vec![found("key-a", status)])
}

pub fn resolved(ruling: Ruling, evidence: Evidence) -> Event {
    Event::Resolved(Box::new(Resolution {
        ruling,
        evidence,
        by: "kim@desk".into(),
        why: "seen at Toss".into(),
    }))
}

fn weigh(payment: &Payment, ruling: Ruling, evidence: &Evidence) -> Result<(), Refusal> {
    let rules = Rules::default();
    let now = moment(&rules, 20 * MINUTE_MS);
    let weighed = payment.weigh(ruling, evidence, &now);
    let moved = after(payment, resolved(ruling, evidence.clone()), &now);
    assert_eq!(weighed.is_ok(), moved.is_ok(), "one rule, two doors");
    weighed
}

fn rule(payment: &Payment, ruling: Ruling, evidence: Evidence) -> Transition {
    let rules = Rules::default();
    let now = moment(&rules, 20 * MINUTE_MS);
    after(payment, resolved(ruling, evidence), &now).unwrap()
}

fn about_first() -> About {
    About::Attempt(1, key("key-a"))
}

/// FAILED under key-a, told so; approved after all.
fn late() -> Payment {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    after(&sample(Status::Failed), approved(1), &now)
        .unwrap()
        .next
}

/// Declined under key-a, unsettled under key-b, and quarantined for that.
fn two_keys() -> Payment {
    let declined = Event::Declined {
        attempt: 1,
        decline: decline(),
    };
    let silent = Event::Undecided {
        attempt: 2,
        answered: true,
        why: "?".into(),
    };
    after_all(vec![
        started("key-a", 1_000),
        declined,
        started("key-b", 3_000),
        silent,
        Event::FoundWaitingForDeposit { attempt: 2 },
    ])
}

/// One line a status at Toss: what each ruling comes to for a payment with one untold attempt.
#[test]
fn toss_decides_which_ruling_stands() {
    use Ruling::{Done, Failed};
    use TossStatus::*;
    let payment = sample(Status::Quarantined);
    let a = about_first;
    let open = |status| Err(Refusal::StillOpen(a(), status));
    let none = || Err(Refusal::NoApproval);
    let table = [
        (
            TossStatus::Done,
            Ok(()),
            Err(Refusal::Approved(a(), Charge::Won(150_000))),
        ),
        (Aborted, none(), Ok(())),
        (Expired, none(), Ok(())),
        (Ready, none(), open("READY")),
        (InProgress, none(), open("IN_PROGRESS")),
        (WaitingForDeposit, none(), open("WAITING_FOR_DEPOSIT")),
        (
            Canceled,
            Err(Refusal::Refunded(a())),
            Err(Refusal::Refunded(a())),
        ),
        (
            PartialCanceled,
            Err(Refusal::PartlyRefunded(a())),
            Err(Refusal::PartlyRefunded(a())),
        ),
    ];
    for (status, done, failed) in table {
        assert_eq!(weigh(&payment, Done, &shown(status)), done, "{status:?}");
        assert_eq!(
            weigh(&payment, Failed, &shown(status)),
            failed,
            "{status:?}"
        );
    }
}

#[test]
fn nothing_is_decided_without_an_answer_to_every_question() {
    let payment = sample(Status::Quarantined);
    let silence = || Finding::NoAnswer("timeout".into());
    for ruling in [Ruling::Done, Ruling::Failed] {
        let by_key = evidence(vec![silence()]);
        let refused = weigh(&payment, ruling, &by_key);
        assert_eq!(
            refused,
            Err(Refusal::Silent(about_first(), "timeout".into()))
        );
        let unasked = weigh(&payment, ruling, &evidence(vec![]));
        assert!(matches!(unasked, Err(Refusal::Silent(..))));
        for status in [TossStatus::Done, TossStatus::Aborted] {
            let mut by_order = shown(status);
            by_order.by_order = silence();
            let refused = weigh(&payment, ruling, &by_order);
            assert_eq!(
                refused,
                Err(Refusal::Silent(About::Order, "timeout".into()))
            );
        }
    }
}

#[test]
fn not_found_fails_nothing_within_the_window_or_at_another_gateway() {
    let payment = spent();
    let nothing = || evidence(vec![Finding::NotFound]);
    assert_eq!(weigh(&payment, Ruling::Failed, &nothing()), Ok(()));
    assert_eq!(
        weigh(&payment, Ruling::Done, &nothing()),
        Err(Refusal::NoApproval)
    );

    let mut early = nothing();
    // The last possible send was 41 s after checkout; the window is 660 s.
    early.asked_at = at(61_000);
    let refused = weigh(&payment, Ruling::Failed, &early);
    assert_eq!(refused, Err(Refusal::WindowOpen(about_first(), 641)));

    let mut elsewhere = nothing();
    elsewhere.gateway = GatewayIdentity("http://toss#b".into());
    let refused = weigh(&payment, Ruling::Failed, &elsewhere);
    assert_eq!(
        refused,
        Err(Refusal::OtherGateway(about_first(), gateway()))
    );
    // What it does know, under our own paymentKey, counts.
    let mut elsewhere = shown(TossStatus::Aborted);
    elsewhere.gateway = GatewayIdentity("http://toss#b".into());
    assert_eq!(weigh(&payment, Ruling::Failed, &elsewhere), Ok(()));
}

#[test]
fn an_answer_about_something_else_decides_nothing() {
    let payment = sample(Status::Quarantined);
    let with = |change: fn(&mut Report)| {
        let mut odd = report("key-a", TossStatus::Done);
        change(&mut odd);
        evidence(vec![Finding::Found(odd)])
    };
    for odd in [
        with(|report| report.order_id = "another".into()),
        with(|report| report.payment_key = key("key-z")),
    ] {
        for ruling in [Ruling::Done, Ruling::Failed] {
            let refused = weigh(&payment, ruling, &odd);
            assert!(matches!(refused, Err(Refusal::Unclear(..))), "{refused:?}");
        }
    }
    let more = with(|report| report.total = Charge::Won(150_001));
    assert_eq!(
        weigh(&payment, Ruling::Done, &more),
        Err(Refusal::OtherAmount(about_first(), Charge::Won(150_001)))
    );
    assert_eq!(
        weigh(&payment, Ruling::Failed, &more),
        Err(Refusal::Approved(about_first(), Charge::Won(150_001)))
    );
    // By paymentKey and by order it must be one story.
    let mut torn = shown(TossStatus::Aborted);
    torn.by_order = found("key-a", TossStatus::Done);
    for ruling in [Ruling::Done, Ruling::Failed] {
        let refused = weigh(&payment, ruling, &torn);
        assert!(matches!(refused, Err(Refusal::Unclear(..))), "{refused:?}");
    }
}

#[test]
fn only_a_quarantined_payment_is_ruled_on() {
    for status in Status::ALL
        .into_iter()
        .filter(|s| *s != Status::Quarantined)
    {
        for ruling in [Ruling::Done, Ruling::Failed] {
            let refused = weigh(&sample(status), ruling, &shown(TossStatus::Done));
            assert_eq!(refused, Err(Refusal::NotQuarantined(status)));
        }
    }
}

/// An approval that was seen once is an approval, whatever Toss says later.
#[test]
fn an_approval_seen_before_never_becomes_failed() {
    let seen = weigh(&late(), Ruling::Failed, &shown(TossStatus::Aborted));
    assert_eq!(seen, Err(Refusal::SeenBefore(about_first())));
    let rules = Rules::default();
    let odd = Event::AmountMismatched {
        attempt: 1,
        total: Charge::Won(1),
    };
    let claimed = after(&sample(Status::Unknown), odd, &moment(&rules, MINUTE_MS));
    let claimed = claimed.unwrap().next;
    // A claim that was not ours is cleared by an end that Toss shows, and by nothing less.
    let nothing = evidence(vec![Finding::NotFound]);
    let refused = weigh(&claimed, Ruling::Failed, &nothing);
    assert_eq!(refused, Err(Refusal::ClaimStands(about_first())));
    let ended = shown(TossStatus::Aborted);
    assert_eq!(weigh(&claimed, Ruling::Failed, &ended), Ok(()));
}

/// The buyer of key-a was told 402 and hears it for ever; the order is paid all the same, once.
#[test]
fn a_late_approval_pays_and_the_one_who_was_told_402_keeps_hearing_it() {
    let rules = Rules::default();
    let mut payment = late();
    let hears = |payment: &Payment| match payment.answer_for(&key("key-a"), at(0)) {
        Some(Answer::Declined {
            decline, further, ..
        }) => (decline, further),
        other => panic!("{other:?}"),
    };
    let told = hears(&payment);
    // The shelf was empty when the approval came.
    payment.stock_held = false;
    let paid = rule(&payment, Ruling::Done, shown(TossStatus::Done));
    assert_eq!(
        (paid.next.status, paid.stock),
        (Status::Done, StockMove::Take)
    );
    assert!(paid.next.is_paid() && paid.outbox.is_some());
    assert_eq!(told.1, Further::Ask);
    assert_eq!(hears(&paid.next), (told.0, Further::Nothing));
    let history = &paid.history;
    assert_eq!(
        (history.event, history.reason.as_deref()),
        (
            "RESOLVED_DONE",
            Some("kim@desk, paid by attempt 1: seen at Toss")
        )
    );
    // The same approval heard once more is no news.
    let now = moment(&rules, 21 * MINUTE_MS);
    assert!(after(&paid.next, approved(1), &now).is_err());
}

#[test]
fn an_older_attempt_may_pay_and_the_current_one_is_told_how_it_ended() {
    let rules = Rules::default();
    let payment = two_keys();
    let dead = || found("key-b", TossStatus::Aborted);
    let shown = evidence(vec![found("key-a", TossStatus::Done), dead()]);
    let paid = rule(&payment, Ruling::Done, shown);
    assert_eq!(
        (paid.next.status, paid.stock),
        (Status::Done, StockMove::Sell)
    );
    for name in ["key-a", "key-b"] {
        let answer = paid.next.answer_for(&key(name), at(0));
        assert!(
            matches!(
                answer,
                Some(Answer::Declined {
                    further: Further::Nothing,
                    ..
                })
            ),
            "{name}"
        );
    }
    // The second approval of a paid order is never discarded.
    let second = Event::Approved {
        attempt: 2,
        payment_key: key("key-b"),
        approval: approval(),
    };
    let now = moment(&rules, 21 * MINUTE_MS);
    let twice = after(&paid.next, second, &now).unwrap().next;
    assert_eq!(twice.quarantine, Some(QuarantineReason::LateApproval));
}

/// A bad minute at Toss, and an operator who wants to be done: the deposit may come days later.
#[test]
fn a_not_found_ends_no_account_that_toss_has_shown() {
    let rules = Rules::default();
    let shown = Event::FoundWaitingForDeposit { attempt: 1 };
    let now = moment(&rules, MINUTE_MS);
    let waiting = after(&sample(Status::Unknown), shown, &now).unwrap().next;
    let nothing = evidence(vec![Finding::NotFound]);
    let refused = weigh(&waiting, Ruling::Failed, &nothing);
    assert_eq!(refused, Err(Refusal::AccountShown(about_first())));
    assert_eq!(weigh(&spent(), Ruling::Failed, &nothing), Ok(()));
    // Shown while a human had been called for something else, and asked about quietly.
    let shown = Event::FoundWaitingForDeposit { attempt: 1 };
    let late = moment(&rules, 40 * MINUTE_MS);
    let kept = after(&spent(), shown, &late).unwrap().next;
    assert_eq!(kept.quarantine, Some(QuarantineReason::WaitingForDeposit));
    let not_found = Event::FoundNothing {
        attempt: 1,
        claim: claim(1, 0),
        ours: true,
        asked_at: at(60 * MINUTE_MS),
    };
    let quiet = after(&kept, not_found, &moment(&rules, 60 * MINUTE_MS));
    assert!(quiet.is_err(), "{quiet:?}");
    // No account is valid for so long.
    let mut forgotten = evidence(vec![Finding::NotFound]);
    forgotten.asked_at = at(91 * 24 * 60 * MINUTE_MS);
    assert_eq!(weigh(&waiting, Ruling::Failed, &forgotten), Ok(()));
}

#[test]
fn a_payment_is_not_done_while_another_key_may_be_approved_or_was() {
    let payment = two_keys();
    let with = |second| evidence(vec![found("key-a", TossStatus::Done), second]);
    let b = || About::Attempt(2, key("key-b"));
    let open = with(found("key-b", TossStatus::WaitingForDeposit));
    let refused = weigh(&payment, Ruling::Done, &open);
    assert_eq!(refused, Err(Refusal::StillOpen(b(), "WAITING_FOR_DEPOSIT")));
    let mut early = with(Finding::NotFound);
    early.asked_at = at(2 * MINUTE_MS);
    let refused = weigh(&payment, Ruling::Done, &early);
    assert!(matches!(refused, Err(Refusal::WindowOpen(..))));
    let both = with(found("key-b", TossStatus::Done));
    let refused = weigh(&payment, Ruling::Done, &both);
    assert_eq!(refused, Err(Refusal::Twice(about_first(), b())));
    // One of the two given back leaves one payment.
    let returned = with(found("key-b", TossStatus::Canceled));
    let paid = rule(&payment, Ruling::Done, returned).next;
    assert_eq!(paid.status, Status::Done);
    let told = paid.attempts[1].settled.clone();
    assert!(matches!(told, Some(Settled::Declined(d)) if &*d.code == "CANCELED"));
}

/// A restored backup forgot the attempt; Toss did not.
#[test]
fn an_approval_under_a_key_that_our_record_lacks_pays_and_is_kept() {
    let payment = sample(Status::Quarantined);
    let mut stranger = shown(TossStatus::Aborted);
    stranger.by_order = found("key-z", TossStatus::Done);
    let refused = weigh(&payment, Ruling::Failed, &stranger);
    let who = About::Stranger(key("key-z"));
    assert_eq!(refused, Err(Refusal::Approved(who, Charge::Won(150_000))));
    let paid = rule(&payment, Ruling::Done, stranger).next;
    assert!(matches!(
        paid.answer_for(&key("key-z"), at(0)),
        Some(Answer::Paid(_))
    ));
    assert!(matches!(
        paid.answer_for(&key("key-a"), at(0)),
        Some(Answer::Declined { .. })
    ));
}

#[test]
fn a_failed_ruling_gives_the_goods_back_and_keeps_the_first_decline() {
    let mut payment = sample(Status::Quarantined);
    payment.attempts[0].doubted_decline = Some(decline());
    let failed = rule(&payment, Ruling::Failed, shown(TossStatus::Aborted));
    assert_eq!(
        (failed.next.status, failed.stock, failed.next.stock_held),
        (Status::Failed, StockMove::Return, false)
    );
    assert_eq!(
        failed.history.reason.as_deref(),
        Some("kim@desk: seen at Toss")
    );
    let told = failed.next.attempts[0].settled.clone();
    assert_eq!(told, Some(Settled::Declined(decline())));
    // And an approval that comes after all is kept.
    let rules = Rules::default();
    let now = moment(&rules, 21 * MINUTE_MS);
    let late = after(&failed.next, approved(1), &now).unwrap();
    assert_eq!(late.next.quarantine, Some(QuarantineReason::LateApproval));
}
