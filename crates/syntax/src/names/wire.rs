//! Names as flat faces send them: MLflow's registered models, experiments and logged models, and serving endpoints.

use std::fmt::Write as _;

use super::{NameError, check_length, check_no_nul, shown};

/// Longest registered-model name, in characters.
pub const WIRE_NAME_CHARS_MAX: usize = 256;

/// Longest name of a logged model, in characters: as much as MLflow's column takes.
pub const LOGGED_MODEL_NAME_CHARS_MAX: usize = 500;

/// Longest experiment name, in characters.
pub const EXPERIMENT_NAME_CHARS_MAX: usize = 500;

/// Longest endpoint name, in characters.
pub const ENDPOINT_NAME_CHARS_MAX: usize = 255;

/// Starts an escape in a leaf.
const ESCAPE: char = '~';

/// Checks the name of a registered model on MLflow's face: not blank, no `/`, no `:`, nothing that climbs as a path.
/// Dots and spaces are fine; three parts with dots are tried as a three-level name first, by whoever looks it up.
pub fn check_model_name(name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::new("Missing value for required parameter 'name'."));
    }
    if name.contains(['/', ':']) {
        let message = format!("Invalid model name '{}'. Names cannot contain '/' or ':'.", shown(name));
        return Err(NameError::new(message));
    }
    if name == "." || name.starts_with("..") {
        return Err(NameError::new(format!(
            "Invalid model name '{}': it would be read as a folder; start it with a letter or digit",
            shown(name)
        )));
    }
    check_no_nul("model name", name)?;
    check_length("name", name, WIRE_NAME_CHARS_MAX)
}

/// Checks the name of an experiment, often a path such as `/Shared/fraud-detection`.
pub fn check_experiment_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::new("Invalid experiment name: ''. It is empty; give a name."));
    }
    check_no_nul("experiment name", name)?;
    check_length("name", name, EXPERIMENT_NAME_CHARS_MAX)
}

/// Checks the name of a serving endpoint: ASCII letters, digits, `-` and `_`, starting with a letter or digit.
pub fn check_endpoint_name(name: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !name.chars().all(allowed) {
        return Err(NameError::new(format!(
            "Invalid endpoint name '{}': use letters, digits, '-' and '_', starting with a letter or digit",
            shown(name)
        )));
    }
    check_length("name", name, ENDPOINT_NAME_CHARS_MAX)
}

/// Checks the name of a logged model: not empty, none of `/ : . % " '`.
pub fn check_logged_model_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.contains(['/', ':', '.', '%', '"', '\'']) {
        return Err(NameError::new(format!(
            "Invalid model name ('{}') provided. Model name must be a non-empty string and cannot contain the \
             following characters: ('/', ':', '.', '%', '\"', \"'\")",
            shown(name)
        )));
    }
    check_no_nul("model name", name)?;
    check_length("name", name, LOGGED_MODEL_NAME_CHARS_MAX)
}

/// The leaf under which a wire name lives in the default schema.
///
/// Small letters, digits and whatever else a leaf allows stay; the rest is escaped:
///
/// | in the wire name | in the leaf |
/// |---|---|
/// | capital `A` to `Z` | `~a` to `~z` |
/// | `.`, space, `~` | `~0`, `~1`, `~2` |
/// | any other that a leaf refuses, or that has a small form | `~3`, code point in hex, `~` |
///
/// Leaves are compared without case and wire names with it: since a leaf made here holds no capital, two wire names
/// never share one. It may be longer than a leaf that a person gives, by a factor of 9 at most.
pub fn escape_wire_name(name: &str) -> String {
    let mut leaf = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'A'..='Z' => leaf.extend([ESCAPE, c.to_ascii_lowercase()]),
            '.' => leaf.push_str("~0"),
            ' ' => leaf.push_str("~1"),
            ESCAPE => leaf.push_str("~2"),
            // Writing into a String cannot fail.
            c if needs_escape(c) => _ = write!(leaf, "~3{:x}~", u32::from(c)),
            c => leaf.push(c),
        }
    }
    leaf
}

/// The wire name that [`escape_wire_name`] made this leaf of; nothing if it made no such leaf.
pub fn unescape_wire_name(leaf: &str) -> Option<String> {
    let mut name = String::with_capacity(leaf.len());
    let mut rest = leaf;
    while let Some((plain, escape)) = rest.split_once(ESCAPE) {
        name.push_str(plain);
        let kind = escape.chars().next()?;
        rest = &escape[kind.len_utf8()..];
        match kind {
            'a'..='z' => name.push(kind.to_ascii_uppercase()),
            '0' => name.push('.'),
            '1' => name.push(' '),
            '2' => name.push(ESCAPE),
            '3' => {
                let (code, after) = rest.split_once(ESCAPE)?;
                name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                rest = after;
            }
            _ => return None,
        }
    }
    name.push_str(rest);
    (escape_wire_name(&name) == leaf).then_some(name)
}

/// Whether a leaf refuses this character, or folding changes it.
fn needs_escape(c: char) -> bool {
    c == '/' || c.is_whitespace() || c.is_control() || !c.to_lowercase().eq([c])
}
