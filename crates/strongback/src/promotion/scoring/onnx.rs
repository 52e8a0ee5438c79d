//! ONNX models in process, by the library that the setting `onnxruntime_library` names.
//!
//! The columns go in as one matrix, where the model takes one tensor, else each under its name. The scores are the last
//! output of numbers: a value a row, or of two values a row the second, which is the probability of the positive class.

use std::sync::{Arc, OnceLock};

use lake::arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use ort::{
    environment::Environment,
    session::{Session, SessionInputValue},
    value::{DynValue, Tensor, TensorElementType},
};
use parking_lot::Mutex;
use syntax::paths::ArtifactPath;

use crate::{
    config::Config,
    context::Ctx,
    error::{Error, Result},
    files,
    registry::versions::Version,
};

/// Files of a model's directory that are looked at.
const FILES_MAX: usize = 1_000;
/// So few rows are scored on the spot; more take a thread that may block.
const ROWS_ON_THE_SPOT: usize = 64;

/// A model. Cheap to clone.
#[derive(Clone)]
pub(super) struct Onnx(Arc<Mutex<Session>>);

/// The library, loaded once a process.
fn environment(config: &Config) -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let Some(library) = &config.onnxruntime_library.value else {
        return Err(Error::invalid(
            "No model can be run: the setting onnxruntime_library does not name the library of ONNX Runtime.",
        ));
    };
    let loaded = ENVIRONMENT.get_or_init(|| {
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_name("strongback").with_telemetry(false).build().map_err(|error| error.to_string())
    });
    loaded.as_ref().map_err(|why| {
        Error::invalid(format!("The library {} of ONNX Runtime does not load: {why}.", library.display()))
    })
}

impl Onnx {
    pub(super) async fn load(ctx: &Ctx, version: &Version) -> Result<Self> {
        let environment = environment(&ctx.app.config)?;
        let (model_id, number, is_kept) = (version.model_id, version.version, version.pin.is_some());
        let found = ctx
            .read(move |sql| {
                crate::catalog::authorize(sql, crate::catalog::Action::Read, model_id)?;
                let area = files::Place::of_version(model_id, number).area;
                let (entries, _) = files::list(sql, &area, &ArtifactPath::root(), None, FILES_MAX)?;
                let mut names =
                    entries.into_iter().filter(|entry| !entry.is_dir() && entry.name.ends_with(".onnx"));
                match (names.next(), names.next(), is_kept) {
                    (Some(entry), None, true) => {
                        files::get(sql, &area, &ArtifactPath::parse(&entry.name)?).map(Ok)
                    }
                    (_, _, false) => Ok(Err("its files are not kept here")),
                    (None, ..) => Ok(Err("it has no file that ends in .onnx")),
                    (Some(_), Some(_), true) => Ok(Err("it has several files that end in .onnx")),
                }
            })
            .await?;
        let file = found.map_err(|why| Error::invalid(format!("Version {number} cannot be run: {why}.")))?;
        let path = ctx.app.objects.path(file.object);
        let open = move || {
            let bytes = std::fs::read(path).map_err(Error::internal)?;
            session(environment, &bytes).map_err(|error| unfit(number, &error))
        };
        let session = tokio::task::spawn_blocking(open).await.map_err(Error::internal)??;
        Ok(Self(Arc::new(Mutex::new(session))))
    }

    pub(super) async fn score(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        if rows.num_rows() <= ROWS_ON_THE_SPOT {
            return run(&mut self.0.lock(), rows);
        }
        let (session, rows) = (Arc::clone(&self.0), rows.clone());
        tokio::task::spawn_blocking(move || run(&mut session.lock(), &rows)).await.map_err(Error::internal)?
    }
}

fn session(environment: &Environment, bytes: &[u8]) -> ort::Result<Session> {
    let builder = Session::builder(environment)?;
    let builder = builder.with_intra_threads(1).map_err(|error| ort::Error::new(error.to_string()))?;
    let mut builder = builder.with_inter_threads(1).map_err(|error| ort::Error::new(error.to_string()))?;
    builder.commit_from_memory(bytes)
}

fn unfit(number: i64, error: &ort::Error) -> Error {
    Error::invalid(format!("Version {number} cannot be run: ONNX Runtime refuses its file: {error}."))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("The model does not score these rows: {error}."))
}

fn run(session: &mut Session, rows: &RecordBatch) -> Result<Vec<f64>> {
    let inputs = values(session, rows)?;
    let count = rows.num_rows();
    let outputs = session.run(inputs).map_err(failed)?;
    for at in (0..outputs.len()).rev() {
        let output = &outputs[at];
        let numbers: Option<(Vec<i64>, Vec<f64>)> = match output.dtype().tensor_type() {
            Some(TensorElementType::Float32) => {
                let (shape, data) = output.try_extract_tensor::<f32>().map_err(failed)?;
                Some((shape.to_vec(), data.iter().map(|&number| f64::from(number)).collect()))
            }
            Some(TensorElementType::Float64) => {
                let (shape, data) = output.try_extract_tensor::<f64>().map_err(failed)?;
                Some((shape.to_vec(), data.to_vec()))
            }
            _ => None,
        };
        if let Some((shape, data)) = numbers {
            return scores(&shape, data, count);
        }
    }
    Err(failed("it has no output of numbers"))
}

fn scores(shape: &[i64], data: Vec<f64>, rows: usize) -> Result<Vec<f64>> {
    let width = data.len().checked_div(rows).unwrap_or(1);
    match (width, width * rows == data.len()) {
        (1, true) => Ok(data),
        (2, true) => Ok(data.chunks_exact(2).map(|pair| pair[1]).collect()),
        _ => Err(failed(format!(
            "its output has the shape {shape:?} for {rows} rows; one or two values a row are scores"
        ))),
    }
}

type Named = Vec<(String, SessionInputValue<'static>)>;

fn values(session: &Session, rows: &RecordBatch) -> Result<Named> {
    let count = rows.num_rows();
    if let [only] = session.inputs()
        && rows.num_columns() > 1
    {
        let columns = rows.columns().iter().map(|column| numbers(column)).collect::<Result<Vec<_>>>()?;
        let mut matrix = Vec::with_capacity(count * columns.len());
        for row in 0..count {
            matrix.extend(columns.iter().map(|column| column[row]));
        }
        let value = tensor(only.dtype().tensor_type(), [count, columns.len()], matrix)?;
        return Ok(vec![(only.name().to_owned(), value.into())]);
    }
    let schema = rows.schema();
    let mut named = Named::with_capacity(rows.num_columns());
    for (at, input) in session.inputs().iter().enumerate() {
        // A model of one column may call it as it likes.
        let column = schema
            .index_of(input.name())
            .or_else(|error| if rows.num_columns() == 1 { Ok(at) } else { Err(error) });
        let column = rows.column(
            column
                .map_err(|_| failed(format!("it takes '{}', which its signature has not", input.name())))?,
        );
        let value = match input.dtype().tensor_type() {
            Some(TensorElementType::String) => {
                let texts = cast(column, &DataType::Utf8).map_err(failed)?;
                let texts: Vec<String> =
                    texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect();
                Tensor::from_string_array(([count, 1], texts.as_slice())).map_err(failed)?.into_dyn()
            }
            kind => tensor(kind, [count, 1], numbers(column)?)?,
        };
        named.push((input.name().to_owned(), value.into()));
    }
    Ok(named)
}

/// Numbers of a column; what is absent is no number.
fn numbers(column: &lake::arrow::array::ArrayRef) -> Result<Vec<f64>> {
    let column = cast(column, &DataType::Float64).map_err(failed)?;
    let values = column.as_primitive::<Float64Type>();
    Ok((0..values.len()).map(|row| if values.is_null(row) { f64::NAN } else { values.value(row) }).collect())
}

fn tensor(kind: Option<TensorElementType>, shape: [usize; 2], numbers: Vec<f64>) -> Result<DynValue> {
    Ok(match kind {
        Some(TensorElementType::Float32) => {
            let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
            Tensor::from_array((shape, numbers)).map_err(failed)?.into_dyn()
        }
        Some(TensorElementType::Float64) => Tensor::from_array((shape, numbers)).map_err(failed)?.into_dyn(),
        Some(TensorElementType::Int64) => {
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number as i64).collect();
            Tensor::from_array((shape, numbers)).map_err(failed)?.into_dyn()
        }
        other => {
            return Err(failed(format!(
                "it takes a tensor of {other:?}; of float, double, int64 and string it can be fed"
            )));
        }
    })
}
