//! A request by its id: in the log, if no table has it yet, else in a table.
//!
//! An id says when it was given out. The index of the log tells which stretches span that moment, and `payload_batch` which
//! endpoints had batches that do; in their tables the engine skips files and groups of rows by the bounds of `_request_id`,
//! whose text sorts by time as well.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use lake::{
    arrow::{
        array::{Array, AsArray as _, RecordBatch},
        datatypes::{
            DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
            TimestampMicrosecondType,
        },
        ipc::reader::StreamReader,
        util::display::{ArrayFormatter, FormatOptions},
    },
    query::{self, Form, Resolved, Value, Wanted},
};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    drain::uuids_of,
    log::{Opened, failed},
    names::FIXED,
    record::{self, millis_of},
    rows::{Meaning, Records, Shape},
    store, target,
};
use crate::{
    bind,
    catalog::{
        Action,
        authorize::{is_allowed, visible},
    },
    context::Ctx,
    error::{Error, Result},
    tables,
};

/// How long a table is searched.
const TIME: Duration = Duration::from_secs(30);
/// What batches span at most, unless tables could not be written to or the server was away, in milliseconds.
const SPAN_MS: i64 = 3_600_000;

/// A scored row as it was served.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct PayloadRow {
    /// Asset of the endpoint.
    #[serde(skip)]
    pub endpoint: i64,
    /// Our id of the request.
    pub request_id: String,
    /// Which row of the request it was, from 0.
    pub row: i64,
    /// The caller's own id.
    pub client_request_id: Option<String>,
    /// Microseconds since the epoch.
    pub served_at_micros: i64,
    /// Microseconds since the epoch.
    pub event_time_micros: i64,
    /// Number of the endpoint's configuration.
    pub endpoint_config: i64,
    /// Version of the model that answered.
    pub model_version: i64,
    /// Feature tables by UUID, with the `definition` and `version` that was read, and for which inputs.
    pub feature_versions: Json,
    /// Microseconds.
    pub latency_us: i64,
    /// The score; none where it is no number that JSON has.
    pub prediction: Option<f64>,
    /// The label, where the model gives labels.
    pub prediction_label: Option<String>,
    /// The inputs by column, as the model got them. A number that JSON does not have is a text. In a table, inputs of other
    /// models are there too, as null.
    pub features: Map<String, Json>,
    /// Whether it is still in the log.
    pub is_waiting: bool,
}

/// Rows of a request.
#[derive(Debug, Clone)]
pub struct Found {
    /// In their order.
    pub rows: Vec<PayloadRow>,
    /// What they are read from has these columns: the values of `features` stand under their names.
    pub columns: SchemaRef,
}

/// The first rows of a request, so many at most; `None` if there is no such request, or the caller may not read it.
pub async fn find(ctx: &Ctx, request_id: Uuid, most: usize) -> Result<Option<Found>> {
    // The log first: what leaves it meanwhile is in a table by then.
    if let Some(opened) = ctx.app.payload.open_if_there().await? {
        opened.scan(&ctx.app).await?;
        if let Some(logged) = in_log(&opened, request_id).await? {
            // Others may keep the segment for long after the rows landed.
            let is_waiting = opened.index.lock().is_waiting(logged.segment, logged.endpoint);
            return if may_read(ctx, logged.endpoint).await? {
                of_record(ctx, logged, most, is_waiting).await.map(Some)
            } else {
                Ok(None)
            };
        }
    }
    in_tables(ctx, request_id, most).await
}

/// A record in the log.
struct Logged {
    endpoint: i64,
    segment: u64,
    bytes: Vec<u8>,
}

/// The record of a request.
async fn in_log(opened: &Arc<Opened>, request_id: Uuid) -> Result<Option<Logged>> {
    let stretches = opened.index.lock().at(millis_of(request_id));
    if stretches.is_empty() {
        return Ok(None);
    }
    let opened = Arc::clone(opened);
    let searching = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        for stretch in stretches {
            let mut reader = match opened.journal.read_at(stretch.first) {
                Ok(reader) => reader,
                // It went meanwhile: a table has it.
                Err(journal::Error::NoSegment(_)) => continue,
                Err(error) => return Err(failed(error)),
            };
            loop {
                match reader.read(&mut bytes) {
                    Ok(Some(at)) if at.offset < stretch.until => {}
                    Ok(_) | Err(journal::Error::Damaged { .. }) => break,
                    Err(error) => return Err(failed(error)),
                }
                if let Ok(key) = record::key_of(&bytes)
                    && key.request_id == request_id
                {
                    return Ok(Some(Logged {
                        endpoint: key.endpoint,
                        segment: stretch.first.segment,
                        bytes,
                    }));
                }
            }
        }
        Ok(None)
    });
    searching.await.map_err(Error::internal)?
}

/// Whoever may read the payload table may read what comes into it; before there is one, whoever may read the endpoint.
async fn may_read(ctx: &Ctx, endpoint: i64) -> Result<bool> {
    ctx.read(move |sql| {
        visible(sql);
        let asset = target::recorded_table(sql, endpoint)?.unwrap_or(endpoint);
        is_allowed(sql, Action::Read, asset)
    })
    .await
}

async fn of_record(ctx: &Ctx, logged: Logged, most: usize, is_waiting: bool) -> Result<Found> {
    let Logged { endpoint, bytes, .. } = logged;
    let head = record::decode(&bytes)?.head;
    let inputs = target::inputs_of(&ctx.app, head.schema).await?;
    let columns = inputs.iter().map(|input| input.name.clone()).collect();
    let features = uuids_of(&ctx.app, head.feature_versions.iter().map(|read| read.table).collect()).await?;
    let meaning = Meaning { shapes: HashMap::from([(head.schema, Shape { inputs, columns })]), features };
    let spans = std::iter::once(0..bytes.len()).collect();
    let records = Records { bytes: Arc::new(bytes), spans, meaning };
    let mut found: Option<Found> = None;
    for batch in records {
        let batch = batch.map_err(Error::internal)?;
        let found = found.get_or_insert_with(|| Found { rows: Vec::new(), columns: batch.schema() });
        add_rows(&mut found.rows, &batch, most, endpoint, is_waiting)?;
        if found.rows.len() >= most {
            break;
        }
    }
    found.ok_or_else(|| Error::internal("a record without rows"))
}

async fn in_tables(ctx: &Ctx, request_id: Uuid, most: usize) -> Result<Option<Found>> {
    let ms = millis_of(request_id);
    let mut searched = HashSet::new();
    // All that begin before are looked through only where the usual ones do not have it.
    for from_ms in [ms.saturating_sub(SPAN_MS), i64::MIN] {
        for (endpoint, id, version) in places(ctx, ms, from_ms).await? {
            if !searched.insert((endpoint, version)) {
                continue;
            }
            let found = in_table(ctx, endpoint, (id, version), request_id, most).await?;
            if !found.rows.is_empty() {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The tables that may have a request of a moment, and that the caller may read.
async fn places(ctx: &Ctx, ms: i64, from_ms: i64) -> Result<Vec<(i64, lake::TableId, u64)>> {
    ctx.read(move |sql| {
        visible(sql);
        let mut places = Vec::new();
        for endpoint in sql.all(&store::BATCH_AT, bind![ms, from_ms], |row| row.get::<i64>(0))? {
            if let Some(table) = target::recorded_table(sql, endpoint)?
                && is_allowed(sql, Action::Read, table)?
                && let Some((id, version)) = tables::inside::newest(sql, table)?
            {
                places.push((endpoint, id, version));
            }
        }
        Ok(places)
    })
    .await
}

async fn in_table(
    ctx: &Ctx,
    endpoint: i64,
    (id, version): (lake::TableId, u64),
    request_id: Uuid,
    most: usize,
) -> Result<Found> {
    let name = |part: &str| part.to_owned();
    let table =
        Resolved { catalog: name("main"), schema: name("default"), leaf: name("payload"), id, version };
    let wanted = Wanted {
        form: Form::Arrow,
        rows_max: None,
        time: TIME,
        parameters: vec![("id".to_owned(), Value::Text(request_id.hyphenated().to_string()))],
    };
    let statement = format!("SELECT * FROM payload WHERE _request_id = $id ORDER BY _row LIMIT {most}");
    let mut answer = ctx.app.lake.query(query::read(&statement)?, vec![table], wanted).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.next().await {
        bytes.extend_from_slice(&chunk?.bytes);
    }
    let reader = StreamReader::try_new(&bytes[..], None).map_err(Error::internal)?;
    let mut found = Found { rows: Vec::new(), columns: reader.schema() };
    for batch in reader {
        add_rows(&mut found.rows, &batch.map_err(Error::internal)?, most, endpoint, false)?;
    }
    Ok(found)
}

/// Adds the rows of a batch with the columns of a payload table, up to so many in all.
fn add_rows(
    rows: &mut Vec<PayloadRow>,
    batch: &RecordBatch,
    most: usize,
    endpoint: i64,
    is_waiting: bool,
) -> Result<()> {
    for row in 0..batch.num_rows().min(most.saturating_sub(rows.len())) {
        rows.push(row_of(batch, row, endpoint, is_waiting)?);
    }
    Ok(())
}

fn row_of(batch: &RecordBatch, row: usize, endpoint: i64, is_waiting: bool) -> Result<PayloadRow> {
    let schema = batch.schema();
    let mut values = Map::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        values.insert(field.name().clone(), value_of(column.as_ref(), row)?);
    }
    let [id, at, client, served, event, config, model, versions, latency, score, label] =
        <[&str; 11]>::try_from(FIXED.iter().map(|(name, _)| *name).collect::<Vec<_>>())
            .map_err(|_| Error::internal("a payload table has other columns"))?;
    let mut take = |name: &str| values.remove(name).unwrap_or_default();
    let whole = |value: Json| value.as_i64().unwrap_or_default();
    let text = |value: Json| value.as_str().map(str::to_owned);
    Ok(PayloadRow {
        endpoint,
        request_id: text(take(id)).unwrap_or_default(),
        row: whole(take(at)),
        client_request_id: text(take(client)),
        served_at_micros: whole(take(served)),
        event_time_micros: whole(take(event)),
        endpoint_config: whole(take(config)),
        model_version: whole(take(model)),
        feature_versions: text(take(versions))
            .map_or(Ok(Json::Null), |text| serde_json::from_str(&text).map_err(Error::internal))?,
        latency_us: whole(take(latency)),
        prediction: take(score).as_f64(),
        prediction_label: text(take(label)),
        features: values,
        is_waiting,
    })
}

fn value_of(column: &dyn Array, row: usize) -> Result<Json> {
    if column.is_null(row) {
        return Ok(Json::Null);
    }
    let float = |value: f64| {
        serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Json::Number)
    };
    Ok(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Timestamp(lake::arrow::datatypes::TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        _ => {
            let shown =
                ArrayFormatter::try_new(column, &FormatOptions::default()).map_err(Error::internal)?;
            shown.value(row).to_string().into()
        }
    })
}
