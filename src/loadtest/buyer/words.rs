//! The bodies that a customer sends and reads, as far as a customer cares. Absent fields are tolerated.

use serde::{Deserialize, Serialize};

use crate::audit::HistoryRow;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub product_id: i64,
    pub quantity: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checkout<'a> {
    pub user_id: u64,
    pub ordered_product_list: &'a [Line],
}

/// What the browser sends when the buyer comes back from Toss's window: the amount is text, as it was in the URL.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirm<'a> {
    pub user_id: u64,
    pub order_id: &'a str,
    pub amount: &'a str,
    pub payment_key: &'a str,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    pub payment_key: String,
}

/// What a confirm answers to a buyer who paid.
#[derive(Debug, Deserialize)]
pub struct Paid<'a> {
    #[serde(borrow)]
    pub status: std::borrow::Cow<'a, str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub next: Option<String>,
    pub gateway: Option<GatewayRefusal>,
}

/// What Toss said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GatewayRefusal {
    pub code: String,
}

/// An order, as checkout and status tell it: what only an API key may see is absent without one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    pub order_id: String,
    pub status: String,
    pub total_amount: i64,
    #[serde(default)]
    pub lines: Vec<Line>,
    pub stock_held: Option<bool>,
    pub attempts: Option<Vec<Attempt>>,
    pub history: Option<Vec<HistoryRow>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Masked.
    pub payment_key: String,
    #[serde(default)]
    pub status: String,
}

/// `received = stock + held + sold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Product {
    pub id: i64,
    pub stock: i64,
    pub held: i64,
    pub sold: i64,
    pub received: i64,
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (210_000, "210,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_confirm_is_what_the_browser_sends() {
        let confirm = Confirm {
            user_id: 1,
            order_id: "0199-o",
            amount: "210000",
            payment_key: "k",
        };
        assert_eq!(
            serde_json::to_string(&confirm).unwrap(),
            r#"{"userId":1,"orderId":"0199-o","amount":"210000","paymentKey":"k"}"#
        );
    }

    #[test]
    fn a_status_is_read_with_and_without_what_a_key_may_see() {
        let bare = r#"{"orderId":"o","status":"DONE","totalAmount":5,"approvedAt":null}"#;
        let bare: OrderStatus = serde_json::from_str(bare).unwrap();
        assert!(bare.history.is_none() && bare.attempts.is_none() && bare.lines.is_empty());

        let full = r#"{"orderId":"o","status":"DONE","totalAmount":5,"stockHeld":true,
            "lines":[{"productId":1,"name":"T","quantity":2,"amount":5,"status":"SUCCESS"}],
            "attempts":[{"number":1,"paymentKey":"tpayo2…bCd1","status":"APPROVED","startedAt":"x"}],
            "history":[{"version":1,"from":null,"to":"READY","event":"CHECKED_OUT","reason":null,"at":"x"}]}"#;
        let full: OrderStatus = serde_json::from_str(full).unwrap();
        assert_eq!(full.lines[0].quantity, 2);
        assert_eq!(full.history.unwrap()[0].to, "READY");
    }
}
