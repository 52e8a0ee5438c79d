//! Everything that this crate promises, from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod climbing;
mod edits;
mod environment;
mod features;
mod fixture;
mod flat_yaml;
mod gates;
mod glob;
mod like;
mod looked_up;
mod monitors;
mod name_properties;
mod names;
mod paths;
mod pyyaml;
mod search_errors;
mod search_properties;
mod search_reference;
mod source;
