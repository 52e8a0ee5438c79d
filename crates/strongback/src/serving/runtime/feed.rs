//! Columns of a request as the tensors that a model in ONNX's form takes.
//!
//! What must stay true: whether the types go together is known when the model is loaded; a number that the tensor's type cannot
//! hold is refused with its column and row. What stays a number of fewer digits is rounded, as everywhere in such a model.

use ort::{
    session::{Session, SessionInputValue},
    value::{Tensor, TensorElementType, ValueType},
};

use super::onnx::unusable;
use crate::{
    error::{Code, Error, Result},
    serving::{
        frame::{Column, Frame, Values},
        signature::{Form, Input, Schema, Type},
    },
};

/// What a model is fed with.
pub(super) enum Feed {
    /// All inputs side by side.
    Matrix(TensorElementType),
    /// Each by itself.
    Columns(Vec<Place>),
}

/// One input of a model.
pub(super) struct Place {
    /// Of which input of the signature.
    at: usize,
    kind: TensorElementType,
    /// Whether it has one dimension instead of two.
    is_flat: bool,
}

impl Feed {
    /// How the inputs of the signature go into the model.
    pub fn of(session: &Session, schema: &Schema) -> Result<Self> {
        let inputs = session.inputs();
        let wrong = |why: String| Err(unusable(&why));
        if let [only] = inputs {
            let ValueType::Tensor { ty, shape, .. } = only.dtype() else {
                return wrong(format!("its input '{}' is no tensor", only.name()));
            };
            if shape.len() == 2 && (schema.inputs.len() > 1 || schema.form == Form::Tensor) {
                check_matrix(only.name(), *ty, shape.get(1).copied().unwrap_or(-1), schema)?;
                return Ok(Self::Matrix(*ty));
            }
        }
        let mut places = Vec::with_capacity(inputs.len());
        for input in inputs {
            let at = match (inputs.len(), schema.inputs.len()) {
                (1, 1) => Some(0),
                _ => schema.position(input.name(), places.len()),
            };
            let named = at.and_then(|at| Some((at, schema.inputs.get(at)?)));
            let (Some((at, of)), ValueType::Tensor { ty, shape, .. }) = (named, input.dtype()) else {
                return wrong(format!("its input '{}' is none of the signature's", input.name()));
            };
            if !fits(of.kind, *ty) {
                return wrong(format!(
                    "its input '{}' is a tensor of {ty}, and the signature says {}",
                    input.name(),
                    of.kind.name()
                ));
            }
            places.push(Place { at, kind: *ty, is_flat: shape.len() == 1 });
        }
        Ok(Self::Columns(places))
    }

    /// The tensors of these rows, in the model's order.
    pub fn inputs(&self, schema: &Schema, frame: &Frame) -> Result<Vec<SessionInputValue<'static>>> {
        let places = match self {
            Self::Matrix(kind) => return Ok(vec![matrix(schema, frame, *kind)?]),
            Self::Columns(places) => places,
        };
        let tensors = places.iter().map(|Place { at, kind, is_flat }| {
            let (column, input) = (frame.columns.get(*at), schema.inputs.get(*at));
            let (Some(column), Some(input)) = (column, input) else {
                return Err(Error::internal("an input has no column"));
            };
            tensor(input, column, *kind, *is_flat)
        });
        tensors.collect()
    }
}

fn check_matrix(name: &str, kind: TensorElementType, width: i64, schema: &Schema) -> Result<()> {
    use TensorElementType::{Float32, Float64, Int64};
    if let Some(input) = schema.inputs.iter().find(|input| !input.kind.is_number()) {
        return Err(unusable(&format!(
            "its input '{name}' is one tensor, and the column '{}' is no number",
            input.name
        )));
    }
    if !matches!(kind, Float32 | Float64 | Int64) {
        return Err(unusable(&format!("its input '{name}' is a tensor of {kind}")));
    }
    let columns = schema.inputs.len();
    if width > 0 && usize::try_from(width) != Ok(columns) {
        return Err(unusable(&format!(
            "its input '{name}' has {width} columns, and the signature has {columns}"
        )));
    }
    Ok(())
}

/// Whether values of a type of the signature's go into a tensor of this type.
fn fits(kind: Type, tensor: TensorElementType) -> bool {
    use TensorElementType::{Bool, Float32, Float64, Int32, Int64};
    match kind {
        Type::String => tensor == TensorElementType::String,
        Type::Binary => false,
        Type::Datetime => tensor == Int64,
        Type::Boolean | Type::Integer | Type::Long | Type::Float | Type::Double => {
            matches!(tensor, Bool | Float32 | Float64 | Int32 | Int64)
        }
    }
}

/// What numbers become in a tensor: nothing, where it cannot hold them.
trait Number: Sized {
    fn of_long(value: i64) -> Option<Self>;
    fn of_double(value: f64) -> Option<Self>;
}

impl Number for f32 {
    fn of_long(value: i64) -> Option<Self> {
        Some(value as Self)
    }

    fn of_double(value: f64) -> Option<Self> {
        let made = value as Self;
        (!made.is_infinite()).then_some(made)
    }
}

impl Number for f64 {
    fn of_long(value: i64) -> Option<Self> {
        Some(value as Self)
    }

    fn of_double(value: f64) -> Option<Self> {
        Some(value)
    }
}

impl Number for i64 {
    fn of_long(value: i64) -> Option<Self> {
        Some(value)
    }

    fn of_double(value: f64) -> Option<Self> {
        // From 2^63 on there is no such integer. NaN is none either.
        let is_one = value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0;
        is_one.then_some(value as Self)
    }
}

impl Number for i32 {
    fn of_long(value: i64) -> Option<Self> {
        Self::try_from(value).ok()
    }

    fn of_double(value: f64) -> Option<Self> {
        i64::of_double(value).and_then(Self::of_long)
    }
}

impl Number for bool {
    fn of_long(value: i64) -> Option<Self> {
        matches!(value, 0 | 1).then_some(value == 1)
    }

    fn of_double(value: f64) -> Option<Self> {
        i64::of_double(value).and_then(Self::of_long)
    }
}

/// Numbers of a column, each as the type that is asked for.
fn numbers<T: Number>(
    input: &Input,
    column: &Column,
    kind: TensorElementType,
    mut put: impl FnMut(T),
) -> Result<()> {
    let beyond = |row: usize| {
        let what = match kind {
            TensorElementType::Float32 => {
                "beyond the range of 32 bits, in which the model computes".to_owned()
            }
            kind => format!("none of the type {kind}, with which the model computes"),
        };
        Error::new(Code::BadRequest, format!("Column '{}', row {row}: the number is {what}.", input.name))
    };
    macro_rules! each {
        ($values:expr, $convert:expr) => {
            for (row, value) in $values.iter().enumerate() {
                put($convert(*value).ok_or_else(|| beyond(row))?);
            }
        };
    }
    match &column.values {
        Values::Boolean(values) => each!(values, |value| T::of_long(i64::from(value))),
        Values::Integer(values) => each!(values, |value| T::of_long(i64::from(value))),
        Values::Long(values) | Values::Datetime(values) => each!(values, T::of_long),
        Values::Float(values) => each!(values, |value| T::of_double(f64::from(value))),
        Values::Double(values) => each!(values, T::of_double),
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
    let shape = [frame.rows, frame.columns.len()];
    match kind {
        TensorElementType::Float32 => {
            owned(Tensor::from_array((shape, side_by_side::<f32>(schema, frame, kind)?)))
        }
        TensorElementType::Float64 => {
            owned(Tensor::from_array((shape, side_by_side::<f64>(schema, frame, kind)?)))
        }
        TensorElementType::Int64 => {
            owned(Tensor::from_array((shape, side_by_side::<i64>(schema, frame, kind)?)))
        }
        other => Err(unusable(&format!("its input is a tensor of {other}"))),
    }
}

fn side_by_side<T: Number + Clone + Default>(
    schema: &Schema,
    frame: &Frame,
    kind: TensorElementType,
) -> Result<Vec<T>> {
    let width = frame.columns.len();
    let mut cells = vec![T::default(); frame.rows * width];
    for (at, (column, input)) in frame.columns.iter().zip(&schema.inputs).enumerate() {
        let mut place = at;
        numbers(input, column, kind, |value| {
            if let Some(cell) = cells.get_mut(place) {
                *cell = value;
            }
            place += width;
        })?;
    }
    Ok(cells)
}

/// One input by itself.
fn tensor(
    input: &Input,
    column: &Column,
    kind: TensorElementType,
    is_flat: bool,
) -> Result<SessionInputValue<'static>> {
    let rows = column.len() as i64;
    let shape = if is_flat { vec![rows] } else { vec![rows, 1] };
    macro_rules! gather {
        ($kind:ty) => {{
            let mut cells: Vec<$kind> = Vec::with_capacity(column.len());
            numbers(input, column, kind, |value| cells.push(value))?;
            owned(Tensor::from_array((shape, cells)))
        }};
    }
    match (kind, &column.values) {
        (TensorElementType::String, Values::String(values)) => {
            let made: ort::Result<Tensor<String>> = Tensor::from_string_array((shape, &values[..]));
            made.map(SessionInputValue::from).map_err(|error| Error::internal(error.to_string()))
        }
        (TensorElementType::Float32, _) => gather!(f32),
        (TensorElementType::Float64, _) => gather!(f64),
        (TensorElementType::Int64, _) => gather!(i64),
        (TensorElementType::Int32, _) => gather!(i32),
        (TensorElementType::Bool, _) => gather!(bool),
        (other, _) => Err(unusable(&format!("one of its inputs is a tensor of {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered<T: Number>(values: Values, kind: TensorElementType) -> Result<Vec<T>> {
        let input = Input { name: "x".into(), kind: Type::Double, required: true };
        let mut cells = Vec::new();
        let column = Column { values, missing: Vec::new() };
        numbers(&input, &column, kind, |value| cells.push(value)).map(|()| cells)
    }

    #[test]
    fn a_number_keeps_its_value_or_is_refused() {
        use TensorElementType::{Bool, Float32, Int32, Int64};
        assert_eq!(gathered::<i64>(Values::Double(vec![2.0, -3.0]), Int64).unwrap(), [2, -3]);
        assert_eq!(gathered::<bool>(Values::Boolean(vec![true, false]), Bool).unwrap(), [true, false]);
        let nan = gathered::<f32>(Values::Double(vec![f64::NAN]), Float32).unwrap();
        assert!(nan[0].is_nan(), "a missing value stays one");
        for error in [
            gathered::<i64>(Values::Double(vec![0.0, 1.5]), Int64).map(|_| ()),
            gathered::<i64>(Values::Double(vec![0.0, f64::NAN]), Int64).map(|_| ()),
            gathered::<i64>(Values::Double(vec![0.0, 1e300]), Int64).map(|_| ()),
            gathered::<i32>(Values::Long(vec![0, 1 << 40]), Int32).map(|_| ()),
            gathered::<bool>(Values::Long(vec![1, 2]), Bool).map(|_| ()),
            gathered::<f32>(Values::Double(vec![0.0, 1e300]), Float32).map(|_| ()),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.message().starts_with("Column 'x', row 1: the number is "), "{error}");
        }
    }

    #[test]
    fn texts_and_numbers_do_not_go_together() {
        use TensorElementType::{Float32, Int64};
        assert!(fits(Type::Long, Float32) && fits(Type::String, TensorElementType::String));
        for (kind, tensor) in [
            (Type::String, Float32),
            (Type::Double, TensorElementType::String),
            (Type::Binary, Int64),
            (Type::Datetime, Float32),
        ] {
            assert!(!fits(kind, tensor), "{kind:?} {tensor}");
        }
    }
}
