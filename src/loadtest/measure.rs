//! What is measured: every first answer and its times, counted, as percentiles and over time, and the machine's CPU
//! beside them.

mod calls;
mod cpu;
mod curve;
mod figures;
mod open_loop;
mod tally;

pub use calls::{Call, Calls};
pub use cpu::{CpuPercent, CpuTime};
pub use curve::{Curve, Window};
pub use figures::{Phase, latencies, millis, rounded};
pub use open_loop::OpenLoop;
pub use tally::{Oddities, Outcome, Tally, in_words};

#[cfg(test)]
pub use curve::tests::stalled_in_the_third_second;
