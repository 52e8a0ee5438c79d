//! The smallest and the largest of some numbers.

use super::Value;

/// Bounds of a metric's values. NaN is no number: where there is nothing else, there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds(Option<(Value, Value)>);

impl Bounds {
    /// The smallest number.
    pub fn min(self) -> Option<f64> {
        self.0.map(|(min, _)| min.get())
    }

    /// The largest number.
    pub fn max(self) -> Option<f64> {
        self.0.map(|(_, max)| max.get())
    }

    /// Takes one more value in.
    pub fn add(&mut self, value: Value) {
        if !value.get().is_nan() {
            self.join(Self(Some((value, value))));
        }
    }

    /// Takes the numbers of others in.
    pub fn join(&mut self, others: Self) {
        self.0 = match (self.0, others.0) {
            (Some(own), Some(theirs)) => Some((own.0.min(theirs.0), own.1.max(theirs.1))),
            (own, theirs) => own.or(theirs),
        };
    }
}

impl FromIterator<Value> for Bounds {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut bounds = Self::default();
        values.into_iter().for_each(|value| bounds.add(value));
        bounds
    }
}
