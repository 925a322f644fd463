//! What an audit finds: the promise that was broken, whose it was, and one plain sentence.

use std::fmt;

use serde::Serialize;

/// The promises that a comparison can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Invariant {
    /// Toss executed no more than one approval for one order.
    AtMostOneApproval,
    /// No approval of Toss's is lost.
    NoLostApproval,
    /// No payment without an approval.
    NoPhantom,
    StockConserved,
    /// Nothing stays unsettled.
    Liveness,
    /// The history is one unbroken legal chain.
    WholeHistory,
    /// Each piece of news was written for the shop exactly once.
    NewsOnce,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::AtMostOneApproval => "at most one approval",
            Invariant::NoLostApproval => "no lost approval",
            Invariant::NoPhantom => "no phantom",
            Invariant::StockConserved => "stock is conserved",
            Invariant::Liveness => "liveness",
            Invariant::WholeHistory => "the history is whole",
            Invariant::NewsOnce => "news is told once",
        })
    }
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

    /// What was broken, and whose it was, in whatever words.
    fn promise(&self) -> (Invariant, &Subject) {
        (self.invariant, &self.subject)
    }

    pub(super) fn of_product(id: i64, what: String) -> Violation {
        Violation {
            invariant: Invariant::StockConserved,
            subject: Subject::Product(id),
            what,
        }
    }
}

/// What two looks at a record that moves meanwhile have found both times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TwiceSeen {
    /// As the second look has them.
    pub violations: Vec<Violation>,
    /// Products whose stock disagreed both times, and each time in another way: bought while they were read, or broken.
    pub moving: Vec<i64>,
}

impl TwiceSeen {
    /// The first look is sorted.
    pub fn of(first: &[Violation], second: Vec<Violation>) -> TwiceSeen {
        let mut seen = TwiceSeen::default();
        for violation in second {
            let promise = |one: &Violation| one.promise().cmp(&violation.promise());
            let before = first.binary_search_by(promise).is_ok();
            match violation.subject {
                Subject::Product(id) if first.binary_search(&violation).is_err() => {
                    seen.moving.extend(before.then_some(id));
                }
                Subject::Order(_) | Subject::Product(_) if before => {
                    seen.violations.push(violation);
                }
                Subject::Order(_) | Subject::Product(_) => {}
            }
        }
        seen.moving.dedup();
        seen
    }
}

impl Violation {
    /// The product that it is about, if it is about one.
    pub fn product(&self) -> Option<i64> {
        match self.subject {
            Subject::Product(id) => Some(id),
            Subject::Order(_) => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match &self.subject {
            Subject::Order(id) => write!(f, "{}  order {id}: {what}", self.invariant),
            Subject::Product(id) => write!(f, "{}  product {id}: {what}", self.invariant),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_one_line_and_as_flat_json() {
        let order = Violation::of_order(
            Invariant::AtMostOneApproval,
            "o-1",
            "Toss approved it twice.".into(),
        );
        assert_eq!(
            order.to_string(),
            "at most one approval  order o-1: Toss approved it twice."
        );
        let json = serde_json::to_value(&order).unwrap();
        let wanted = serde_json::json!({
            "invariant": "AT_MOST_ONE_APPROVAL", "order": "o-1", "what": "Toss approved it twice."
        });
        assert_eq!(json, wanted);

        let product = Violation::of_product(7, "stock is -1.".into());
        assert_eq!(
            product.to_string(),
            "stock is conserved  product 7: stock is -1."
        );
        assert_eq!(serde_json::to_value(&product).unwrap()["product"], 7);
    }

    #[test]
    fn what_is_seen_once_has_moved_and_a_product_that_never_agrees_is_named() {
        let order = |id| Violation::of_order(Invariant::NoLostApproval, id, "lost.".into());
        let charged = |times: &str| {
            Violation::of_order(Invariant::AtMostOneApproval, "charged", times.to_owned())
        };
        let product = |id, what: &str| Violation::of_product(id, what.to_owned());
        let first = [
            charged("twice."),
            order("broken"),
            order("paid meanwhile"),
            product(1, "sold 99, not 100."),
            product(2, "sold 5, not 6."),
            product(3, "its stock is -1."),
        ];
        let second = vec![
            charged("three times."),
            order("broken"),
            order("paid just now"),
            product(1, "sold 103, not 104."),
            product(3, "its stock is -1."),
        ];
        let seen = TwiceSeen::of(&first, second);
        let broken = vec![
            charged("three times."),
            order("broken"),
            product(3, "its stock is -1."),
        ];
        assert_eq!((seen.violations, seen.moving), (broken, vec![1]));
    }
}
