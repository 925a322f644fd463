//! The crash matrix: the real binary is killed at every fault point, for every outcome, and started again; nobody asks
//! for anything, and the promise holds. `cargo test --features crash-points --test crash` runs a slice that hits every
//! point, `-- --ignored` all of it. Without the feature there is no point to be killed at, and that is the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "crash-points")]
mod campaign;
#[cfg(feature = "crash-points")]
mod cell;
#[cfg(feature = "crash-points")]
mod matrix;
#[cfg(feature = "crash-points")]
mod outcome;
#[cfg(feature = "crash-points")]
mod pair;
#[cfg(feature = "crash-points")]
mod shop;

#[cfg(not(feature = "crash-points"))]
mod production;
