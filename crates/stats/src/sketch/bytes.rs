//! The stored form of sketches, and reading it without trusting it.

use super::{
    CategorySketch, Moments, NumericSketch, QuantileSketch,
    category::{CATEGORIES_MAX, NAME_BYTES_MAX},
    quantile::{ACCURACY_MAX, ACCURACY_MIN, ROWS_MAX},
};
use crate::{
    error::{Result, StatsError},
    values::Missing,
};

/// Appends to bytes.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn whole(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn real(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads from the front of bytes; every step may fail.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn damaged(&self, why: &'static str) -> StatsError {
        StatsError::Damaged { at: self.at, why }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| self.damaged("they end too early"))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A number of rows, or of anything that cannot be more than rows.
    fn whole(&mut self) -> Result<u64> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                let fits = number <= ROWS_MAX;
                return (shortest && fits)
                    .then_some(number)
                    .ok_or_else(|| self.damaged("a number is malformed"));
            }
        }
        Err(self.damaged("a number is too long"))
    }

    /// A number of things that take at least `bytes_each` each: more cannot follow than there are bytes.
    fn length(&mut self, bytes_each: usize) -> Result<usize> {
        let length = self.whole()?;
        let possible = (self.bytes.len() - self.at) / bytes_each;
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= possible)
            .ok_or_else(|| self.damaged("it says that more follows than there is"))
    }

    fn real(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    pub(super) fn finish(&self) -> Result<()> {
        match self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(self.damaged("something follows the sketch")),
        }
    }

    fn check(&self, holds: bool, why: &'static str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.damaged(why)) }
    }
}

/// Width of kept values: most columns hold what a 32-bit float can, which takes half the space.
const SINGLE: u8 = 4;
const DOUBLE: u8 = 8;

impl NumericSketch {
    pub(super) fn write(&self, to: &mut Writer) {
        for count in [self.missing.absent, self.missing.not_a_number, self.missing.infinite] {
            to.whole(count);
        }
        self.quantiles.write(to);
        to.real(self.moments.mean);
        to.real(self.moments.squares);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self> {
        let (absent, not_a_number, infinite) = (from.whole()?, from.whole()?, from.whole()?);
        let quantiles = QuantileSketch::read(from)?;
        let moments = Moments { count: quantiles.count, mean: from.real()?, squares: from.real()? };
        from.check(moments.mean.is_finite(), "the mean is not a number")?;
        // A variance that overflowed is stored as it is, and is none.
        from.check(moments.squares >= 0.0 || moments.squares.is_nan(), "the variance is negative")?;
        Ok(Self { quantiles, moments, missing: Missing { absent, not_a_number, infinite } })
    }
}

impl QuantileSketch {
    fn write(&self, to: &mut Writer) {
        to.whole(u64::from(self.accuracy));
        to.whole(self.count);
        to.real(self.variance);
        to.0.extend_from_slice(&self.coins.to_le_bytes());
        to.real(self.min);
        to.real(self.max);
        let single = self.levels.iter().flatten().all(|&value| f64::from(value as f32) == value);
        to.byte(if single { SINGLE } else { DOUBLE });
        to.whole(self.levels.len() as u64);
        for level in &self.levels {
            to.whole(level.len() as u64);
            let mut sorted = level.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            for value in sorted {
                match single {
                    true => to.0.extend_from_slice(&(value as f32).to_le_bytes()),
                    false => to.real(value),
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self> {
        let accuracy = from.whole()?;
        let known = (u64::from(ACCURACY_MIN)..=u64::from(ACCURACY_MAX)).contains(&accuracy);
        from.check(known, "the accuracy is not one")?;
        let mut sketch = Self::new(accuracy as u16)?;
        sketch.count = from.whole()?;
        sketch.variance = from.real()?;
        from.check(sketch.variance.is_finite() && sketch.variance >= 0.0, "the error is not a number")?;
        sketch.coins = u64::from_le_bytes(from.array()?);
        sketch.min = from.real()?;
        sketch.max = from.real()?;
        let width = from.byte()?;
        from.check(matches!(width, SINGLE | DOUBLE), "the width of values is neither 4 nor 8")?;
        let levels = from.length(1)?;
        from.check((1..=53).contains(&levels), "there are too many levels, or none")?;
        sketch.levels.clear();
        let mut weight = 0_u64;
        for level in 0..levels {
            let values = sketch.read_level(from, width)?;
            weight = weight.saturating_add((values.len() as u64).saturating_mul(1 << level));
            sketch.levels.push(values);
        }
        from.check(weight == sketch.count, "the values do not stand for as many rows as it says")?;
        let empty = sketch.count == 0 && sketch.min == f64::INFINITY && sketch.max == f64::NEG_INFINITY;
        let ordered = sketch.min.is_finite() && sketch.max.is_finite() && sketch.min <= sketch.max;
        from.check(empty || (sketch.count > 0 && ordered), "the extremes are none")?;
        sketch.recount();
        Ok(sketch)
    }

    fn read_level(&self, from: &mut Reader<'_>, width: u8) -> Result<Vec<f64>> {
        let length = from.length(usize::from(width))?;
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            let value = match width {
                SINGLE => f64::from(f32::from_le_bytes(from.array()?)),
                _ => from.real()?,
            };
            let within = value >= self.min && value <= self.max;
            from.check(within && values.last().is_none_or(|last| *last <= value), "a value is out of order")?;
            values.push(value);
        }
        Ok(values)
    }
}

impl CategorySketch {
    pub(super) fn write(&self, to: &mut Writer) {
        for count in [self.absent, self.count, self.undercount_max, self.counts.len() as u64] {
            to.whole(count);
        }
        for (name, count) in &self.counts {
            to.whole(name.len() as u64);
            to.0.extend_from_slice(name.as_bytes());
            to.whole(*count);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self> {
        let (absent, count, undercount_max) = (from.whole()?, from.whole()?, from.whole()?);
        let mut sketch = Self { count, undercount_max, absent, ..Self::default() };
        from.check(undercount_max <= count, "the counts are too low by more than there are rows")?;
        let categories = from.length(2)?;
        from.check(categories <= CATEGORIES_MAX, "there are too many categories")?;
        let (mut last, mut total): (Option<&str>, u64) = (None, 0);
        for _ in 0..categories {
            let length = from.length(1)?;
            from.check(length <= NAME_BYTES_MAX, "a name is too long")?;
            let name =
                std::str::from_utf8(from.take(length)?).map_err(|_| from.damaged("a name is not UTF-8"))?;
            from.check(last.is_none_or(|last| last < name), "the names are not in order")?;
            let count = from.whole()?;
            from.check(count > 0, "a count is 0")?;
            total = total.saturating_add(count);
            sketch.counts.insert(name.into(), count);
            last = Some(name);
        }
        let fits = if undercount_max == 0 { total == count } else { total <= count };
        from.check(fits, "the counts do not add up")?;
        Ok(sketch)
    }
}
