//! A Toss that never comes to an end: heads and bodies that drip or flood are bounded by time and by size.
#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;

/// After one request: `first` once, then `again` for as long as anybody reads, with a pause in between.
async fn endless(first: &'static str, again: String, pause: Duration) -> Toss {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let again = again.clone();
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                _ = stream.read(&mut request).await;
                _ = stream.write_all(first.as_bytes()).await;
                while stream.write_all(again.as_bytes()).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    Toss::new(TossSettings {
        base_url,
        secret_key: "test_sk_zXLkKEypNArWmo50nX3lmeaxYG5R".into(),
        connect_timeout_ms: 5_000,
        read_timeout_ms: 700,
    })
    .unwrap()
}

#[tokio::test]
async fn an_answer_that_drips_or_floods_without_end_is_unknown_within_the_timeout() {
    let drip = Duration::from_millis(20);
    let flood = Duration::ZERO;
    let chunked = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
    let many = "x-more: and more\r\n".repeat(50);
    for (first, again, pause) in [
        ("HTTP/1.1 200 X\r\nx-drip: ", "x".to_owned(), drip),
        ("HTTP/1.1 200 X\r\n", many, flood),
        ("HTTP/1.1 200 X\r\n\r\n{", " ".to_owned(), drip),
        ("HTTP/1.1 200 X\r\n\r\n{", " ".repeat(60_000), flood),
        (chunked, "1\r\n \r\n".to_owned(), drip),
        (
            chunked,
            format!("10000\r\n{}\r\n", " ".repeat(0x10000)),
            flood,
        ),
        ("", "HTTP/1.1 100 Continue\r\n\r\n".to_owned(), drip),
        ("", "HTTP/1.1 103 Hints\r\n\r\n".repeat(100), flood),
    ] {
        let toss = endless(first, again.clone(), pause).await;
        let began = Instant::now();
        let reply = toss
            .confirm(&ConfirmCall {
                payment_key: PaymentKey::parse("tgen_20260102210202h9Oy0").unwrap(),
                order: OrderId::new(Uuid::from_u128(7)),
                amount: Won::new(210_000).unwrap(),
                idempotency_key: "o:1:1".to_owned(),
            })
            .await;
        let told = format!("{first:?} and {again:.30?}: {reply:?}");
        assert!(matches!(reply.said.outcome, Outcome::Unknown(_)), "{told}");
        assert!(!reply.said.answered, "{told}");
        // The bound is 0.7 s; the rest is for a machine that is busy elsewhere.
        assert!(began.elapsed() < Duration::from_secs(10), "{told}");
    }
}
