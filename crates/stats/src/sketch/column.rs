//! One column: everything that is kept of it, and its bytes.

use super::{
    CategorySketch, Moments, QuantileSketch,
    bytes::{Reader, Writer},
};
use crate::{
    error::{Result, StatsError},
    values::Missing,
};

/// The format that [`ColumnSketch::to_bytes`] writes: the first byte.
pub const FORMAT: u8 = 1;

const NUMERIC: u8 = 0;
const CATEGORICAL: u8 = 1;

/// What is kept of a numeric column: quantiles, extremes, moments, and how many values were missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NumericSketch {
    pub(super) quantiles: QuantileSketch,
    pub(super) moments: Moments,
    pub(super) missing: Missing,
}

impl NumericSketch {
    /// With quantiles of that accuracy, see [`QuantileSketch::new`].
    pub fn new(accuracy: u16) -> Result<Self> {
        Ok(Self { quantiles: QuantileSketch::new(accuracy)?, ..Self::default() })
    }

    /// Takes in one row; `None`, NaN and infinities are counted as missing.
    pub fn insert(&mut self, value: impl Into<Option<f64>>) {
        if let Some(value) = self.missing.sift(value.into()) {
            self.quantiles.insert(value);
            self.moments.insert(value);
        }
    }

    /// Takes in everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.quantiles.merge(&other.quantiles)?;
        self.moments.merge(&other.moments);
        self.missing = self.missing.plus(&other.missing);
        Ok(())
    }

    pub fn quantiles(&self) -> &QuantileSketch {
        &self.quantiles
    }

    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    pub fn missing(&self) -> &Missing {
        &self.missing
    }

    /// Rows seen, with a value or without.
    pub fn rows(&self) -> u64 {
        self.quantiles.count().saturating_add(self.missing.total())
    }
}

impl<V: Into<Option<f64>>> FromIterator<V> for NumericSketch {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let mut sketch = Self::default();
        for value in values {
            sketch.insert(value);
        }
        sketch
    }
}

/// What is kept of a column in a window.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnSketch {
    Numeric(NumericSketch),
    Categorical(CategorySketch),
}

impl ColumnSketch {
    /// Takes in everything that `other` has seen; refused if one is of numbers and the other of categories.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::Numeric(own), Self::Numeric(other)) => own.merge(other),
            (Self::Categorical(own), Self::Categorical(other)) => own.merge(other),
            _ => Err(StatsError::Incompatible {
                left: "a sketch of numbers",
                right: "a sketch of categories",
                why: "the column changed its type; sketch the windows before and after apart",
            }),
        }
    }

    /// Rows seen, with a value or without.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Numeric(sketch) => sketch.rows(),
            Self::Categorical(sketch) => sketch.rows(),
        }
    }

    /// Rows without a value.
    pub fn missing(&self) -> u64 {
        match self {
            Self::Numeric(sketch) => sketch.missing.total(),
            Self::Categorical(sketch) => sketch.absent(),
        }
    }

    /// The sketch in format [`FORMAT`]: that byte, a byte for the kind, then the kind's own. Numbers of rows are
    /// LEB128, real numbers little-endian doubles. The same sketch always gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.byte(FORMAT);
        match self {
            Self::Numeric(sketch) => {
                to.byte(NUMERIC);
                sketch.write(&mut to);
            }
            Self::Categorical(sketch) => {
                to.byte(CATEGORICAL);
                sketch.write(&mut to);
            }
        }
        to.finish()
    }

    /// Reads what [`Self::to_bytes`] wrote. Any other bytes are an error; none makes it allocate more than a small
    /// multiple of their length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader::new(bytes);
        match from.byte()? {
            FORMAT => {}
            0 => return Err(from.damaged("there is no format 0")),
            found => return Err(StatsError::UnknownFormat { found, known: FORMAT }),
        }
        let sketch = match from.byte()? {
            NUMERIC => Self::Numeric(NumericSketch::read(&mut from)?),
            CATEGORICAL => Self::Categorical(CategorySketch::read(&mut from)?),
            _ => return Err(from.damaged("the kind is neither numeric nor categorical")),
        };
        from.finish()?;
        Ok(sketch)
    }
}
