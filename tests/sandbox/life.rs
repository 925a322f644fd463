//! Start, stop, restart, and what a crash leaves behind.

use std::path::Path;
use std::time::{Duration, Instant};

use payonce::gateway::wire::PaymentStatus;
use payonce::sandbox::{SandboxFault, SandboxSettings, start};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shop::{SECRET_KEY, Shop, loopback};

#[actix_web::test]
async fn a_restart_forgets_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let shop = Shop::open_on(&path).await;
    let paid = shop.authorize("order-1", 1_000).await;
    let declined = shop.authorize("order-2", 1_000).await;
    let open = shop.authorize("order-3", 1_000).await;
    let first = shop.confirm_as("n1", &paid, "order-1", 1_000).await;
    let decline = json!({"kind": "error", "code": "FDS_ERROR"});
    shop.faults(json!([{"on": "confirm", "times": 1, "do": decline}]))
        .await;
    let refusal = shop.confirm_as("n2", &declined, "order-2", 1_000).await;
    let part = json!({"cancelReason": "\"part\"\n", "cancelAmount": 1});
    shop.cancel(&paid, part).await.payment();
    shop.advance(601).await;
    let ledger = shop.whole_ledger().await;
    let transactions = "/v1/transactions?startDate=2020-01-01&endDate=2200-01-01";
    let listed = shop.get(transactions).await.body;
    shop.sandbox.stop().await;

    let shop = Shop::open_on(&path).await;
    assert_eq!(shop.whole_ledger().await, ledger);
    assert_eq!(shop.get(transactions).await.body, listed);
    let again = shop.confirm_as("n1", &paid, "order-1", 1_000).await;
    assert_eq!(again.body, first.body);
    let trace = "x-tosspayments-trace-id";
    assert!(again.header(trace).ends_with(first.header(trace)));
    let refused_again = shop.confirm_as("n2", &declined, "order-2", 1_000).await;
    assert_eq!(refused_again.body, refusal.body);
    let status = shop.status(&open).await;
    assert_eq!(status, PaymentStatus::Expired, "its clock is still ahead");
}

#[actix_web::test]
async fn a_restart_after_a_reset_finds_nothing_from_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let shop = Shop::open_on(&path).await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm(&key, "order-1", 1_000).await.payment();
    shop.control(Method::POST, "/sandbox/reset", json!(null))
        .await;
    shop.authorize("order-2", 2_000).await;
    shop.sandbox.stop().await;
    let shop = Shop::open_on(&path).await;
    let ledger = shop.whole_ledger().await;
    assert_eq!(ledger["payments"].as_array().unwrap().len(), 1);
    assert_eq!(ledger["payments"][0]["orderId"], "order-2");
    assert_eq!(ledger["totals"]["approvals"], 0);
}

#[actix_web::test]
async fn what_was_answered_is_in_the_file_before_the_answer_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let shop = Shop::open_on(&path).await;
    for number in 0..50 {
        let order_id = format!("order-{number}");
        let key = shop.authorize(&order_id, 1_000).await;
        shop.confirm(&key, &order_id, 1_000).await.payment();
        // No stop, no flush: what a kill -9 would leave behind now.
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(file.lines().last().unwrap().contains("approved") && file.contains(&key));
    }
}

#[actix_web::test]
async fn a_torn_last_line_is_dropped_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let shop = Shop::open_on(&path).await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm(&key, "order-1", 1_000).await.payment();
    shop.sandbox.stop().await;
    let file = std::fs::read(&path).unwrap();
    std::fs::write(&path, &file[..file.len() - 20]).unwrap();
    let shop = Shop::open_on(&path).await;
    assert_eq!(shop.status(&key).await, PaymentStatus::InProgress);
    shop.confirm(&key, "order-1", 1_000).await.payment();
    shop.sandbox.stop().await;
    let shop = Shop::open_on(&path).await;
    assert_eq!(shop.status(&key).await, PaymentStatus::Done);
}

#[actix_web::test]
async fn a_broken_or_busy_ledger_and_a_busy_port_refuse_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let with = |path: &Path| SandboxSettings {
        ledger_path: Some(path.to_owned()),
        ..SandboxSettings::new(loopback())
    };
    let shop = Shop::open_on(&path).await;
    shop.authorize("order-1", 1_000).await;
    assert!(matches!(
        start(with(&path)).await,
        Err(SandboxFault::LedgerInUse { .. })
    ));
    let other = folder.path().join("other.jsonl");
    let taken = SandboxSettings {
        bind: shop.sandbox.address(),
        ..with(&other)
    };
    let busy = start(taken).await.err().unwrap();
    assert!(
        matches!(busy, SandboxFault::Bind { .. })
            && busy
                .to_string()
                .contains(&shop.sandbox.address().to_string())
    );
    start(with(&other)).await.unwrap().stop().await;
    shop.sandbox.stop().await;
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("not json\n{file}")).unwrap();
    assert!(matches!(
        start(with(&path)).await,
        Err(SandboxFault::LedgerBroken { line: 1, .. })
    ));
    assert!(matches!(
        start(with(Path::new("/nowhere/ledger"))).await,
        Err(SandboxFault::Ledger { .. })
    ));
}

#[actix_web::test]
async fn hangs_and_idle_connections_do_not_keep_it_from_stopping() {
    let shop = Shop::open().await;
    shop.faults(json!([
        {"on": "confirm", "do": {"kind": "hang_before"}},
        {"on": "lookup", "do": {"kind": "hang_after"}},
        {"on": "cancel", "do": {"kind": "delay", "millis": 60_000}},
    ]))
    .await;
    let key = shop.authorize("order-1", 1_000).await;
    let base = format!("{}/v1/payments", shop.sandbox.base_url());
    let client = shop.client.clone();
    let send =
        |request: RequestBuilder| tokio::spawn(request.basic_auth(SECRET_KEY, Some("")).send());
    let hanging = [
        send(
            client
                .post(format!("{base}/confirm"))
                .json(&json!({"paymentKey": key, "orderId": "order-1", "amount": 1_000})),
        ),
        send(client.get(format!("{base}/{key}"))),
        send(
            client
                .post(format!("{base}/{key}/cancel"))
                .json(&json!({"cancelReason": "x"})),
        ),
    ];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let address = shop.sandbox.address();
    let started = Instant::now();
    shop.sandbox.stop().await;
    assert!(
        started.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        started.elapsed()
    );
    for request in hanging {
        assert!(request.await.unwrap().is_err());
    }
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_in_a_plain_tokio_runtime_too_and_ends_when_it_is_dropped() {
    let shop = Shop::open().await;
    let key = shop.authorize("order-1", 1_000).await;
    shop.confirm(&key, "order-1", 1_000).await.payment();
    let address = shop.sandbox.address();
    drop(shop);
    let ended = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .is_ok()
    );
}

/// Pools open more connections than they need at once.
#[actix_web::test]
async fn a_connection_that_is_used_late_hears_nothing_before() {
    let shop = Shop::open().await;
    let address = shop.sandbox.address();
    let mut spare = tokio::net::TcpStream::connect(address).await.unwrap();
    // The server's own patience with a slow head would be five seconds.
    let early = tokio::time::timeout(Duration::from_secs(7), spare.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    let request = "GET /sandbox/faults HTTP/1.1\r\nhost: toss\r\n\r\n";
    spare.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    spare.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}
