//! Classification: two classes by score, many by label.
//!
//! The positive class is what is looked for. A score is higher for rows that look more positive; a row is *predicted
//! positive* when its score reaches the threshold. Names and definitions are scikit-learn's, ties included.

mod auc;
mod calibration;
mod confusion;
mod metric;
mod multiclass;
mod precision;
mod probability;
mod rows;

pub(crate) use {
    auc::Placements,
    calibration::{check as check_calibration, weighted_error},
    confusion::Figure,
    precision::Ranking,
    rows::check_size,
};
pub use {
    calibration::{CalibrationBin, reliability},
    confusion::Confusion,
    metric::{Metric, Options},
    multiclass::{ClassFigures, Multiclass},
    rows::BinaryScores,
};
