//! What is left to do for a buyer who was declined.

use super::*;
use crate::domain::Further;

#[test]
fn the_advice_after_a_decline_is_what_the_order_still_allows() {
    let rules = Rules::default();
    let now = moment(&rules, MINUTE_MS);
    let failed = sample(Status::Failed);
    let over = failed.expires_at;
    let before = over.plus_ms(-1);
    let step = |payment: &Payment, event| after(payment, event, &now).unwrap().next;

    let again = step(&failed, started("key-b", MINUTE_MS));
    let silent = Event::Undecided {
        attempt: 2,
        answered: false,
        why: "silence".into(),
    };
    let unknown = step(&again, silent);
    let paid = step(
        &again,
        Event::Approved {
            attempt: 2,
            payment_key: key("key-b"),
            approval: Approval {
                approved_at: None,
                method: None,
                receipt_url: None,
            },
        },
    );
    let late = step(&failed, approved(1));
    let mut last = failed.clone();
    last.attempts = vec![failed.attempts[0].clone(); Rules::MOST_ATTEMPTS];
    for (payment, at, further) in [
        (&failed, before, Further::PayAgain),
        (&failed, over, Further::OrderAnew),
        (&last, before, Further::OrderAnew),
        (&again, before, Further::Wait),
        (&again, over, Further::Wait),
        (&unknown, before, Further::Wait),
        (&late, before, Further::Ask),
        (&paid, before, Further::Nothing),
        (&paid, over, Further::Nothing),
    ] {
        let answer = payment.answer_for(&key("key-a"), at);
        let Some(Answer::Declined {
            further: heard,
            decline: told,
            ..
        }) = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!((heard, told), (further, decline()), "{:?}", payment.status);
    }
}
