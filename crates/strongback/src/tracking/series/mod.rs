//! Metric histories as bytes: small pieces as they arrive, columnar chunks after compaction.
//!
//! A [piece](encode_piece) is one request's append, all its keys together: one row a batch. A [chunk](encode_chunk)
//! holds up to [`POINTS_MAX`] points of one key. [`merge`] turns the first into the second, and [`History`] reads any
//! mixture.
//!
//! What must stay true:
//! - Bytes once written are never changed; compaction writes new chunks and drops what it merged.
//! - A point is identified by its (time, step, value). Sources may repeat points and overlap; readers and `merge` give
//!   each point once.
//! - A chunk's header tells its ranges of time and step, so that what is out of range is not unfolded.

mod chunk;
mod fields;
mod history;
mod piece;
mod sample;
#[cfg(test)]
mod tests;

pub use chunk::{Chunk, ChunkStats, decode_chunk, encode_chunk, merge, tail};
pub use history::{History, Source};
pub use piece::{decode_piece, encode_piece, piece_series};
pub use sample::sample_ordinals;

/// Most points that one piece or chunk holds.
pub const POINTS_MAX: usize = 65_536;

/// More points than one piece or chunk can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{points} points exceed the {POINTS_MAX} that one piece or chunk of a metric history can hold")]
pub struct TooManyPoints {
    /// How many there were.
    pub points: usize,
}
