//! The join by looking at every pair of rows. It shares no code and no order with the operator.

use std::cmp::Ordering;

#[derive(Debug, Clone)]
pub(super) struct LeftRow {
    pub(super) id: i64,
    pub(super) k: Option<i64>,
    pub(super) name: Option<&'static str>,
    pub(super) ts: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct RightRow {
    pub(super) k: Option<i64>,
    pub(super) name: Option<&'static str>,
    pub(super) ts: Option<i64>,
    pub(super) x: Option<f64>,
    pub(super) seq: i64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// Whether `k` is a key, and whether `name` is.
    pub(super) by: (bool, bool),
    pub(super) strict: bool,
    pub(super) age_max: Option<i64>,
    /// Whether `seq` ranks ties; else all columns do.
    pub(super) by_seq: bool,
}

/// (id, bits of x, seq) a left row, by id.
pub(super) fn expected(
    left: &[LeftRow],
    right: &[RightRow],
    question: Question,
) -> Vec<(i64, Option<u64>, Option<i64>)> {
    let mut rows: Vec<_> = left
        .iter()
        .map(|row| {
            let candidates = right.iter().filter(|other| matches(row, other, question));
            let best = candidates.reduce(|best, other| match order(best, other, question) {
                Ordering::Less => other,
                _ => best,
            });
            (row.id, best.and_then(|best| best.x).map(f64::to_bits), best.map(|best| best.seq))
        })
        .collect();
    rows.sort_unstable();
    rows
}

fn matches(left: &LeftRow, right: &RightRow, question: Question) -> bool {
    let (Some(now), Some(then)) = (left.ts, right.ts) else {
        return false;
    };
    let same_k = !question.by.0 || (left.k.is_some() && left.k == right.k);
    let same_name = !question.by.1 || (left.name.is_some() && left.name == right.name);
    let due = then < now || (!question.strict && then == now);
    let young = question.age_max.is_none_or(|max| now - then <= max);
    same_k && same_name && due && young
}

fn order(a: &RightRow, b: &RightRow, question: Question) -> Ordering {
    let by_time = a.ts.cmp(&b.ts);
    if question.by_seq {
        return by_time.then(a.seq.cmp(&b.seq));
    }
    let by_x = match (a.x, b.x) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    by_time.then(a.k.cmp(&b.k)).then(a.name.cmp(&b.name)).then(by_x).then(a.seq.cmp(&b.seq))
}
