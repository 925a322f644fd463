//! Operations: what starts and what refuses to, what is logged and what never is, and how it leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{House, Other, Process, command};
use serde_json::json;

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("payonce.db").display());
    (folder, url)
}

/// A program that becomes the server, on any ports.
#[cfg(unix)]
fn command_of(program: &str, arguments: &[&str], url: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    common::forget_settings(&mut command);
    command.args(arguments).current_dir(folder).envs([
        ("PAYONCE_DATABASE__URL", url),
        ("PAYONCE_SERVER__BIND", "127.0.0.1:0"),
        ("PAYONCE_SANDBOX__BIND", "127.0.0.1:0"),
    ]);
    command
}

fn refused(env: &[(&str, &str)]) -> String {
    let (_folder, url) = folder();
    let mut all = vec![
        ("PAYONCE_DATABASE__URL".to_owned(), url),
        ("PAYONCE_SERVER__BIND".to_owned(), "127.0.0.1:0".to_owned()),
        ("PAYONCE_SANDBOX__BIND".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    all.extend(
        env.iter()
            .map(|(name, value)| (format!("PAYONCE_{name}"), (*value).to_owned())),
    );
    match Process::try_start(&["serve"], &all) {
        Ok(_) => panic!("{env:?} started"),
        Err(log) => log,
    }
}

#[test]
fn a_forgotten_toss_key_never_approves_for_free() {
    let key = "sha256:".to_owned() + &"ab".repeat(32);
    let public = [
        ("SERVER__BIND", "0.0.0.0:0"),
        ("SERVER__API_KEYS", key.as_str()),
    ];
    assert!(refused(&public).contains("PAYONCE_TOSS__SECRET_KEY"));
    let off = [("SANDBOX__ENABLED", "false")];
    assert!(refused(&off).contains("PAYONCE_TOSS__SECRET_KEY"));
}

/// A shop of one machine: loopback behind a proxy of its own, one file, and the unit's environment got lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_was_paid_at_toss_never_comes_back_as_a_sandbox() {
    let mut house = House::plan().in_file().start();
    let (order, key) = house.authorized().await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    house.server.kill_9();
    let mut env = house.environment().to_vec();
    env.retain(|(name, _)| name != "PAYONCE_SANDBOX__ENABLED");
    let mut again = Process::start(&["serve"], &env);
    again.kill_9();
    let other = Other::of(&house).await;
    other
        .say("UPDATE attempts SET gateway = 'https://api.tosspayments.com#0123456789ab'")
        .await;
    let log = Process::try_start(&["serve"], &env).err().expect("refused");
    assert!(log.contains("PAYONCE_TOSS__SECRET_KEY wants"), "{log}");
    env.push(("PAYONCE_SANDBOX__ENABLED".to_owned(), "true".to_owned()));
    Process::start(&["serve"], &env);
}

#[test]
fn a_live_key_and_the_sandbox_refuse_each_other() {
    let log = refused(&[
        ("TOSS__SECRET_KEY", "live_sk_zzRealMoneyMovesHere01"),
        ("SANDBOX__ENABLED", "true"),
    ]);
    assert!(
        log.contains("PAYONCE_SANDBOX__ENABLED") && log.contains("live"),
        "{log}"
    );
    assert!(
        !log.contains("zzRealMoney"),
        "the key itself is not printed: {log}"
    );
    let log = refused(&[("SANDBOX__BIND", "0.0.0.0:0")]);
    assert!(log.contains("PAYONCE_SANDBOX__BIND"), "{log}");
}

#[test]
fn a_public_door_without_keys_and_unknown_or_wrong_settings_are_named() {
    let cases = [
        ([("SERVER__BIND", "0.0.0.0:0")], "PAYONCE_SERVER__API_KEYS"),
        ([("CONFIRM__PATIENCE", "5")], "PAYONCE_CONFIRM__PATIENCE_MS"),
        (
            [("CONFIRM__PATIENCE_MS", "soon")],
            "PAYONCE_CONFIRM__PATIENCE_MS",
        ),
        ([("CONFIRM__TRIES", "0")], "1 to 10"),
        ([("DATABASE__URL", "oracle://x")], "PAYONCE_DATABASE__URL"),
        ([("TOSS__SECRET_KEY", "sk_1")], "PAYONCE_TOSS__SECRET_KEY"),
    ];
    for (env, named) in cases {
        let log = refused(&env);
        assert!(log.contains(named), "{env:?}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_names_the_setting_to_change() {
    let house = House::start();
    let bind = house.server.url.trim_start_matches("http://").to_owned();
    let log = refused(&[("SERVER__BIND", &bind)]);
    assert!(log.contains("PAYONCE_SERVER__BIND"), "{log}");
}

/// SQLite is for one node: a second one on the same file refuses; readers are welcome.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_file_refuses_and_readers_are_welcome() {
    let house = House::plan().in_file().start();
    let (order, key) = house.authorized().await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    let log = Process::try_start(&["serve"], house.environment())
        .err()
        .expect("refused");
    assert!(log.contains("payonce.db"), "{log}");
    for (args, shown) in [
        (&["order", "list"][..], &*order.id),
        (&["order", "show", &order.id], "1 x Ogu T (product 1), "),
        (&["products", "list"], "Ogu T"),
    ] {
        let output = command(args, house.environment()).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(out.contains(shown), "{args:?}: {out}");
        assert!(!out.contains(&key), "a paymentKey is shown masked: {out}");
    }
    let csv = house.folder.path().join("more.csv");
    std::fs::write(&csv, "id,name,price,stock,seller\n77,Hat,1000,5,2\n").unwrap();
    let import = ["products", "import", csv.to_str().unwrap()];
    let output = command(&import, house.environment()).output().unwrap();
    assert!(!output.status.success(), "a server holds the file");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("stop the server"), "{why}");
    house.audit();
    let (is_clean, told) = house.audited_with(&["--days", "1"]);
    assert!(is_clean && told.contains("1 order of 1 d"), "{told}");
}

#[test]
fn a_catalogue_is_imported_whole_or_not_at_all() {
    let (folder, url) = folder();
    let env = [("PAYONCE_DATABASE__URL".to_owned(), url)];
    let csv = folder.path().join("catalogue.csv");
    let told = |args: &[&str]| {
        let output = command(args, &env).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let import = |rows: &str| {
        std::fs::write(&csv, format!("id,name,price,stock,seller\n{rows}\n")).unwrap();
        told(&["products", "import", csv.to_str().unwrap()])
    };
    let (taken, words) = import("7, Hat ,1000,5,2\n8,\"모자, 큰\",0,0,9");
    assert!(taken && words.contains("2 products imported"), "{words}");
    // A file knows nothing of what was sold since it was written.
    let (taken, words) = import("7,Cap,900,50,2");
    assert!(taken && words.contains("stock of 1 known"), "{words}");
    for (bad, wants) in [
        ("9,Cup,1,1,2\n0,Pot,1,1,2", "line 3: id wants"),
        ("9,Cup,-1,1,2", "line 2: price wants 0 to"),
        ("9, ,1,1,2", "line 2: name wants 1 to 90"),
        ("9,Cup,1,-1,2", "line 2: stock wants 0 to"),
        ("9,Cup,1,1,2\r\n10,Pot,1,-1,2\r", "line 3: stock wants 0 to"),
        ("9,Cup,1,1,0", "line 2: seller wants 1 to"),
        (
            "9,Cup,1,1,2\n9,Cup,1,1,2",
            "line 3: product 9 is on line 2 already",
        ),
        ("9,Cup,one,1,2", "line 2: price wants 0 to"),
        ("9,Cup,1,1", "cannot read"),
        ("", "names no product"),
    ] {
        let (taken, words) = import(bad);
        assert!(!taken && words.contains(wants), "{bad}: {words}");
    }
    std::fs::write(&csv, "9,Cup,1,1,2\n").unwrap();
    let (taken, words) = told(&["products", "import", csv.to_str().unwrap()]);
    assert!(!taken && words.contains("line 1: wants id,name"), "{words}");
    let folder = folder.path().to_str().unwrap();
    let (taken, words) = told(&["products", "import", folder]);
    assert!(!taken && words.contains("cannot read"), "{words}");
    let (_, list) = told(&["products", "list"]);
    assert!(list.contains("Cap") && list.contains("모자, 큰"), "{list}");
    assert!(!list.contains("Cup") && !list.contains("50"), "{list}");
}

/// Whoever reads the log may go away, or stop reading; then it is lost, and nobody waits for it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_costs_no_answer() {
    for reads_nothing in [false, true] {
        let (folder, url) = folder();
        let pipe = folder.path().join("log");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let shell = format!(
            "exec {} serve 2>{}",
            env!("CARGO_BIN_EXE_payonce"),
            pipe.display()
        );
        let reader = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&pipe)
            .unwrap();
        let mut server = command_of("sh", &["-c", &shell], &url, folder.path());
        server.env("PAYONCE_LOG__FILTER", "trace");
        let mut server = Process::try_command(server).unwrap();
        // Gone, or there and asleep: a pipe holds 64 KiB, and this log says more.
        let asleep = reads_nothing.then_some(reader);
        let client = common::patient_client().build().unwrap();
        for _ in 0..300 {
            let lines =
                json!({"userId": 1, "orderedProductList": [{"productId": 1, "quantity": 1}]});
            let request = client.post(format!("{}/api/v1/payments/checkout", server.url));
            let answer = request
                .json(&lines)
                .timeout(Duration::from_secs(10))
                .send()
                .await;
            assert_eq!(answer.unwrap().status(), 201);
        }
        server.signal_term();
        assert_eq!(server.wait(Duration::from_secs(30)), Some(0));
        drop(asleep);
    }
}

/// `payonce order list | head -1`
#[cfg(unix)]
#[test]
fn a_command_that_nobody_listens_to_ends_without_a_panic() {
    let (_folder, url) = folder();
    let env = [("PAYONCE_DATABASE__URL".to_owned(), url)];
    assert!(
        command(&["migrate"], &env)
            .output()
            .unwrap()
            .status
            .success()
    );
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command(&["products", "list"], &env)
        .stdout(full)
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.starts_with("payonce: cannot write the output"), "{why}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&["products", "list"], &env)
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_payment_key_or_card_number_reaches_a_log_or_an_error() {
    let house = House::plan()
        .own_toss()
        .env("LOG__FILTER", "trace")
        .env("CONFIRM__FLIGHT_BUDGET_MS", 300)
        .start();
    let (order, key) = house.authorized().await;
    let (other, _) = house.authorized().await;
    let card = "4330123412341234";
    let leak = json!({"kind": "status", "status": 500, "body": format!("{{\"card\":\"{card}\",\"key\":\"{key}\"}}")});
    house
        .faults(json!([{"on": "confirm", "times": 2, "do": leak}]))
        .await;
    let mut answers = vec![house.confirm(&order, &key).await];
    answers.push(house.confirm(&other, &key).await);
    let odd =
        json!({"userId": 1, "orderId": order.id, "amount": "x", "paymentKey": key, "card": card});
    answers.push(house.post("/api/v1/payments/confirm", &odd).await);
    answers.push(house.confirm(&order, &key).await);
    house.heal().await;
    house
        .wait_for(&order, &["DONE"], Duration::from_secs(15))
        .await;
    house.server.signal_term();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = house.server.logged();
    assert!(log.contains(&order.id), "the log tells about the order");
    let secret = common::SECRET_KEY.trim_start_matches("test_sk_");
    for hidden in [&key, card, secret, &order.token] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
        for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
            assert!(
                !answer.body.to_string().contains(hidden),
                "{hidden}: {answer:?}"
            );
        }
    }
}

/// One trace id through door, actors and gateway.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_id_runs_through_door_actors_journal_and_gateway() {
    let house = House::plan().env("LOG__FILTER", "debug").start();
    let (order, key) = house.authorized().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = house.request(reqwest::Method::POST, "/api/v1/payments/confirm");
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let reply = house
        .send(request.json(&House::confirm_body(&order, &key)))
        .await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("traceparent").contains(trace));
    let until = std::time::Instant::now() + Duration::from_secs(60);
    for part in [
        "payonce::http",
        "payonce::actors::payment",
        "payonce::actors::journal",
        "payonce::gateway",
    ] {
        let is_of_both = |line: &str| line.contains(trace) && line.contains(part);
        // A line of the log may come after the answer that it is about.
        while !house.server.logged().lines().any(is_of_both) {
            let log = house.server.logged();
            assert!(std::time::Instant::now() < until, "{part}:\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_confirms_in_flight_settle_and_exits_cleanly() {
    let mut house = House::plan().own_toss().start();
    let (order, key) = house.authorized().await;
    house.toss_stands_still();
    let url = format!("{}/api/v1/payments/confirm", house.server.url);
    let confirm = tokio::spawn(
        house
            .client
            .post(url)
            .json(&House::confirm_body(&order, &key))
            .send(),
    );
    house
        .wait_for(&order, &["IN_PROGRESS"], Duration::from_secs(60))
        .await;
    house.server.signal_term();
    house.server.logged_with("SIGTERM: closing");
    house.toss_goes_on();
    let reply = confirm
        .await
        .unwrap()
        .expect("no reset for an accepted request");
    assert_eq!(reply.status(), 200);
    assert_eq!(house.server.wait(Duration::from_secs(10)), Some(0));
    house.restart(&[]);
    assert_eq!(house.status(&order).await["status"], "DONE");
    house.audit();
}

/// Idle keep-alive connections hold nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_does_not_wait_for_idle_connections() {
    let mut house = House::start();
    house.stock(1).await;
    let began = std::time::Instant::now();
    house.server.signal_term();
    assert_eq!(house.server.wait(Duration::from_secs(10)), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// The due queue is an index search, however many payments are settled.
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_what_is_not_ready() {
    let house = House::start();
    assert_eq!(house.get("/health/live").await.status, 200);
    let ready = house.get("/health/ready").await;
    assert_eq!(ready.status, 200, "{ready:?}");
}

/// In the database itself: one unbroken chain, one outbox row per piece of news.
#[tokio::test(flavor = "multi_thread")]
async fn history_and_outbox_are_written_with_the_transition() {
    let house = House::start();
    let (order, key) = house.authorized().await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);
    let chain = house
        .rows("SELECT version, from_status, to_status FROM payment_history ORDER BY version")
        .await;
    let chain: Vec<(i64, Option<String>, String)> = chain
        .iter()
        .map(|row| {
            (
                row.try_get_by(0).unwrap(),
                row.try_get_by(1).unwrap(),
                row.try_get_by(2).unwrap(),
            )
        })
        .collect();
    let expected = [
        (1, None, "READY".to_owned()),
        (2, Some("READY".to_owned()), "IN_PROGRESS".to_owned()),
        (3, Some("IN_PROGRESS".to_owned()), "DONE".to_owned()),
    ];
    assert_eq!(chain, expected);
    let news = house.rows("SELECT event, version FROM outbox").await;
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].try_get_by::<i64, _>(1).unwrap(), 3);
}
