//! Serving: what models answered, and how it is kept.

pub mod payload;

pub(crate) use payload::STATEMENTS;
