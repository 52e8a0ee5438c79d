//! A metric's point and its two orders.

use std::cmp::Ordering;

/// One logged value of one metric. Equality is MLflow's identity of a point within its key; the derived order (time,
/// step, value) is the order of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// When, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// At which step; may be negative.
    pub step: i64,
    /// What.
    pub value: Value,
}

/// A metric's value as MLflow keeps it: infinities become the largest finite numbers, there is one zero and one NaN.
/// Ordered as MLflow's tables order it, in which NaN is a zero with a flag: right after 0.
#[derive(Clone, Copy)]
pub struct Value(f64);

impl Point {
    /// A point; any float is fine as `value`.
    pub fn new(timestamp_ms: i64, step: i64, value: f64) -> Self {
        Self { timestamp_ms, step, value: Value::new(value) }
    }

    /// Order by (step, time, value): its maximum is a metric's latest value, and samples are taken along it.
    pub fn step_order(&self, other: &Self) -> Ordering {
        (self.step, self.timestamp_ms, self.value).cmp(&(other.step, other.timestamp_ms, other.value))
    }
}

impl Value {
    /// Brings any float into canonical form.
    pub fn new(value: f64) -> Self {
        if value.is_nan() {
            Self(f64::NAN)
        } else if value == 0.0 {
            Self(0.0)
        } else {
            Self(value.clamp(f64::MIN, f64::MAX))
        }
    }

    /// The float: finite or NaN.
    pub fn get(self) -> f64 {
        self.0
    }

    /// What the order looks at: the number with NaN as zero, and the flag.
    fn rank(self) -> (f64, bool) {
        if self.0.is_nan() { (0.0, true) } else { (self.0, false) }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((a, a_nan), (b, b_nan)) = (self.rank(), other.rank());
        a.total_cmp(&b).then(a_nan.cmp(&b_nan))
    }
}
