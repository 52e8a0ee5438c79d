//! Models in ONNX's form, run by ONNX Runtime in this process.
//!
//! A session runs one request at a time, so that there are several of a model, as many as the server has threads. What must
//! stay true: what goes in are numbers and texts of the types that the model declares, and nothing of the model's is code of
//! a user.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use ort::{
    session::{Session, SessionInputValue, SessionOutputs},
    value::{DynValue, Tensor, TensorElementType, ValueType},
};
use parking_lot::{Mutex, MutexGuard};

use super::{
    report::{Answer, Report},
    scores::{Builder, Scores},
};
use crate::{
    error::{Code, Error, Result},
    serving::{
        frame::{Column, Frame, Values},
        signature::{Form, Schema},
    },
};

/// Sessions of one model at most.
const SESSIONS_MAX: usize = 16;

/// A model that is loaded.
pub struct Onnx {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
    feed: Feed,
    answer: Kind,
    form: Form,
    refuses_missing: bool,
}

/// What the model is fed with.
enum Feed {
    /// All inputs side by side.
    Matrix(TensorElementType),
    /// An input each: its name, its place among the signature's, its type.
    Columns(Vec<(String, usize, TensorElementType, bool)>),
}

/// What its outputs are to the caller.
enum Kind {
    /// As they are.
    Outputs,
    /// As the model that it was made from answers.
    Converted { answer: Answer, tie: Option<f32>, classes: Vec<String> },
}

impl Onnx {
    /// Loads a model from a file. `report` is that of its conversion, if it is a converted one.
    pub fn load(
        environment: &ort::environment::Environment,
        path: &Path,
        schema: &Schema,
        report: Option<&Report>,
    ) -> Result<Self> {
        let count =
            std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, SESSIONS_MAX);
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            sessions.push(Mutex::new(session(environment, path).map_err(|why| unusable(&why))?));
        }
        let feed = match sessions.first() {
            Some(first) => feed(&first.lock(), schema)?,
            None => return Err(Error::internal("a model has no session")),
        };
        let answer = match report {
            Some(report) => Kind::Converted {
                answer: report.answer.unwrap_or(Answer::Value),
                tie: report.tie.map(|tie| tie as f32),
                classes: report.class_names(),
            },
            None => Kind::Outputs,
        };
        let refuses_missing = report.is_some_and(|report| report.missing.as_deref() == Some("refused"));
        Ok(Self { sessions, next: AtomicUsize::new(0), feed, answer, form: schema.form, refuses_missing })
    }

    /// Scores rows on the calling thread.
    pub fn score(&self, schema: &Schema, frame: &Frame) -> Result<Scores> {
        if self.refuses_missing {
            refuse_missing(schema, frame)?;
        }
        let mut session = self.free();
        let failed = |error: ort::Error| {
            Error::new(Code::BadRequest, format!("ONNX Runtime refused the request: {}.", error.message()))
        };
        let outputs = match &self.feed {
            Feed::Matrix(kind) => {
                let inputs = [matrix(schema, frame, *kind)?];
                session.run(&inputs[..]).map_err(failed)?
            }
            Feed::Columns(columns) => {
                let mut inputs: Vec<SessionInputValue<'static>> = Vec::with_capacity(columns.len());
                for (_, at, kind, is_flat) in columns {
                    let column =
                        frame.columns.get(*at).ok_or_else(|| Error::internal("an input has no column"))?;
                    inputs.push(tensor(column, *kind, *is_flat)?);
                }
                session.run(&inputs[..]).map_err(failed)?
            }
        };
        self.read(&outputs, frame.rows)
    }

    /// A session that nobody uses, or else the next one to become free.
    fn free(&self) -> MutexGuard<'_, Session> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.sessions.len();
        for step in 0..count {
            if let Some(session) = self.sessions[(first + step) % count].try_lock() {
                return session;
            }
        }
        self.sessions[first % count].lock()
    }

    fn read(&self, outputs: &SessionOutputs<'_>, rows: usize) -> Result<Scores> {
        match &self.answer {
            Kind::Outputs => Builder::of_outputs(outputs, rows, self.form),
            Kind::Converted { answer, tie, classes } => {
                Builder::of_converted(outputs, rows, *answer, *tie, classes)
            }
        }
    }
}

fn session(environment: &ort::environment::Environment, path: &Path) -> Result<Session, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let builder = Session::builder(environment).map_err(|error| text(&error))?;
    let builder = builder.with_intra_threads(1).map_err(|error| text(&error))?;
    let mut builder = builder.with_inter_threads(1).map_err(|error| text(&error))?;
    builder.commit_from_file(path).map_err(|error| text(&error))
}

fn unusable(why: &str) -> Error {
    Error::new(Code::InvalidState, format!("ONNX Runtime cannot load the model: {why}."))
}

/// How the inputs of the signature go into the model.
fn feed(session: &Session, schema: &Schema) -> Result<Feed> {
    let inputs = session.inputs();
    let kind_of = |kind: &ValueType| match kind {
        ValueType::Tensor { ty, shape, .. } => Some((*ty, shape.len())),
        _ => None,
    };
    let wrong = |why: String| Err(unusable(&why));
    if let [only] = inputs {
        let Some((kind, dimensions)) = kind_of(only.dtype()) else {
            return wrong(format!("its input '{}' is no tensor", only.name()));
        };
        if dimensions == 2 && (schema.inputs.len() > 1 || schema.form == Form::Tensor) {
            if let Some(input) = schema.inputs.iter().find(|input| !input.kind.is_number()) {
                return wrong(format!(
                    "its input '{}' is one tensor, and the column '{}' is no number",
                    only.name(),
                    input.name
                ));
            }
            return Ok(Feed::Matrix(kind));
        }
    }
    let mut columns = Vec::with_capacity(inputs.len());
    for input in inputs {
        let place = match (inputs.len(), schema.inputs.len()) {
            (1, 1) => Some(0),
            _ => schema.position(input.name(), columns.len()),
        };
        let (Some(place), Some((kind, dimensions))) = (place, kind_of(input.dtype())) else {
            return wrong(format!("its input '{}' is none of the signature's", input.name()));
        };
        columns.push((input.name().to_owned(), place, kind, dimensions == 1));
    }
    Ok(Feed::Columns(columns))
}

fn refuse_missing(schema: &Schema, frame: &Frame) -> Result<()> {
    for (column, input) in frame.columns.iter().zip(&schema.inputs) {
        if let Some(row) = column.missing.first() {
            return Err(Error::new(
                Code::BadRequest,
                format!(
                    "Column '{}', row {row}: the model cannot score a row without a value there, although its signature \
                     does not ask for one.",
                    input.name
                ),
            ));
        }
    }
    Ok(())
}

/// Numbers of a column, each as the type that is asked for.
fn numbers<T>(
    column: &Column,
    of_long: fn(i64) -> T,
    of_double: fn(f64) -> T,
    mut put: impl FnMut(T),
) -> Result<()> {
    match &column.values {
        Values::Boolean(values) => values.iter().for_each(|value| put(of_long(i64::from(*value)))),
        Values::Integer(values) => values.iter().for_each(|value| put(of_long(i64::from(*value)))),
        Values::Long(values) | Values::Datetime(values) => values.iter().copied().map(of_long).for_each(put),
        Values::Float(values) => values.iter().for_each(|value| put(of_double(f64::from(*value)))),
        Values::Double(values) => values.iter().for_each(|value| put(of_double(*value))),
        Values::String(_) | Values::Binary(_) => {
            return Err(Error::internal("a text is fed to a model as a number"));
        }
    }
    Ok(())
}

fn owned<T>(tensor: ort::Result<Tensor<T>>) -> Result<SessionInputValue<'static>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug,
{
    tensor.map(SessionInputValue::from).map_err(|error| Error::internal(error.to_string()))
}

/// The inputs side by side, a row after the other.
fn matrix(schema: &Schema, frame: &Frame, kind: TensorElementType) -> Result<SessionInputValue<'static>> {
    let width = frame.columns.len();
    macro_rules! fill {
        ($zero:expr, $of_long:expr, $of_double:expr) => {{
            let mut cells = vec![$zero; frame.rows * width];
            for (at, column) in frame.columns.iter().enumerate() {
                let mut place = at;
                numbers(column, $of_long, $of_double, |value| {
                    if let Some(cell) = cells.get_mut(place) {
                        *cell = value;
                    }
                    place += width;
                })?;
            }
            cells
        }};
    }
    match kind {
        TensorElementType::Float32 => {
            let cells = fill!(0_f32, |value| value as f32, |value| value as f32);
            check_range(schema, frame, &cells)?;
            owned(Tensor::from_array(([frame.rows, width], cells)))
        }
        TensorElementType::Float64 => owned(Tensor::from_array((
            [frame.rows, width],
            fill!(0_f64, |value| value as f64, |value| value),
        ))),
        TensorElementType::Int64 => owned(Tensor::from_array((
            [frame.rows, width],
            fill!(0_i64, |value| value, |value| value as i64),
        ))),
        other => Err(unusable(&format!("its input is a tensor of {other}"))),
    }
}

/// Refuses numbers that the model's 32 bits make infinite.
fn check_range(schema: &Schema, frame: &Frame, cells: &[f32]) -> Result<()> {
    let Some(at) = cells.iter().position(|cell| cell.is_infinite()) else { return Ok(()) };
    let width = frame.columns.len().max(1);
    let name = schema.inputs.get(at % width).map_or("", |input| input.name.as_str());
    Err(Error::new(
        Code::BadRequest,
        format!(
            "Column '{name}', row {}: the number is beyond the range of 32 bits, in which the model computes.",
            at / width
        ),
    ))
}

/// One input by itself.
fn tensor(column: &Column, kind: TensorElementType, is_flat: bool) -> Result<SessionInputValue<'static>> {
    let rows = column.len() as i64;
    let shape = if is_flat { vec![rows] } else { vec![rows, 1] };
    macro_rules! gather {
        ($of_long:expr, $of_double:expr) => {{
            let mut cells = Vec::with_capacity(column.len());
            numbers(column, $of_long, $of_double, |value| cells.push(value))?;
            owned(Tensor::from_array((shape, cells)))
        }};
    }
    match (kind, &column.values) {
        (TensorElementType::String, Values::String(values)) => {
            let made: ort::Result<Tensor<String>> = Tensor::from_string_array((shape, &values[..]));
            made.map(SessionInputValue::from).map_err(|error| Error::internal(error.to_string()))
        }
        (TensorElementType::Float32, _) => gather!(|value| value as f32, |value| value as f32),
        (TensorElementType::Float64, _) => gather!(|value| value as f64, |value| value),
        (TensorElementType::Int64, _) => gather!(|value| value, |value| value as i64),
        (TensorElementType::Int32, _) => gather!(|value| value as i32, |value| value as i32),
        (TensorElementType::Bool, _) => gather!(|value| value != 0, |value| value != 0.0),
        (other, _) => Err(unusable(&format!("one of its inputs is a tensor of {other}"))),
    }
}

/// Numbers of an output, whatever their type.
pub(super) fn floats(value: &DynValue) -> Option<(Vec<i64>, Vec<f64>)> {
    if let Ok((shape, found)) = value.try_extract_tensor::<f32>() {
        return Some((shape.to_vec(), found.iter().map(|value| f64::from(*value)).collect()));
    }
    if let Ok((shape, found)) = value.try_extract_tensor::<f64>() {
        return Some((shape.to_vec(), found.to_vec()));
    }
    None
}
