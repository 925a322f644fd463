//! A database server that falls silent without closing a connection, and one that takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::shared::must_be_shared;
use super::shop::*;
use crate::store::pools::PATIENCE;
use crate::store::{Opened, Store, statement};

/// Between a store and its server. While it is cut, what runs over it stays open and moves no more.
struct Cable {
    address: String,
    cut: Arc<AtomicBool>,
    running: Arc<AtomicUsize>,
}

impl Cable {
    async fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    async fn to(server: String) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(AtomicBool::new(false));
        let running = Arc::new(AtomicUsize::new(0));
        let (is_cut, runs) = (Arc::clone(&cut), Arc::clone(&running));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(&server).await.unwrap();
                let (is_cut, runs) = (Arc::clone(&is_cut), Arc::clone(&runs));
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let closed = tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => true,
                        () = until(&is_cut) => false,
                    };
                    runs.fetch_sub(1, Ordering::SeqCst);
                    if closed {
                        return;
                    }
                    // Both ends stay open: nobody hears that nobody is there.
                    std::future::pending::<()>().await;
                });
            }
        });
        Cable {
            address,
            cut,
            running,
        }
    }
}

async fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The pool itself would wait for each dead connection until the kernel gives it up: to hear whether it lives, or, under TLS,
/// to say goodbye.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn after_a_silence_the_next_server_is_read_and_written_at_once() {
    let shop = Shop::with(10, 10).await;
    must_be_shared(&shop.store);
    let ways = match shop.url().starts_with("postgres") {
        true => ["sslmode=prefer", "sslmode=disable"],
        false => ["ssl-mode=PREFERRED", "ssl-mode=DISABLED"],
    };
    tokio::join!(
        falls_silent_and_comes_back(&shop, ways[0]),
        falls_silent_and_comes_back(&shop, ways[1])
    );
}

async fn falls_silent_and_comes_back(shop: &Shop, way: &str) {
    let (before, host) = shop.url().split_once('@').unwrap();
    let (host, name) = host.split_once('/').unwrap();
    let cable = Cable::to(host.to_owned()).await;
    let through = settings(&format!("{before}@{}/{name}?{way}", cable.address));
    let store = Store::open(through, Opened::Serving).await.unwrap();
    // As many as may write at once, and as many as may read.
    let (first, second) = (store.hold().await, store.hold().await);
    first.release().await;
    second.release().await;
    while !one_more(&store).await || !reads(&store).await {}
    cable.cut().await;
    let began = Instant::now();
    let wrote = async { tokio::join!(one_more(&store), one_more(&store)) };
    let read = futures_util::future::join_all((0..4).map(|_| reads(&store)));
    let (wrote, read) = tokio::join!(wrote, read);
    assert_eq!(
        (wrote, read),
        ((false, false), vec![false; 4]),
        "cut: {way}"
    );
    assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
    cable.mend();
    let back = Instant::now();
    while !one_more(&store).await || !reads(&store).await {
        let patience = Duration::from_secs(10);
        assert!(back.elapsed() < patience, "still shut out: {way}");
    }
}

async fn reads(store: &Store) -> bool {
    store.ping().await.is_ok()
}

async fn one_more(store: &Store) -> bool {
    store.commit(&[restock(2, 1)]).await.is_ok()
}

/// Where the server offers TLS it is spoken, and commits are small.
#[tokio::test]
async fn over_tls_a_commit_is_as_small_as_one_record() {
    let shop = Shop::with(10, 10).await;
    let (offer, disabled) = match shop.url() {
        url if url.starts_with("postgres") => ("SHOW ssl", "sslmode=disable"),
        url if url.starts_with("mysql") => ("SHOW VARIABLES LIKE 'have_ssl'", "ssl-mode=DISABLED"),
        _ => {
            assert_eq!(shop.store.most_changes(), usize::MAX, "a file");
            return;
        }
    };
    let pool = shop.store.readers().pool;
    let said = pool.query_one_raw(statement(&pool, offer, [])).await;
    // The newest MySQL says nothing, since it always does.
    let word = said.unwrap().map(|row| {
        let named = row.try_get("", "ssl");
        named.or_else(|_| row.try_get("", "Value")).unwrap()
    });
    let offered = word.is_none_or(|word: String| ["on", "YES"].contains(&&*word));
    let most = if offered { 32 } else { usize::MAX };
    assert_eq!(shop.store.most_changes(), most);
    let plain = settings(&format!("{}?{disabled}", shop.url()));
    let plain = Store::open(plain, Opened::ReadOnly).await.unwrap();
    assert_eq!(plain.most_changes(), usize::MAX);
}
