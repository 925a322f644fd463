//! What the store promises, on real SQLite files.
#![expect(clippy::unwrap_used, reason = "tests")]

mod advance;
mod checkout;
mod durable;
mod nodes;
mod plan;
mod shelf;
mod shop;
mod views;
