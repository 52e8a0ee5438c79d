//! The order of a search: by which values, in which direction, and how ties end.

use std::cmp::Ordering;

use syntax::search::{Aggregate, Attribute, DatasetField, OrderBy, Subject};

use crate::tracking::columns::{Kind, RUN_NAME_TAG, RunFacts, attribute};

use super::Home;
use super::aggregate;
use super::anchor::Anchor;
use super::filter::{artifact_root_of, dataset_texts, stage};

/// Times beyond these bounds (292 million years away) are ordered as the bound, which keeps two ranks free.
const INT_MAX: i64 = i64::MAX - 2;

/// An order made ready. Run id ends every tie, so fields behind it are dropped.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) clauses: Vec<Clause>,
    /// Direction of the run id, which ends every tie.
    pub(super) id_ascending: bool,
}

/// One field of the order.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) by: By,
    pub(super) ascending: bool,
}

/// What a field of the order looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A column's values.
    Column(Kind, String),
    /// The smallest, largest or latest values of a metric.
    Aggregate(Aggregate),
    /// The artifact root of the run's experiment. With the run id behind it, this is the order of artifact URIs.
    ArtifactRoot,
    /// MLflow's id of the run's experiment.
    Experiment,
    /// Whether the run or its experiment was deleted.
    Stage,
    /// Nothing that a run has.
    Nothing,
}

/// A value to order by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Int(i64),
    Float(f64),
    Text(String),
    Nan,
    Missing,
}

/// A run that may be on the page.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) run_id: i64,
    pub(super) uuid: [u8; 16],
    pub(super) keys: Vec<Key>,
}

impl Order {
    pub(super) fn new(order: &[OrderBy]) -> Self {
        let mut clauses: Vec<Clause> = Vec::new();
        for OrderBy { subject, ascending } in order {
            let ascending = *ascending;
            let by = match subject {
                Subject::Attribute(Attribute::RunId) => return Self { clauses, id_ascending: ascending },
                Subject::Attribute(Attribute::ArtifactUri) => {
                    clauses.push(Clause { by: By::ArtifactRoot, ascending });
                    return Self { clauses, id_ascending: ascending };
                }
                Subject::Attribute(Attribute::ExperimentId) => By::Experiment,
                Subject::Attribute(Attribute::LifecycleStage) => By::Stage,
                Subject::Aggregate(aggregate) => By::Aggregate(aggregate.clone()),
                subject => {
                    column_of(subject).map_or(By::Nothing, |(kind, key)| By::Column(kind, key.to_owned()))
                }
            };
            clauses.push(Clause { by, ascending });
        }
        let start = By::Column(Kind::Attribute, attribute::START_TIME.to_owned());
        if !clauses.iter().any(|clause| clause.by == start) {
            clauses.push(Clause { by: start, ascending: false });
        }
        Self { clauses, id_ascending: true }
    }

    /// Candidates with their keys in the order's clauses: which comes first.
    pub(super) fn compare(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let keys = a.keys.iter().zip(&b.keys).zip(&self.clauses);
        keys.map(|((a, b), clause)| clause.compare(a, b))
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| self.compare_ids(&a.uuid, &b.uuid))
    }

    pub(super) fn compare_ids(&self, a: &[u8; 16], b: &[u8; 16]) -> Ordering {
        if self.id_ascending { a.cmp(b) } else { b.cmp(a) }
    }

    /// A fresh run as a candidate.
    pub(super) fn candidate(&self, run_id: i64, facts: &RunFacts<'_>, home: Home<'_>) -> Candidate {
        let keys = self.clauses.iter().map(|clause| match &clause.by {
            By::ArtifactRoot => Key::Text(artifact_root_of(home.artifact_root)),
            By::Experiment => Key::int(home.mlflow_id),
            By::Stage => Key::Text(stage(facts.deleted).to_owned()),
            By::Nothing => Key::Missing,
            By::Aggregate(aggregate) => {
                aggregate::number(facts.document, aggregate).map_or(Key::Missing, Key::float)
            }
            By::Column(kind, key) => fresh_key(*kind, key, facts),
        });
        Candidate { run_id, uuid: facts.uuid, keys: keys.collect() }
    }
}

impl Clause {
    /// Which of two keys comes first.
    pub(super) fn compare(&self, a: &Key, b: &Key) -> Ordering {
        let by_value = match (a, b) {
            (Key::Int(a), Key::Int(b)) => a.cmp(b),
            (Key::Float(a), Key::Float(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            _ => return a.class().cmp(&b.class()),
        };
        if self.ascending { by_value } else { by_value.reverse() }
    }

    /// Where a number comes among numbers, in this clause's direction; the two largest ranks stay free.
    pub(super) fn rank(&self, key: &Key) -> Option<u64> {
        let ascending = match key {
            Key::Int(value) => *value as u64 ^ (1 << 63),
            Key::Float(value) => match value.to_bits() {
                bits if bits >> 63 == 0 => bits | (1 << 63),
                bits => !bits,
            },
            Key::Nan => return Some(RANK_NAN),
            Key::Missing => return Some(RANK_MISSING),
            Key::Text(_) => return None,
        };
        Some(if self.ascending { ascending } else { !ascending })
    }
}

/// Rank of NaN: behind all numbers.
pub(super) const RANK_NAN: u64 = u64::MAX - 1;
/// Rank of a missing value: behind everything.
pub(super) const RANK_MISSING: u64 = u64::MAX;

impl Key {
    /// An integer's key.
    pub(super) fn int(value: i64) -> Self {
        Self::Int(value.clamp(-INT_MAX, INT_MAX))
    }

    /// A float's key; there is one zero.
    pub(super) fn float(value: f64) -> Self {
        if value.is_nan() { Self::Nan } else { Self::Float(value + 0.0) }
    }

    fn class(&self) -> u8 {
        match self {
            Self::Int(_) => 0,
            Self::Float(_) => 1,
            Self::Text(_) => 2,
            Self::Nan => 3,
            Self::Missing => 4,
        }
    }
}

impl Candidate {
    /// The place that an anchor marks.
    pub(super) fn at(anchor: &Anchor, order: &Order) -> Self {
        let mut keys = anchor.keys.clone();
        keys.resize(order.clauses.len(), Key::Missing);
        Self { run_id: 0, uuid: anchor.uuid, keys }
    }

    /// The place right behind this candidate.
    pub(super) fn anchor(&self) -> Anchor {
        Anchor { keys: self.keys.clone(), uuid: self.uuid }
    }
}

/// The column that a subject of a run looks at; `None` for what no column alone holds.
pub(super) fn column_of(subject: &Subject) -> Option<(Kind, &str)> {
    Some(match subject {
        Subject::Metric(key) => (Kind::Metric, key),
        Subject::Param(key) => (Kind::Param, key),
        Subject::Tag(key) => (Kind::Tag, key),
        Subject::Dataset(field) => (Kind::Dataset, field.name()),
        Subject::Attribute(Attribute::RunId) => (Kind::Attribute, attribute::RUN_ID),
        Subject::Attribute(Attribute::RunName) => (Kind::Tag, RUN_NAME_TAG),
        Subject::Attribute(Attribute::UserId) => (Kind::Attribute, attribute::USER_ID),
        Subject::Attribute(Attribute::Status) => (Kind::Attribute, attribute::STATUS),
        Subject::Attribute(Attribute::StartTime) => (Kind::Attribute, attribute::START_TIME),
        Subject::Attribute(Attribute::LifecycleStage) => (Kind::Attribute, attribute::LIFECYCLE_STAGE),
        Subject::Attribute(Attribute::EndTime) => (Kind::Attribute, attribute::END_TIME),
        Subject::Attribute(_) | Subject::Aggregate(_) => return None,
    })
}

fn fresh_key(kind: Kind, key: &str, facts: &RunFacts<'_>) -> Key {
    let text = |text: Option<&str>| text.map_or(Key::Missing, |text| Key::Text(text.to_owned()));
    match (kind, key) {
        (Kind::Metric, key) => {
            facts.document.metric(key).map_or(Key::Missing, |metric| Key::float(metric.latest.value.get()))
        }
        (Kind::Param, key) => text(facts.document.param(key)),
        (Kind::Tag, key) => text(facts.document.tag(key)),
        (Kind::Dataset, key) => {
            let field = DatasetField::ALL.into_iter().find(|field| field.name() == key);
            text(field.and_then(|field| dataset_texts(facts, field).min()))
        }
        (Kind::Attribute, attribute::START_TIME) => Key::int(facts.start_time_ms),
        (Kind::Attribute, attribute::END_TIME) => facts.end_time_ms.map_or(Key::Missing, Key::int),
        (Kind::Attribute, attribute::USER_ID) => text(Some(facts.user)),
        (Kind::Attribute, attribute::STATUS) => text(Some(facts.status)),
        _ => Key::Missing,
    }
}
