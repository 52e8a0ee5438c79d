//! `LIKE` and `ILIKE`: `%` stands for any text, `_` for one character, everything else for itself.
//!
//! A pattern is cut at its `%` signs into segments that must follow one another; the first and the last are tied to
//! the ends of the text. Finding each segment at its first possible place is enough, so nothing is ever retried: a
//! segment without `_` costs a linear search, one with `_` at most segment × text.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikeMatcher {
    /// What stands between the `%` signs; always at least one, the first and last possibly empty.
    segments: Vec<Segment>,
    fold_case: bool,
}

/// Text that matches without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Segment(Vec<Piece>);

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
        let mut pieces = Vec::new();
        for c in pattern.chars() {
            match (c, pieces.last_mut()) {
                ('_', Some(Piece::Any(count))) => *count += 1,
                ('_', _) => pieces.push(Piece::Any(1)),
                (c, Some(Piece::Literal(text))) => text.push(c),
                (c, _) => pieces.push(Piece::Literal(c.to_string())),
            }
        }
        Self(pieces)
    }

    /// What is left after this segment at the start of the text.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0.iter().try_fold(text, |left, piece| match piece {
            Piece::Literal(literal) => left.strip_prefix(literal.as_str()),
            Piece::Any(count) => skip_chars(left, *count),
        })
    }

    /// What is left after the first place where this segment fits.
    fn find_and_skip<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self.0.as_slice() {
            [] => Some(text),
            [Piece::Literal(literal)] => text.find(literal.as_str()).map(|at| &text[at + literal.len()..]),
            _ => starts(text).find_map(|at| self.strip_prefix(&text[at..])),
        }
    }

    fn fits_end(&self, text: &str) -> bool {
        let left = self.0.iter().rev().try_fold(text, |left, piece| match piece {
            Piece::Literal(literal) => left.strip_suffix(literal.as_str()),
            Piece::Any(count) => skip_chars_back(left, *count),
        });
        left.is_some()
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
