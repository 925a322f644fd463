//! Every fault that the sandbox can make, on the confirm and on the look-up: alone, where each lets the payment rest
//! (`table.rs` is that table, and the test), and mixed, under load, with declines and shortages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod kinds;
mod lone;
mod mixed;
mod table;
