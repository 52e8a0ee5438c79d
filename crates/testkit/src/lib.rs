//! Test support for Strongback, independent of the product's own crate so that it compiles in seconds.
//!
//! - [`http`]: a small blocking HTTP/1.1 client that keeps its connection alive and says whether a failed request
//!   may have been applied;
//! - [`process`] and [`server`]: the product as a child process on a data directory and a free port, with its log
//!   captured, and with `kill -9`, orderly termination and restart on the same directory;
//! - [`postgres`]: a database of its own for each test, dropped afterwards;
//! - [`relay`]: what stands between the product and its PostgreSQL and loses a COMMIT, or its answer;
//! - [`torture`]: the kill harness, which writes with four clients, kills the server at a random moment and checks
//!   that nothing acknowledged is lost, halved or doubled;
//! - [`random`]: the seeded generator behind all of it.
//!
//! Invariant: nothing here knows the product's types. It speaks to the server as any client would, so that what
//! it proves is what a user can rely on.

pub mod http;
pub mod postgres;
pub mod process;
pub mod random;
pub mod relay;
pub mod server;
pub mod torture;
