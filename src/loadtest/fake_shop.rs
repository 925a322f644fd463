//! A shop and its Toss behind one socket, for the crowd's own tests: as small as a promise can be kept, and able to
//! break one on purpose.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

mod books;

use books::{Books, number};

/// Which promise the shop breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Toss approves each order twice.
    ApprovesTwice,
    /// The first order is answered DONE without asking Toss.
    InventsApproval,
    /// The first order is paid, and FAILED in the end.
    LosesApproval,
    /// One piece too many leaves the shelf.
    LosesStock,
    SkipsVersion,
    HidesHistory,
    /// The third confirm's answer never arrives.
    HangsUp,
    /// The first order's answer is pending, and it is DONE a moment later.
    SettlesLater,
    /// Callers of one order hear different amounts.
    TellsEachAnother,
    /// The first order is paid, and its buyer hears that it was declined.
    TellsPaidAsDeclined,
    /// Sells one piece more than there are.
    Oversells,
    /// Keeps the last piece, and says that nothing is left.
    RefusesTheLastBuyer,
    /// A wrong amount is refused, and ends the order.
    EndsAtWrongAmount,
    /// A wrong amount is as good as the right one.
    TakesWrongAmount,
    /// The second door shows goods of paid orders as not held.
    DoorsDisagree,
    /// Its Toss is no sandbox.
    PaysElsewhere,
}

pub struct FakeShop {
    lie: Lie,
    books: Mutex<Books>,
}

/// The address of a shop that lives as long as the test's runtime.
pub async fn open(lie: Lie) -> std::io::Result<String> {
    Ok(open_doors(lie, 1).await?.remove(0))
}

/// Several doors of one shop.
pub async fn open_doors(lie: Lie, doors: usize) -> std::io::Result<Vec<String>> {
    let shop = Arc::new(FakeShop {
        lie,
        books: Mutex::default(),
    });
    let mut urls = Vec::new();
    for door in 0..doors {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        urls.push(format!("http://{}", listener.local_addr()?));
        let shop = Arc::clone(&shop);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shop = Arc::clone(&shop);
                tokio::spawn(async move { shop.serve(socket, door).await });
            }
        });
    }
    Ok(urls)
}

impl FakeShop {
    /// Ends when the client hangs up, or when the shop does.
    async fn serve(&self, socket: TcpStream, door: usize) -> Option<()> {
        let mut socket = BufReader::new(socket);
        loop {
            let (request, body) = read_request(&mut socket).await?;
            let (status, answer) = self.answer(&request, &body, door)?;
            if request.contains("confirm") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let answer = answer.to_string();
            let length = answer.len();
            let gateway = match self.lie == Lie::PaysElsewhere {
                true => "live",
                false => "sandbox",
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\npayonce-gateway: {gateway}\r\ncontent-length: {length}\r\n\r\n"
            );
            socket.write_all((head + &answer).as_bytes()).await.ok()?;
        }
    }

    /// `None` hangs up.
    fn answer(&self, request: &str, body: &Value, door: usize) -> Option<(u16, Value)> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.split_once(' ').map_or("", |(_, path)| path);
        let id = path.rsplit('/').next().unwrap_or_default();
        let id = id.split('?').next().unwrap_or_default();
        Some(match request {
            "GET /health/ready" => (200, json!({"data": {}})),
            "POST /api/v1/payments/checkout" => (201, books.checkout(body)),
            "POST /sandbox/authorizations" => (201, books.authorize(body)),
            "POST /api/v1/payments/confirm" => return books.confirm(self.lie, body),
            "GET /sandbox/faults" => (200, books.faults.clone()),
            "PUT /sandbox/faults" => {
                books.faults = body.clone();
                (200, books.faults.clone())
            }
            _ if path.starts_with("/sandbox/ledger") => (200, books.ledger()),
            _ if path.starts_with("/api/v1/payments/") => (200, books.status(self.lie, id, door)),
            _ if request.starts_with("PUT /api/v1/products/") => {
                books.products.entry(number(id)).or_default();
                (200, json!({"data": {}}))
            }
            _ if path.ends_with("/stock") => {
                let id = path.split('/').nth(4).unwrap_or_default();
                let change = body["change"].as_i64().unwrap_or_default();
                books.products.entry(number(id)).or_default()[0] += change;
                books.products.entry(number(id)).or_default()[1] += change;
                (200, json!({"data": {}}))
            }
            _ if path.starts_with("/api/v1/products/") => (200, books.product(number(id))),
            _ => (
                404,
                json!({"error": {"code": "E99404", "message": request}}),
            ),
        })
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut first, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().ok()?;
        }
        let request = || line.rsplit_once(' ').map(|(request, _)| request.to_owned());
        first = first.or_else(request);
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((first?, serde_json::from_slice(&body).unwrap_or_default()))
}
