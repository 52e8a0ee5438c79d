//! Single values of a file of gates: numbers within bounds, names, tables.

use std::fmt;

use super::{Bound, ERRORS, R2, TableRef, greater_is_better};
use crate::{
    names::{FullName, closest, shown},
    yaml::{Fields, Node, Position, Value, YamlError, scalar},
};

/// From where to where a number may lie; `below` excludes the upper end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    low: f64,
    high: f64,
    below: bool,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, high, below } = self;
        match (*low <= ANY.low, *high >= ANY.high) {
            (true, false) => write!(f, "at most {high}"),
            (false, true) => write!(f, "at least {low}"),
            _ => write!(f, "from {low} {} {high}", if *below { "to below" } else { "to" }),
        }
    }
}

impl Range {
    pub(super) const fn new(low: f64, high: f64) -> Self {
        Self { low, high, below: false }
    }

    /// The same without its upper end.
    pub(super) const fn below(low: f64, high: f64) -> Self {
        Self { low, high, below: true }
    }

    fn holds(self, number: f64) -> bool {
        number >= self.low && if self.below { number < self.high } else { number <= self.high }
    }
}

/// Confidences: as the statistics take them.
pub(super) const CONFIDENCE: Range = Range::below(0.5, 1.0);
/// Any number that a figure can have.
pub(super) const ANY: Range = Range::new(-1e300, 1e300);

/// The number of a field, where it is there.
pub(super) fn number(fields: &Fields<'_>, field: &str, range: Range) -> Result<Option<f64>, YamlError> {
    let Some(node) = present(fields, field)? else { return Ok(None) };
    let text = scalar(field, node)?;
    match text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        Some(number) if range.holds(number) => Ok(Some(number)),
        Some(_) => {
            let message = format!("'{field}' is {}; it is {range}", shown(text));
            Err(YamlError::new(node.position, message))
        }
        None => {
            Err(YamlError::new(node.position, format!("'{field}' takes a number, not '{}'", shown(text))))
        }
    }
}

/// The whole number of a field, or what it is when nothing is said.
pub(super) fn count(
    fields: &Fields<'_>,
    field: &str,
    default: u64,
    (low, high): (u64, u64),
) -> Result<u64, YamlError> {
    let Some(node) = present(fields, field)? else { return Ok(default) };
    let text = scalar(field, node)?;
    match text.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) => {
            let message = format!("'{field}' is {}; it is from {low} to {high}", shown(text));
            Err(YamlError::new(node.position, message))
        }
        Err(_) => {
            let message = format!("'{field}' takes a whole number, not '{}'", shown(text));
            Err(YamlError::new(node.position, message))
        }
    }
}

/// True or false, or what it is when nothing is said.
pub(super) fn flag(fields: &Fields<'_>, field: &str, default: bool) -> Result<bool, YamlError> {
    let Some(node) = present(fields, field)? else { return Ok(default) };
    match scalar(field, node)? {
        "true" => Ok(true),
        "false" => Ok(false),
        other => {
            let message = format!("'{field}' takes true or false, not '{}'", shown(other));
            Err(YamlError::new(node.position, message))
        }
    }
}

/// The text of a field, where it is there.
pub(super) fn text(fields: &Fields<'_>, field: &str) -> Result<Option<String>, YamlError> {
    let Some(node) = present(fields, field)? else { return Ok(None) };
    let text = scalar(field, node)?;
    if text.is_empty() || text.contains('\0') {
        let message = format!("'{field}' is empty or has a NUL in it; write its value, or take the line out");
        return Err(YamlError::new(node.position, message));
    }
    Ok(Some(text.to_owned()))
}

/// The value of a key. A key without a value is a slip and no way to leave something out.
pub(super) fn present<'n>(fields: &Fields<'n>, field: &str) -> Result<Option<&'n Node>, YamlError> {
    let Some((key, node)) = fields.entries.iter().find(|(key, _)| key.text == field) else { return Ok(None) };
    match node.value {
        Value::Null => Err(YamlError::new(
            key.position,
            format!("'{field}' has no value; write it, or take the line out"),
        )),
        _ => Ok(Some(node)),
    }
}

/// A table, as `catalog.schema.table` or `catalog.schema.table@7`.
pub(super) fn table(fields: &Fields<'_>, field: &str) -> Result<Option<TableRef>, YamlError> {
    let Some(node) = present(fields, field)? else { return Ok(None) };
    let text = scalar(field, node)?;
    let (name, version) =
        FullName::parse_versioned(text).map_err(|error| YamlError::new(node.position, error.to_string()))?;
    Ok(Some(TableRef { name: name.to_string(), version }))
}

/// One of some known names.
pub(super) fn known(
    fields: &Fields<'_>,
    field: &str,
    names: &[&'static str],
) -> Result<(Position, &'static str), YamlError> {
    let (position, written) = fields.text(field)?;
    if let Some(name) = names.iter().find(|name| **name == written) {
        return Ok((position, name));
    }
    let hint = match closest(written, names.iter().copied()) {
        Some(close) => format!("did you mean '{close}'?"),
        None => format!("known are {}", names.join(", ")),
    };
    Err(YamlError::new(position, format!("'{}' is not known as '{field}'; {hint}", shown(written))))
}

/// The values that a figure can have: a bound beyond them is always met, or never.
fn values_of(metric: &str) -> Range {
    match metric {
        "mcc" => Range::new(-1.0, 1.0),
        R2 => Range::new(ANY.low, 1.0),
        "log_loss" => Range::new(0.0, ANY.high),
        error if ERRORS.contains(&error) => Range::new(0.0, ANY.high),
        _ => Range::new(0.0, 1.0),
    }
}

/// The margins of a figure that say something: as far as two of its values can be apart.
pub(super) fn margins_of(metric: &str) -> Range {
    let Range { low, high, .. } = values_of(metric);
    match low <= ANY.low || high >= ANY.high {
        true => ANY,
        false => Range::new(low - high, high - low),
    }
}

/// The bound of a figure: `at_least` where more is better, `at_most` where less is.
pub(super) fn bound(fields: &Fields<'_>, metric: &str) -> Result<Bound, YamlError> {
    let (right, wrong) =
        if greater_is_better(metric) { ("at_least", "at_most") } else { ("at_most", "at_least") };
    if let Some(node) = present(fields, wrong)? {
        let message = format!("'{metric}' is judged by '{right}', not by '{wrong}'");
        return Err(YamlError::new(node.position, message));
    }
    let Some(number) = number(fields, right, values_of(metric))? else {
        return Err(YamlError::new(fields.position, format!("'{right}' is missing here; add it")));
    };
    Ok(if right == "at_least" { Bound::AtLeast(number) } else { Bound::AtMost(number) })
}
