//! Gates in a file.
//!
//! ```yaml
//! version: 1
//! expires: 7d
//! evaluation:
//!   table: prod.risk.transactions@12
//!   label: is_fraud
//!   timestamp: event_time
//!   where: event_time >= '2026-11-01'
//! accuracy:
//!   - metric: average_precision
//!     margin: 0.02
//! data_drift:
//!   max_psi: 0.2
//! latency:
//!   p99_ms: 20
//!   p99_ratio: 1.5
//! compatibility:
//!   endpoint: prod.risk.fraud
//! fairness:
//!   - metric: demographic_parity_ratio
//!     group: country
//!     at_least: 0.8
//!     blocking: false
//! first_champion:
//!   - metric: average_precision
//!     at_least: 0.6
//! ```

use super::{Gates, sections, values::text};
use crate::{
    features::Length,
    names::shown,
    yaml::{Fields, YamlError, list, read},
};

/// The version of the form above.
const VERSION: &str = "1";

/// How long a report moves aliases when nothing is said.
const EXPIRES_MICROS: i64 = 7 * 86_400_000_000;
/// The longest that may be said: a year.
const EXPIRES_MICROS_MAX: i64 = 366 * 86_400_000_000;

/// Keys of the outer mapping.
const FIELDS: [&str; 9] = [
    "version",
    "expires",
    "evaluation",
    "accuracy",
    "data_drift",
    "latency",
    "compatibility",
    "fairness",
    "first_champion",
];

/// The gates in the text of a file, checked.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn from_yaml(file: &str) -> Result<Gates, YamlError> {
    let root = read(file)?;
    let fields = Fields::of(&root, &FIELDS)?;
    let (position, version) = fields.text("version")?;
    if version != VERSION {
        let message =
            format!("version '{}' is not known; this server reads version {VERSION}", shown(version));
        return Err(YamlError::new(position, message));
    }
    let gates = Gates {
        evaluation: sections::evaluation(fields.need("evaluation")?)?,
        expires: expires(&fields)?,
        accuracy: sections::entries(&fields, "accuracy", sections::accuracy)?,
        data_drift: sections::section(&fields, "data_drift", sections::data_drift)?,
        latency: sections::section(&fields, "latency", sections::latency)?,
        compatibility: sections::section(&fields, "compatibility", sections::compatibility)?,
        fairness: sections::entries(&fields, "fairness", sections::fairness)?,
        first_champion: sections::entries(&fields, "first_champion", sections::floor)?,
    };
    refuse_twice(&fields, "accuracy", gates.accuracy.iter().map(|gate| gate.figure.metric.clone()))?;
    let floors = gates.first_champion.iter().map(|floor| floor.figure.metric.clone());
    refuse_twice(&fields, "first_champion", floors)?;
    let figures = gates.fairness.iter().map(|gate| format!("{}' of '{}", gate.metric, gate.group));
    refuse_twice(&fields, "fairness", figures)?;
    let asks = !gates.accuracy.is_empty()
        || gates.data_drift.is_some()
        || gates.latency.is_some()
        || gates.compatibility.is_some()
        || gates.fairness.iter().any(|fairness| fairness.blocking);
    if !asks {
        let message = "the file has no gate that could keep a candidate out; add accuracy, data_drift, latency, \
                       compatibility or fairness";
        return Err(YamlError::new(root.position, message));
    }
    Ok(gates)
}

/// Refuses a figure that is asked for twice in one section, whatever with: its name says which one a report means.
fn refuse_twice(
    fields: &Fields<'_>,
    section: &str,
    figures: impl Iterator<Item = String>,
) -> Result<(), YamlError> {
    let Some(node) = fields.get(section) else { return Ok(()) };
    let entries = list(section, node)?;
    let mut seen = Vec::new();
    for (figure, entry) in figures.zip(entries) {
        if seen.contains(&figure) {
            let message = format!("'{section}' has '{figure}' twice; keep the one that is meant");
            return Err(YamlError::new(entry.position, message));
        }
        seen.push(figure);
    }
    Ok(())
}

fn expires(fields: &Fields<'_>) -> Result<Length, YamlError> {
    let written = text(fields, "expires")?;
    let (Some(written), Some(node)) = (written, fields.get("expires")) else {
        return Ok(Length::from_micros(EXPIRES_MICROS).unwrap_or_default());
    };
    let length: Length = written.parse().map_err(|message: String| YamlError::new(node.position, message))?;
    match length.micros() {
        1..=EXPIRES_MICROS_MAX => Ok(length),
        _ => Err(YamlError::new(node.position, "'expires' is longer than nothing and at most 366d")),
    }
}
