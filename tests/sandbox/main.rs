//! The sandbox, spoken to as a merchant's server would: over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

mod api;
mod control;
mod faults;
mod keys;
mod life;
mod refunds;
mod shop;
