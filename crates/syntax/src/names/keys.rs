//! Keys of params, metrics and tags, and aliases of model versions.

use super::{NameError, check_length, shown};

/// Longest key of a param, metric or tag, in characters.
pub const KEY_CHARS_MAX: usize = 250;

/// Longest alias, in characters.
pub const ALIAS_CHARS_MAX: usize = 255;

/// Checks a key: at most 250 characters; letters and digits of any script, `_ / . - :` and space; equal to its own
/// normalised path, since keys may be used as file names.
///
/// `path` says where the key stood in the request, as in `metrics[3].key`.
pub fn check_key(path: &str, key: &str) -> Result<(), NameError> {
    let refuse = |problem: String| {
        let message = format!("Invalid value \"{}\" for parameter '{path}' supplied: {problem}", shown(key));
        Err(NameError::new(message))
    };
    if key.is_empty() {
        return refuse("A key name must be provided.".to_owned());
    }
    check_length(path, key, KEY_CHARS_MAX)?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-' | ':' | ' ');
    if !key.chars().all(allowed) {
        return refuse(
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
             slashes (/)."
                .to_owned(),
        );
    }
    let normalised = normalised_path(key);
    if normalised != key || key == "." || key.starts_with("..") || key.starts_with('/') {
        return refuse(format!(
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as \
             such. This name would resolve to '{}'",
            shown(&normalised)
        ));
    }
    Ok(())
}

/// The path with `.`, `..` and repeated slashes resolved by text alone, as POSIX has it; `.` if nothing is left.
pub fn normalised_path(path: &str) -> String {
    // POSIX keeps exactly two leading slashes, and makes one of three or more.
    let leading = match path.chars().take_while(|&c| c == '/').count() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => _ = kept.pop(),
            ".." if kept.is_empty() && !leading.is_empty() => {}
            _ => kept.push(segment),
        }
    }
    let normalised = format!("{leading}{}", kept.join("/"));
    if normalised.is_empty() { ".".to_owned() } else { normalised }
}

/// Checks an alias that is looked up or deleted: letters, digits, `_` and `-`, at most 255 characters.
pub fn check_alias(alias: &str) -> Result<(), NameError> {
    if alias.is_empty() {
        return Err(NameError::new("Registered model alias name cannot be empty."));
    }
    if !alias.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(NameError::new(format!(
            "Invalid alias name: '{}'. Names may only contain alphanumerics, underscores (_), and dashes (-).",
            shown(alias)
        )));
    }
    check_length("Registered model alias name", alias, ALIAS_CHARS_MAX)
}

/// Checks an alias that is set: as [`check_alias`], and not `latest` in any case nor `v` and digits, which stand for
/// versions already.
pub fn check_alias_not_reserved(alias: &str) -> Result<(), NameError> {
    check_alias(alias)?;
    if alias.eq_ignore_ascii_case("latest") {
        return Err(NameError::new(
            "'latest' alias name (case insensitive) is reserved: it stands for the highest version; choose another alias",
        ));
    }
    let version = alias.strip_prefix(['v', 'V']);
    if version.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())) {
        return Err(NameError::new(format!(
            "Version alias name '{alias}' is reserved: it reads as a version number; choose another alias"
        )));
    }
    Ok(())
}
