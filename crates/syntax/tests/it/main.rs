//! Everything that this crate promises, from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod environment;
mod features;
mod fixture;
mod gates;
mod like;
mod monitors;
mod names;
mod paths;
mod search_errors;
mod search_properties;
mod search_reference;
mod source;
