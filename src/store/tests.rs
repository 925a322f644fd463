//! What the store promises, on real databases: a SQLite file, or the server that PAYONCE_TEST_DATABASE names.
#![expect(clippy::unwrap_used, reason = "tests")]

mod advance;
mod checkout;
mod durable;
mod mysql;
mod nodes;
mod optimism;
mod plan;
mod postgres;
mod retention;
mod schema;
mod shared;
mod shelf;
pub mod shop;
mod silent;
mod size;
mod views;
