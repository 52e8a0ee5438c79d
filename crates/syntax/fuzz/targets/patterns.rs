//! Patterns of `LIKE` and of names, the text behind the pattern's line: no panic; they fit what a table says, which is slow and plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::{
    glob,
    search::{ilike, like},
};

/// Row by row: whether the pattern so far fits each beginning of the text. `any` stands for any text, `one` for one character.
fn fits(pattern: &str, text: &str, any: char, one: char) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for c in pattern.chars() {
        let above = row.clone();
        row[0] = above[0] && c == any;
        for at in 1..=text.len() {
            row[at] = if c == any {
                above[at] || row[at - 1]
            } else {
                above[at - 1] && (c == one || c == text[at - 1])
            };
        }
    }
    row[text.len()]
}

/// Lower case, character by character.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fuzz_target!(|text: &str| {
    let (pattern, text) = text.split_once('\n').unwrap_or((text, text));
    assert_eq!(like(pattern).matches(text), fits(pattern, text, '%', '_'), "{text:?} LIKE {pattern:?}");
    let folded = fits(&lower(pattern), &lower(text), '%', '_');
    assert_eq!(ilike(pattern).matches(text), folded, "{text:?} ILIKE {pattern:?}");
    assert_eq!(glob::fits(pattern, text), fits(pattern, text, '*', '?'), "{text:?} of {pattern:?}");
});
