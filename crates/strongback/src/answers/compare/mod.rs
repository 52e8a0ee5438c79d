//! Runs side by side: what they were told, what they measured, on which data, by which code, in which environment.
//!
//! What must stay true: each run is authorised by its experiment, and what else is named by its own asset; which metric is better
//! is said where its name or the caller says which way it gets better, and never guessed.

mod direction;
mod environment;
mod side;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names::closest;

pub use direction::Direction;

use self::side::Side;
use super::why::Hidden;
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{Double, flag, list},
    },
    tracking::document::RunDocument,
};

/// Runs that are compared at once.
const RUNS_MAX: usize = 10;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/runs/compare",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "Runs side by side: params, metrics, data, code, environment, tags",
        compare,
    )]
}

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CompareRequest {
    /// Two to ten: the id of a run, `runs:/<id>`, or, for the run that a version was made by, `models:/<name>/<version>` or
    /// `models:/<name>@<alias>`. The others are compared with the first.
    #[serde(default, deserialize_with = "list")]
    pub run_id: Vec<String>,
    /// Metrics of which more is better, whatever their names say.
    #[serde(default, deserialize_with = "list")]
    pub higher: Vec<String>,
    /// Metrics of which less is better, whatever their names say.
    #[serde(default, deserialize_with = "list")]
    pub lower: Vec<String>,
    /// Also what is equal in all of them.
    #[serde(default, deserialize_with = "flag")]
    pub all: bool,
}

/// Runs side by side. Whatever has a value for each run has them in the order of `runs`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The runs, as they were asked for.
    pub runs: Vec<RunSide>,
    /// Parameters.
    pub params: Section<Row>,
    /// Metrics, by their newest values.
    pub metrics: Section<MetricRow>,
    /// What was read: training data, data sets, models.
    pub data: Section<DataRow>,
    /// Commit, branch, repository, entry point.
    pub code: Section<Row>,
    /// Python and packages, of runs that logged a model with its environment.
    pub environment: Environments,
    /// Tags that people and their programs set; without MLflow's own, and without those that other parts tell.
    pub tags: Section<Row>,
    /// What the caller may not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// Rows of one kind.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Section<R> {
    /// How many are equal in all runs.
    pub equal: usize,
    /// Those that differ, and with `all` the equal ones too.
    pub rows: Vec<R>,
}

/// A run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunSide {
    /// As it was asked for.
    pub asked: String,
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Name of its experiment.
    pub experiment: String,
    /// Id of its experiment.
    pub experiment_id: String,
    /// Who started it.
    pub user: String,
    /// MLflow's word.
    pub status: String,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// Milliseconds since the epoch, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// How long it took, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

/// A text of each run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What it is of.
    pub key: String,
    /// Null where a run has none.
    pub values: Vec<Option<String>>,
    /// Whether it is the same in all runs.
    pub is_equal: bool,
}

/// A metric of each run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MetricRow {
    /// The metric.
    pub key: String,
    /// The newest values; null where a run has none.
    pub values: Vec<Option<Double>>,
    /// The steps of these.
    pub steps: Vec<Option<i64>>,
    /// Which way it gets better.
    pub direction: Direction,
    /// How each run differs from the first; null for the first, and where one of the two has no value.
    pub changes: Vec<Option<Change>>,
    /// The place in `runs` of the one that has the best value, where one alone has it and the direction is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<usize>,
    /// Whether it is the same in all runs.
    pub is_equal: bool,
}

/// A value beside the first run's.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// This value less the first; null where that is no number.
    pub delta: Option<f64>,
    /// The same as a share of the first's size; null where that is zero.
    pub relative: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// What a change of a metric means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It got better.
    Better,
    /// It got worse.
    Worse,
    /// It is the same.
    Equal,
    /// Nobody says which way it gets better, or one of the two is no number.
    Unknown,
}

/// Data or models that runs read.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DataRow {
    /// training_data (what the tag strongback.training_set names), data_set or model.
    pub kind: String,
    /// Name of the data set; empty for the other kinds.
    pub name: String,
    /// What the data set was used for, as the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What each run read of it; empty where nothing.
    pub values: Vec<Vec<DataPart>>,
    /// Whether it is the same in all runs.
    pub is_equal: bool,
}

/// What one run read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DataPart {
    /// Its name: of training data the one that it has now, of a model its id.
    pub name: String,
    /// Identifies its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Version of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Of training data: the id under which the server kept it when the run named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it was deleted since.
    #[serde(default)]
    pub is_deleted: bool,
}

/// Environments of the models that the runs logged.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Environments {
    /// The files that were read of each run; where there are none, its environment is not known and takes no part.
    pub from: Vec<Vec<String>>,
    /// Files that are there and cannot be read as such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Version of Python.
    pub python: Section<Row>,
    /// What was asked of each package; null where it was not asked for.
    pub packages: Section<Row>,
}

async fn compare(ctx: Ctx, request: CompareRequest) -> Result<Comparison> {
    match request.run_id.len() {
        0 => return Err(Error::required("run_id")),
        1 => {
            return Err(Error::invalid(
                "Invalid value for parameter 'run_id' supplied: one run was given, and there is nothing to compare it with. \
                 Give two or more.",
            ));
        }
        count if count > RUNS_MAX => {
            return Err(Error::invalid(format!(
                "Invalid value for parameter 'run_id' supplied: {count} runs were given, and at most {RUNS_MAX} are compared at once."
            )));
        }
        _ => {}
    }
    let CompareRequest { run_id, higher, lower, all } = request;
    let (sides, hidden) = ctx
        .read(move |sql| {
            let mut hidden = Hidden::default();
            Ok((side::load(sql, &run_id, &mut hidden)?, hidden))
        })
        .await?;
    let documents: Vec<&RunDocument> = sides.iter().map(|side| &side.run.document).collect();
    let metrics = metrics(&documents, &directions(&documents, &higher, &lower)?, all);
    let pairs = |of: &dyn Fn(&Side) -> BTreeMap<String, String>| {
        let found: Vec<_> = sides.iter().map(|side| Some(of(side))).collect();
        rows(&found, all)
    };
    let (params, code, tags) = (pairs(&Side::params), pairs(&Side::code), pairs(&Side::tags));
    let environment = environment::compare(&ctx, &sides, all).await?;
    Ok(Comparison {
        params,
        metrics,
        data: data(&sides, all),
        code,
        environment,
        tags,
        hidden: hidden.0,
        runs: sides.into_iter().map(Side::shown).collect(),
    })
}

impl<R> Section<R> {
    /// Counts the rows that are equal, and keeps them where all are wanted.
    fn of(mut rows: Vec<R>, is_equal: impl Fn(&R) -> bool, all: bool) -> Self {
        let equal = rows.iter().filter(|row| is_equal(row)).count();
        if !all {
            rows.retain(|row| !is_equal(row));
        }
        Self { equal, rows }
    }
}

/// Texts by key, of each run of which they are known.
fn rows(of: &[Option<BTreeMap<String, String>>], all: bool) -> Section<Row> {
    let known = || of.iter().flatten();
    let keys: BTreeSet<&String> = known().flat_map(BTreeMap::keys).collect();
    let row = |key: &String| Row {
        key: key.clone(),
        values: of.iter().map(|one| one.as_ref()?.get(key).cloned()).collect(),
        is_equal: all_equal(known().map(|one| one.get(key))),
    };
    Section::of(keys.into_iter().map(row).collect(), |row| row.is_equal, all)
}

fn all_equal<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    let first = values.next();
    values.all(|other| Some(other) == first)
}

/// What the caller says of metrics that the runs have.
fn directions<'k>(
    documents: &[&RunDocument],
    higher: &'k [String],
    lower: &'k [String],
) -> Result<HashMap<&'k str, Direction>> {
    let mut said = HashMap::new();
    for (keys, direction, parameter) in
        [(higher, Direction::Higher, "higher"), (lower, Direction::Lower, "lower")]
    {
        for key in keys {
            if documents.iter().all(|document| document.metric(key).is_none()) {
                let known = documents.iter().flat_map(|document| document.metrics().map(|(key, _)| key));
                let meant = closest(key, known).map(|meant| format!(" Did you mean '{meant}'?"));
                return Err(Error::invalid(format!(
                    "Invalid value '{key}' for parameter '{parameter}' supplied: none of the runs has a metric of that name.{}",
                    meant.unwrap_or_default()
                )));
            }
            if said.insert(key.as_str(), direction).is_some_and(|other| other != direction) {
                return Err(Error::invalid(format!(
                    "Invalid value '{key}' for parameter '{parameter}' supplied: it cannot be better both when higher and when lower."
                )));
            }
        }
    }
    Ok(said)
}

fn metrics(documents: &[&RunDocument], said: &HashMap<&str, Direction>, all: bool) -> Section<MetricRow> {
    let keys: BTreeSet<&str> =
        documents.iter().flat_map(|document| document.metrics().map(|(key, _)| key)).collect();
    let row = |key: &str| {
        let direction = said.get(key).copied().unwrap_or_else(|| Direction::of(key));
        let latest: Vec<_> = documents.iter().map(|document| Some(document.metric(key)?.latest)).collect();
        let values: Vec<Option<f64>> = latest.iter().map(|point| Some(point.as_ref()?.value.get())).collect();
        let first = values.first().copied().flatten();
        let others = values.iter().skip(1).map(|value| Some(change(first?, (*value)?, direction)));
        MetricRow {
            key: key.to_owned(),
            steps: latest.iter().map(|point| Some(point.as_ref()?.step)).collect(),
            direction,
            changes: std::iter::once(None).chain(others).collect(),
            best: best(&values, direction),
            is_equal: all_equal(values.iter().map(|value| value.map(same_bits))),
            values: values.into_iter().map(|value| value.map(Double)).collect(),
        }
    };
    Section::of(keys.into_iter().map(row).collect(), |row| row.is_equal, all)
}

/// Values by what makes them the same: all that are no number are, and so are the two zeros.
fn same_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

fn change(first: f64, value: f64, direction: Direction) -> Change {
    // What is infinite is kept as the largest number, as in MLflow, and no distance leads there.
    let is_plain = |value: f64| value.abs() < f64::MAX;
    let delta = Some(value - first)
        .filter(|_| is_plain(first) && is_plain(value) || first == value && !first.is_infinite());
    let verdict = match (value.partial_cmp(&first), direction) {
        _ if same_bits(value) == same_bits(first) => Verdict::Equal,
        (None, _) | (_, Direction::Unknown) => Verdict::Unknown,
        (Some(order), _) if order.is_gt() == (direction == Direction::Higher) => Verdict::Better,
        _ => Verdict::Worse,
    };
    let relative = delta.map(|delta| delta / first.abs()).filter(|share| share.is_finite());
    Change { delta, relative, verdict }
}

/// The place of the best value, where one run alone has it.
fn best(values: &[Option<f64>], direction: Direction) -> Option<usize> {
    let sign = match direction {
        Direction::Higher => 1.0,
        Direction::Lower => -1.0,
        Direction::Unknown => return None,
    };
    let numbers = values.iter().enumerate().filter_map(|(at, value)| Some((at, sign * (*value)?)));
    let mut numbers: Vec<(usize, f64)> = numbers.filter(|(_, value)| !value.is_nan()).collect();
    numbers.sort_by(|(_, one), (_, two)| two.total_cmp(one));
    match numbers[..] {
        [(at, best), (_, next), ..] if best > next => Some(at),
        _ => None,
    }
}

/// What the runs read, by kind, name and use.
fn data(sides: &[Side], all: bool) -> Section<DataRow> {
    let keys: BTreeSet<&side::DataKey> = sides.iter().flat_map(|side| side.data.keys()).collect();
    let row = |key: &side::DataKey| {
        let (kind, name, context) = key.clone();
        let values: Vec<Vec<DataPart>> =
            sides.iter().map(|side| side.data.get(key).cloned().unwrap_or_default()).collect();
        DataRow { kind: kind.to_owned(), name, context, is_equal: all_equal(values.iter()), values }
    };
    Section::of(keys.into_iter().map(row).collect(), |row| row.is_equal, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_better_or_worse_by_its_direction() {
        let check = |first: f64, value: f64, direction: Direction, delta: Option<f64>, verdict: Verdict| {
            let found = change(first, value, direction);
            assert_eq!((found.delta, found.verdict), (delta, verdict), "{first} {value}");
        };
        check(0.5, 0.75, Direction::Higher, Some(0.25), Verdict::Better);
        check(0.5, 0.75, Direction::Lower, Some(0.25), Verdict::Worse);
        check(0.5, 0.25, Direction::Lower, Some(-0.25), Verdict::Better);
        check(0.5, 0.25, Direction::Higher, Some(-0.25), Verdict::Worse);
        check(0.5, 0.25, Direction::Unknown, Some(-0.25), Verdict::Unknown);
        check(0.5, 0.5, Direction::Unknown, Some(0.0), Verdict::Equal);
        check(0.0, -0.0, Direction::Higher, Some(0.0), Verdict::Equal);
        check(f64::NAN, f64::NAN, Direction::Higher, None, Verdict::Equal);
        check(f64::NAN, 1.0, Direction::Higher, None, Verdict::Unknown);
        check(1.0, f64::INFINITY, Direction::Higher, None, Verdict::Better);
        check(1.0, f64::MAX, Direction::Higher, None, Verdict::Better);
        check(-f64::MAX, 1.0, Direction::Lower, None, Verdict::Worse);
        check(f64::NEG_INFINITY, f64::NEG_INFINITY, Direction::Lower, None, Verdict::Equal);
    }

    #[test]
    fn a_share_is_of_the_size_of_the_first_value() {
        assert_eq!(change(-2.0, -1.0, Direction::Lower).relative, Some(0.5));
        assert_eq!(change(4.0, 3.0, Direction::Lower).relative, Some(-0.25));
        assert_eq!(change(0.0, 3.0, Direction::Lower).relative, None);
        assert_eq!(change(f64::INFINITY, 3.0, Direction::Lower).relative, None);
    }

    #[test]
    fn the_best_is_one_alone() {
        let check = |values: &[Option<f64>], direction, expected| {
            assert_eq!(best(values, direction), expected, "{values:?}");
        };
        check(&[Some(1.0), Some(2.0)], Direction::Higher, Some(1));
        check(&[Some(1.0), Some(2.0)], Direction::Lower, Some(0));
        check(&[Some(1.0), Some(2.0)], Direction::Unknown, None);
        check(&[Some(2.0), Some(2.0), Some(1.0)], Direction::Higher, None);
        check(&[None, Some(2.0), Some(1.0), Some(f64::NAN)], Direction::Higher, Some(1));
        check(&[None, Some(2.0)], Direction::Higher, None);
        check(&[Some(0.0), Some(-0.0)], Direction::Higher, None);
    }
}
