//! Fairness: whether decisions treat groups alike.
//!
//! Every group is counted by itself, and figures that compare groups take only those that are large enough to say
//! something. The small ones are named in the result; a figure with fewer than two groups left is refused rather than
//! passed.

mod disparity;
mod groups;

pub use {
    disparity::{Disparity, Metric},
    groups::{GroupFigures, Groups},
};
