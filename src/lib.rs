//! payonce: an actor-based payment orchestrator for Toss Payments. Every order is paid once.
//!
//! The map, in reading order. Each room may look only where `tests/architecture.rs` lets it.

/// Where the process may be killed on purpose, for the crash matrix; no code at all in a production build.
#[macro_use]
pub mod crash;

/// Standard output and the log, whether or not anybody reads them.
#[macro_use]
pub mod terminal;

/// The seed of random tests.
#[cfg(test)]
#[path = "../tests/common/chance.rs"]
mod chance;

/// What is true: payments, their states, their rules. Pure.
pub mod domain;

/// How to speak Toss: the client, its wire types, and the one table from error codes to outcomes.
pub mod gateway;

/// How to remember: the database, and nothing but the database.
pub mod store;

/// What the process does, counted.
pub mod metrics;

/// Who does what: one actor per order, the gates, the journal, the timer.
pub mod actors;

/// The door: routes, bodies, and the one table from rejections to answers.
pub mod http;

/// A Toss of our own, for trying out and for tests.
pub mod sandbox;

/// Our record held against Toss's ledger.
pub mod audit;

/// The crowd: many buyers at a pace, and a report.
pub mod loadtest;

/// One buyer with a story.
pub mod demo;

/// Every knob, typed.
pub mod settings;

/// The only place that knows everyone.
pub mod app;

/// The command line.
pub mod cli;
