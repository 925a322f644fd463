//! What the fake shop and its Toss write down, and how a lie bends it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Lie;

/// Of so many orders Toss declines one, while somebody has told it to decline any.
const DECLINED_OF: usize = 5;

pub struct Books {
    /// Stock, received, sold.
    pub products: BTreeMap<i64, [i64; 3]>,
    pub faults: Value,
    orders: Vec<Order>,
    confirms: usize,
}

impl Default for Books {
    fn default() -> Books {
        Books {
            products: BTreeMap::new(),
            faults: json!([]),
            orders: Vec::new(),
            confirms: 0,
        }
    }
}

struct Order {
    product: i64,
    status: &'static str,
    key: String,
    approvals: u64,
    asked: usize,
}

fn refused(status: u16, code: &str) -> Option<(u16, Value)> {
    let error = json!({"code": code, "message": "no"});
    Some((status, json!({"error": error, "code": code})))
}

impl Books {
    /// `None` hangs up.
    pub fn confirm(&mut self, lie: Lie, body: &Value) -> Option<(u16, Value)> {
        self.confirms += 1;
        let (confirms, at) = (self.confirms, place(&body["orderId"]));
        if body["amount"] != "10000" && lie != Lie::TakesWrongAmount {
            if lie == Lie::EndsAtWrongAmount {
                self.orders[at].status = "FAILED";
            }
            return refused(400, "E03002");
        }
        if self.orders[at].status == "READY" {
            let product = self.orders[at].product;
            let stock = self.products.entry(product).or_default()[0];
            let kept = match lie {
                Lie::Oversells => -1,
                Lie::RefusesTheLastBuyer => 1,
                _ => 0,
            };
            if stock <= kept {
                return refused(409, "E03013");
            }
            self.ask_toss(lie, at);
        }
        let amount = match lie {
            Lie::TellsEachAnother => confirms,
            _ => 10_000,
        };
        match lie {
            Lie::HangsUp if confirms == 3 => None,
            Lie::SettlesLater if at == 0 => refused(503, "E03009"),
            Lie::TellsPaidAsDeclined if at == 0 => refused(402, "E03010"),
            Lie::LosesApproval => Some((200, json!({"data": {"status": "DONE"}}))),
            _ if self.orders[at].status == "FAILED" => refused(402, "E03010"),
            _ => Some((200, json!({"data": {"status": "DONE", "amount": amount}}))),
        }
    }

    fn ask_toss(&mut self, lie: Lie, at: usize) {
        let declines = self.faults.to_string().contains("\"error\"");
        let order = &mut self.orders[at];
        if declines && at.is_multiple_of(DECLINED_OF) {
            order.status = "FAILED";
            return;
        }
        let lost = i64::from(lie == Lie::LosesStock && at == 0);
        let shelf = self.products.entry(order.product).or_default();
        shelf[0] -= 1 + lost;
        shelf[2] += 1;
        order.status = "DONE";
        order.approvals = match lie {
            Lie::ApprovesTwice => 2,
            Lie::InventsApproval if at == 0 => 0,
            _ => 1,
        };
        if lie == Lie::LosesApproval && at == 0 {
            order.status = "FAILED";
        }
    }

    pub fn status(&mut self, lie: Lie, id: &str, door: usize) -> Value {
        let order = &mut self.orders[place_of(id)];
        order.asked += 1;
        if lie == Lie::SettlesLater && place_of(id) == 0 && order.asked == 1 {
            return json!({"data": {"orderId": id, "status": "UNKNOWN", "totalAmount": 10_000}});
        }
        let (status, key) = (order.status, &order.key);
        let masked = format!("{}…{}", &key[..6], &key[key.len() - 4..]);
        let last = if lie == Lie::SkipsVersion { 4 } else { 3 };
        let attempt = if status == "DONE" {
            "APPROVED"
        } else {
            "DECLINED"
        };
        let mut attempts = vec![json!({"number": 1, "paymentKey": masked, "status": attempt})];
        let mut history = vec![
            json!({"version": 1, "from": null, "to": "READY", "event": "CHECKED_OUT"}),
            json!({"version": 2, "from": "READY", "to": "IN_PROGRESS", "event": "ATTEMPT_STARTED"}),
            json!({"version": last, "from": "IN_PROGRESS", "to": status, "event": attempt}),
        ];
        if status == "READY" {
            attempts.clear();
            history.truncate(1);
        }
        let held = status == "DONE" && !(lie == Lie::DoorsDisagree && door == 1);
        let mut data = json!({
            "orderId": id, "status": status, "totalAmount": 10_000, "stockHeld": held,
            "lines": [{"productId": order.product, "quantity": 1}],
            "attempts": attempts, "history": history,
        });
        if lie == Lie::HidesHistory
            && let Some(data) = data.as_object_mut()
        {
            data.remove("history");
        }
        json!({ "data": data })
    }

    pub fn checkout(&mut self, body: &Value) -> Value {
        let at = self.orders.len();
        let product = &body["orderedProductList"][0]["productId"];
        self.orders.push(Order {
            product: product.as_i64().unwrap_or_default(),
            status: "READY",
            key: format!("tpayo20251123102047order{at:06}"),
            approvals: 0,
            asked: 0,
        });
        let order_id = format!("order-{at}");
        json!({"data": {"orderId": order_id, "status": "READY", "totalAmount": 10_000}})
    }

    pub fn authorize(&self, body: &Value) -> Value {
        json!({"paymentKey": self.orders[place(&body["orderId"])].key})
    }

    pub fn product(&self, id: i64) -> Value {
        let [stock, received, sold] = self.products.get(&id).copied().unwrap_or_default();
        json!({"data": {"id": id, "stock": stock, "held": 0, "sold": sold, "received": received}})
    }

    pub fn ledger(&self) -> Value {
        let entry = |(at, order): (usize, &Order)| {
            let calls = u64::from(order.status != "READY");
            json!({"orderId": format!("order-{at}"), "paymentKey": order.key, "status": "DONE",
                "totalAmount": 10_000, "balanceAmount": 10_000, "confirmCalls": calls,
                "approvals": order.approvals})
        };
        let payments: Vec<_> = self.orders.iter().enumerate().map(entry).collect();
        json!({ "payments": payments })
    }
}

fn place(order_id: &Value) -> usize {
    order_id.as_str().map_or(0, place_of)
}

fn place_of(order_id: &str) -> usize {
    let at = order_id.strip_prefix("order-");
    at.map_or(0, |at| number(at) as usize)
}

pub fn number(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}
