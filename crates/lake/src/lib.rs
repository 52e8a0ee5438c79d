//! Delta tables and the query engine.

pub mod asof;
pub mod panes;
