//! How a report of Toss becomes a finding, and a finding an event.

use super::*;

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
    assert_eq!(judge(report(|r| r.payment_key = key("key-z"))), "UNDECIDED");
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
    assert_eq!(add(|r| r.payment_key = key("key-z")), Finding::NotFound);
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
        judge_finding(&payment, attempt, finding, asked, claim(1, 0)).name()
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
