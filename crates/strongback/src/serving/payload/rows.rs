//! Records become rows: the columns of a payload table, batch by batch.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use lake::arrow::{
    array::{
        ArrayRef, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{Field, Schema, SchemaRef},
};
use serde_json::{Map, Value as Json, json};

use super::{
    names::{FIXED, Input},
    record::{self, FeatureVersion, Stored},
    values::{Column, Kind},
};
use crate::error::{Error, Result};

/// Rows of a batch, above which the next one is begun.
const BATCH_ROWS: usize = 8192;

/// What records of a schema become: their inputs, and the column of each.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub inputs: Arc<[Input]>,
    pub columns: Vec<String>,
}

/// What is needed to make rows of records.
#[derive(Debug, Clone, Default)]
pub(super) struct Meaning {
    /// By number of the schema.
    pub shapes: HashMap<i64, Shape>,
    /// UUIDs of feature tables, by asset.
    pub features: HashMap<i64, String>,
}

/// Records of one endpoint, on their way into a table.
pub(super) struct Records {
    /// The records of a segment, one behind the other.
    pub bytes: Arc<Vec<u8>>,
    /// Those of the endpoint that are still to come.
    pub spans: VecDeque<Range<usize>>,
    pub meaning: Meaning,
}

impl Iterator for Records {
    type Item = Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose().map(|batch| batch.map_err(Into::into))
    }
}

impl Records {
    /// The next records with the same inputs, so many that they are enough for a batch.
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut making: Option<(i64, Making)> = None;
        while let Some(span) = self.spans.front() {
            let stored = record::decode(&self.bytes[span.clone()])?;
            let schema = stored.head.schema;
            match &mut making {
                None => {
                    let shape = self.meaning.shapes.get(&schema);
                    let shape =
                        shape.ok_or_else(|| Error::internal("a record has inputs that nobody looked up"))?;
                    let mut new = Making::new(shape);
                    new.add(stored, &self.meaning.features)?;
                    making = Some((schema, new));
                }
                Some((same, making)) if *same == schema && making.rows < BATCH_ROWS => {
                    making.add(stored, &self.meaning.features)?;
                }
                Some(_) => break,
            }
            self.spans.pop_front();
        }
        making.map(|(_, making)| making.finish()).transpose()
    }
}

/// A batch that grows record by record.
struct Making {
    schema: SchemaRef,
    rows: usize,
    request_id: StringBuilder,
    row: Int32Builder,
    client_request_id: StringBuilder,
    served_at: TimestampMicrosecondBuilder,
    event_time: TimestampMicrosecondBuilder,
    config: Int64Builder,
    model_version: Int64Builder,
    feature_versions: StringBuilder,
    latency_us: Int64Builder,
    prediction: Float64Builder,
    label: StringBuilder,
    inputs: Vec<Column>,
    named: Arc<[Input]>,
}

impl Making {
    fn new(shape: &Shape) -> Self {
        let fixed = FIXED.iter().map(|(name, kind)| {
            let kind = match *kind {
                "int" => Kind::Int,
                "bigint" => Kind::BigInt,
                "double" => Kind::Double,
                "timestamp" => Kind::Timestamp,
                _ => Kind::String,
            };
            Field::new(*name, kind.arrow(), true)
        });
        let inputs = shape.columns.iter().zip(&*shape.inputs);
        let inputs = inputs.map(|(name, input)| Field::new(name, input.kind.arrow(), true));
        let instant = || TimestampMicrosecondBuilder::new().with_data_type(Kind::Timestamp.arrow());
        Self {
            schema: Arc::new(Schema::new(fixed.chain(inputs).collect::<Vec<_>>())),
            rows: 0,
            request_id: StringBuilder::new(),
            row: Int32Builder::new(),
            client_request_id: StringBuilder::new(),
            served_at: instant(),
            event_time: instant(),
            config: Int64Builder::new(),
            model_version: Int64Builder::new(),
            feature_versions: StringBuilder::new(),
            latency_us: Int64Builder::new(),
            prediction: Float64Builder::new(),
            label: StringBuilder::new(),
            inputs: shape.inputs.iter().map(|input| Column::new(input.kind)).collect(),
            named: Arc::clone(&shape.inputs),
        }
    }

    fn add(&mut self, stored: Stored<'_>, features: &HashMap<i64, String>) -> Result<()> {
        let Stored { key, head, mut inputs } = stored;
        let rows = key.rows as usize;
        let id = key.request_id.hyphenated().to_string();
        let tables = &head.feature_versions;
        let is_same = tables.iter().flat_map(|read| &read.inputs).all(|input| input.rows.is_none());
        let mut versions = text_of(tables, 0, &self.named, features);
        for row in 0..rows {
            if row > 0 && !is_same {
                versions = text_of(tables, row, &self.named, features);
            }
            self.request_id.append_value(&id);
            self.row.append_value(i32::try_from(row).map_err(Error::internal)?);
            self.client_request_id.append_option(head.client_request_id.as_deref());
            self.served_at.append_value(head.served_at_micros);
            let event_time = head.event_times_micros.get(row).copied().unwrap_or(head.served_at_micros);
            self.event_time.append_value(event_time);
            self.config.append_value(head.config);
            self.model_version.append_value(head.model_version);
            self.feature_versions.append_value(&versions);
            self.latency_us.append_value(i64::from(head.latency_us));
            self.prediction.append_value(head.scores[row]);
            self.label.append_option(head.labels.as_ref().map(|labels| labels[row].as_str()));
        }
        for column in &mut self.inputs {
            column.read(&mut inputs, rows)?;
        }
        if !inputs.0.is_empty() {
            return Err(Error::internal("a payload record is longer than its inputs"));
        }
        self.rows += rows;
        Ok(())
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.request_id.finish()),
            Arc::new(self.row.finish()),
            Arc::new(self.client_request_id.finish()),
            Arc::new(self.served_at.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.config.finish()),
            Arc::new(self.model_version.finish()),
            Arc::new(self.feature_versions.finish()),
            Arc::new(self.latency_us.finish()),
            Arc::new(self.prediction.finish()),
            Arc::new(self.label.finish()),
        ];
        columns.extend(self.inputs.iter_mut().map(Column::finish));
        RecordBatch::try_new(self.schema, columns).map_err(Error::internal)
    }
}

/// What a row's `_feature_versions` says of a feature table, under its UUID. Rows that are older than that have its name there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FromTable {
    /// Number of its definition.
    pub definition: i64,
    /// The version that was read; absent where the table had the rows of a later definition by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The version of the table's source that it was computed from; absent where that was not logged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<i64>,
    /// The inputs that were looked up in it.
    pub inputs: Vec<String>,
}

/// What of a row was looked up in which version of which feature table, as JSON:
/// `{"0198c9de-…": {"definition": 1, "version": 7, "source_version": 5, "inputs": ["mean"]}}`.
fn text_of(
    tables: &[FeatureVersion],
    row: usize,
    named: &[Input],
    features: &HashMap<i64, String>,
) -> String {
    let row = u32::try_from(row).unwrap_or(u32::MAX);
    let one = |read: &FeatureVersion| {
        let inputs = read.inputs.iter().filter(|input| input.is_of(row));
        let inputs: Vec<String> =
            inputs.filter_map(|input| Some(named.get(input.input as usize)?.name.clone())).collect();
        let table = features.get(&read.table).cloned().unwrap_or_else(|| format!("asset {}", read.table));
        let is_told = !inputs.is_empty();
        let said = FromTable {
            definition: read.definition,
            version: read.version.map(u64::cast_signed),
            source_version: read.source_version.map(u64::cast_signed),
            inputs,
        };
        is_told.then(|| (table, json!(said)))
    };
    Json::Object(tables.iter().filter_map(one).collect::<Map<_, _>>()).to_string()
}
