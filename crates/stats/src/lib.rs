//! Pure statistics: what gates, monitors and diagnoses judge by.
//!
//! | what | where |
//! |---|---|
//! | value, interval, confidence, n, missing rows, method | [`Estimate`], [`Confidence`], [`Method`] |
//! | pass, fail, undecided; non-inferiority with a margin | [`verdict`] |
//! | accuracy, balanced accuracy, precision, recall, specificity, F-beta, MCC, ROC AUC, average precision, log loss, Brier, calibration; many classes: accuracy, macro and weighted F1 | [`classify`] |
//! | MAE, RMSE, MAPE, R², median absolute error | [`regress`] |
//! | two models on the same rows: the difference of any of these | [`paired`] |
//! | shares, their differences and ratios, paired shares with McNemar's test | [`proportion`] |
//! | by group: rates; demographic parity, equal opportunity, equalized odds, four fifths | [`fairness`] |
//! | PSI, Jensen–Shannon, total variation, chi-squared, Kolmogorov–Smirnov, Wasserstein, false discoveries | [`drift`] |
//! | quantiles, moments, categories, missing values of a column, in bytes that merge | [`sketch`] |
//! | percentiles of times, and two systems measured in turn | [`latency`] |
//! | the bootstrap's settings, and random numbers that are a function of their place | [`Resampling`], [`random`] |
//! | normal, Student, beta, binomial, gamma, chi-squared, Kolmogorov | [`special`] |
//!
//! A shift of predictions is [`drift`] of the scores; a drift of labels is [`proportion::difference`] for two classes
//! and [`drift::population_stability`] over [`drift::CategoryBins`] for more.
//!
//! # Conventions
//!
//! - A figure is an [`Estimate`], never a bare number. Where rows cannot tell, the interval is wide, infinite, or the figure
//!   is a [`StatsError`] that says what to do; it is never a 0 that means "undefined".
//! - A value is a finite number. `None`, NaN and ±∞ are *missing*: a row with one is left out and counted, and the count is
//!   in the result ([`Estimate::missing`], [`Missing`]). Parameters that are no finite numbers are refused.
//! - Intervals are two-sided and hold for rows that were drawn independently. Rows of one customer or one minute are not; an
//!   interval from them is too narrow, and nothing here can know that.
//! - Definitions are scikit-learn's and scipy's, ties included; where they differ, it is said there.
//! - Everything is deterministic: the same input in the same order gives the same result to the last bit on one platform, and
//!   the figures and intervals of classifiers and of two models do so in any order of the rows. The bootstrap draws from a seed
//!   that its settings hold.
//! - What can be large has a limit, and the error names it.
//!
//! ```
//! use stats::{classify::{Metric, Options}, paired::PairedScores, verdict};
//!
//! let labels = [true, false, true, false].repeat(100);
//! let champion = [0.9, 0.2, 0.4, 0.6].repeat(100);
//! let candidate = [0.9, 0.2, 0.7, 0.6].repeat(100);
//! let rows = PairedScores::new(&labels, &champion, &candidate)?;
//! let delta = rows.compare(Metric::Accuracy, &Options::default())?;
//! let judged = verdict::non_inferior(delta, 0.01, Metric::Accuracy.greater_is_better())?;
//! assert_eq!(judged.to_string(), "pass: 0.2500 [0.2066, 0.2918] at 95 %, n = 400, interval must be at least -0.01");
//! # Ok::<(), stats::StatsError>(())
//! ```
//!
//! # Deliberately absent
//!
//! IO, async, threads, Arrow, and any notion of a table, a model or a gate: callers hand over slices. Weights of
//! rows: no interval here would hold with them. Curves to draw, ROC AUC of many classes, drift of texts and of
//! several columns together. Thresholds that are custom rather than statistics (0.2 for PSI) are named in the
//! documentation and set by callers.

mod bootstrap;
pub mod classify;
pub mod drift;
mod error;
mod estimate;
pub mod fairness;
pub mod latency;
mod mean;
mod order;
pub mod paired;
pub mod proportion;
pub mod random;
pub mod regress;
pub mod sketch;
pub mod special;
mod values;
pub mod verdict;

pub use bootstrap::Resampling;
pub use error::{Result, StatsError};
pub use estimate::{Confidence, Estimate, Method};
pub use values::Missing;
