//! Faults on order: rules that say which request goes wrong, and how. The first rule that matches wins.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codes::Code;

/// A hang without a time of its own.
pub const HANG_MS: u64 = 60_000;
/// An hour: longer waits are a mistake of the one who asks.
const LONGEST_WAIT_MS: u64 = 3_600_000;
const MOST_RULES: usize = 10_000;

/// Which request of Toss's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    Confirm,
    Lookup,
    Cancel,
    Transactions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    Confirm,
    Lookup,
    Cancel,
    /// The transactions list included.
    Any,
}

impl On {
    fn covers(self, endpoint: Endpoint) -> bool {
        match self {
            Self::Any => true,
            Self::Confirm => endpoint == Endpoint::Confirm,
            Self::Lookup => endpoint == Endpoint::Lookup,
            Self::Cancel => endpoint == Endpoint::Cancel,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    on: On,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// How many requests are left to go wrong; a rule at zero stays in the list and does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    #[serde(rename = "do")]
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Fault {
    /// Processed late. A caller that has gone meanwhile changes nothing.
    Delay {
        millis: u64,
    },
    /// Refused by Toss, remembered under the idempotency key; a declining code ends the payment unless `keepOpen`.
    Error {
        code: Code,
        #[serde(default, skip_serializing_if = "is_false")]
        keep_open: bool,
    },
    /// Something in front of Toss answers: not processed, not remembered.
    Status {
        status: u16,
        #[serde(default = "no_text")]
        body: Value,
    },
    ResetBefore {},
    ResetAfter {},
    HangBefore {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        millis: Option<u64>,
    },
    HangAfter {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        millis: Option<u64>,
    },
    /// Processed; a cut-off body arrives. The remembered answer is whole.
    Garbled {},
    /// Processed; one field of this answer lies. The remembered answer does not.
    Tamper {
        field: String,
        value: Value,
    },
}

fn no_text() -> Value {
    Value::String(String::new())
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The part of a request that rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub endpoint: Endpoint,
    /// The order that the paymentKey belongs to, and the order that the request names.
    pub orders: [Option<&'a str>; 2],
}

/// Decides for a rule with a probability whether it is its turn. With a seed, requests that arrive in the same order
/// meet the same faults.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    pub fn new(seed: Option<u64>) -> Self {
        Self(StdRng::seed_from_u64(seed.unwrap_or_else(rand::random)))
    }

    pub fn throw(&mut self) -> f64 {
        self.0.random()
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new(None)
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn replace(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// The fault of this request. `remembered`: it will be answered from memory, so that Toss itself has nothing
    /// to refuse any more; only the way there and back can go wrong.
    pub fn pick(
        &mut self,
        target: Target<'_>,
        remembered: bool,
        mut chance: impl FnMut() -> f64,
    ) -> Option<Fault> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.covers(target)
                && !(remembered && matches!(rule.fault, Fault::Error { .. }))
                && rule
                    .probability
                    .is_none_or(|probability| chance() < probability)
        })?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.fault.clone())
    }
}

impl Rule {
    fn covers(&self, target: Target<'_>) -> bool {
        self.times != Some(0)
            && self.on.covers(target.endpoint)
            && self
                .order_id
                .as_deref()
                .is_none_or(|order_id| target.orders.contains(&Some(order_id)))
    }

    fn check(&self) -> Result<(), String> {
        if self
            .probability
            .is_some_and(|probability| !(0.0..=1.0).contains(&probability))
        {
            return Err("probability: wants a number from 0 to 1".to_owned());
        }
        match &self.fault {
            Fault::Delay { millis }
            | Fault::HangBefore {
                millis: Some(millis),
            }
            | Fault::HangAfter {
                millis: Some(millis),
            } if *millis > LONGEST_WAIT_MS => {
                Err(format!("do.millis: wants at most {LONGEST_WAIT_MS}"))
            }
            Fault::Status { status, .. } if !(200..=599).contains(status) => {
                Err("do.status: wants an HTTP status from 200 to 599".to_owned())
            }
            Fault::Tamper { field, .. } if field.is_empty() => {
                Err("do.field: wants the name of a field".to_owned())
            }
            Fault::Delay { .. }
            | Fault::Error { .. }
            | Fault::Status { .. }
            | Fault::ResetBefore {}
            | Fault::ResetAfter {}
            | Fault::HangBefore { .. }
            | Fault::HangAfter { .. }
            | Fault::Garbled {}
            | Fault::Tamper { .. } => Ok(()),
        }
    }
}

/// Reads a bare array of rules.
///
/// # Errors
/// A sentence that names the rule and the field that is wrong.
pub fn read_rules(body: &[u8]) -> Result<Vec<Rule>, String> {
    let list: Vec<Value> = serde_json::from_slice(body)
        .map_err(|wrong| format!("body: wants a JSON array of rules: {wrong}"))?;
    if list.len() > MOST_RULES {
        return Err(format!("body: wants at most {MOST_RULES} rules"));
    }
    let read = |(position, rule): (usize, Value)| {
        if let Some(missing) = ["on", "do"]
            .into_iter()
            .find(|field| rule.get(field).is_none())
        {
            return Err(format!("[{position}].{missing}: is missing"));
        }
        let rule: Rule =
            serde_json::from_value(rule).map_err(|wrong| format!("[{position}]: {wrong}"))?;
        rule.check()
            .map_err(|wrong| format!("[{position}].{wrong}"))?;
        Ok(rule)
    };
    list.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn faults(rules: Value) -> Faults {
        Faults {
            rules: read_rules(rules.to_string().as_bytes()).unwrap(),
        }
    }

    fn confirm(order_id: &str) -> Target<'_> {
        Target {
            endpoint: Endpoint::Confirm,
            orders: [Some(order_id), None],
        }
    }

    #[test]
    fn the_first_matching_rule_wins_until_its_times_are_spent() {
        let mut faults = faults(json!([
            {"on": "lookup", "do": {"kind": "garbled"}},
            {"on": "confirm", "orderId": "order-2", "do": {"kind": "reset_before"}},
            {"on": "any", "times": 2, "do": {"kind": "delay", "millis": 5}},
            {"on": "confirm", "do": {"kind": "reset_after"}},
        ]));
        assert_eq!(
            faults.pick(confirm("order-2"), false, || 0.0),
            Some(Fault::ResetBefore {})
        );
        for _ in 0..2 {
            assert_eq!(
                faults.pick(confirm("order-1"), false, || 0.0),
                Some(Fault::Delay { millis: 5 })
            );
        }
        assert_eq!(
            faults.pick(confirm("order-1"), false, || 0.0),
            Some(Fault::ResetAfter {})
        );
        let lookup = Target {
            endpoint: Endpoint::Lookup,
            orders: [Some("order-2"), None],
        };
        assert_eq!(faults.pick(lookup, false, || 0.0), Some(Fault::Garbled {}));
        let cancel = Target {
            endpoint: Endpoint::Cancel,
            ..lookup
        };
        assert_eq!(
            faults.pick(cancel, false, || 0.0),
            None,
            "the rule for any is spent"
        );
    }

    #[test]
    fn probability_is_asked_once_for_each_request_and_spends_no_times_when_it_says_no() {
        let mut faults = faults(
            json!([{"on": "any", "probability": 0.5, "times": 1, "do": {"kind": "garbled"}}]),
        );
        assert_eq!(faults.pick(confirm("order-1"), false, || 0.5), None);
        assert_eq!(
            faults.pick(confirm("order-1"), false, || 0.49),
            Some(Fault::Garbled {})
        );
        assert_eq!(faults.pick(confirm("order-1"), false, || 0.0), None);
    }

    #[test]
    fn a_remembered_answer_cannot_be_refused_any_more_but_can_still_be_lost() {
        let mut faults = faults(json!([
            {"on": "any", "times": 1, "do": {"kind": "error", "code": "PROVIDER_ERROR"}},
            {"on": "any", "do": {"kind": "reset_after"}},
        ]));
        assert_eq!(
            faults.pick(confirm("order-1"), true, || 0.0),
            Some(Fault::ResetAfter {})
        );
        let error = Fault::Error {
            code: Code::named("PROVIDER_ERROR").unwrap(),
            keep_open: false,
        };
        assert_eq!(faults.pick(confirm("order-1"), false, || 0.0), Some(error));
    }

    #[test]
    fn a_wrong_rule_is_refused_by_the_name_of_its_field() {
        for (rules, named) in [
            (json!({}), "array"),
            (json!([{"do": {"kind": "garbled"}}]), "[0].on"),
            (json!([{"on": "any"}]), "[0].do"),
            (
                json!([{"on": "sometimes", "do": {"kind": "garbled"}}]),
                "sometimes",
            ),
            (json!([{"on": "any", "do": {"kind": "explode"}}]), "explode"),
            (json!([{"on": "any", "do": {"kind": "delay"}}]), "millis"),
            (
                json!([{"on": "any", "do": {"kind": "delay", "millis": 3_600_001}}]),
                "[0].do.millis",
            ),
            (
                json!([{"on": "any", "do": {"kind": "error", "code": "NO_SUCH_CODE"}}]),
                "NO_SUCH_CODE",
            ),
            (
                json!([{"on": "any", "do": {"kind": "status", "status": 99, "body": ""}}]),
                "[0].do.status",
            ),
            (
                json!([{"on": "any", "do": {"kind": "garbled", "millis": 1}}]),
                "millis",
            ),
            (
                json!([{"on": "any", "do": {"kind": "tamper", "field": "", "value": 1}}]),
                "[0].do.field",
            ),
            (
                json!([{"on": "any", "orderid": "x", "do": {"kind": "garbled"}}]),
                "orderid",
            ),
            (
                json!([{"on": "any", "do": {"kind": "garbled"}}, {"on": "any", "probability": 1.1, "do": {"kind": "garbled"}}]),
                "[1].probability",
            ),
            (
                json!([{"on": "any", "times": -1, "do": {"kind": "garbled"}}]),
                "-1",
            ),
        ] {
            let wrong = read_rules(rules.to_string().as_bytes()).unwrap_err();
            assert!(wrong.contains(named), "{rules}: {wrong}");
        }
    }

    #[test]
    fn rules_are_shown_as_they_were_written() {
        let written = json!([
            {"on": "confirm", "orderId": "order-1", "probability": 0.5, "times": 3, "do": {"kind": "hang_after", "millis": 9}},
            {"on": "any", "do": {"kind": "error", "code": "FDS_ERROR", "keepOpen": true}},
            {"on": "lookup", "do": {"kind": "status", "status": 502, "body": "<html>"}},
            {"on": "cancel", "do": {"kind": "hang_before"}},
            {"on": "cancel", "do": {"kind": "tamper", "field": "status", "value": "DONE"}},
        ]);
        assert_eq!(
            serde_json::to_value(faults(written.clone()).rules()).unwrap(),
            written
        );
    }
}
