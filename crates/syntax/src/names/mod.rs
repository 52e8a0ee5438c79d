//! What things may be called: three-level names, MLflow's wire names, aliases, and the keys of params, metrics and
//! tags.
//!
//! What must stay true:
//! - A name that is accepted is kept byte for byte; only comparison folds case, and only for three-level names
//!   ([`FullName::key`]). MLflow's wire names are case sensitive.
//! - [`escape_wire_name`] gives different leaves to different wire names even when leaves are compared without case,
//!   and [`unescape_wire_name`] is its exact inverse.
//! - A refusal names the value, what was wrong with it and what to do.

mod close;
mod full;
mod keys;
mod wire;

use std::fmt::Write as _;

pub use close::closest;
pub use full::{FullName, PART_CHARS_MAX, check_catalog_name, check_leaf_name, check_schema_name, fold_case};
pub use keys::{
    ALIAS_CHARS_MAX, KEY_CHARS_MAX, check_alias, check_alias_not_reserved, check_key, normalised_path,
};
pub use wire::{
    ENDPOINT_NAME_CHARS_MAX, EXPERIMENT_NAME_CHARS_MAX, WIRE_NAME_CHARS_MAX, check_endpoint_name,
    check_experiment_name, check_logged_model_name, check_model_name, escape_wire_name, unescape_wire_name,
};

/// A refused name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NameError {
    message: String,
}

impl NameError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Which value was refused, why, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// `'<what>' exceeds the maximum length of <n> characters`, if it does.
fn check_length(what: &str, value: &str, chars_max: usize) -> Result<(), NameError> {
    if value.chars().nth(chars_max).is_none() {
        return Ok(());
    }
    let message =
        format!("'{what}' exceeds the maximum length of {chars_max} characters: shorten '{}'", shown(value));
    Err(NameError::new(message))
}

/// NUL goes into no database and no file name.
fn check_no_nul(what: &str, value: &str) -> Result<(), NameError> {
    if value.contains('\0') {
        let message = format!("Invalid {what} '{}': it contains a NUL character; remove it", shown(value));
        return Err(NameError::new(message));
    }
    Ok(())
}

/// A value as an error shows it: control characters escaped, at most 80 characters of it.
pub(crate) fn shown(value: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut text = String::new();
    for c in value.chars().take(SHOWN_CHARS) {
        if c.is_control() {
            // Writing into a String cannot fail.
            _ = write!(text, "{}", c.escape_default());
        } else {
            text.push(c);
        }
    }
    if value.chars().nth(SHOWN_CHARS).is_some() {
        text.push('…');
    }
    text
}
