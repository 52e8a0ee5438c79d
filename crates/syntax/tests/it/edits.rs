//! Changes that make of a right text one that is nearly right.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change of a text, at a place that fits any text.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A piece more.
    Put(Index, &'static str),
    /// What stands between two places, gone.
    Cut(Index, Index),
    /// What stands between two places, once more behind itself.
    Repeat(Index, Index),
}

/// A few changes, with pieces that mean something to the reader.
pub fn edits(pieces: &[&'static str]) -> impl Strategy<Value = Vec<Edit>> {
    let put = (any::<Index>(), select(pieces.to_vec())).prop_map(|(at, piece)| Edit::Put(at, piece));
    let cut = any::<(Index, Index)>().prop_map(|(from, to)| Edit::Cut(from, to));
    let repeat = any::<(Index, Index)>().prop_map(|(from, to)| Edit::Repeat(from, to));
    prop::collection::vec(prop_oneof![4 => put, 1 => cut, 1 => repeat], 0..4)
}

/// The text after the changes.
pub fn edited(text: &str, edits: &[Edit]) -> String {
    edits.iter().fold(text.to_owned(), |text, edit| {
        let chars: Vec<char> = text.chars().collect();
        let place = |index: &Index| index.index(chars.len() + 1);
        let span = |from, to| (place(from).min(place(to)), place(from).max(place(to)));
        let part = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
        match edit {
            Edit::Put(at, piece) => [&part(0, place(at)), *piece, &part(place(at), chars.len())].concat(),
            Edit::Cut(from, to) => {
                let (from, to) = span(from, to);
                [part(0, from), part(to, chars.len())].concat()
            }
            Edit::Repeat(from, to) => {
                let (from, to) = span(from, to);
                [part(0, to), part(from, chars.len())].concat()
            }
        }
    })
}
