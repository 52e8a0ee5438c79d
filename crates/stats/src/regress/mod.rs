//! Regression: how far predictions are from what came.

mod metric;
mod rows;

pub use {metric::Metric, rows::Predictions};
