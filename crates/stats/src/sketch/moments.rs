//! Count, mean and variance in one pass, mergeable.

use serde::{Deserialize, Serialize};

/// Moments of finite values: Welford's update (1962), merged by the formula of Chan, Golub and LeVeque (1983).
///
/// Exact up to rounding: a merge and the whole agree to about 1e-12 of the figure, not to the last bit. Values beyond
/// 1e150 overflow the variance, which is then `None`; the mean stays right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    pub(super) count: u64,
    pub(super) mean: f64,
    /// Sum of squared deviations from the mean.
    pub(super) squares: f64,
}

impl Moments {
    /// Takes in one finite value; what is missing is the caller's to count.
    pub fn insert(&mut self, value: f64) {
        self.count += 1;
        let n = self.count as f64;
        let before = value - self.mean;
        match before.is_finite() {
            true => self.mean += before / n,
            false => self.mean += value / n - self.mean / n,
        }
        self.squares += before * (value - self.mean);
    }

    /// Takes in everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let (own, others) = (n / (n + m), m / (n + m));
        let apart = other.mean - self.mean;
        self.squares += other.squares + apart * apart * n * others;
        self.mean = self.mean * own + other.mean * others;
        self.count += other.count;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Variance of the sample (divided by `n − 1`); `None` below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1 && self.squares.is_finite()).then(|| self.squares.max(0.0) / (self.count - 1) as f64)
    }

    pub fn standard_deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Standard error of the mean.
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.count as f64).sqrt())
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        for value in values {
            moments.insert(value);
        }
        moments
    }
}
