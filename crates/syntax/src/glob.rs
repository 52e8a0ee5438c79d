//! Patterns of names: `*` stands for any text, `?` for one character, all else for itself.

/// Longest pattern, in characters.
pub const CHARS_MAX: usize = 256;

/// Whether a whole text has the form of a pattern. Takes at most as many steps as pattern and text have characters,
/// multiplied.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the newest star stands, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(one) if *one == '?' || *one == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((begin, taken)) = star else { return false };
                star = Some((begin, taken + 1));
                (at, seen) = (begin + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_the_whole_text() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(fits(pattern, text), expect, "{pattern} {text}");
        };
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("prod.risk.*", "prod.risk.train", true);
        check("prod.risk.*", "prod.risky.train", false);
        check("*.train_*", "prod.risk.train_fraud", true);
        check("a?c", "aüc", true);
        check("a?c", "ac", false);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b", "ba", false);
        check("a**", "a", true);
        check("**b", "ab", true);
        check("x*xx", "xxxxy", false);
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!fits(&"a*".repeat(100), &"a".repeat(99)));
        assert!(!fits(&format!("{}b", "a*".repeat(120)), &"a".repeat(10_000)));
    }
}
