//! Which points of a long history a chart gets.

/// Ordinals of at most `max` of `total` ordered points: the first of each of `max` buckets whose sizes differ by at
/// most one, larger buckets first, and the very last point in place of the last bucket's first. One alone is the last
/// point. This is what MLflow's SQL store does (`NTILE`), so charts get the same points.
pub fn sample_ordinals(total: usize, max: usize) -> Vec<usize> {
    let max = max.max(1);
    if total <= max {
        return (0..total).collect();
    }
    let (size, larger) = (total / max, total % max);
    let starts = (0..max - 1).map(|bucket| bucket * size + bucket.min(larger));
    starts.chain([total - 1]).collect()
}
