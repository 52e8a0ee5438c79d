//! Patterns of names against a table that is too simple to be wrong, and against the clock.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use syntax::glob::{CHARS_MAX, fits};

/// Row by row: whether the pattern so far fits each beginning of the text.
fn oracle(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for c in pattern.chars() {
        let above = fits.clone();
        fits[0] = above[0] && c == '*';
        for at in 1..=text.len() {
            fits[at] = match c {
                '*' => above[at] || fits[at - 1],
                '?' => above[at - 1],
                c => above[at - 1] && c == text[at - 1],
            };
        }
    }
    fits[text.len()]
}

/// A pattern that was made of a text: parts of it became stars, and characters question marks.
fn made_of(text: &str, stars: &[(Index, Index)], marks: &[Index]) -> String {
    let mut pattern: Vec<char> = text.chars().collect();
    for mark in marks.iter().filter(|_| !text.is_empty()) {
        pattern[mark.index(text.chars().count())] = '?';
    }
    for (one, other) in stars {
        let (one, other) = (one.index(pattern.len() + 1), other.index(pattern.len() + 1));
        pattern.splice(one.min(other)..one.max(other), ['*']);
    }
    pattern.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn patterns_agree_with_the_table(pattern in "[abé*?]{0,10}", text in "[abé*?]{0,12}") {
        prop_assert_eq!(fits(&pattern, &text), oracle(&pattern, &text));
    }

    #[test]
    fn a_text_fits_what_was_made_of_it(
        text in "[abé😀*?.]{0,12}",
        stars in prop::collection::vec(any::<(Index, Index)>(), 0..4),
        marks in prop::collection::vec(any::<Index>(), 0..3),
        more in "[abé]{1,3}",
    ) {
        let pattern = made_of(&text, &stars, &marks);
        prop_assert!(fits(&pattern, &text), "{}", pattern);
        prop_assert!(fits(&format!("{pattern}*"), &format!("{text}{more}")), "{}", pattern);
        prop_assert!(!fits(&format!("{pattern}.{more}"), &format!("{text}{more}/")), "{}", pattern);
        prop_assert_eq!(fits(&pattern, &format!("{text}{more}")), oracle(&pattern, &format!("{text}{more}")));
    }

    #[test]
    fn arbitrary_patterns_agree_with_the_table(pattern in any::<String>(), text in any::<String>()) {
        prop_assert_eq!(fits(&pattern, &text), oracle(&pattern, &text));
        prop_assert_eq!(fits(&text, &text), oracle(&text, &text));
        prop_assert!(fits("*", &text) && fits(&"?".repeat(text.chars().count()), &text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// As long as a pattern may be, of what makes a matcher go back.
    #[test]
    fn hostile_patterns_cost_no_more_than_the_product(
        pieces in prop::collection::vec(("[*]{0,2}", select(vec!["a", "?", "a?", "aa"]), 1_usize..40), 128),
        end in select(vec!["", "b", "*b", "b*"]),
    ) {
        let pieces = pieces.iter().flat_map(|(stars, piece, times)| [stars.clone(), piece.repeat(*times)]);
        let pieces = pieces.collect::<String>();
        let pattern: String = pieces.chars().take(CHARS_MAX - end.len()).chain(end.chars()).collect();
        let text = "a".repeat(4_000);
        let started = Instant::now();
        let found = fits(&pattern, &text);
        prop_assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        prop_assert_eq!(found, oracle(&pattern, &text), "{}", pattern);
    }
}

#[test]
fn many_stars_before_what_is_not_there_cost_little() {
    let text = "a".repeat(20_000);
    let started = Instant::now();
    for pattern in ["*a*a*a*b".to_owned(), format!("{}b", "*a".repeat(127)), format!("*{}b", "a".repeat(254))]
    {
        assert!(!fits(&pattern, &text), "{pattern}");
        assert!(fits(&pattern, &format!("{text}b")), "{pattern}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
