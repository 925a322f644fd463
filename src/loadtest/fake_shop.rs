//! A shop and its Toss behind one socket, for the crowd's own tests: as small as a promise can be kept, and able to
//! break one on purpose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

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
}

#[derive(Default)]
struct Books {
    products: BTreeMap<i64, [i64; 3]>,
    orders: Vec<Order>,
    confirms: usize,
}

struct Order {
    product: i64,
    status: &'static str,
    key: String,
    approvals: u64,
    asked: usize,
}

pub struct FakeShop {
    lie: Lie,
    books: Mutex<Books>,
}

/// The address of a shop that lives as long as the test's runtime.
pub async fn open(lie: Lie) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let shop = Arc::new(FakeShop {
        lie,
        books: Mutex::default(),
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move { shop.serve(socket).await });
        }
    });
    Ok(url)
}

impl FakeShop {
    /// Ends when the client hangs up, or when the shop does.
    async fn serve(&self, socket: TcpStream) -> Option<()> {
        let mut socket = BufReader::new(socket);
        loop {
            let (request, body) = read_request(&mut socket).await?;
            let (status, answer) = self.answer(&request, &body)?;
            if request.contains("confirm") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let answer = answer.to_string();
            let length = answer.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
            socket.write_all((head + &answer).as_bytes()).await.ok()?;
        }
    }

    /// `None` hangs up.
    fn answer(&self, request: &str, body: &Value) -> Option<(u16, Value)> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.split_once(' ').map_or("", |(_, path)| path);
        let id = path.rsplit('/').next().unwrap_or_default();
        let id = id.split('?').next().unwrap_or_default();
        Some(match request {
            "GET /health/ready" => (200, json!({"data": {}})),
            "POST /api/v1/payments/checkout" => (201, books.checkout(body)),
            "POST /sandbox/authorizations" => (201, books.authorize(body)),
            "POST /api/v1/payments/confirm" => return self.confirm(&mut books, body),
            _ if path.starts_with("/sandbox/ledger") => (200, books.ledger()),
            _ if path.starts_with("/api/v1/payments/") => (200, self.status(&mut books, id)),
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

    fn confirm(&self, books: &mut Books, body: &Value) -> Option<(u16, Value)> {
        books.confirms += 1;
        let (confirms, at) = (books.confirms, place(&body["orderId"]));
        let paid_before = books.orders[at].status == "DONE";
        if !paid_before {
            let lost = i64::from(self.lie == Lie::LosesStock && at == 0);
            let shelf = books.products.entry(books.orders[at].product).or_default();
            shelf[0] -= 1 + lost;
            shelf[2] += 1;
            let order = &mut books.orders[at];
            order.status = "DONE";
            order.approvals = match self.lie {
                Lie::ApprovesTwice => 2,
                Lie::InventsApproval if at == 0 => 0,
                _ => 1,
            };
            if self.lie == Lie::LosesApproval && at == 0 {
                order.status = "FAILED";
            }
        }
        let amount = match self.lie {
            Lie::TellsEachAnother => confirms,
            _ => 10_000,
        };
        match self.lie {
            Lie::HangsUp if confirms == 3 => None,
            Lie::SettlesLater if at == 0 => {
                let pending = json!({"code": "E03009", "message": "being checked"});
                Some((503, json!({"error": pending, "code": "E03009"})))
            }
            _ => Some((200, json!({"data": {"status": "DONE", "amount": amount}}))),
        }
    }

    fn status(&self, books: &mut Books, id: &str) -> Value {
        let at = id
            .strip_prefix("order-")
            .map_or(0, |at| number(at) as usize);
        let order = &mut books.orders[at];
        order.asked += 1;
        if self.lie == Lie::SettlesLater && at == 0 && order.asked == 1 {
            return json!({"data": {"orderId": id, "status": "UNKNOWN", "totalAmount": 10_000}});
        }
        let (status, key) = (order.status, &order.key);
        let masked = format!("{}…{}", &key[..6], &key[key.len() - 4..]);
        let last = if self.lie == Lie::SkipsVersion { 4 } else { 3 };
        let mut data = json!({
            "orderId": id, "status": status, "totalAmount": 10_000, "stockHeld": status == "DONE",
            "lines": [{"productId": order.product, "quantity": 1}],
            "attempts": [{"number": 1, "paymentKey": masked, "status": "APPROVED"}],
            "history": [
                {"version": 1, "from": null, "to": "READY", "event": "CHECKED_OUT"},
                {"version": 2, "from": "READY", "to": "IN_PROGRESS", "event": "ATTEMPT_STARTED"},
                {"version": last, "from": "IN_PROGRESS", "to": status, "event": "APPROVED"},
            ],
        });
        if self.lie == Lie::HidesHistory
            && let Some(data) = data.as_object_mut()
        {
            data.remove("history");
        }
        json!({ "data": data })
    }
}

impl Books {
    fn checkout(&mut self, body: &Value) -> Value {
        let at = self.orders.len();
        self.orders.push(Order {
            product: body["orderedProductList"][0]["productId"]
                .as_i64()
                .unwrap_or_default(),
            status: "READY",
            key: format!("tpayo20251123102047order{at:06}"),
            approvals: 0,
            asked: 0,
        });
        let order_id = format!("order-{at}");
        json!({"data": {"orderId": order_id, "status": "READY", "totalAmount": 10_000}})
    }

    fn authorize(&self, body: &Value) -> Value {
        json!({"paymentKey": self.orders[place(&body["orderId"])].key})
    }

    fn product(&self, id: i64) -> Value {
        let [stock, received, sold] = self.products.get(&id).copied().unwrap_or_default();
        json!({"data": {"id": id, "stock": stock, "held": 0, "sold": sold, "received": received}})
    }

    fn ledger(&self) -> Value {
        let entry = |(at, order): (usize, &Order)| {
            json!({"orderId": format!("order-{at}"), "paymentKey": order.key, "status": "DONE",
                "totalAmount": 10_000, "balanceAmount": 10_000, "confirmCalls": 1,
                "approvals": order.approvals})
        };
        let payments: Vec<_> = self.orders.iter().enumerate().map(entry).collect();
        json!({ "payments": payments })
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

fn place(order_id: &Value) -> usize {
    let id = order_id.as_str().and_then(|id| id.strip_prefix("order-"));
    id.map_or(0, |at| number(at) as usize)
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}
