//! Running registered versions: what endpoints, gates and monitors score rows with.
//!
//! A model that was logged as ONNX runs in this process, and so does one of scikit-learn or XGBoost whose ONNX form was proven
//! to give the same answers; every other one is loaded by a Python process of its own. What must stay true: nothing of a
//! model is unpickled in this process; whatever runs a version answers as MLflow's own server would.

mod convert;
mod feed;
mod files;
pub mod library;
mod onnx;
pub mod report;
mod scores;
mod sweep;
mod watchdog;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::Read as _,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use lake::arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use syntax::{
    flavors::{Flavors, read_flavors},
    mlmodel::MLMODEL_BYTES_MAX,
};

pub use convert::stored;
pub(super) use files::own_tag;
use onnx::Onnx;
pub use report::{Report, RuntimeKind};
pub use scores::Scores;
pub(super) use sweep::sweep;

use super::{
    frame::{Column, Frame, Values},
    signature::{Form, Input, Schema},
    worker::{Launch, Worker},
};
use crate::{
    context::Ctx,
    error::{Code, Error, Result},
    files::Place,
    registry::{
        aliases, models,
        names::{self, Levels},
        signature::Signature,
        versions::{self, Version},
    },
};

/// Rows above which scoring leaves the thread that answers requests.
pub(super) const ROWS_HERE: usize = 64;

/// Which version a scorer runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoredVersion {
    /// `asset.id` of the model.
    pub model_id: i64,
    /// The model's name when it was loaded.
    pub name: String,
    /// The version's number.
    pub version: i64,
    /// The run that it came from; empty if there is none.
    pub run_id: String,
    /// Of its files.
    pub digest: String,
}

/// A version that is loaded.
pub struct Scorer {
    version: ScoredVersion,
    schema: Schema,
    runtime: Runtime,
    report: Report,
}

enum Runtime {
    Onnx(Arc<Onnx>),
    Python(Worker),
}

/// The versions that are loaded, each once, as long as somebody holds it.
#[derive(Default)]
pub struct Scorers(Mutex<HashMap<(i64, i64), Slot>>);

type Slot = Arc<tokio::sync::Mutex<Weak<Scorer>>>;

impl Scorers {
    fn slot(&self, key: (i64, i64)) -> Slot {
        let mut slots = self.0.lock();
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|held| held.strong_count() > 0)
        });
        Arc::clone(slots.entry(key).or_default())
    }
}

/// Loads the version that a name means (`name`, `name@alias` or `name/version`), for a caller who may read the model.
pub async fn load(ctx: &Ctx, model: &str) -> Result<Arc<Scorer>> {
    let wanted = model.to_owned();
    let (model_id, version) = ctx
        .read(move |sql| {
            let (model, version, _) = resolve(sql, &wanted)?;
            Ok((model.id, version.version))
        })
        .await?;
    load_version(ctx, model_id, version).await
}

/// The version that a name means now, and the alias in it. The caller must be allowed to read the model.
pub fn resolve(
    sql: &mut crate::db::Sql<'_>,
    wanted: &str,
) -> Result<(models::Model, Version, Option<String>)> {
    let plain = wanted.strip_prefix("models:/").unwrap_or(wanted);
    if let Some((name, alias)) = plain.rsplit_once('@') {
        let model = names::load(sql, name, Levels::Any)?;
        let version = aliases::resolve(sql, &model, alias)?.ok_or_else(|| aliases::missing(alias))?;
        return Ok((model, version, Some(alias.to_owned())));
    }
    if let Some((name, number)) = plain.rsplit_once('/') {
        let number = number.parse().map_err(|_| {
            Error::invalid(format!(
                "'{wanted}' names no version: write NAME/NUMBER, NAME@ALIAS or NAME, which is the newest."
            ))
        })?;
        let (model, version) = versions::load(sql, name, Levels::Any, number)?;
        return Ok((model, version, None));
    }
    let model = names::load(sql, plain, Levels::Any)?;
    let version = versions::newest(sql, model.id)?
        .ok_or_else(|| Error::missing(format!("The model '{plain}' has no version yet.")))?;
    Ok((model, version, None))
}

/// Refuses a version whose files are not kept here.
pub fn digest_of(name: &str, version: &Version) -> Result<String> {
    let pin = version.pin.as_ref().ok_or_else(|| {
        Error::new(
            Code::InvalidState,
            format!(
                "Version {} of '{name}' has no files in this server, so that it cannot be served: its source is '{}'. Log \
                 the model to this server and register that.",
                version.version, version.source
            ),
        )
    })?;
    Ok(pin.manifest.digest.clone())
}

/// Loads a version that somebody was allowed to read. One that is loaded already is shared.
pub async fn load_version(ctx: &Ctx, model_id: i64, number: i64) -> Result<Arc<Scorer>> {
    let slot = ctx.app.serving.scorers.slot((model_id, number));
    let mut held = slot.lock().await;
    if let Some(scorer) = held.upgrade() {
        return Ok(scorer);
    }
    let scorer = Arc::new(load_apart(ctx, model_id, number).await?);
    *held = Arc::downgrade(&scorer);
    Ok(scorer)
}

/// Loads a version that somebody was allowed to read, for him alone: whoever scores a lot holds no request to an endpoint up.
pub async fn load_apart(ctx: &Ctx, model_id: i64, number: i64) -> Result<Scorer> {
    let (name, version) = Ctx::system(&ctx.app)
        .read(move |sql| {
            crate::catalog::authorize(sql, crate::catalog::Action::Read, model_id)?;
            let model =
                models::get(sql, model_id)?.ok_or_else(|| Error::missing("The model was deleted."))?;
            Ok((model.name(), versions::require(sql, &model, number)?))
        })
        .await?;
    load_files(ctx, name, &version).await
}

async fn load_files(ctx: &Ctx, name: String, version: &Version) -> Result<Scorer> {
    let digest = digest_of(&name, version)?;
    let dir = files::bring(ctx, Place::of_version(version.model_id, version.version), &digest).await?;
    let known = match &version.signature {
        Some(Signature::Known(parts)) => Some(parts),
        _ => None,
    };
    let schema = Schema::of_signature(version.signature.as_ref());
    let has_params = known.is_some_and(|parts| parts.get("params").is_some_and(serde_json::Value::is_array));
    let flavors = flavors(&dir)?;
    let (runtime, report) = start(ctx, &dir, &digest, &schema, &flavors, has_params).await?;
    let version = ScoredVersion {
        model_id: version.model_id,
        name,
        version: version.version,
        run_id: version.run_id.clone(),
        digest,
    };
    Ok(Scorer { version, schema, runtime, report })
}

fn flavors(dir: &Path) -> Result<Flavors> {
    let no_model =
        |why: String| Error::new(Code::InvalidState, format!("The version is no MLflow model: {why}."));
    let mut text = Vec::new();
    // One byte more than is read tells that it is too large, wherever it cuts a letter.
    std::fs::File::open(dir.join("MLmodel"))
        .and_then(|file| file.take(MLMODEL_BYTES_MAX as u64 + 1).read_to_end(&mut text))
        .map_err(|error| no_model(format!("its MLmodel file cannot be read ({error})")))?;
    read_flavors(&String::from_utf8_lossy(&text)).map_err(|error| no_model(error.to_string()))
}

async fn start(
    ctx: &Ctx,
    dir: &Path,
    digest: &str,
    schema: &Schema,
    flavors: &Flavors,
    has_params: bool,
) -> Result<(Runtime, Report)> {
    let data = flavors.get("onnx").and_then(|flavor| flavor.get("data"));
    if let Some(data) = data.filter(|_| schema.form != Form::Free && !has_params) {
        let path = below(dir, data)?;
        return match open(ctx, &path, schema, None).await {
            Ok(model) => {
                Ok((Runtime::Onnx(model), Report::without(RuntimeKind::Onnx, "It was logged as ONNX.")))
            }
            Err(error) => instead(ctx, dir, error).await,
        };
    }
    let is_convertible = ["sklearn", "xgboost"].iter().any(|name| flavors.contains_key(*name));
    let report = match (is_convertible, schema.form, has_params) {
        (true, Form::Named | Form::Tensor, false) => match convert::report(ctx, digest, dir, schema).await {
            Ok(report) => report,
            Err(error) => Report::without(RuntimeKind::Python, error.message().to_owned()),
        },
        (_, Form::Free, _) => Report::without(
            RuntimeKind::Python,
            "Its signature has other inputs than plain columns, or it has none.",
        ),
        (_, _, true) => Report::without(RuntimeKind::Python, "It takes parameters."),
        _ => Report::without(RuntimeKind::Python, "There is no converter for its flavor."),
    };
    if report.verdict == RuntimeKind::Onnx {
        match open(ctx, &convert::file(ctx, digest), schema, Some(report.clone())).await {
            Ok(model) => return Ok((Runtime::Onnx(model), report)),
            Err(error) => {
                tracing::warn!(digest, %error, "a converted model cannot be run; Python does");
                let report = Report {
                    verdict: RuntimeKind::Python,
                    reason: Some(error.message().to_owned()),
                    ..report
                };
                let worker = Worker::start(Launch::new(&ctx.app.config)?, dir).await?;
                return Ok((Runtime::Python(worker), report));
            }
        }
    }
    let worker = Worker::start(Launch::new(&ctx.app.config)?, dir).await?;
    Ok((Runtime::Python(worker), report))
}

/// A model that was logged as ONNX and does not run in this process, in Python: as MLflow runs it.
async fn instead(ctx: &Ctx, dir: &Path, here: Error) -> Result<(Runtime, Report)> {
    tracing::warn!(error = %here, "a model that was logged as ONNX cannot be run here; Python does");
    match Worker::start(Launch::new(&ctx.app.config)?, dir).await {
        Ok(worker) => {
            let report = Report::without(RuntimeKind::Python, here.message().to_owned());
            Ok((Runtime::Python(worker), report))
        }
        Err(there) => Err(Error::new(here.code(), format!("{} {}", here.message(), there.message()))),
    }
}

/// A file below a directory that the model itself names.
fn below(dir: &Path, name: &str) -> Result<std::path::PathBuf> {
    let path = syntax::paths::ArtifactPath::parse(name)?;
    Ok(dir.join(path.as_str()))
}

async fn open(ctx: &Ctx, path: &Path, schema: &Schema, report: Option<Report>) -> Result<Arc<Onnx>> {
    let (app, path, schema) = (Arc::clone(&ctx.app), path.to_owned(), schema.clone());
    let opened = lake::meter::spawn_blocking(move || {
        let environment = library::open(&app.config)?;
        let limit = Duration::from_secs(u64::from(app.config.scoring_seconds.value));
        Onnx::load(&environment, &path, &schema, report.as_ref(), limit).map(Arc::new)
    });
    opened.await.map_err(Error::internal)?
}

/// What a worker answers.
#[derive(Deserialize)]
struct Reply {
    predictions: Option<Box<RawValue>>,
    #[serde(default)]
    is_bare: bool,
    #[serde(default)]
    values: Vec<Option<f64>>,
    labels: Option<Vec<String>>,
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    status: u16,
    message: String,
}

impl Scorer {
    /// Which version it runs.
    pub fn version(&self) -> &ScoredVersion {
        &self.version
    }

    /// What it takes, in the signature's order.
    pub fn inputs(&self) -> &[Input] {
        &self.schema.inputs
    }

    /// The same with how the inputs are told apart.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What runs it.
    pub fn runtime(&self) -> RuntimeKind {
        match self.runtime {
            Runtime::Onnx(_) => RuntimeKind::Onnx,
            Runtime::Python(_) => RuntimeKind::Python,
        }
    }

    /// Why it is run so.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The number of the process that runs it, if that is another one.
    pub fn process_id(&self) -> Option<u32> {
        match &self.runtime {
            Runtime::Python(worker) => worker.process_id(),
            Runtime::Onnx(_) => None,
        }
    }

    /// Ends it. For who loaded it for himself alone: its process is gone then, and what that used is charged.
    pub async fn end(self) {
        if let Runtime::Python(worker) = self.runtime {
            worker.end().await;
        }
    }

    /// Scores the rows of a batch, whose columns are found by name.
    pub async fn score(&self, rows: &RecordBatch) -> Result<Scores> {
        self.score_frame(&Frame::of_batch(&self.schema, rows)?, None).await
    }

    /// Scores rows that are columns of the signature already.
    pub async fn score_frame(&self, frame: &Frame, params: Option<&RawValue>) -> Result<Scores> {
        match &self.runtime {
            Runtime::Onnx(model) => model.score(&self.schema, frame).await,
            Runtime::Python(worker) => {
                let request = request(&self.schema, frame, params)?;
                let scores = reply(&worker.ask(Bytes::from(request)).await?)?;
                if scores.value.len() != frame.rows {
                    return Err(Error::new(
                        Code::InvalidState,
                        format!(
                            "The model answered {} rows with {} figures.",
                            frame.rows,
                            scores.value.len()
                        ),
                    )
                    // The model's fault, not the caller's.
                    .with_status(500));
                }
                Ok(scores)
            }
        }
    }

    /// Scores a request that only the model's own code can read.
    pub async fn score_free(&self, body: &str, content_type: &str) -> Result<Scores> {
        let Runtime::Python(worker) = &self.runtime else {
            return Err(Error::internal("a model without a schema runs in this process"));
        };
        let request = serde_json::json!({ "body": body, "content_type": content_type }).to_string();
        reply(&worker.ask(Bytes::from(request)).await?)
    }
}

/// Computes for long without holding up what else waits for this thread, where there are other threads.
pub(super) fn beside_requests<T>(compute: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(compute),
        _ => compute(),
    }
}

fn reply(bytes: &[u8]) -> Result<Scores> {
    let reply: Reply = serde_json::from_slice(bytes).map_err(|error| {
        Error::new(Code::ResourceConflict, "The model's Python process answered nonsense.").because(error)
    })?;
    if let Some(refused) = reply.refused {
        let code = Code::ALL.iter().copied().find(|code| code.name() == refused.code);
        let code = code.unwrap_or(if refused.status < 500 { Code::BadRequest } else { Code::InternalError });
        return Err(Error::new(code, refused.message).with_status(refused.status));
    }
    let outputs = reply.predictions.ok_or_else(|| {
        Error::new(Code::ResourceConflict, "The model's Python process answered without predictions.")
    })?;
    let value = reply.values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    Ok(Scores { value, label: reply.labels, outputs, is_bare: reply.is_bare })
}

/// A request to a worker: each column with its values, `null` where one is missing.
fn request(schema: &Schema, frame: &Frame, params: Option<&RawValue>) -> Result<String> {
    let mut text = String::with_capacity(64 + frame.rows * frame.columns.len() * 12);
    let dtype = match schema.inputs.first().map(|input| input.kind.name()) {
        Some("float") => "float32",
        Some("double") => "float64",
        Some("integer") => "int32",
        Some("boolean") => "bool",
        _ => "int64",
    };
    write!(text, r#"{{"form":"{}","dtype":"{dtype}","columns":["#, schema.form.name())
        .map_err(Error::internal)?;
    for (at, (input, column)) in schema.inputs.iter().zip(&frame.columns).enumerate() {
        let name = serde_json::to_string(&input.name).map_err(Error::internal)?;
        let comma = if at == 0 { "" } else { "," };
        write!(text, r#"{comma}{{"name":{name},"type":"{}","values":["#, input.kind.name())
            .map_err(Error::internal)?;
        values(&mut text, column)?;
        text.push_str("]}");
    }
    text.push(']');
    if let Some(params) = params {
        write!(text, r#","params":{}"#, params.get()).map_err(Error::internal)?;
    }
    text.push('}');
    Ok(text)
}

fn values(text: &mut String, column: &Column) -> Result<()> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut missing = column.missing.iter().peekable();
    for row in 0..column.len() {
        if row > 0 {
            text.push(',');
        }
        if missing.next_if(|next| **next == row).is_some() {
            text.push_str("null");
            continue;
        }
        match &column.values {
            Values::Boolean(values) => text.push_str(if values[row] { "true" } else { "false" }),
            Values::Integer(values) => write!(text, "{}", values[row]).map_err(Error::internal)?,
            Values::Long(values) | Values::Datetime(values) => {
                write!(text, "{}", values[row]).map_err(Error::internal)?;
            }
            Values::Float(values) if values[row].is_infinite() => text.push_str(infinity(values[row] > 0.0)),
            Values::Float(values) => {
                text.push_str(&serde_json::to_string(&values[row]).map_err(Error::internal)?);
            }
            Values::Double(values) if values[row].is_infinite() => text.push_str(infinity(values[row] > 0.0)),
            Values::Double(values) => {
                text.push_str(&serde_json::to_string(&values[row]).map_err(Error::internal)?);
            }
            Values::String(values) => {
                text.push_str(&serde_json::to_string(&values[row]).map_err(Error::internal)?);
            }
            Values::Binary(values) => {
                write!(text, "\"{}\"", BASE64_STANDARD.encode(&values[row])).map_err(Error::internal)?;
            }
        }
    }
    Ok(())
}

/// As Python's JSON has it. Requests bring none, but tables that a gate or a monitor scores may.
fn infinity(is_positive: bool) -> &'static str {
    if is_positive { "Infinity" } else { "-Infinity" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_gets_the_numbers_that_there_are() {
        let Ok(serde_json::Value::Object(parts)) = serde_json::from_str(
            r#"{"inputs": [{"type": "double", "name": "a", "required": false}, {"type": "float", "name": "b"}]}"#,
        ) else {
            unreachable!()
        };
        let schema = Schema::new(Some(&parts));
        let columns = vec![
            Column { values: Values::Double(vec![f64::INFINITY, f64::NAN, 1.5]), missing: vec![1] },
            Column { values: Values::Float(vec![f32::NEG_INFINITY, 0.1, 2.0]), missing: Vec::new() },
        ];
        let text = request(&schema, &Frame { rows: 3, columns }, None).unwrap();
        assert!(text.contains(r#""values":[Infinity,null,1.5]"#), "{text}");
        assert!(text.contains(r#""values":[-Infinity,0.1,2.0]"#), "{text}");
    }
}
