//! `LIKE` against a table, against an oracle too simple to be wrong, and against the clock.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use syntax::search::{ilike, like};

fn check(pattern: &str, text: &str, sensitive: bool, insensitive: bool) {
    assert_eq!(like(pattern).matches(text), sensitive, "{text:?} LIKE {pattern:?}");
    assert_eq!(ilike(pattern).matches(text), insensitive, "{text:?} ILIKE {pattern:?}");
}

#[test]
fn patterns() {
    check("", "", true, true);
    check("", "a", false, false);
    check("%", "", true, true);
    check("%%", "any\nlines", true, true);
    check("_", "", false, false);
    check("_", "é", true, true);
    check("_", "\n", true, true);
    check("a%", "Ab", false, true);
    check("%b", "aB", false, true);
    check("a%b", "ab", true, true);
    check("a%b", "aba", false, false);
    check("a_c", "abc", true, true);
    check("a_%_c", "abc", false, false);
    check("a_%_c", "abbc", true, true);
    check("%ab%ab%", "abab", true, true);
    check("%ab%ab%", "aba", false, false);
    check("ab%ba", "aba", false, false);
    check("100\\%", "100%", false, false);
    check(".*", "abc", false, false);
    check("GRÖSSE", "größe", false, false);
    check("GRÖß_", "größe", false, true);
    check("ΣΑΣ", "σας", false, false);
    check("ΣΑΣ", "σασ", false, true);
}

/// Tries everything.
fn oracle(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, left) => left.is_none(),
        (Some(('%', rest)), _) => (0..=text.len()).any(|skip| oracle(rest, &text[skip..])),
        (Some(('_', rest)), Some((_, left))) => oracle(rest, left),
        (Some((c, rest)), Some((d, left))) => c == d && oracle(rest, left),
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn agrees_with_the_oracle(pattern in "[abé%_]{0,8}", text in "[abé]{0,9}") {
        let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(like(&pattern).matches(&text), oracle(&p, &t));
    }

    #[test]
    fn a_text_without_wildcards_fits_itself(text in "[^%_]{0,40}") {
        prop_assert!(like(&text).matches(&text));
        prop_assert!(ilike(&text.to_uppercase()).matches(&text.to_uppercase()));
    }
}

/// The shortest of a few times, which is the one that others disturbed least.
fn time_of(pattern: &str, text: &str) -> Duration {
    let pattern = like(pattern);
    let once = || {
        let started = Instant::now();
        assert!(!pattern.matches(text));
        started.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

/// A segment with `_` is found in one pass: sixty of them cost what one costs, twice at most, and not sixty times that.
#[test]
fn a_pattern_costs_its_text_and_not_their_product() {
    let text = "a".repeat(1 << 15);
    let (short, long) = (time_of("%_ab%", &text), time_of(&format!("%{}b%", "_a".repeat(62)), &text));
    assert!(long < short * 12, "{short:?} and {long:?}");
}

#[test]
fn segments_longer_than_a_word_of_the_machine_are_found() {
    for length in [1, 62, 63, 64, 65, 127, 128, 129, 500] {
        let body = "xy".repeat(length);
        let text = format!("aaé{body}z");
        assert!(like(&format!("%_{body}%")).matches(&text), "{length}");
        assert!(like(&format!("%{}_%", &body)).matches(&text), "{length}");
        assert!(!like(&format!("%_{body}y%")).matches(&text), "{length}");
        assert!(!like(&format!("%{body}__%")).matches(&text), "{length}");
    }
}

#[test]
fn hostile_patterns_cost_little() {
    let text = "a".repeat(20_000);
    let started = Instant::now();
    assert!(!like(&format!("{}b", "%a".repeat(5_000))).matches(&text));
    assert!(!like(&format!("%{}b%", "a_".repeat(50))).matches(&text));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
