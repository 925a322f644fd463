//! A settled answer stays, whatever an operator decides about the order behind it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{self, House};
use crate::{SOON, accepted, at_toss, quarantine, refused, resolve};

/// Short windows: what may be believed is believed soon.
fn quick() -> common::Plan {
    House::plan()
        .own_toss()
        // A part of how long a confirm may still arrive; and longer than a machine stands still.
        .env("TOSS__READ_TIMEOUT_MS", 4_000)
        .env("TOSS__CONNECT_TIMEOUT_MS", 500)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 500)
        .env("CONFIRM__WINDOW_S", 1)
        .env("RECOVERY__TICK_MS", 100)
        .env("RECOVERY__BACKOFF_MIN_MS", 100)
        .env("RECOVERY__BACKOFF_MAX_MS", 400)
        .env("RECOVERY__QUARANTINE_ASK_S", 1)
}

/// Declined and told so; approved at Toss behind our back; found by the order's second attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_was_told_402_keeps_hearing_it_when_the_order_is_resolved_as_done() {
    let mut house = quick().start();
    let (order, key) = house.authorized().await;
    let declined = json!({"kind": "error", "code": "REJECT_CARD_PAYMENT", "keepOpen": true});
    house
        .faults(json!([{"on": "confirm", "times": 1, "do": declined}]))
        .await;
    let told = house.confirm(&order, &key).await;
    assert_eq!(told.status, 402, "{told:?}");
    house.heal().await;
    let body = json!({"paymentKey": key, "orderId": order.id, "amount": order.total});
    at_toss(&house, "confirm", &body).await;
    // A paymentKey that Toss does not know makes payonce ask for the order, in time.
    let second = "tgen_20990101000000zzzzz";
    house.confirm(&order, second).await;
    let seen = house
        .wait_for(&order, &["QUARANTINED", "DONE", "FAILED"], SOON)
        .await;
    assert_eq!(seen["quarantineReason"], "LATE_APPROVAL", "{seen:#}");
    assert_eq!(house.confirm(&order, second).await.code(), "E03017");

    let shown = quarantine(&house, &["show", &order.id]);
    assert!(shown.out.contains("--as done    allowed"), "{shown:?}");
    refused(
        &resolve(&house, &order, "failed"),
        "Toss approved attempt 1",
    );
    let done = resolve(&house, &order, "done");
    accepted(&done);
    assert!(done.out.contains("paid by attempt 1"), "{done:?}");

    let settled = |body: &Value| {
        let mut error = body["error"].clone();
        // The advice may change: the order is paid now. The trace is the request's own.
        let advice = error.as_object_mut().unwrap();
        advice.remove("next");
        advice.remove("traceId");
        error
    };
    for restarted in [false, true] {
        let again = house.confirm(&order, &key).await;
        assert_eq!(
            (again.status, settled(&again.body)),
            (told.status, settled(&told.body))
        );
        // As the server knows it: an operator's command has written beside it.
        let advice = again.body["error"]["next"].as_str().unwrap();
        assert!(
            ["contact_shop", "none"].contains(&advice),
            "{advice}: it must not be paid again"
        );
        // Nobody had told the second one anything: now it is told how its attempt ended, within a second.
        let until = std::time::Instant::now() + SOON;
        while house.confirm(&order, second).await.status != 402 {
            assert!(std::time::Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let again = house.confirm(&order, &key).await;
        assert_eq!(again.body["error"]["next"], "none");
        let third = house.confirm(&order, "tgen_20990101000000yyyyy").await;
        assert_eq!((third.code(), third.status.as_u16()), ("E03005", 409));
        let seen = house.status(&order).await;
        assert_eq!(
            (&seen["status"], &seen["method"]),
            (&json!("DONE"), &json!("카드"))
        );
        assert_eq!(seen["attempts"][0]["status"], "APPROVED");
        assert_eq!(house.approvals(&order).await, 1);
        assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
        house.audit();
        if !restarted {
            house.server.kill_9();
            house.restart(&[]);
        }
    }
}
