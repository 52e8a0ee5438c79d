//! What gates need of a model that can be run: its inputs, and a score for each row.
//!
//! A score is the probability of the positive class, or the value of a regression. What must stay true: a model is run as it
//! is served, with the files of exactly the version that is judged.

use std::sync::Arc;

use lake::arrow::{array::RecordBatch, datatypes::DataType, datatypes::TimeUnit};
use serde_json::Value as Json;

use crate::{
    context::Ctx,
    error::{Error, Result},
    registry::{signature::Signature, versions::Version},
    serving::runtime::{self, RuntimeKind},
};

/// A column that a model takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type, as MLflow writes it.
    pub kind: String,
    /// How its values lie in memory.
    pub data_type: DataType,
    /// Whether a row without it is refused.
    pub required: bool,
}

/// The columns that a version takes; or why that cannot be told, as a clause.
pub fn inputs(version: &Version) -> Result<Vec<Input>, String> {
    let number = version.version;
    let parts = match &version.signature {
        Some(Signature::Known(parts)) => parts,
        Some(Signature::Unreadable(why)) => {
            return Err(format!("the signature of version {number} cannot be read: {why}"));
        }
        None => return Err(format!("version {number} has no signature; log the model with one")),
    };
    let columns = parts.get("inputs").and_then(Json::as_array).filter(|columns| !columns.is_empty());
    let columns = columns.ok_or_else(|| format!("the signature of version {number} names no inputs"))?;
    columns.iter().map(|column| input(column, number)).collect()
}

fn input(column: &Json, number: i64) -> Result<Input, String> {
    let (name, kind) = (column["name"].as_str(), column["type"].as_str().unwrap_or_default());
    let name = name
        .ok_or_else(|| format!("the signature of version {number} has an input without a name (a tensor)"))?;
    let data_type = match kind {
        "boolean" => DataType::Boolean,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => {
            return Err(format!(
                "the input '{name}' of version {number} has the type '{other}', which gates do not score"
            ));
        }
    };
    let required = column["required"].as_bool().unwrap_or(true);
    Ok(Input { name: name.to_owned(), kind: kind.to_owned(), data_type, required })
}

/// Rows that a Python process is given at once: each request to it has its time limit.
const PYTHON_ROWS: usize = 256;

/// A model that is ready to score: loaded as endpoints load it, beside them. Its clones are one model.
#[derive(Clone)]
pub struct Scorer {
    inputs: Arc<[Input]>,
    runtime: Arc<runtime::Scorer>,
}

impl Scorer {
    /// Loads a version, which somebody has authorised. What it says when it cannot is a reason, unless it is an error of ours.
    pub async fn load(ctx: &Ctx, version: &Version) -> Result<Self> {
        let inputs = inputs(version).map_err(|why| Error::invalid(format!("{why}.")))?;
        let runtime = runtime::load_apart(ctx, version.model_id, version.version).await?;
        Ok(Self { inputs: inputs.into(), runtime: Arc::new(runtime) })
    }

    /// The columns that it takes.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// A score for each row; a column an input, in their order and types. What is no finite number is no score.
    pub async fn score(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        if self.runtime.runtime() == RuntimeKind::Onnx {
            return Ok(self.runtime.score(rows).await?.value);
        }
        let mut scores = Vec::with_capacity(rows.num_rows());
        for from in (0..rows.num_rows()).step_by(PYTHON_ROWS) {
            let some = rows.slice(from, PYTHON_ROWS.min(rows.num_rows() - from));
            scores.extend(self.runtime.score(&some).await?.value);
        }
        Ok(scores)
    }
}
