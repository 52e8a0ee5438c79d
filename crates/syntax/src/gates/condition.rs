//! Conditions on rows: a piece of SQL that stands in parentheses behind `WHERE`.

use crate::names::shown;

/// Characters of a condition.
const CHARS_MAX: usize = 4_000;

/// Refuses what could end the parentheses in which a condition stands: a parenthesis too many, a text that does not end, a
/// comment, a second statement. Signs that start one of these in some dialect (backslash, dollar, hash) are refused too.
pub(super) fn check(condition: &str) -> Result<(), String> {
    let chars = condition.chars().count();
    if chars > CHARS_MAX {
        return Err(format!("the condition has {chars} characters, at most {CHARS_MAX} are read"));
    }
    if condition.trim().is_empty() {
        return Err("the condition is empty; leave it out for all rows".to_owned());
    }
    let mut open = 0_usize;
    let mut quote = None;
    let mut before = ' ';
    for c in condition.chars() {
        match (quote, c) {
            (_, '\\' | '\0') | (None, ';' | '$' | '#') => return Err(sign(c)),
            (Some(sign), c) if sign == c => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, c) if matches!((before, c), ('-', '-') | ('/', '*')) => {
                return Err("a comment begins in the condition; take it out".to_owned());
            }
            (None, '(') => open += 1,
            (None, ')') => {
                open =
                    open.checked_sub(1).ok_or("the condition closes a parenthesis that it did not open")?;
            }
            _ => {}
        }
        before = c;
    }
    match (quote, open) {
        (Some(quote), _) => Err(format!("the condition ends within {quote}…; close it")),
        (None, 0) => Ok(()),
        (None, open) => Err(format!("the condition leaves {open} parentheses open; close them")),
    }
}

fn sign(c: char) -> String {
    format!("'{}' has no place in a condition; take it out", shown(&c.to_string()))
}
