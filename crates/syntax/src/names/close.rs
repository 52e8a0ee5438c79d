//! Which of some names somebody meant who wrote another one.

use super::fold_case;

/// Longest name that is compared; nobody mistypes longer ones by hand.
const CHARS_MAX: usize = 300;

/// The candidate that is closest to a name that is not there, if one is close: at most a quarter of its characters
/// (and at least two) are missing, too many, different or swapped; or it ends in the name as its last level. Case does
/// not matter. Of candidates that are equally close, the first.
pub fn closest<'c>(wanted: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted: Vec<char> = fold_case(wanted).chars().collect();
    if wanted.is_empty() || wanted.len() > CHARS_MAX {
        return None;
    }
    let limit = (wanted.len() / 4).max(2).min(wanted.len() - 1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let chars: Vec<char> = fold_case(candidate).chars().collect();
        if chars.len() > CHARS_MAX {
            continue;
        }
        let is_leaf = chars
            .strip_suffix(wanted.as_slice())
            .is_some_and(|above| matches!(above.last(), None | Some('.' | '/')));
        let distance = if is_leaf { 0 } else { distance(&wanted, &chars) };
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two texts, no place edited twice (optimal string
/// alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}
