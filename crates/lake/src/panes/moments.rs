//! What is kept of the values of one column in one pane.

use syntax::features::Aggregate;

/// Count, sum, mean, squared deviations, extremes and the last of some values, in the order in which they came.
///
/// - Sum: from the first value, `((v₁ + v₂) + v₃) + …`; of panes likewise. The sum of one −0.0 is −0.0.
/// - Mean for the deviations, inside a pane: Welford's `m ← m + (v − m)/n`, `s ← s + (v − m_old)(v − m_new)` (B. P. Welford,
///   Technometrics 4, 1962).
///   The first: `m = v`, `s = v − v`, which is NaN unless `v` is finite.
/// - Across panes: `m = m_a + δ·(n_b/n)`, `s = (s_a + s_b) + δ²·(n_a·n_b/n)` with `δ = m_b − m_a` (T. Chan, G. Golub, R. LeVeque,
///   Stanford report STAN-CS-79-773, 1979). Merging with nothing changes no bit.
/// - Extremes are by the total order of IEEE 754: −0.0 before 0.0, NaN after everything.
/// - A NaN is one value: which of its bits are set says nothing.
///
/// No step is fused or reordered: each operation is rounded once, on every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
}

impl Moments {
    /// Of no values. The other fields then mean nothing.
    pub(super) const NONE: Self =
        Self { count: 0, sum: 0.0, mean: 0.0, squares: 0.0, min: 0.0, max: 0.0, last: 0.0 };

    /// Takes the next value.
    pub(super) fn push(&mut self, value: f64) {
        let value = one_nan(value);
        if self.count == 0 {
            // Infinity has no deviation from itself.
            let squares = if value.is_finite() { 0.0 } else { f64::NAN };
            *self = Self { count: 1, sum: value, mean: value, squares, min: value, max: value, last: value };
            return;
        }
        self.count += 1;
        self.sum += value;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        self.extend(value, value, value);
    }

    /// Takes the values of the next pane.
    pub(super) fn merge(&mut self, next: &Self) {
        if next.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *next;
            return;
        }
        let (old, new) = (self.count as f64, next.count as f64);
        self.count += next.count;
        let all = self.count as f64;
        self.sum += next.sum;
        let apart = next.mean - self.mean;
        self.mean += apart * (new / all);
        self.squares = (self.squares + next.squares) + apart * apart * (old * new / all);
        self.extend(next.min, next.max, next.last);
    }

    fn extend(&mut self, min: f64, max: f64, last: f64) {
        if min.total_cmp(&self.min).is_lt() {
            self.min = min;
        }
        if max.total_cmp(&self.max).is_gt() {
            self.max = max;
        }
        self.last = last;
    }

    /// The aggregate; none where it is not defined: of no values, or the deviation of a sample of one.
    pub fn aggregate(&self, aggregate: Aggregate) -> Option<f64> {
        let count = self.count as f64;
        let value = match aggregate {
            Aggregate::Count => return Some(count),
            _ if self.count == 0 => return None,
            Aggregate::Sum => self.sum,
            Aggregate::Mean => self.sum / count,
            Aggregate::Std if self.count == 1 => return None,
            Aggregate::Std => (self.squares / (count - 1.0)).sqrt(),
            Aggregate::StdPopulation => (self.squares / count).sqrt(),
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Last => self.last,
        };
        Some(one_nan(value))
    }

    /// Count and fields, every NaN as the one.
    pub(super) fn fields(&self) -> (u64, [f64; 6]) {
        let fields = [self.sum, self.mean, self.squares, self.min, self.max, self.last];
        (self.count, fields.map(one_nan))
    }

    pub(super) fn of_fields(count: u64, [sum, mean, squares, min, max, last]: [f64; 6]) -> Self {
        Self { count, sum, mean, squares, min, max, last }
    }
}

/// Processors differ in the bits of the NaN that they make.
pub(super) fn one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}
