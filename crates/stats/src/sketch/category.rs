//! Counts of categories in bounded space: exact for few, a frequent-items sketch for many.

use std::{borrow::Cow, collections::BTreeMap};

use super::quantile::ROWS_MAX;
use crate::{
    error::{Result, StatsError},
    random::mix,
};

/// Categories that are counted exactly.
pub(super) const CATEGORIES_MAX: usize = 1_024;
/// How many are kept when there are more.
const CATEGORIES_KEPT: usize = CATEGORIES_MAX / 2;
/// Longest name that is kept as it is, in bytes of UTF-8.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// How often each category occurred.
///
/// Up to 1,024 distinct names are counted exactly. Beyond, this is the summary of Misra and Gries (1982) as merged by
/// Agarwal et al. (2012): the 512 most frequent stay, each less the count of the one after them. A count is then too
/// low by at most [`Self::undercount_max`], which is kept and never above a 513th of all rows; a name that is not
/// there occurred at most as often as that. Names longer than 128 bytes are cut and end in a hash of the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CategorySketch {
    pub(super) counts: BTreeMap<Box<str>, u64>,
    pub(super) count: u64,
    pub(super) undercount_max: u64,
    pub(super) absent: u64,
}

impl CategorySketch {
    /// Takes in one row; `None` is counted as missing.
    pub fn insert(&mut self, name: Option<&str>) {
        let Some(name) = name else {
            self.absent += 1;
            return;
        };
        self.count += 1;
        let name = kept_name(name);
        match self.counts.get_mut(name.as_ref()) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(name.into(), 1);
                self.shrink();
            }
        }
    }

    /// Takes in everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let rows = self.rows().saturating_add(other.rows());
        if rows > ROWS_MAX {
            return Err(StatsError::TooMany { what: "rows of a sketch", found: rows, limit: ROWS_MAX });
        }
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        self.count += other.count;
        self.undercount_max += other.undercount_max;
        self.absent += other.absent;
        self.shrink();
        Ok(())
    }

    fn shrink(&mut self) {
        if self.counts.len() <= CATEGORIES_MAX {
            return;
        }
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let dropped = counts[CATEGORIES_KEPT];
        self.undercount_max += dropped;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(dropped);
            *count > 0
        });
    }

    /// Rows with a category.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Rows without one.
    pub fn absent(&self) -> u64 {
        self.absent
    }

    pub fn rows(&self) -> u64 {
        self.count.saturating_add(self.absent)
    }

    /// Whether every count is what it says.
    pub fn is_exact(&self) -> bool {
        self.undercount_max == 0
    }

    /// By how much any count may be too low.
    pub fn undercount_max(&self) -> u64 {
        self.undercount_max
    }

    /// How often `name` occurred, at least; 0 if it is not kept.
    pub fn count_of(&self, name: &str) -> u64 {
        self.counts.get(kept_name(name).as_ref()).copied().unwrap_or(0)
    }

    /// The kept categories with their counts, by falling count, equal ones by name.
    pub fn most_frequent(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(name, &count)| (&**name, count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all
    }
}

impl<'a> FromIterator<Option<&'a str>> for CategorySketch {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(names: I) -> Self {
        let mut sketch = Self::default();
        for name in names {
            sketch.insert(name);
        }
        sketch
    }
}

/// The name under which a category is counted.
fn kept_name(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let hash = name.bytes().fold(0_u64, |hash, byte| mix(hash ^ u64::from(byte)).wrapping_add(1));
    let cut = (0..=NAME_BYTES_MAX - 20).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    Cow::Owned(format!("{}…{hash:016x}", &name[..cut]))
}
