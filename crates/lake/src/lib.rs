//! Delta tables and the query engine.
//!
//! | module | what it is |
//! |---|---|
//! | [`root`] | where tables lie; a table by its id |
//! | [`engine`] | the engine's own threads, memory and spill space; opened by the first use |
//! | [`meter`] | processor time of what is done for somebody, here and on other threads |
//! | [`table`] | making a table, its state at a version, proof that a version can be read |
//! | [`import`] | a file becomes a version; bad rows are named |
//! | [`feed`] | what a table gained between two versions; rows in memory |
//! | [`replace`] | rows take the place of those with their identity, in one commit |
//! | [`training`] | training sets: rows of labels with the features that were known then, in a fixed order |
//! | [`rows`] | rows from inside the server become a version; columns that a table gets later |
//! | [`vacuum`] | removing what only old versions need |
//! | [`asof`] | the point-in-time join, for SQL and for plans |
//! | [`panes`] | windowed aggregates in one fixed order of folding, for table, increment and request |
//! | [`query`] | SQL over tables that the caller resolved |
//! | [`refill`] | rows that the product made or completed, as bytes that land like a file |
//!
//! What must stay true:
//! - nothing here knows HTTP, names, rights or the metadata store: callers pass ids and versions;
//! - what the engine computes runs on its own threads ([`engine`]);
//! - what is committed survives a power cut: files, log entry and directory are synced (`durable`);
//! - generic entry points of DataFusion and Delta are named in this crate alone, behind plain functions, so that a change
//!   in the product does not compile them again.

pub mod asof;
pub mod commit;
pub mod decode;
mod durable;
pub mod engine;
pub mod error;
mod expressions;
pub mod feed;
mod files;
pub mod import;
pub mod meter;
pub mod panes;
pub mod query;
pub mod refill;
pub mod replace;
pub mod root;
pub mod rows;
pub mod schema;
pub mod table;
pub mod training;
pub mod vacuum;

#[cfg(test)]
mod tests;

/// Columns in memory, as every room that computes on tables handles them.
pub use datafusion::arrow;
pub use engine::{Lake, Limits, Task};
pub use error::{Error, Kind, Result};
pub use root::{Root, TableId};
