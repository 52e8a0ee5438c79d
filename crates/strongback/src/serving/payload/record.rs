//! A request as it is logged.
//!
//! | bytes | |
//! |---|---|
//! | 1 | form version |
//! | 8 | the endpoint's asset |
//! | 16 | request id |
//! | 4 | rows |
//! | … | what is one a request, in postcard's form |
//! | … | the inputs, column by column (`values`) |
//!
//! Names and types of the inputs are not in it: `schema` names a row of `payload_schema`, which is durable before the first
//! record that needs it. Numbers are little-endian.

use lake::arrow::array::{Array as _, RecordBatch};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    names::Input as Named,
    values::{self, Input},
};
use crate::error::{Error, Result};

/// The form that is written.
const FORM: u8 = 3;
/// The form before, which says of no looked-up input which version of the source it was computed from.
const FORM_WITHOUT_SOURCES: u8 = 2;

/// A feature table that a request read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureVersion {
    /// Asset of the feature table.
    pub table: i64,
    /// Version of its definition.
    pub definition: i64,
    /// Delta version whose publication was read; none where the table has the rows of a later definition by then.
    pub version: Option<u64>,
    /// Version of the table's source that it was computed from; none where that was not logged yet.
    pub source_version: Option<u64>,
    /// What was looked up in it; the request brought everything else.
    pub inputs: Vec<LookedUp>,
}

/// The same in the form before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableVersion {
    table: i64,
    definition: i64,
    version: u64,
    inputs: Vec<LookedUp>,
}

impl From<TableVersion> for FeatureVersion {
    fn from(TableVersion { table, definition, version, inputs }: TableVersion) -> Self {
        Self { table, definition, version: Some(version), source_version: None, inputs }
    }
}

/// An input that a request did not bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedUp {
    /// Which one: its place among the inputs.
    pub input: u32,
    /// The rows that lacked it, ascending; none where all did.
    pub rows: Option<Vec<u32>>,
}

impl LookedUp {
    /// Whether a row lacked it.
    pub(super) fn is_of(&self, row: u32) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.binary_search(&row).is_ok())
    }
}

/// A request that was scored, as it was served.
#[derive(Debug, Clone)]
pub struct Record {
    /// Number of the endpoint's configuration.
    pub config: i64,
    /// Our id of the request: a UUID of version 7, whose time is how it is found again.
    pub request_id: Uuid,
    /// The caller's own id.
    pub client_request_id: Option<String>,
    /// When it was served, in microseconds since the epoch.
    pub served_at_micros: i64,
    /// When what is scored happened, as the request says, in microseconds since the epoch: one a row, or none.
    pub event_times_micros: Vec<i64>,
    /// The model that answered.
    pub model_id: i64,
    /// Its version.
    pub model_version: i64,
    /// What it took, in microseconds.
    pub latency_us: u32,
    /// The inputs as the model got them, a row a scored row, with the columns that the recorder was made for.
    pub inputs: RecordBatch,
    /// Where looked-up inputs came from.
    pub feature_versions: Vec<FeatureVersion>,
    /// The score of each row: the probability of the positive class, or the value of a regression.
    pub scores: Vec<f64>,
    /// The label of each row, where the model gives labels.
    pub labels: Option<Vec<String>>,
}

/// What is one a request and stands behind the fixed part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head<F = FeatureVersion> {
    pub config: i64,
    pub client_request_id: Option<String>,
    pub served_at_micros: i64,
    pub event_times_micros: Vec<i64>,
    pub model_id: i64,
    pub model_version: i64,
    pub latency_us: u32,
    pub feature_versions: Vec<F>,
    pub schema: i64,
    pub scores: Vec<f64>,
    pub labels: Option<Vec<String>>,
}

impl From<Head<TableVersion>> for Head {
    fn from(old: Head<TableVersion>) -> Self {
        Self {
            config: old.config,
            client_request_id: old.client_request_id,
            served_at_micros: old.served_at_micros,
            event_times_micros: old.event_times_micros,
            model_id: old.model_id,
            model_version: old.model_version,
            latency_us: old.latency_us,
            feature_versions: old.feature_versions.into_iter().map(FeatureVersion::from).collect(),
            schema: old.schema,
            scores: old.scores,
            labels: old.labels,
        }
    }
}

/// The fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub endpoint: i64,
    pub request_id: Uuid,
    pub rows: u32,
}

/// A record that is read.
#[derive(Debug)]
pub(super) struct Stored<'b> {
    pub key: Key,
    pub head: Head,
    /// The columns.
    pub inputs: Input<'b>,
}

/// Milliseconds since the epoch that a request id begins with (RFC 9562, 5.7).
pub(super) fn millis_of(request_id: Uuid) -> i64 {
    (request_id.as_u128() >> 80) as i64
}

/// The bytes of a record. Refused where it has other columns than those of the schema, or not a score a row.
pub(super) fn encode(endpoint: i64, schema: i64, inputs: &[Named], record: Record) -> Result<Vec<u8>> {
    let rows = record.inputs.num_rows();
    let labels = record.labels.as_ref().map_or(rows, Vec::len);
    if record.scores.len() != rows || labels != rows || ![0, rows].contains(&record.event_times_micros.len())
    {
        return Err(Error::internal(format!(
            "{rows} rows have {} scores, {labels} labels and {} event times",
            record.scores.len(),
            record.event_times_micros.len()
        )));
    }
    check(inputs, &record.inputs)?;
    let head = Head {
        config: record.config,
        client_request_id: record.client_request_id,
        served_at_micros: record.served_at_micros,
        event_times_micros: record.event_times_micros,
        model_id: record.model_id,
        model_version: record.model_version,
        latency_us: record.latency_us,
        feature_versions: record.feature_versions,
        schema,
        scores: record.scores,
        labels: record.labels,
    };
    let mut out = Vec::with_capacity(128 + rows * inputs.len() * 9);
    out.push(FORM);
    out.extend_from_slice(&endpoint.to_le_bytes());
    out.extend_from_slice(record.request_id.as_bytes());
    out.extend_from_slice(&u32::try_from(rows).map_err(Error::internal)?.to_le_bytes());
    let mut out = postcard::to_extend(&head, out).map_err(Error::internal)?;
    for (input, column) in inputs.iter().zip(record.inputs.columns()) {
        values::write(&mut out, input.kind, column.as_ref());
    }
    Ok(out)
}

fn check(inputs: &[Named], given: &RecordBatch) -> Result<()> {
    let fits = |(input, column): (&Named, &lake::arrow::array::ArrayRef)| {
        values::Kind::of(&input.name, column.data_type()).is_ok_and(|kind| kind == input.kind)
    };
    let same = inputs.len() == given.num_columns() && inputs.iter().zip(given.columns()).all(fits);
    if same {
        Ok(())
    } else {
        Err(Error::internal("a request has other inputs than its endpoint was opened with"))
    }
}

/// Reads the fixed part alone.
pub(super) fn key_of(bytes: &[u8]) -> Result<Key> {
    key(&mut Input(bytes)).map(|(_, key)| key)
}

/// The form, and the fixed part.
fn key(input: &mut Input<'_>) -> Result<(u8, Key)> {
    let [form] = input.array::<1>()?;
    if ![FORM, FORM_WITHOUT_SOURCES].contains(&form) {
        return Err(Error::internal(format!(
            "a payload record has the form {form}, which this version does not know"
        )));
    }
    let key = Key {
        endpoint: i64::from_le_bytes(input.array()?),
        request_id: Uuid::from_bytes(input.array()?),
        rows: u32::from_le_bytes(input.array()?),
    };
    Ok((form, key))
}

/// Reads a record.
pub(super) fn decode(bytes: &[u8]) -> Result<Stored<'_>> {
    let mut input = Input(bytes);
    let (form, key) = key(&mut input)?;
    let (head, rest) = if form == FORM_WITHOUT_SOURCES {
        let (head, rest) =
            postcard::take_from_bytes::<Head<TableVersion>>(input.0).map_err(Error::internal)?;
        (head.into(), rest)
    } else {
        postcard::take_from_bytes::<Head>(input.0).map_err(Error::internal)?
    };
    let (rows, labels) = (key.rows as usize, head.labels.as_ref().map(Vec::len));
    if head.scores.len() != rows || labels.is_some_and(|labels| labels != rows) {
        return Err(Error::internal("a payload record has another number of scores than of rows"));
    }
    Ok(Stored { key, head, inputs: Input(rest) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lake::arrow::{
        array::{ArrayRef, Float64Array, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use proptest::prelude::*;

    use super::{super::values::Column, *};

    fn sample() -> (Vec<Named>, Record) {
        let schema = Schema::new(vec![
            Field::new("amount", DataType::Float64, true),
            Field::new("who", DataType::Utf8, true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(1.5), None])),
            Arc::new(StringArray::from(vec![None, Some("é")])),
        ];
        let inputs = super::super::names::inputs(&schema).unwrap();
        let record = Record {
            config: 2,
            request_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            client_request_id: Some("c".into()),
            served_at_micros: 3,
            event_times_micros: Vec::new(),
            model_id: 4,
            model_version: 5,
            latency_us: 6,
            inputs: RecordBatch::try_new(Arc::new(schema), columns).unwrap(),
            feature_versions: vec![FeatureVersion {
                table: 7,
                definition: 1,
                version: Some(9),
                source_version: Some(13),
                inputs: vec![LookedUp { input: 0, rows: Some(vec![1]) }],
            }],
            scores: vec![0.25, f64::NAN],
            labels: None,
        };
        (inputs, record)
    }

    /// The bytes of form 2, for ever.
    #[test]
    fn what_form_2_wrote_is_read() {
        let (inputs, record) = sample();
        let bytes = hex::decode(concat!(
            "0208000000000000000192000000007000800000000000000102000000040101630600080a06010e02090100010101",
            "1602000000000000d03f000000000000f87f000101000000000000f83f000000000000000001020000000002000000c3a9",
        ))
        .unwrap();
        let stored = decode(&bytes).unwrap();
        let expected = FeatureVersion { source_version: None, ..record.feature_versions[0].clone() };
        assert_eq!(stored.head.feature_versions, [expected]);
        assert_eq!((stored.key.endpoint, stored.key.rows, stored.head.schema), (8, 2, 11));
        assert_eq!(read_all(&bytes, &inputs).unwrap(), record.inputs.columns());
    }

    /// The bytes of form 3, for ever.
    #[test]
    fn the_form_is_what_it_was() {
        let (inputs, record) = sample();
        let bytes = encode(8, 11, &inputs, record).unwrap();
        assert_eq!(
            hex::encode(&bytes),
            concat!(
                "0308000000000000000192000000007000800000000000000102000000040101630600080a06010e020109010d0100010101",
                "1602000000000000d03f000000000000f87f000101000000000000f83f000000000000000001020000000002000000c3a9",
            )
        );
        let stored = decode(&bytes).unwrap();
        assert_eq!((stored.key.endpoint, stored.key.rows, stored.head.schema), (8, 2, 11));
        assert_eq!(key_of(&bytes).unwrap(), stored.key);
        assert_eq!(millis_of(stored.key.request_id), 0x0192_0000_0000);
        assert!(stored.head.scores[1].is_nan());
    }

    fn read_all(bytes: &[u8], schema: &[Named]) -> Result<Vec<ArrayRef>> {
        let Stored { key, mut inputs, .. } = decode(bytes)?;
        let read = |input: &Named| {
            let mut column = Column::new(input.kind);
            column.read(&mut inputs, key.rows as usize)?;
            Ok(column.finish())
        };
        schema.iter().map(read).collect()
    }

    #[test]
    fn columns_come_back() {
        let (inputs, record) = sample();
        let expected = record.inputs.columns().to_vec();
        let bytes = encode(8, 11, &inputs, record).unwrap();
        assert_eq!(read_all(&bytes, &inputs).unwrap(), expected);
        for cut in 0..bytes.len() {
            assert!(read_all(&bytes[..cut], &inputs).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn other_bytes_are_an_error_and_no_panic(at in 0_usize..120, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let (inputs, record) = sample();
            let mut bytes = encode(8, 11, &inputs, record).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read_all(&bytes, &inputs);
            bytes.truncate(at);
            bytes.extend(tail);
            let _ = read_all(&bytes, &inputs);
        }
    }
}
