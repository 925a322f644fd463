//! Quarantine: an operator looks, asks Toss, and decides beside the running server; what Toss contradicts is refused,
//! and nobody who was told something hears something else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;
#[path = "quarantine/slowly.rs"]
mod slowly;
#[path = "quarantine/told.rs"]
mod told;

use std::time::Duration;

use common::{House, Order, Other, command};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(90);

/// What a command of ours said.
#[derive(Debug)]
struct Said {
    ok: bool,
    out: String,
    err: String,
}

fn said(mut command: std::process::Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    Said {
        ok: output.status.success(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

fn quarantine(house: &House, args: &[&str]) -> Said {
    said(command(
        &[&["quarantine"], args].concat(),
        house.environment(),
    ))
}

fn resolve(house: &House, order: &Order, ruling: &str) -> Said {
    let reason = "seen in the dashboard";
    let args = ["resolve", &order.id, "--as", ruling, "--reason", reason];
    quarantine(house, &[&args[..], &["--by", "kim@desk"]].concat())
}

#[track_caller]
fn refused(said: &Said, why: &str) {
    assert!(!said.ok, "{said:?}");
    assert!(said.err.contains(why), "{why:?} is not in {said:?}");
    assert!(said.out.is_empty(), "{said:?}");
}

#[track_caller]
fn accepted(said: &Said) {
    assert!(said.ok && said.err.is_empty(), "{said:?}");
}

async fn version(house: &House, order: &Order) -> i64 {
    let seen = house.status(order).await;
    let history = seen["history"].as_array().unwrap();
    history.last().unwrap()["version"].as_i64().unwrap()
}

/// The answer to the confirm lies about the amount.
async fn must_be_quarantined(house: &House, order: &Order, key: &str) {
    let reply = house.confirm(order, key).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (409, "E03017"),
        "{reply:?}"
    );
    house.heal().await;
}

/// Approved at Toss, quarantined here.
async fn approved_and_quarantined(house: &House, product: i64) -> (Order, String) {
    let order = house.checkout(&[(product, 1)]).await;
    let key = house.authorize(&order).await;
    let lie = json!({"kind": "tamper", "field": "totalAmount", "value": 1});
    house.faults(json!([{"on": "any", "do": lie}])).await;
    must_be_quarantined(house, &order, &key).await;
    (order, key)
}

/// Quarantined by an approval that never was: Toss still waits for a confirm.
async fn unpaid_and_quarantined(house: &House) -> (Order, String) {
    let (order, key) = house.authorized().await;
    let forged = json!({"paymentKey": key, "orderId": order.id, "status": "DONE", "currency": "KRW",
        "totalAmount": 1, "method": "카드", "approvedAt": null, "receipt": null, "failure": null});
    let forged = json!({"kind": "status", "status": 200, "body": forged.to_string()});
    house.faults(json!([{"on": "confirm", "do": forged}])).await;
    must_be_quarantined(house, &order, &key).await;
    (order, key)
}

/// Straight to Toss, past payonce: somebody else's integration, or the dashboard.
async fn at_toss(house: &House, path: &str, body: &Value) {
    let url = format!("{}/v1/payments/{path}", house.toss_url());
    let request = house.client.post(url).json(body);
    let request = request.basic_auth(common::SECRET_KEY, Some(""));
    let reply = house.send(request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn refund(house: &House, key: &str) {
    at_toss(
        house,
        &format!("{key}/cancel"),
        &json!({"cancelReason": "in the dashboard"}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_one_is_resolved_as_done_beside_the_server_and_never_as_failed() {
    let mut house = House::plan().own_toss().start();
    assert!(
        quarantine(&house, &["list"])
            .out
            .contains("nothing is quarantined")
    );
    let (order, key) = approved_and_quarantined(&house, 1).await;
    let listed = quarantine(&house, &["list"]);
    for part in [
        &*order.id,
        "AMOUNT_MISMATCH",
        "50000 KRW",
        "stock held",
        "is asked again",
    ] {
        assert!(listed.out.contains(part), "{part}: {listed:?}");
    }
    let shown = quarantine(&house, &["show", &order.id]);
    accepted(&shown);
    for part in [
        "IN_PROGRESS -> QUARANTINED",
        "DONE, 50000 KRW",
        "--as done    allowed; the goods held for it are sold",
        "--as failed  refused: Toss approved attempt 1",
    ] {
        assert!(shown.out.contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.out.contains(&key), "a paymentKey is shown masked");

    let before = version(&house, &order).await;
    let no = resolve(&house, &order, "failed");
    refused(&no, "never becomes FAILED");
    assert_eq!(version(&house, &order).await, before);

    accepted(&resolve(&house, &order, "done"));
    // The server's own copy is old; the very next caller hears the truth.
    let reply = house.confirm(&order, &key).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.data()["status"]),
        (200, &json!("DONE"))
    );
    let seen = house.status(&order).await;
    let last = seen["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["from"], &last["to"], &last["event"], &last["reason"]),
        (
            &json!("QUARANTINED"),
            &json!("DONE"),
            &json!("RESOLVED_DONE"),
            &json!("kim@desk, paid by attempt 1: seen in the dashboard")
        )
    );
    assert_eq!(last["version"], before + 1);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    refused(
        &resolve(&house, &order, "failed"),
        "is DONE, not QUARANTINED",
    );
    house.audit();
    house.server.kill_9();
    house.restart(&[]);
    let again = house.confirm(&order, &key).await;
    assert_eq!(again.body, reply.body);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_one_is_failed_only_when_toss_shows_its_end() {
    let mut house = House::plan().own_toss().start();
    let (order, key) = unpaid_and_quarantined(&house).await;
    let before = version(&house, &order).await;
    refused(&resolve(&house, &order, "done"), "no approval");
    refused(
        &resolve(&house, &order, "failed"),
        "as IN_PROGRESS: money may yet move",
    );

    house
        .faults(json!([{"on": "lookup", "do": {"kind": "reset_before"}}]))
        .await;
    for ruling in ["done", "failed"] {
        refused(
            &resolve(&house, &order, ruling),
            "Toss gave no answer about",
        );
    }
    let unknown = json!({"kind": "error", "code": "NOT_FOUND_PAYMENT", "keepOpen": true});
    house.faults(json!([{"on": "lookup", "do": unknown}])).await;
    refused(
        &resolve(&house, &order, "failed"),
        "a confirm may still arrive",
    );
    house.heal().await;
    assert_eq!(
        version(&house, &order).await,
        before,
        "a refusal writes nothing"
    );

    let later = json!({"advanceSeconds": 660});
    house
        .toss(Method::POST, "/sandbox/clock", Some(&later))
        .await;
    accepted(&resolve(&house, &order, "failed"));
    assert_eq!(house.shelf(1).await, (59, 0, 0, 59));
    // The server finds out from the first caller who comes, with whichever paymentKey.
    let second = house.authorize(&order).await;
    assert_eq!(house.confirm(&order, &second).await.status, 200);
    let told = house.confirm(&order, &key).await;
    assert_eq!(told.status, 402, "{told:?}");
    house.audit();
    house.server.kill_9();
    house.restart(&[]);
    assert_eq!(house.confirm(&order, &key).await.status, 402);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toss_that_is_down_lets_nothing_be_resolved() {
    let mut house = House::plan().own_toss().start();
    let (order, _) = approved_and_quarantined(&house, 1).await;
    house.toss.as_mut().unwrap().kill_9();
    for ruling in ["done", "failed"] {
        refused(
            &resolve(&house, &order, ruling),
            "Toss gave no answer about",
        );
    }
    let shown = quarantine(&house, &["show", &order.id]);
    accepted(&shown);
    assert!(shown.out.contains("no answer:"), "{shown:?}");
    assert_eq!(house.status(&order).await["status"], "QUARANTINED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refunded_one_becomes_neither_failed_nor_done() {
    let house = House::plan().own_toss().start();
    let (order, key) = approved_and_quarantined(&house, 1).await;
    refund(&house, &key).await;
    for ruling in ["done", "failed"] {
        refused(&resolve(&house, &order, ruling), "stays QUARANTINED until");
    }
    assert_eq!(house.status(&order).await["status"], "QUARANTINED");
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_one_without_goods_takes_them_or_is_refused() {
    let mut house = House::plan().own_toss().start();
    house.put_product(900, 1_000, 1).await;
    let (order, key) = approved_and_quarantined(&house, 900).await;
    house.server.kill_9();
    // As a late approval leaves it that found the shelf empty.
    let other = Other::of(&house).await;
    for sql in [
        format!(
            "UPDATE payments SET stock_held = false WHERE order_id = '{}'",
            order.id
        ),
        "UPDATE products SET stock = stock + 1 WHERE id = 900".to_owned(),
    ] {
        other.say(&sql).await;
    }
    other.close().await;
    house.restart(&[]);
    let other = house.checkout(&[(900, 1)]).await;
    let others = house.authorize(&other).await;
    assert_eq!(house.confirm(&other, &others).await.status, 200);

    assert!(quarantine(&house, &["list"]).out.contains("stock NOT held"));
    refused(
        &resolve(&house, &order, "done"),
        "product 900 has 0 of 1. Restock",
    );
    assert_eq!(house.status(&order).await["status"], "QUARANTINED");
    let one = json!({"change": 1, "reason": "for the order that waits"});
    house.post("/api/v1/products/900/stock", &one).await;
    let done = resolve(&house, &order, "done");
    accepted(&done);
    assert!(done.out.contains("taken from the shelf"), "{done:?}");
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    assert_eq!(house.shelf(900).await, (0, 0, 2, 2));
    house.audit();
}

/// Both read the same version, ask Toss, and write: one of them is told to look again.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_at_once_one_is_told_to_look_again() {
    let house = House::plan().own_toss().start();
    let (order, _) = approved_and_quarantined(&house, 1).await;
    let before = version(&house, &order).await;
    house
        .faults(json!([{"on": "lookup", "do": {"kind": "delay", "millis": 4_000}}]))
        .await;
    let one = |by: &'static str| {
        let args = [
            "quarantine",
            "resolve",
            &order.id,
            "--as",
            "done",
            "--reason",
            "paid",
            "--by",
            by,
        ];
        let command = command(&args, house.environment());
        tokio::task::spawn_blocking(move || said(command))
    };
    let both = join_all([one("kim"), one("lee")]).await;
    let both: Vec<Said> = both.into_iter().map(Result::unwrap).collect();
    assert_eq!(both.iter().filter(|said| said.ok).count(), 1, "{both:?}");
    let loser = both.iter().find(|said| !said.ok).unwrap();
    refused(
        loser,
        "it changed while Toss was asked; nothing was written. Look again",
    );
    house.heal().await;
    assert_eq!(version(&house, &order).await, before + 1);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_decides_and_why_must_be_said_in_one_line() {
    let house = House::plan().own_toss().start();
    let (order, key) = approved_and_quarantined(&house, 1).await;
    let args = |reason: &'static str| {
        [
            "quarantine",
            "resolve",
            &order.id,
            "--as",
            "done",
            "--reason",
            reason,
        ]
        .map(str::to_owned)
    };
    let run = |reason: &'static str, more: &[&str], user: Option<&str>| {
        let args = args(reason);
        let args: Vec<&str> = args
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        let mut command = command(&args, house.environment());
        command
            .env_remove("USER")
            .env_remove("LOGNAME")
            .env("HOSTNAME", "desk");
        said({
            command.envs(user.map(|user| ("USER", user)));
            command
        })
    };
    refused(&run("paid", &[], None), "give --by NAME");
    refused(&run("paid", &["--by", " "], None), "--by wants a name");
    refused(&run(" ", &["--by", "kim"], None), "--reason wants a reason");
    refused(
        &run("two\nlines", &["--by", "kim"], None),
        "--reason wants a reason",
    );
    refused(
        &run("paid", &["--by", &key], None),
        "names a whole paymentKey",
    );
    accepted(&run("paid", &[], Some("lee")));
    let seen = house.status(&order).await;
    let last = seen["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["reason"], "lee@desk, paid by attempt 1: paid");
    refused(&quarantine(&house, &["show", "../x"]), "is not an order id");
    let nobody = "01990000-0000-7000-8000-00000000abcd";
    refused(&quarantine(&house, &["show", nobody]), "there is no order");
}

/// It writes beside a server, so it neither makes a database nor changes the tables of one.
#[test]
fn a_database_that_is_missing_or_of_another_build_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payonce.db");
    let url = format!("sqlite://{}", file.display());
    let env = [("PAYONCE_DATABASE__URL".to_owned(), url)];
    let nobody = "01990000-0000-7000-8000-00000000abcd";
    let args = [
        "quarantine",
        "resolve",
        nobody,
        "--as",
        "done",
        "--reason",
        "x",
        "--by",
        "kim",
    ];
    refused(&said(command(&args, &env)), "there is no database at");
    assert!(!file.exists());
    std::fs::write(&file, "").unwrap();
    refused(&said(command(&args, &env)), "run `payonce migrate`");
}
