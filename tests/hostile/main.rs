//! Hostile input at the door of the real binary: bodies, headers, paths and methods without sense, bytes that are no
//! HTTP, clients that drip, half-close and never listen. No panic, no 500, nothing written, nothing given away.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod below;
mod bodies;
mod fort;
mod requests;
mod slow;
mod wire;
