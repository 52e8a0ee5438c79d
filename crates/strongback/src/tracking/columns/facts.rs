//! Everything a search can ask of one run, as cells of columns.

use crate::tracking::document::RunDocument;

use super::Kind;

/// Keys of attribute columns.
pub mod attribute {
    /// The run's outside id: 16 bytes for its 32 hex digits.
    pub const RUN_ID: &str = "run_id";
    /// Who started it, text.
    pub const USER_ID: &str = "user_id";
    /// Its status by name, text.
    pub const STATUS: &str = "status";
    /// Start in epoch milliseconds, integer.
    pub const START_TIME: &str = "start_time";
    /// End in epoch milliseconds, integer; missing while it runs.
    pub const END_TIME: &str = "end_time";
    /// [`ACTIVE`] or [`DELETED`], text.
    pub const LIFECYCLE_STAGE: &str = "lifecycle_stage";
    /// A run that was not deleted.
    pub const ACTIVE: &str = "active";
    /// A run that was deleted.
    pub const DELETED: &str = "deleted";
}

/// Keys of data set columns.
pub mod dataset {
    /// Names of the run's data sets.
    pub const NAME: &str = "name";
    /// Their digests.
    pub const DIGEST: &str = "digest";
    /// The contexts in which they were used.
    pub const CONTEXT: &str = "context";
}

/// What a search can ask of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// The outside id's 16 bytes.
    pub uuid: [u8; 16],
    /// Who started it.
    pub user: &'a str,
    /// Status by MLflow's name, such as `FINISHED`.
    pub status: &'a str,
    /// Start in epoch milliseconds.
    pub start_time_ms: i64,
    /// End in epoch milliseconds.
    pub end_time_ms: Option<i64>,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Its params, tags, metrics and data sets. Whoever looks at bounds of metrics has settled them.
    pub document: &'a RunDocument,
}

/// One value of one run in one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// An integer.
    Int(i64),
    /// A float: finite or NaN.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// An outside run id.
    Uuid([u8; 16]),
}

impl<'a> RunFacts<'a> {
    /// Hands every cell of the run to `visit`; of data sets a key may come repeatedly.
    pub fn visit(&self, mut visit: impl FnMut(Kind, &'a str, Cell<'a>)) {
        let stage = if self.deleted { attribute::DELETED } else { attribute::ACTIVE };
        visit(Kind::Attribute, attribute::RUN_ID, Cell::Uuid(self.uuid));
        visit(Kind::Attribute, attribute::USER_ID, Cell::Text(self.user));
        visit(Kind::Attribute, attribute::STATUS, Cell::Text(self.status));
        visit(Kind::Attribute, attribute::START_TIME, Cell::Int(self.start_time_ms));
        visit(Kind::Attribute, attribute::LIFECYCLE_STAGE, Cell::Text(stage));
        if let Some(end) = self.end_time_ms {
            visit(Kind::Attribute, attribute::END_TIME, Cell::Int(end));
        }
        for (key, metric) in self.document.metrics() {
            let latest = metric.latest.value.get();
            visit(Kind::Metric, key, Cell::Float(latest));
            let bounds = metric.bounds().unwrap_or_default();
            for (kind, bound) in [(Kind::MetricMin, bounds.min()), (Kind::MetricMax, bounds.max())] {
                if let Some(bound) = bound.filter(|bound| bound.to_bits() != latest.to_bits()) {
                    visit(kind, key, Cell::Float(bound));
                }
            }
        }
        for (key, value) in self.document.params() {
            visit(Kind::Param, key, Cell::Text(value));
        }
        for (key, value) in self.document.tags() {
            visit(Kind::Tag, key, Cell::Text(value));
        }
        for input in self.document.datasets() {
            visit(Kind::Dataset, dataset::NAME, Cell::Text(&input.name));
            visit(Kind::Dataset, dataset::DIGEST, Cell::Text(&input.digest));
            if let Some(context) = &input.context {
                visit(Kind::Dataset, dataset::CONTEXT, Cell::Text(context));
            }
        }
    }
}
