//! Guessing the type of a column from all of its values, so that line 200,001 is no surprise.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::{Found, cell, shown};
use crate::schema::instant;

/// What a column may still be, after the values seen so far.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one type that is still possible")]
pub(super) struct Guess {
    is_bool: bool,
    is_whole: bool,
    is_number: bool,
    is_date: bool,
    is_instant: bool,
    seen: u64,
    /// Why it is no number, after values that were.
    broke: Option<(u64, String)>,
    /// A number that is written as if its digits mattered: `007`.
    has_leading_zero: bool,
    /// A whole number that a double would not hold to the last digit.
    has_long_whole: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            is_bool: true,
            is_whole: true,
            is_number: true,
            is_date: true,
            is_instant: true,
            seen: 0,
            broke: None,
            has_leading_zero: false,
            has_long_whole: false,
        }
    }
}

impl Guess {
    pub(super) fn see(&mut self, line: u64, text: &str) {
        self.seen += 1;
        self.is_bool = self.is_bool && cell::boolean(text).is_some();
        if self.is_whole || self.is_number {
            let was_number = self.is_number && self.seen > 1;
            self.has_leading_zero |= leading_zero(text);
            self.has_long_whole |= is_long_whole(text);
            self.is_whole = self.is_whole && text.parse::<i64>().is_ok() && !text.starts_with('+');
            self.is_number = self.is_number && cell::float(text).is_some();
            if was_number && !self.is_number {
                self.broke = Some((line, shown(text)));
            }
        }
        self.is_date = self.is_date && cell::date(text).is_some();
        self.is_instant = self.is_instant && cell::instant(text).is_ok();
    }

    fn kind(&self) -> (DataType, String) {
        let note = |text: &str| text.to_owned();
        if self.seen == 0 {
            return (DataType::Utf8, note("no row has a value"));
        }
        let is_number = self.is_whole || self.is_number;
        if is_number && self.has_leading_zero {
            return (DataType::Utf8, note("numbers begin with 0, so they are kept as text"));
        }
        if self.has_long_whole && self.is_number && !self.is_whole {
            return (DataType::Utf8, note("no number type holds every digit, so they are kept as text"));
        }
        match self {
            Self { is_bool: true, .. } => (DataType::Boolean, String::new()),
            Self { is_whole: true, .. } => (DataType::Int64, String::new()),
            Self { is_number: true, .. } => (DataType::Float64, String::new()),
            Self { is_date: true, .. } => (DataType::Date32, String::new()),
            Self { is_instant: true, .. } => (instant(), String::new()),
            Self { broke: Some((line, text)), .. } => {
                (DataType::Utf8, format!("line {line}: '{text}' is no number"))
            }
            _ => (DataType::Utf8, String::new()),
        }
    }
}

/// `007` is a number that somebody would miss the zeros of; `0`, `0.5` and `-0` are not.
fn leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
}

/// A whole number that no double holds: an id, in all likelihood, of which not a digit may be lost.
fn is_long_whole(text: &str) -> bool {
    const EXACT: u64 = 1 << 53;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.parse::<u64>().map_or(true, |number| number > EXACT)
}

/// The schema that some guesses make.
pub(super) fn found(names: &[String], guesses: &[Guess]) -> Found {
    let (mut fields, mut notes) = (Vec::new(), HashMap::new());
    for (name, guess) in names.iter().zip(guesses) {
        let (kind, note) = guess.kind();
        fields.push(Field::new(name, kind, true));
        if !note.is_empty() {
            notes.insert(name.clone(), note);
        }
    }
    Found { schema: Schema::new(fields).into(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> (DataType, String) {
        let mut guess = Guess::default();
        for (at, value) in values.iter().enumerate() {
            guess.see(at as u64 + 2, value);
        }
        guess.kind()
    }

    #[test]
    fn all_values_decide() {
        let is = |values: &[&str], kind: DataType| assert_eq!(of(values).0, kind, "{values:?}");
        is(&["1", "2"], DataType::Int64);
        is(&["0", "-0"], DataType::Int64);
        is(&["1", "2.5"], DataType::Float64);
        is(&["1", "NaN", "-inf"], DataType::Float64);
        is(&["true", "FALSE"], DataType::Boolean);
        is(&["2026-11-24"], DataType::Date32);
        is(&["2026-11-24", "2026-11-24T08:00:00Z"], instant());
        is(&["2026-11-24", "x"], DataType::Utf8);
        is(&[], DataType::Utf8);
    }

    #[test]
    fn what_would_lose_digits_stays_text_and_says_so() {
        assert!(of(&["007", "12"]).1.contains("begin with 0"));
        assert_eq!(of(&["98765432109876543210"]).0, DataType::Utf8);
        assert_eq!(of(&["9007199254740993", "2.5"]).0, DataType::Utf8);
        assert_eq!(of(&["9007199254740993", "2"]).0, DataType::Int64);
        let (kind, note) = of(&["1", "2", "n/a"]);
        assert_eq!((kind, note.as_str()), (DataType::Utf8, "line 4: 'n/a' is no number"));
    }
}
