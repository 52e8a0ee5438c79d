//! Delta tables and the query engine.
pub use deltalake as _;
