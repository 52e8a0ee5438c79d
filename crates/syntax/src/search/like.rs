//! `LIKE` and `ILIKE`: `%` stands for any text, `_` for one character, everything else for itself.
//!
//! A pattern is cut at its `%` signs into segments that must follow one another; the first and the last are tied to
//! the ends of the text. Finding each segment at its first possible place is enough, so nothing is ever retried: a
//! segment without `_` costs a linear search. One with `_` is looked for at all places at once ([`Places`]), which costs
//! one step a character of the text for every 64 characters of the segment, whatever stands in either.

use std::collections::BTreeMap;

/// Longest pattern that a filter may hold, in characters.
pub const PATTERN_CHARS_MAX: usize = 1_000;

/// Most `%` and `_` that a pattern of a filter may hold.
pub const WILDCARDS_MAX: usize = 64;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikeMatcher {
    /// What stands between the `%` signs; always at least one, the first and last possibly empty.
    segments: Vec<Segment>,
    fold_case: bool,
}

/// Text that matches without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Segment {
    pieces: Vec<Piece>,
    /// How it is found between two `%`, where it has a `_`.
    places: Option<Places>,
}

/// Finds a segment by following all its beginnings at once: bit `n` of the state says that the text read last fits the
/// segment's first `n + 1` characters. (Baeza-Yates and Gonnet, "A new approach to text searching", 1992.)
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    /// Where each character may stand in the segment, places of `_` included; by ascending character.
    fits: Vec<(char, Vec<u64>)>,
    /// Where any other may stand: the places of `_`.
    any: Vec<u64>,
    /// The bit of the segment's last character, in the last word.
    last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// So many characters, whichever.
    Any(usize),
}

/// Compiles a `LIKE` pattern: case sensitive, no escape character.
pub fn like(pattern: &str) -> LikeMatcher {
    LikeMatcher { segments: pattern.split('%').map(Segment::new).collect(), fold_case: false }
}

/// Compiles an `ILIKE` pattern: as [`like`], with both sides in lower case, character by character.
pub fn ilike(pattern: &str) -> LikeMatcher {
    LikeMatcher { fold_case: true, ..like(&lower(pattern)) }
}

impl LikeMatcher {
    /// Whether the whole text fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        if self.fold_case { self.matches_as_is(&lower(text)) } else { self.matches_as_is(text) }
    }

    fn matches_as_is(&self, text: &str) -> bool {
        let Some((first, rest)) = self.segments.split_first() else { return text.is_empty() };
        let Some(mut left) = first.strip_prefix(text) else { return false };
        let Some((last, between)) = rest.split_last() else { return left.is_empty() };
        for segment in between {
            match segment.find_and_skip(left) {
                Some(after) => left = after,
                None => return false,
            }
        }
        last.fits_end(left)
    }
}

impl Segment {
    fn new(pattern: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for c in pattern.chars() {
            match (c, pieces.last_mut()) {
                ('_', Some(Piece::Any(count))) => *count += 1,
                ('_', _) => pieces.push(Piece::Any(1)),
                (c, Some(Piece::Literal(text))) => text.push(c),
                (c, _) => pieces.push(Piece::Literal(c.to_string())),
            }
        }
        let has_any = pieces.iter().any(|piece| matches!(piece, Piece::Any(_)));
        Self { pieces, places: has_any.then(|| Places::new(pattern)) }
    }

    /// What is left after this segment at the start of the text.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.pieces.iter().try_fold(text, |left, piece| match piece {
            Piece::Literal(literal) => left.strip_prefix(literal.as_str()),
            Piece::Any(count) => skip_chars(left, *count),
        })
    }

    /// What is left after the first place where this segment fits.
    fn find_and_skip<'t>(&self, text: &'t str) -> Option<&'t str> {
        match (self.pieces.as_slice(), &self.places) {
            ([Piece::Literal(literal)], _) => {
                text.find(literal.as_str()).map(|at| &text[at + literal.len()..])
            }
            (_, Some(places)) => places.first_end(text).map(|end| &text[end..]),
            _ => Some(text),
        }
    }

    fn fits_end(&self, text: &str) -> bool {
        let left = self.pieces.iter().rev().try_fold(text, |left, piece| match piece {
            Piece::Literal(literal) => left.strip_suffix(literal.as_str()),
            Piece::Any(count) => skip_chars_back(left, *count),
        });
        left.is_some()
    }
}

impl Places {
    fn new(segment: &str) -> Self {
        let length = segment.chars().count();
        let words = length.div_ceil(64).max(1);
        let mut any = vec![0_u64; words];
        for (at, _) in segment.chars().enumerate().filter(|(_, c)| *c == '_') {
            any[at / 64] |= 1 << (at % 64);
        }
        let mut fits: BTreeMap<char, Vec<u64>> = BTreeMap::new();
        for (at, c) in segment.chars().enumerate().filter(|(_, c)| *c != '_') {
            fits.entry(c).or_insert_with(|| any.clone())[at / 64] |= 1 << (at % 64);
        }
        Self { fits: fits.into_iter().collect(), any, last: 1 << (length.saturating_sub(1) % 64) }
    }

    /// Where the first match ends, in bytes of the text.
    fn first_end(&self, text: &str) -> Option<usize> {
        let mut state = vec![0_u64; self.any.len()];
        for (at, c) in text.char_indices() {
            let fits = match self.fits.binary_search_by_key(&c, |(known, _)| *known) {
                Ok(found) => &self.fits[found].1,
                Err(_) => &self.any,
            };
            // Every place may be a beginning.
            let mut carry = 1;
            for (word, fits) in state.iter_mut().zip(fits) {
                let next = *word >> 63;
                *word = ((*word << 1) | carry) & fits;
                carry = next;
            }
            if state.last().is_some_and(|word| word & self.last != 0) {
                return Some(at + c.len_utf8());
            }
        }
        None
    }
}

/// Every place where a match may start, the end included.
fn starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.char_indices().map(|(at, _)| at).chain([text.len()])
}

fn skip_chars(text: &str, count: usize) -> Option<&str> {
    starts(text).nth(count).map(|at| &text[at..])
}

fn skip_chars_back(text: &str, count: usize) -> Option<&str> {
    let mut ends = [text.len()].into_iter().chain(text.char_indices().rev().map(|(at, _)| at));
    ends.nth(count).map(|at| &text[..at])
}

/// Lower case, character by character: unlike `str::to_lowercase` it does not look at a character's neighbours.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
