//! How to speak Toss: a call goes out, and its answer - or its silence - comes back as an Outcome or a Finding.
//! `client` sends, `reading` judges the bytes, `codes` is the one table of Toss's words, `wire` their shapes.

pub mod client;
pub mod codes;
mod health;
#[cfg(test)]
mod hostile;
mod place;
mod reading;
mod telling;
pub mod wire;

pub use client::{ConfirmCall, GatewayFault, TRANSACTIONS_PAGE, Toss, TossSettings};
pub use health::{Health, Told};
pub use place::GatewayKind;
