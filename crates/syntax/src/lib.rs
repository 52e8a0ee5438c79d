//! Pure parsers of what outsiders send: search grammar, names and patterns of names, artifact paths, model sources, `MLmodel`
//! files, MLflow's `meta.yaml`, environments of models, declarations of feature tables, gates and monitors.
//!
//! Nothing here reads a file, opens a socket or waits; every function is total: hostile input gives an error value,
//! never a panic, in time linear in its length (the matchers of `LIKE` and of names: pattern × text).
//!
//! Invariant: this crate knows no HTTP, no SQL and no table. What a refused value means for a caller (code, status)
//! is decided by whoever calls.

mod digest;
pub mod environment;
pub mod features;
pub mod flat_yaml;
pub mod flavors;
pub mod gates;
pub mod glob;
pub mod mlmodel;
pub mod monitors;
pub mod names;
pub mod paths;
pub mod search;
pub mod source;
pub mod yaml;
