//! Delta tables and the query engine.
//!
//! - [`asof`]: the point-in-time join, for SQL and for plans.
//! - [`panes`]: windowed aggregates in one fixed order of folding, for table, increment and request.

pub mod asof;
pub mod panes;
