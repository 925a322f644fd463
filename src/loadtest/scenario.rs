//! The scenarios: who meets whom, and what each of them adds to a run and to its report.

use clap::ValueEnum;
use serde::Serialize;

use super::args::LoadtestArgs;
use super::crowd::{Faults, Manner};

mod last_item;
mod mixed;
mod same_order;

pub use last_item::LastItem;
#[cfg(test)]
pub use mixed::Share;
pub use mixed::{Mixed, Shares};
pub use same_order::{SameOrder, all_at_once};

/// Who meets whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Orders spread over many products.
    Distinct,
    /// All orders want the same product.
    Hot,
    /// Each order is confirmed by all callers at once.
    SameOrder,
    /// All orders want the same product, and there are more buyers than pieces.
    LastItem,
    /// A day at a shop: some are declined, some answers of Toss are lost, some buyers reload, some tamper with the
    /// amount. Puts faults into the sandbox for the time of the confirms, and takes them out again.
    Mixed,
}

impl Scenario {
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Distinct => "distinct",
            Scenario::Hot => "hot",
            Scenario::SameOrder => "same-order",
            Scenario::LastItem => "last-item",
            Scenario::Mixed => "mixed",
        }
    }

    /// What the sandbox plays during the confirms.
    pub fn faults(self, args: &LoadtestArgs) -> Faults {
        match self {
            Scenario::Mixed => args.shares.faults(),
            Scenario::Distinct | Scenario::Hot | Scenario::SameOrder | Scenario::LastItem => {
                Faults::none()
            }
        }
    }

    /// How the buyer of the order at this place behaves.
    pub fn manner_of(self, args: &LoadtestArgs, order: usize) -> Manner {
        match self {
            Scenario::Mixed => args.shares.manner_of(order),
            Scenario::Distinct | Scenario::Hot | Scenario::SameOrder | Scenario::LastItem => {
                Manner::Plain
            }
        }
    }
}
