//! The best of what is found in any order, without keeping all of it.

use std::cmp::Ordering;

/// Results of small pages that are kept before the worst are dropped.
const CROWD: usize = 1_024;

/// The best so far: at most `limit` once it has settled.
#[derive(Debug)]
pub(super) struct Best<T> {
    limit: usize,
    kept: Vec<T>,
    /// Whether the last of `kept` is the worst and there are `limit` of them.
    full: bool,
}

impl<T> Best<T> {
    /// At least one is kept.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), kept: Vec::new(), full: false }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn push(&mut self, one: T) {
        self.kept.push(one);
    }

    /// Drops what cannot be among the best; to be called after every series of pushes.
    pub fn settle(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        if self.kept.len() < self.limit {
            return;
        }
        self.kept.select_nth_unstable_by(self.limit - 1, compare);
        self.kept.truncate(self.limit);
        self.full = true;
    }

    /// The same between pushes, once there are so many that dropping some pays.
    pub fn settle_if_crowded(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        if self.kept.len() >= self.limit.saturating_mul(2).max(CROWD) {
            self.settle(compare);
        }
    }

    /// Drops all behind the first that is over, in order.
    pub fn cut(&mut self, compare: impl Fn(&T, &T) -> Ordering, is_over: impl FnMut(&T) -> bool) {
        self.kept.sort_unstable_by(compare);
        self.full = false;
        if let Some(last) = self.kept.iter().position(is_over) {
            self.kept.truncate(last + 1);
        }
    }

    /// What another one must come before to matter; known right after it has settled.
    pub fn worst(&self) -> Option<&T> {
        if self.full { self.kept.last() } else { None }
    }

    /// All that is kept, in order.
    pub fn into_sorted(mut self, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
        self.kept.sort_unstable_by(compare);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_a_crowd_and_the_best_are_among_it() {
        for limit in [1, 7, 600, 3_000] {
            let mut best = Best::new(limit);
            for n in 0..2_000_u64 {
                best.push(n * 7_919 % 2_000);
                best.settle_if_crowded(u64::cmp);
                assert!(best.kept.len() <= (2 * limit).max(CROWD));
            }
            best.settle(u64::cmp);
            assert_eq!(best.worst().copied(), (limit <= 2_000).then(|| limit as u64 - 1), "{limit}");
            let expected: Vec<u64> = (0..2_000).take(limit).collect();
            assert_eq!(best.into_sorted(u64::cmp), expected);
        }
    }

    #[test]
    fn behind_what_is_over_nothing_is_kept() {
        let mut best = Best::new(100);
        for n in [5, 3, 9, 1, 7] {
            best.push(n);
        }
        best.cut(u64::cmp, |n| *n > 20);
        assert_eq!(best.kept.len(), 5);
        let mut sum = 0;
        best.cut(u64::cmp, |n| {
            sum += n;
            sum > 4
        });
        assert_eq!(best.into_sorted(u64::cmp), [1, 3, 5]);
    }
}
