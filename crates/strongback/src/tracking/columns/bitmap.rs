//! Sets of rows.

/// A set of rows of one segment, 64 a word. Bits from `rows` on are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tracking) struct Bitmap {
    words: Vec<u64>,
    rows: usize,
}

impl Bitmap {
    /// No row.
    pub(in crate::tracking) fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// Every row below `rows`.
    pub(in crate::tracking) fn all(rows: usize) -> Self {
        Self::from_words(rows, std::iter::repeat(u64::MAX))
    }

    /// The rows whose bits are set; `words` may be longer or shorter.
    pub(in crate::tracking) fn from_words(rows: usize, words: impl Iterator<Item = u64>) -> Self {
        let mut words: Vec<u64> = words.take(rows.div_ceil(64)).collect();
        words.resize(rows.div_ceil(64), 0);
        if let (Some(last), used @ 1..) = (words.last_mut(), rows % 64) {
            *last &= (1 << used) - 1;
        }
        Self { words, rows }
    }

    /// The rows for which `test` holds of the value at their place.
    pub(in crate::tracking) fn where_holds<T>(
        rows: usize,
        values: impl Iterator<Item = T>,
        test: impl Fn(T) -> bool,
    ) -> Self {
        let mut words = vec![0_u64; rows.div_ceil(64)];
        let mut values = values.take(rows);
        for word in &mut words {
            for (bit, value) in values.by_ref().take(64).enumerate() {
                *word |= u64::from(test(value)) << bit;
            }
        }
        Self { words, rows }
    }

    /// Adds a row, if there is such a row.
    pub(in crate::tracking) fn insert(&mut self, row: usize) {
        if row < self.rows {
            self.words[row / 64] |= 1 << (row % 64);
        }
    }

    /// Takes a row out.
    pub(in crate::tracking) fn remove(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    /// Keeps the rows that are in both; a shorter `other` has none of the rest.
    pub(in crate::tracking) fn and(&mut self, other: &Self) {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        for (word, other) in self.words.iter_mut().zip(others) {
            *word &= other;
        }
    }

    /// Keeps the rows that are not in `other`.
    pub(in crate::tracking) fn and_not(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Whether no row is left.
    pub(in crate::tracking) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The rows, ascending.
    pub(in crate::tracking) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(at * 64 + bit)
            })
        })
    }
}
