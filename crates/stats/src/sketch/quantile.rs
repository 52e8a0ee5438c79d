//! Quantiles in bounded space: the sketch of Karnin, Lang and Liberty (2016).
//!
//! Chosen over t-digest, which has no proven bound and depends on the order of what comes, and over REQ, which spends
//! space on tails: drift is told from ranks everywhere alike.
//!
//! A level `h` holds values that stand for `2^h` rows each. A level that is full is sorted, every second value goes
//! one level up, and a coin says whether the odd or the even ones. That moves the rank of any point by `2^h` rows or
//! not at all, up or down with equal chance; so the sketch keeps `V = Σ 4^h` over all that it ever did, and
//! Hoeffding's inequality gives the bound: with chance `1 − δ`, a rank is off by at most `√(2·V·ln(2/δ))` rows. `V`
//! adds up when sketches merge, so the bound is as good after any merging as before, and it is 0 until the first
//! value is forgotten.
//!
//! Coins come from a hash of the values themselves: no seed is needed, and the same rows in the same order give the same sketch.
//! In another order, or merged otherwise, they give one that may differ once values are forgotten, within the same bound.

use crate::{
    error::{Result, StatsError},
    estimate::Confidence,
    random::mix,
};

/// Size of the top level of a new sketch. About 3 · 512 values are kept at most, 12 kB; a rank is then off by 0.15 % of
/// the rows at most (one standard deviation), and by less than 0.5 % with 99 % confidence, however many rows there are.
pub const ACCURACY: u16 = 512;

pub(super) const ACCURACY_MIN: u16 = 16;
pub(super) const ACCURACY_MAX: u16 = 8_192;
/// No level is smaller: sorting fewer values at a time would cost more than it saves.
const LEVEL_MIN: usize = 8;
/// Rows that a sketch counts: beyond, a double could not tell one more.
pub(super) const ROWS_MAX: u64 = 1 << 53;

/// Ranks and quantiles of finite values. See the module for its guarantee.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileSketch {
    pub(super) accuracy: u16,
    pub(super) count: u64,
    /// `Σ 4^h` of all compactions, in rows².
    pub(super) variance: f64,
    pub(super) coins: u64,
    /// Of all values ever inserted; `+∞` and `−∞` before the first.
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) levels: Vec<Vec<f64>>,
    kept: usize,
    kept_max: usize,
}

impl Default for QuantileSketch {
    fn default() -> Self {
        Self::with_accuracy(ACCURACY)
    }
}

impl QuantileSketch {
    fn with_accuracy(accuracy: u16) -> Self {
        Self {
            accuracy,
            count: 0,
            variance: 0.0,
            coins: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            levels: vec![Vec::new()],
            kept: 0,
            kept_max: usize::from(accuracy),
        }
    }

    /// A sketch whose top level holds `accuracy` values, from 16 to 8,192: error and size are `1/accuracy` and
    /// `3 · accuracy`. Sketches of different accuracy merge into one of the lower.
    pub fn new(accuracy: u16) -> Result<Self> {
        if (ACCURACY_MIN..=ACCURACY_MAX).contains(&accuracy) {
            return Ok(Self::with_accuracy(accuracy));
        }
        let value = f64::from(accuracy);
        Err(StatsError::OutOfRange {
            what: "accuracy of a sketch",
            value,
            row: None,
            expected: "from 16 to 8,192",
        })
    }

    /// Takes in one finite value; what is missing is the caller's to count.
    pub fn insert(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.levels[0].push(value);
        self.kept += 1;
        if self.kept > self.kept_max {
            self.compress();
        }
    }

    /// Takes in everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let count = self.count.saturating_add(other.count);
        if count > ROWS_MAX {
            return Err(StatsError::TooMany { what: "rows of a sketch", found: count, limit: ROWS_MAX });
        }
        self.count = count;
        self.accuracy = self.accuracy.min(other.accuracy);
        self.variance += other.variance;
        self.coins = self.coins.wrapping_add(other.coins);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if self.levels.len() < other.levels.len() {
            self.levels.resize(other.levels.len(), Vec::new());
        }
        for (own, others) in self.levels.iter_mut().zip(&other.levels) {
            own.extend_from_slice(others);
        }
        self.recount();
        while self.kept > self.kept_max {
            self.compress();
        }
        Ok(())
    }

    /// What follows from accuracy and levels.
    pub(super) fn recount(&mut self) {
        self.kept = self.levels.iter().map(Vec::len).sum();
        self.kept_max = (0..self.levels.len()).map(|level| self.capacity(level)).sum();
    }

    /// The top level holds `accuracy` values, each below it two thirds of the one above.
    fn capacity(&self, level: usize) -> usize {
        let mut capacity = usize::from(self.accuracy);
        for _ in level + 1..self.levels.len() {
            if capacity <= LEVEL_MIN {
                return LEVEL_MIN;
            }
            capacity = (2 * capacity).div_ceil(3);
        }
        capacity.max(LEVEL_MIN)
    }

    /// Compacts the lowest level that is full: there is one, as more is kept than all levels together may hold.
    fn compress(&mut self) {
        let full = (0..self.levels.len()).find(|&level| self.levels[level].len() >= self.capacity(level));
        let Some(level) = full else { return };
        if level + 1 == self.levels.len() {
            self.levels.push(Vec::new());
        }
        let mut values = std::mem::take(&mut self.levels[level]);
        values.sort_unstable_by(f64::total_cmp);
        // Of an odd number the greatest stays, with its weight, so that weights always add up to the count.
        let stays = if values.len() % 2 == 1 { values.pop() } else { None };
        let seen = values.first().map_or(0, |first| first.to_bits());
        self.coins = mix(self.coins ^ mix(seen.wrapping_add(values.len() as u64)));
        let start = (self.coins >> 63) as usize;
        self.levels[level + 1].extend(values.iter().skip(start).step_by(2));
        values.clear();
        values.extend(stays);
        self.levels[level] = values;
        self.variance += 4_f64.powi(level as i32);
        self.recount();
    }

    /// Rows seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value seen, exactly.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value seen, exactly.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// Values that are kept now.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Whether every value is still there.
    pub fn is_exact(&self) -> bool {
        self.variance == 0.0
    }

    /// One standard deviation of the error of any rank, at most, as a share of all rows.
    pub fn rank_deviation(&self) -> f64 {
        self.variance.sqrt() / self.count.max(1) as f64
    }

    /// How far a rank may be off, as a share of all rows, with that confidence: the bound of the module's header.
    pub fn rank_error(&self, confidence: Confidence) -> f64 {
        self.rank_deviation() * (-2.0 * confidence.tail().ln()).sqrt()
    }

    /// The kept values ascending, with the number of rows that each stands for; these add up to the count.
    pub fn weighted(&self) -> Vec<(f64, u64)> {
        let levels = self.levels.iter().enumerate();
        let mut weighted: Vec<(f64, u64)> =
            levels.flat_map(|(level, values)| values.iter().map(move |&value| (value, 1 << level))).collect();
        weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        weighted
    }
}
