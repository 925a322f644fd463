//! Calls by the clock: what was asked of the server, what came of it, and how quickly it said no.

use std::time::Duration;

use serde::Serialize;

use super::calls::Calls;
use super::figures::{Phase, rounded};
use super::tally::Outcome;

/// What `--rate` adds to the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenLoop {
    /// Confirms a second that should leave.
    pub rate: f64,
    /// Confirms a second that did, from the first one's turn to the last one's.
    pub offered_per_second: f64,
    /// Paid orders a second.
    pub goodput_per_second: f64,
    /// The confirms that ended paid.
    pub paid: Phase,
    /// The confirms that were refused before anything was written.
    pub refusals: Phase,
}

impl OpenLoop {
    /// The rates are those of the time after the ramp.
    pub fn of(rate: f64, ramp: Duration, calls: &Calls) -> anyhow::Result<OpenLoop> {
        let full = calls.after(ramp);
        Ok(OpenLoop {
            rate,
            offered_per_second: rounded(full.offered_per_second()),
            goodput_per_second: full.phase_of(Outcome::Done)?.per_second,
            paid: calls.phase_of(Outcome::Done)?,
            refusals: calls.phase_of(Outcome::Refused)?,
        })
    }
}
