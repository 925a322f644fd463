//! The line between a house and its database server. A COMMIT can get lost on it, or the answer to one; the connection ends
//! with it, as it does where a host or a firewall goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The server has committed, and nobody hears of it.
    Answer,
    /// The server never hears of it.
    Commit,
}

pub struct Wire {
    /// Of the database, by this line.
    pub url: String,
    knots: Arc<Knots>,
}

#[derive(Default)]
struct Knots {
    /// Each so many-th COMMIT is lost; none, at 0.
    every: AtomicUsize,
    said: AtomicUsize,
    lost: AtomicUsize,
}

impl Wire {
    pub async fn to(database: &str, loss: Loss) -> Wire {
        let (scheme, rest) = database.split_once("://").unwrap();
        let (user, place) = rest.split_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        // What is encrypted could not be read on the way.
        let plain = match scheme {
            "mysql" => "ssl-mode=DISABLED",
            _ => "sslmode=disable",
        };
        let (server, knots) = (server.to_owned(), Arc::new(Knots::default()));
        let shared = knots.clone();
        tokio::spawn(async move {
            while let Ok((house, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(house, server, loss, shared.clone()));
            }
        });
        Wire {
            url: format!("{scheme}://{user}@{here}/{name}?{plain}"),
            knots,
        }
    }

    /// From now on each third COMMIT is lost.
    pub fn breaks(&self) {
        self.knots.every.store(3, Ordering::SeqCst);
    }

    pub fn heals(&self) {
        self.knots.every.store(0, Ordering::SeqCst);
    }

    pub fn lost(&self) -> usize {
        self.knots.lost.load(Ordering::SeqCst)
    }
}

impl Knots {
    fn loses(&self, message: &[u8]) -> bool {
        let every = self.every.load(Ordering::SeqCst);
        // A simple query of PostgreSQL's, a COM_QUERY of MySQL's.
        let is_commit = message.ends_with(b"COMMIT\0") || message.ends_with(b"\x03COMMIT");
        if every == 0 || !is_commit {
            return false;
        }
        let before = self.said.fetch_add(1, Ordering::SeqCst);
        let loses = before.is_multiple_of(every);
        self.lost.fetch_add(usize::from(loses), Ordering::SeqCst);
        loses
    }
}

/// Until either end closes, or a COMMIT is lost.
async fn carry(mut house: TcpStream, mut server: TcpStream, loss: Loss, knots: Arc<Knots>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let carried = tokio::select! {
            read = house.read(&mut up) => {
                let message = &up[..read.unwrap_or(0)];
                if knots.loses(message) {
                    if matches!(loss, Loss::Answer) {
                        server.write_all(message).await.unwrap();
                        // Its answer goes no further.
                        _ = server.read(&mut down).await;
                    }
                    return;
                }
                match message.is_empty() {
                    true => return,
                    false => server.write_all(message).await,
                }
            }
            read = server.read(&mut down) => {
                let message = &down[..read.unwrap_or(0)];
                match message.is_empty() {
                    true => return,
                    false => house.write_all(message).await,
                }
            }
        };
        if carried.is_err() {
            return;
        }
    }
}
