//! A declaration in a file.
//!
//! ```yaml
//! version: 1
//! watch: prod.risk.fraud
//! baseline: prod.risk.train@3
//! window: { length: 1h, offset: 0s, delay: 5m }
//! lateness: 1d
//! features: { exclude: [Time] }
//! prediction: { column: _prediction }
//! labels: { lateness: 7d, baseline: Class, task: classification, metrics: [average_precision] }
//! metrics: [psi, missing]
//! thresholds:
//!   - { metric: psi, above: 0.2 }
//!   - { metric: average_precision, below: 0.7, severity: high }
//! alerts: { owner: fraud-team, severity: medium, resolve_after: 3 }
//! trigger:
//!   command: prod.risk.train_fraud
//!   parameters: { until: "{window_end}" }
//!   budget: { wall: 1h }
//!   cool_down: 1d
//! ```

use std::{collections::HashMap, fmt::Display, str::FromStr};

use super::{
    Alerts, Baseline, Features, Labels, Length, Metric, Monitor, Place, Prediction, Severity, Side, Task,
    Threshold, Trigger, Window, minimum_per_class,
};
use crate::names::{closest, shown};
use crate::yaml::{Fields, Node, Position, Value, YamlError, list, read, scalar};

/// The version of the form above.
const VERSION: &str = "1";
/// The column of the event time in payload tables.
const EVENT_TIME: &str = "_event_time";

/// Keys of the outer mapping, and which part each of them is.
const FIELDS: [(&str, Option<Place>); 16] = [
    ("version", None),
    ("watch", Some(Place::Watch)),
    ("baseline", Some(Place::Baseline)),
    ("event_time", Some(Place::EventTime)),
    ("window", Some(Place::Window)),
    ("lateness", Some(Place::Lateness)),
    ("features", Some(Place::Features)),
    ("prediction", Some(Place::Prediction)),
    ("labels", Some(Place::Labels)),
    ("metrics", Some(Place::Metrics)),
    ("thresholds", Some(Place::Thresholds)),
    ("minimum_rows", Some(Place::MinimumRows)),
    ("bins", Some(Place::Bins)),
    ("false_discovery_rate", Some(Place::FalseDiscoveryRate)),
    ("alerts", Some(Place::Alerts)),
    ("trigger", Some(Place::Trigger)),
];

/// The declaration in the text of a file, checked.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn from_yaml(text: &str) -> Result<Monitor, YamlError> {
    let root = read(text)?;
    let fields = Fields::of(&root, &FIELDS.map(|(name, _)| name))?;
    let (position, version) = fields.text("version")?;
    if version != VERSION {
        let message =
            format!("version '{}' is not known; this server reads version {VERSION}", shown(version));
        return Err(YamlError::new(position, message));
    }
    let mut places: HashMap<Place, Position> =
        FIELDS.iter().filter_map(|(name, place)| Some(((*place)?, fields.get(name)?.position))).collect();
    let mut thresholds = Vec::new();
    if let Some(node) = fields.get("thresholds") {
        for (at, node) in list("thresholds", node)?.iter().enumerate() {
            places.insert(Place::Threshold(at), node.position);
            thresholds.push(threshold(node)?);
        }
    }
    let monitor = Monitor {
        watch: fields.text("watch")?.1.to_owned(),
        baseline: baseline(&fields)?,
        event_time: text_or(&fields, "event_time")?.unwrap_or_else(|| EVENT_TIME.to_owned()),
        window: window(fields.need("window")?)?,
        lateness: parsed(&fields, "lateness")?.unwrap_or_default(),
        features: fields.get("features").map(features).transpose()?.unwrap_or_default(),
        prediction: fields.get("prediction").map(prediction).transpose()?,
        labels: fields.get("labels").map(labels).transpose()?,
        metrics: metrics(&fields)?.unwrap_or_else(|| vec![Metric::Psi]),
        thresholds,
        minimum_rows: number(&fields, "minimum_rows")?.unwrap_or(100),
        bins: number(&fields, "bins")?.unwrap_or(10),
        false_discovery_rate: number(&fields, "false_discovery_rate")?.unwrap_or(0.05),
        alerts: alerts(fields.get("alerts"))?,
        trigger: fields.get("trigger").map(trigger).transpose()?,
    };
    monitor.check().map_err(|error| {
        let position = places.get(&error.place).copied().unwrap_or(root.position);
        YamlError::new(position, error.message)
    })?;
    Ok(monitor)
}

fn baseline(fields: &Fields<'_>) -> Result<Baseline, YamlError> {
    let (position, written) = fields.text("baseline")?;
    let Some((name, version)) = written.rsplit_once('@') else {
        return Ok(Baseline { name: written.to_owned(), version: None });
    };
    let version = version.parse().map_err(|_| {
        let message = format!(
            "'{}' is no version; a baseline is a table at a version, like prod.risk.train@3, or a training set",
            shown(version)
        );
        YamlError::new(position, message)
    })?;
    Ok(Baseline { name: name.to_owned(), version: Some(version) })
}

fn window(node: &Node) -> Result<Window, YamlError> {
    let fields = Fields::of(node, &["length", "offset", "delay"])?;
    fields.need("length")?;
    Ok(Window {
        length: parsed(&fields, "length")?.unwrap_or_default(),
        offset: parsed(&fields, "offset")?.unwrap_or_default(),
        delay: parsed(&fields, "delay")?.unwrap_or_default(),
    })
}

fn features(node: &Node) -> Result<Features, YamlError> {
    let fields = Fields::of(node, &["include", "exclude"])?;
    Ok(Features { include: texts(&fields, "include")?, exclude: texts(&fields, "exclude")? })
}

/// The column's name alone, or a mapping.
fn prediction(node: &Node) -> Result<Prediction, YamlError> {
    if let Value::Text(column) = &node.value {
        return Ok(Prediction { column: column.clone(), baseline: None });
    }
    let fields = Fields::of(node, &["column", "baseline"])?;
    Ok(Prediction { column: fields.text("column")?.1.to_owned(), baseline: text_or(&fields, "baseline")? })
}

fn labels(node: &Node) -> Result<Labels, YamlError> {
    let fields = Fields::of(
        node,
        &["table", "lateness", "baseline", "task", "cutoff", "metrics", "minimum_per_class"],
    )?;
    let tasks = [(Task::Classification, "classification"), (Task::Regression, "regression")];
    Ok(Labels {
        table: text_or(&fields, "table")?,
        lateness: parsed(&fields, "lateness")?.unwrap_or_default(),
        baseline: text_or(&fields, "baseline")?,
        task: one_of(&fields, "task", &tasks)?.unwrap_or(Task::Classification),
        cutoff: number(&fields, "cutoff")?.unwrap_or(0.5),
        metrics: metrics(&fields)?.unwrap_or_default(),
        minimum_per_class: number(&fields, "minimum_per_class")?.unwrap_or_else(minimum_per_class),
    })
}

fn threshold(node: &Node) -> Result<Threshold, YamlError> {
    let fields = Fields::of(node, &["metric", "column", "above", "below", "severity"])?;
    let (position, name) = fields.text("metric")?;
    let (above, below) = (number(&fields, "above")?, number(&fields, "below")?);
    let (side, limit) = match (above, below) {
        (Some(limit), None) => (Side::Above, limit),
        (None, Some(limit)) => (Side::Below, limit),
        _ => {
            let message = "a threshold has a limit 'above' or 'below' which it is crossed, and not both";
            return Err(YamlError::new(fields.position, message));
        }
    };
    Ok(Threshold {
        metric: metric(position, name)?,
        column: text_or(&fields, "column")?,
        side,
        limit,
        severity: one_of(&fields, "severity", &Severity::ALL)?,
    })
}

fn alerts(node: Option<&Node>) -> Result<Alerts, YamlError> {
    let Some(node) = node else {
        return Ok(Alerts { owner: None, severity: Severity::Medium, resolve_after: 3 });
    };
    let fields = Fields::of(node, &["owner", "severity", "resolve_after"])?;
    Ok(Alerts {
        owner: text_or(&fields, "owner")?,
        severity: one_of(&fields, "severity", &Severity::ALL)?.unwrap_or(Severity::Medium),
        resolve_after: number(&fields, "resolve_after")?.unwrap_or(3),
    })
}

fn trigger(node: &Node) -> Result<Trigger, YamlError> {
    let fields = Fields::of(node, &["command", "parameters", "budget", "cool_down"])?;
    let mut parameters = std::collections::BTreeMap::new();
    if let Some(node) = fields.get("parameters") {
        let Value::Mapping(entries) = &node.value else {
            let message = format!("'parameters' takes a mapping, not {}", node.value.kind());
            return Err(YamlError::new(node.position, message));
        };
        for (key, node) in entries {
            parameters.insert(key.text.clone(), scalar(&key.text, node)?.to_owned());
        }
    }
    let budget = fields.get("budget").map(|node| Fields::of(node, &["wall", "processor"])).transpose()?;
    let of_budget = |field| match &budget {
        Some(budget) => parsed(budget, field),
        None => Ok(None),
    };
    fields.need("cool_down")?;
    Ok(Trigger {
        command: fields.text("command")?.1.to_owned(),
        parameters,
        wall: of_budget("wall")?,
        processor: of_budget("processor")?,
        cool_down: parsed(&fields, "cool_down")?.unwrap_or_default(),
    })
}

fn metrics(fields: &Fields<'_>) -> Result<Option<Vec<Metric>>, YamlError> {
    let Some(node) = fields.get("metrics") else { return Ok(None) };
    let mut found = Vec::new();
    for node in list("metrics", node)? {
        let one = metric(node.position, scalar("metrics", node)?)?;
        if found.contains(&one) {
            return Err(YamlError::new(node.position, format!("'{}' stands here twice", one.name())));
        }
        found.push(one);
    }
    Ok(Some(found))
}

fn metric(position: Position, name: &str) -> Result<Metric, YamlError> {
    Metric::parse(name).ok_or_else(|| {
        let known = Metric::ALL.iter().map(|metric| metric.name());
        let hint = match closest(name, known.clone()) {
            Some(close) => format!("did you mean '{close}'?"),
            None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
        };
        YamlError::new(position, format!("'{}' is no figure; {hint}", shown(name)))
    })
}

fn one_of<T: Copy>(fields: &Fields<'_>, field: &str, known: &[(T, &str)]) -> Result<Option<T>, YamlError> {
    let Some(node) = fields.get(field) else { return Ok(None) };
    let written = scalar(field, node)?;
    let found = known.iter().find(|(_, name)| *name == written);
    found.map(|(value, _)| Some(*value)).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
        let message =
            format!("'{}' is not known for '{field}'; known are {}", shown(written), names.join(", "));
        YamlError::new(node.position, message)
    })
}

fn text_or(fields: &Fields<'_>, field: &str) -> Result<Option<String>, YamlError> {
    fields.get(field).map(|node| scalar(field, node).map(str::to_owned)).transpose()
}

fn texts(fields: &Fields<'_>, field: &str) -> Result<Vec<String>, YamlError> {
    let Some(node) = fields.get(field) else { return Ok(Vec::new()) };
    list(field, node)?.iter().map(|item| Ok(scalar(field, item)?.to_owned())).collect()
}

fn number<T: FromStr>(fields: &Fields<'_>, field: &str) -> Result<Option<T>, YamlError> {
    let Some(node) = fields.get(field) else { return Ok(None) };
    let written = scalar(field, node)?;
    written.parse().map(Some).map_err(|_| {
        let message = format!("'{}' is no number that '{field}' takes", shown(written));
        YamlError::new(node.position, message)
    })
}

/// A length of time.
fn parsed(fields: &Fields<'_>, field: &str) -> Result<Option<Length>, YamlError> {
    let Some(node) = fields.get(field) else { return Ok(None) };
    let refused = |message: &dyn Display| YamlError::new(node.position, message.to_string());
    scalar(field, node)?.parse().map(Some).map_err(|message: String| refused(&message))
}
