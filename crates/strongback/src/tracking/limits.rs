//! What clients may send: lengths, keys, ids. MLflow's numbers, with its words for what is over them.
//!
//! What must stay true: everything that lands in a text column went through here or through a parser of `syntax`,
//! because a NUL fits into no PostgreSQL text.

use syntax::names;

use crate::{
    catalog::names::refused,
    error::{Error, Result},
};

/// Longest value of a param, in characters; longer ones are cut.
pub const PARAM_VALUE_CHARS: usize = 6_000;
/// Longest value of a run's tag, in characters; longer ones are cut.
pub const TAG_VALUE_CHARS: usize = 8_000;
/// Longest value of a tag or param of a logged model, in characters. Nothing is cut there: the client keeps JSON in one.
pub const LOGGED_MODEL_VALUE_CHARS: usize = 100_000;
/// Params, tags and metrics of a logged model together, in bytes as JSON.
pub const LOGGED_MODEL_BYTES: usize = 8 << 20;
/// Longest value of an experiment's tag, in characters.
pub const EXPERIMENT_TAG_VALUE_CHARS: usize = 20_000;
/// Longest artifact location, in characters.
pub const ARTIFACT_LOCATION_CHARS: usize = 2_048;
/// Points of one batch.
pub const BATCH_METRICS: usize = 1_000;
/// Params of one batch, and tags.
pub const BATCH_PARAMS: usize = 100;
/// Points, params and tags of one batch together.
pub const BATCH_ALL: usize = 1_000;
/// Results of one page of a search.
pub const PAGE: i64 = 50_000;

/// A key of a param, metric or tag, e.g. at `metrics[3].key`.
pub fn key<'t>(path: &str, key: Option<&'t str>) -> Result<&'t str> {
    let Some(key) = key else { return Err(Error::required(path)) };
    names::check_key(path, key).map_err(refused)?;
    Ok(key)
}

/// A text of at most `chars_max` characters without NUL.
pub fn text<'t>(path: &str, text: &'t str, chars_max: usize) -> Result<&'t str> {
    if text.contains('\0') {
        return Err(Error::invalid(format!(
            "Invalid value for parameter '{path}' supplied: it contains a NUL character; remove it."
        )));
    }
    // Bytes bound characters from above, so most texts are never counted.
    if text.len() > chars_max {
        let chars = text.chars().count();
        if chars > chars_max {
            return Err(Error::too_long(path, chars_max, chars));
        }
    }
    Ok(text)
}

/// The first `chars_max` characters.
pub fn cut(text: &str, chars_max: usize) -> &str {
    if text.len() <= chars_max {
        return text;
    }
    text.char_indices().nth(chars_max).map_or(text, |(at, _)| &text[..at])
}

/// An experiment id as clients write it: decimal text. No experiment has a negative one, which is no mistake in the writing.
pub fn experiment_id(text: &str) -> Result<i64> {
    text.parse().ok().ok_or_else(|| {
        Error::invalid(format!(
            "Invalid experiment ID '{}'. Experiment ID must be a valid integer.",
            cut(text, 100)
        ))
    })
}

/// A run id as clients write it: letters, digits, `_` and `-`.
pub fn run_id<'t>(path: &str, text: Option<&'t str>) -> Result<&'t str> {
    let text = text.filter(|text| !text.is_empty()).ok_or_else(|| Error::required(path))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.len() > 256 || !text.chars().all(allowed) {
        return Err(Error::invalid(format!(
            "Invalid value \"{}\" for parameter '{path}' supplied.",
            cut(text, 100)
        )));
    }
    Ok(text)
}

/// How many results a page may hold.
pub fn max_results(asked: Option<i64>, default: i64, most: i64) -> Result<usize> {
    let count = asked.unwrap_or(default);
    if (1..=most).contains(&count) {
        return Ok(count as usize);
    }
    Err(Error::invalid(format!(
        "Invalid value {count} for parameter 'max_results' supplied: it must be at least 1 and at most {most}."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("größe", 3), "grö");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn texts_are_counted_in_characters_and_hold_no_nul() {
        assert!(text("name", "äöü", 3).is_ok());
        assert!(
            text("name", "äöüx", 3).unwrap_err().message().contains("'name' exceeds the maximum length of 3")
        );
        assert!(text("name", "a\0b", 9).unwrap_err().message().contains("NUL"));
    }

    #[test]
    fn ids_are_what_clients_may_write() {
        assert_eq!(experiment_id("123456789012345678").unwrap(), 123_456_789_012_345_678);
        assert_eq!(experiment_id("-1").unwrap(), -1);
        for bad in ["", "x", "--1", "1.0", "99999999999999999999"] {
            experiment_id(bad).unwrap_err();
        }
        assert!(run_id("run_id", Some("../../etc")).is_err());
        assert!(run_id("run_id", Some("")).unwrap_err().message().contains("Missing value"));
        assert!(max_results(Some(0), 10, 100).is_err());
        assert_eq!(max_results(None, 10, 100).unwrap(), 10);
    }
}
