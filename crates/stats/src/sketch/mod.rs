//! Mergeable sketches: what a column was like, in kilobytes, for windows and replicas that are put together later.
//!
//! [`ColumnSketch`] is what is stored. Inserting the same values in the same order gives the same bytes. A merge is
//! symmetric to the last bit in all but the last digits of mean and variance, and associative within the stated
//! bounds; as long as nothing was forgotten ([`QuantileSketch::is_exact`], [`CategorySketch::is_exact`]) it equals
//! the whole.

mod bytes;
mod category;
mod column;
mod moments;
mod quantile;

pub use {
    category::CategorySketch,
    column::{ColumnSketch, FORMAT, NumericSketch},
    moments::Moments,
    quantile::{ACCURACY, QuantileSketch},
};
