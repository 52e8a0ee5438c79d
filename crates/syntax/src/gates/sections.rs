//! The sections of a file of gates, each with what it is when nothing is said.

use super::{
    Accuracy, Basis, COLUMNS_MAX, Compatibility, DataDrift, ENTRIES_MAX, Evaluation, Fairness, Figure, Floor,
    Latency, condition, fairness_metrics, metrics,
    values::{ANY, CONFIDENCE, Range, bound, count, flag, known, number, present, table, text},
};
use crate::{
    names::FullName,
    yaml::{Fields, Node, Value, YamlError, list, scalar},
};

/// Rows without which nothing is judged, unless another number is written.
const ROWS_MIN: u64 = 100;
/// Rows of each class without which nothing is judged.
const PER_CLASS_MIN: u64 = 10;
/// Rows of a group without which it takes no part.
const GROUP_ROWS_MIN: u64 = 30;
const ROWS_LIMITS: (u64, u64) = (1, 1_000_000_000);
const RESAMPLES: (u64, u64) = (200, 100_000);
/// Who ask at once when nothing is said, and the most that may be said.
const CALLERS: u64 = 4;
const CALLERS_LIMITS: (u64, u64) = (1, 64);
/// Fewer requests have no upper limit at the 99th percentile: 368 at 95 %, 528 at 99.5 %.
const REQUESTS: (u64, u64) = (400, 1_000_000);

/// Keys of what [`figure`] reads.
const FIGURE_FIELDS: [&str; 6] =
    ["metric", "threshold", "min_rows", "min_per_class", "confidence", "resamples"];

/// Entries of a list that must not be empty.
pub(super) fn entries<T>(
    fields: &Fields<'_>,
    section: &str,
    read: impl Fn(&Node) -> Result<T, YamlError>,
) -> Result<Vec<T>, YamlError> {
    let Some(node) = present(fields, section)? else { return Ok(vec![]) };
    let items = list(section, node)?;
    if items.is_empty() || items.len() > ENTRIES_MAX {
        let message = format!("'{section}' has {} entries; it has from 1 to {ENTRIES_MAX}", items.len());
        return Err(YamlError::new(node.position, message));
    }
    items.iter().map(read).collect()
}

pub(super) fn evaluation(node: &Node) -> Result<Evaluation, YamlError> {
    let fields = Fields::of(node, &["table", "label", "positive", "timestamp", "where"])?;
    let missing = |field: &str| YamlError::new(fields.position, format!("'{field}' is missing here; add it"));
    let condition = text(&fields, "where")?;
    if let (Some(condition), Some(node)) = (&condition, fields.get("where")) {
        condition::check(condition).map_err(|message| YamlError::new(node.position, message))?;
    }
    Ok(Evaluation {
        table: table(&fields, "table")?.ok_or_else(|| missing("table"))?,
        label: text(&fields, "label")?.ok_or_else(|| missing("label"))?,
        positive: text(&fields, "positive")?,
        timestamp: text(&fields, "timestamp")?,
        condition,
    })
}

fn figure(fields: &Fields<'_>) -> Result<Figure, YamlError> {
    let names: Vec<&'static str> = metrics().collect();
    Ok(Figure {
        metric: known(fields, "metric", &names)?.1.to_owned(),
        threshold: number(fields, "threshold", ANY)?.unwrap_or(0.5),
        min_rows: count(fields, "min_rows", ROWS_MIN, ROWS_LIMITS)?,
        min_per_class: count(fields, "min_per_class", PER_CLASS_MIN, ROWS_LIMITS)?,
        confidence: confidence(fields)?,
        resamples: count(fields, "resamples", 1_000, RESAMPLES)? as u32,
    })
}

fn confidence(fields: &Fields<'_>) -> Result<f64, YamlError> {
    Ok(number(fields, "confidence", CONFIDENCE)?.unwrap_or(0.95))
}

fn basis(fields: &Fields<'_>, default: Basis) -> Result<Basis, YamlError> {
    if present(fields, "basis")?.is_none() {
        return Ok(default);
    }
    let (_, name) = known(fields, "basis", &["interval", "value"])?;
    Ok(if name == "value" { Basis::Value } else { Basis::Interval })
}

pub(super) fn accuracy(node: &Node) -> Result<Accuracy, YamlError> {
    let fields = Fields::of(node, &[&FIGURE_FIELDS[..], &["margin"]].concat())?;
    let margin = number(&fields, "margin", ANY)?
        .ok_or_else(|| YamlError::new(fields.position, "'margin' is missing here; add it, 0 for none"))?;
    Ok(Accuracy { figure: figure(&fields)?, margin })
}

pub(super) fn floor(node: &Node) -> Result<Floor, YamlError> {
    let fields = Fields::of(node, &[&FIGURE_FIELDS[..], &["at_least", "at_most", "basis"]].concat())?;
    let figure = figure(&fields)?;
    Ok(Floor { bound: bound(&fields, &figure.metric)?, basis: basis(&fields, Basis::Interval)?, figure })
}

pub(super) fn data_drift(node: &Node) -> Result<DataDrift, YamlError> {
    let known = ["max_psi", "columns", "bins", "against", "basis", "min_rows", "confidence"];
    let fields = Fields::of(node, &known)?;
    let max_psi = number(&fields, "max_psi", Range::new(0.0, 1e6))?
        .ok_or_else(|| YamlError::new(fields.position, "'max_psi' is missing here; add it, e.g. 0.2"))?;
    Ok(DataDrift {
        max_psi,
        columns: columns(&fields)?,
        bins: count(&fields, "bins", 10, (2, 1_000))? as u32,
        against: table(&fields, "against")?,
        basis: basis(&fields, Basis::Value)?,
        min_rows: count(&fields, "min_rows", ROWS_MIN, ROWS_LIMITS)?,
        confidence: confidence(&fields)?,
    })
}

fn columns(fields: &Fields<'_>) -> Result<Vec<String>, YamlError> {
    let Some(node) = present(fields, "columns")? else { return Ok(vec![]) };
    let items = list("columns", node)?;
    if items.is_empty() || items.len() > COLUMNS_MAX {
        let message = format!("'columns' has {} entries; it has from 1 to {COLUMNS_MAX}", items.len());
        return Err(YamlError::new(node.position, message));
    }
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        let name = scalar("columns", item)?;
        if name.is_empty() || names.iter().any(|known| known == name) {
            let message = "'columns' names nothing here, or a column that it named before";
            return Err(YamlError::new(item.position, message));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

pub(super) fn latency(node: &Node) -> Result<Latency, YamlError> {
    let known = ["p99_ms", "p99_ratio", "rows", "requests", "callers", "max_noise", "confidence"];
    let fields = Fields::of(node, &known)?;
    let positive = Range::new(1e-6, 1e9);
    let latency = Latency {
        p99_ms: number(&fields, "p99_ms", positive)?,
        p99_ratio: number(&fields, "p99_ratio", positive)?,
        rows: count(&fields, "rows", 1, (1, 10_000))? as u32,
        requests: count(&fields, "requests", 2_000, REQUESTS)? as u32,
        callers: count(&fields, "callers", CALLERS, CALLERS_LIMITS)? as u32,
        max_noise: number(&fields, "max_noise", positive)?.unwrap_or(0.25),
        confidence: confidence(&fields)?,
    };
    if latency.p99_ms.is_none() && latency.p99_ratio.is_none() {
        let message = "'p99_ms' or 'p99_ratio' is missing here; add one of them, or both";
        return Err(YamlError::new(fields.position, message));
    }
    Ok(latency)
}

pub(super) fn compatibility(node: &Node) -> Result<Compatibility, YamlError> {
    let fields = Fields::of(node, &["endpoint", "requests"])?;
    let endpoint = text(&fields, "endpoint")?;
    if let (Some(name), Some(node)) = (&endpoint, fields.get("endpoint")) {
        FullName::parse(name).map_err(|error| YamlError::new(node.position, error.to_string()))?;
    }
    Ok(Compatibility { endpoint, requests: count(&fields, "requests", 500, (1, 100_000))? as u32 })
}

pub(super) fn fairness(node: &Node) -> Result<Fairness, YamlError> {
    let keys = [
        "metric",
        "group",
        "threshold",
        "at_least",
        "at_most",
        "basis",
        "blocking",
        "min_rows",
        "confidence",
    ];
    let fields = Fields::of(node, &keys)?;
    let names: Vec<&'static str> = fairness_metrics().collect();
    let (_, metric) = known(&fields, "metric", &names)?;
    let group = text(&fields, "group")?
        .ok_or_else(|| YamlError::new(fields.position, "'group' is missing here; add the column's name"))?;
    Ok(Fairness {
        metric: metric.to_owned(),
        group,
        threshold: number(&fields, "threshold", ANY)?.unwrap_or(0.5),
        bound: bound(&fields, metric)?,
        basis: basis(&fields, Basis::Interval)?,
        blocking: flag(&fields, "blocking", true)?,
        min_rows: count(&fields, "min_rows", GROUP_ROWS_MIN, ROWS_LIMITS)?,
        confidence: confidence(&fields)?,
    })
}

/// Whether a value is a mapping, for a section that may be written as `{}`.
pub(super) fn section<T>(
    fields: &Fields<'_>,
    name: &str,
    read: impl Fn(&Node) -> Result<T, YamlError>,
) -> Result<Option<T>, YamlError> {
    match present(fields, name)? {
        None => Ok(None),
        Some(node) if matches!(node.value, Value::Mapping(_)) => read(node).map(Some),
        Some(node) => {
            let message = format!("'{name}' takes a mapping, not {}", node.value.kind());
            Err(YamlError::new(node.position, message))
        }
    }
}
