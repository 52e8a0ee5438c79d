//! Two models on the same rows: champion and candidate.
//!
//! A difference is always candidate less champion, of rows that both could judge. Comparing on the same rows removes
//! what both find hard; comparing two intervals made apart would not, and is not offered.

mod regression;
mod scores;

pub use {regression::PairedPredictions, scores::PairedScores};
