//! The house for service tests: the real binary on free ports in a temporary folder, spoken to over HTTP.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its part of the house"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod chance;
mod crowd;
mod database;
mod house;
mod look;
mod plan;
mod process;

pub use chance::{cases, number, seed};
pub use crowd::{Run, crowd, report, run, run_at};
pub use database::TestDatabase;
pub use house::{House, Order, Reply};
pub use look::{Other, Reader, Totals};
pub use plan::{
    ANY_ADDRESS, Plan, Prepared, SECRET_KEY, lasting_address, patient_client, without_breaker,
};
pub use process::{Process, command, forget_settings};
