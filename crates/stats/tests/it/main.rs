//! Everything that this crate promises, from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod classify;
mod coverage;
mod draw;
mod drift;
mod edge;
mod fairness;
mod latency;
mod paired;
mod properties;
mod reference;
mod sketch;
mod sketch_bytes;
mod speed;
mod verdict;
