//! One integration binary. Its folders mirror the slices; every test that touches a store runs on SQLite, and on
//! PostgreSQL where STRONGBACK_TEST_POSTGRES_URL names a server (`make test` always does).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::format_collect,
    reason = "a test that cannot go on fails"
)]

mod answers;
mod catalog;
mod cli;
mod db;
mod events;
mod features;
mod files;
mod graphql;
mod jobs;
mod kill;
mod monitoring;
mod payload;
mod promotion;
mod registry;
mod router;
mod serving;
mod support;
mod surface;
mod tables;
mod tidy;
mod tracking;
mod webhooks;
