//! What an audit finds: the promise that was broken, whose it was, and one plain sentence.

use std::fmt;

use serde::Serialize;

/// The promises that a comparison can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Invariant {
    /// At most one approval per order.
    I1,
    /// No approval of Toss's is lost.
    I2,
    /// No payment without an approval.
    I3,
    /// Stock is conserved.
    I4,
    /// Nothing stays unsettled.
    I6,
    /// The history is one unbroken legal chain.
    I7,
    /// Each piece of news was written for the shop exactly once.
    I8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    Order(String),
    Product(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    pub invariant: Invariant,
    #[serde(flatten)]
    pub subject: Subject,
    /// One sentence for the person who must look at it. Holds no whole paymentKey.
    pub what: String,
}

impl Violation {
    pub(super) fn of_order(invariant: Invariant, order_id: &str, what: String) -> Violation {
        let subject = Subject::Order(order_id.to_owned());
        Violation {
            invariant,
            subject,
            what,
        }
    }

    pub(super) fn of_product(id: i64, what: String) -> Violation {
        Violation {
            invariant: Invariant::I4,
            subject: Subject::Product(id),
            what,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match &self.subject {
            Subject::Order(id) => write!(f, "{:?}  order {id}: {what}", self.invariant),
            Subject::Product(id) => write!(f, "{:?}  product {id}: {what}", self.invariant),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_one_line_and_as_flat_json() {
        let order = Violation::of_order(Invariant::I1, "o-1", "Toss approved it twice.".into());
        assert_eq!(order.to_string(), "I1  order o-1: Toss approved it twice.");
        let json = serde_json::to_value(&order).unwrap();
        let wanted = serde_json::json!({
            "invariant": "I1", "order": "o-1", "what": "Toss approved it twice."
        });
        assert_eq!(json, wanted);

        let product = Violation::of_product(7, "stock is -1.".into());
        assert_eq!(product.to_string(), "I4  product 7: stock is -1.");
        assert_eq!(serde_json::to_value(&product).unwrap()["product"], 7);
    }
}
