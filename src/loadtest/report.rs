//! What a run says at its end: a narrow table for a person, and the same as JSON.

use serde::Serialize;

use super::buyer::grouped;
use super::measure::{Curve, OpenLoop, Phase, Tally};
use super::scenario::{LastItem, Mixed, SameOrder, Scenario};
use super::verify::Audit;

pub mod plot;
mod table;
#[cfg(test)]
mod tests;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: Scenario,
    pub orders: u32,
    pub concurrency: u32,
    /// How many nodes the requests went to.
    pub nodes: usize,
    pub phases: Phases,
    /// First answers.
    pub outcomes: Tally,
    /// Checkouts that gave no order.
    pub not_opened: u64,
    /// Orders without a settled first answer that came to rest before the audit.
    pub settled_later: u64,
    #[serde(flatten)]
    pub same_order: Option<SameOrder>,
    #[serde(flatten)]
    pub open_loop: Option<OpenLoop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_item: Option<LastItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// Of all CPU time during the confirms; `null` where the system does not tell.
    pub steal_percent: Option<f64>,
    pub audit: Audit,
    /// The first few answers that need an explanation.
    pub odd: Vec<String>,
    /// Of the first answers.
    pub curve: Curve,
    /// Whether the table shows the curve.
    #[serde(skip)]
    pub is_plotted: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Phases {
    pub checkout: Phase,
    pub confirm: Phase,
    /// The confirms that were due when the load had its full size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ramp: Option<Phase>,
}

impl Report {
    /// Nothing found, nothing lost, nothing that no scenario asks for.
    pub fn is_clean(&self) -> bool {
        let same_order = self.same_order.as_ref();
        let equal = same_order.is_none_or(|same| same.unequal == 0)
            && self.mixed.as_ref().is_none_or(|mixed| mixed.unequal == 0);
        let Tally {
            lost, unexpected, ..
        } = self.outcomes;
        self.audit.ok && equal && lost == 0 && unexpected == 0 && self.not_opened == 0
    }

    /// What was run, in one line.
    pub fn title(&self) -> String {
        let scenario = self.scenario.name();
        let (orders, callers) = (
            grouped(self.orders.into()),
            grouped(self.concurrency.into()),
        );
        let nodes = match self.nodes {
            0 | 1 => String::new(),
            several => format!(", {several} nodes"),
        };
        format!("{scenario}: {orders} orders, {callers} callers{nodes}")
    }
}
