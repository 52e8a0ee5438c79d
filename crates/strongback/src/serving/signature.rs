//! What a model takes: the inputs of its signature as types that a request is checked against.
//!
//! The forms are MLflow's: a list of named or unnamed columns, or one tensor of rows. A signature that says more than
//! that (nested types, several tensors, images) or nothing at all makes a [`Form::Free`] model, whose requests its Python
//! process reads as MLflow does.

use std::{collections::HashMap, sync::Arc};

use lake::arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::registry::signature::Signature;

/// The type of a value, by MLflow's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// 32 bits with sign.
    Integer,
    /// 64 bits with sign.
    Long,
    /// 32 bits, IEEE 754.
    Float,
    /// 64 bits, IEEE 754.
    Double,
    /// Text.
    String,
    /// Bytes; Base64 in JSON.
    Binary,
    /// A moment, in microseconds since the epoch.
    Datetime,
}

impl Type {
    /// As MLflow writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Datetime => "datetime",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        use Type::{Binary, Boolean, Datetime, Double, Float, Integer, Long, String};
        [Boolean, Integer, Long, Float, Double, String, Binary, Datetime]
            .into_iter()
            .find(|one| one.name() == name)
    }

    /// Of a tensor, by numpy's names.
    fn of_numpy(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Boolean,
            "int8" | "int16" | "int32" | "uint8" | "uint16" => Self::Integer,
            "int64" | "uint32" => Self::Long,
            "float16" | "float32" => Self::Float,
            "float64" => Self::Double,
            _ => return None,
        })
    }

    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Long | Self::Float | Self::Double)
    }

    /// As a column of a table.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Datetime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its name; of a position, its number from 0.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether each row must have a value.
    pub required: bool,
}

/// How the inputs of a row are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By name.
    Named,
    /// By position.
    Positional,
    /// By position in a tensor of rows, which the model gets as such.
    Tensor,
    /// As the model's own code reads it.
    Free,
}

impl Form {
    /// As a worker is told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Positional => "positional",
            Self::Tensor => "tensor",
            Self::Free => "free",
        }
    }
}

/// What a model takes.
#[derive(Debug, Clone)]
pub struct Schema {
    /// In the signature's order; empty where the form is free.
    pub inputs: Vec<Input>,
    /// How they are told apart.
    pub form: Form,
    positions: HashMap<String, usize>,
    /// Made once: a request that would make it would spend a good part of its time on that.
    arrow: ArrowSchemaRef,
}

impl Schema {
    /// Of what a version's signature says; without one the form is free.
    pub fn new(parts: Option<&Map<String, Json>>) -> Self {
        let entries = parts.and_then(|parts| parts.get("inputs")).and_then(Json::as_array);
        let found = entries.and_then(|entries| columns(entries).or_else(|| tensor(entries)));
        let (inputs, form) = found.unwrap_or((Vec::new(), Form::Free));
        Self::of(inputs, form)
    }

    /// Of a version's signature, as far as it is known.
    pub fn of_signature(signature: Option<&Signature>) -> Self {
        match signature {
            Some(Signature::Known(parts)) => Self::new(Some(parts)),
            _ => Self::new(None),
        }
    }

    /// As columns of a table, each of which may be empty.
    pub fn arrow(&self) -> &ArrowSchemaRef {
        &self.arrow
    }

    /// Of these inputs.
    pub(super) fn of(inputs: Vec<Input>, form: Form) -> Self {
        let positions = inputs.iter().enumerate().map(|(at, input)| (input.name.clone(), at)).collect();
        let fields = inputs.iter().map(|input| Field::new(&input.name, input.kind.arrow(), true));
        let arrow = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        Self { inputs, form, positions, arrow }
    }

    /// Where the input of this name stands. A guess that is right costs no look-up.
    pub fn position(&self, name: &str, guess: usize) -> Option<usize> {
        match self.inputs.get(guess) {
            Some(input) if input.name == name => Some(guess),
            _ => self.positions.get(name).copied(),
        }
    }
}

/// Named or unnamed columns of plain types; `None` if any is something else.
fn columns(entries: &[Json]) -> Option<(Vec<Input>, Form)> {
    let is_named = entries.first()?.get("name").is_some_and(Json::is_string);
    let inputs: Option<Vec<Input>> = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| {
            let name = entry.get("name").and_then(Json::as_str).map(str::to_owned);
            if name.is_some() != is_named {
                return None;
            }
            Some(Input {
                name: name.unwrap_or_else(|| at.to_string()),
                kind: Type::parse(entry.get("type")?.as_str()?)?,
                required: entry.get("required").and_then(Json::as_bool).unwrap_or(true),
            })
        })
        .collect();
    let inputs = inputs?;
    let mut names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    names.sort_unstable();
    let is_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    is_unique.then_some((inputs, if is_named { Form::Named } else { Form::Positional }))
}

/// Columns of a tensor at most: more are no rows of features.
const TENSOR_WIDTH_MAX: i64 = 20_000;

/// One unnamed tensor of the shape `[-1, width]`.
fn tensor(entries: &[Json]) -> Option<(Vec<Input>, Form)> {
    let [entry] = entries else { return None };
    let spec = entry.get("tensor-spec")?;
    if entry.get("name").is_some_and(Json::is_string) {
        return None;
    }
    let shape: Vec<i64> = spec.get("shape")?.as_array()?.iter().map(Json::as_i64).collect::<Option<_>>()?;
    let &[-1, width] = &shape[..] else { return None };
    let kind = Type::of_numpy(spec.get("dtype")?.as_str()?)?;
    let inputs = (0..width).map(|at| Input { name: at.to_string(), kind, required: true }).collect();
    (1..=TENSOR_WIDTH_MAX).contains(&width).then_some((inputs, Form::Tensor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(inputs: Json) -> Schema {
        let Json::Object(parts) = json!({ "inputs": inputs }) else { unreachable!() };
        Schema::new(Some(&parts))
    }

    #[test]
    fn plain_columns_and_one_tensor_are_typed_and_all_else_is_free() {
        let named = schema(json!([
            { "type": "double", "name": "amount", "required": true },
            { "type": "string", "name": "channel", "required": false },
        ]));
        assert_eq!((named.form, named.inputs.len()), (Form::Named, 2));
        assert!(named.inputs[0].required && !named.inputs[1].required);
        assert_eq!((named.position("channel", 0), named.position("other", 0)), (Some(1), None));
        let unnamed = schema(json!([{ "type": "long" }, { "type": "long" }]));
        assert_eq!((unnamed.form, unnamed.inputs[1].name.as_str()), (Form::Positional, "1"));
        let tensor =
            schema(json!([{ "type": "tensor", "tensor-spec": { "dtype": "float32", "shape": [-1, 3] } }]));
        assert_eq!((tensor.form, tensor.inputs.len(), tensor.inputs[2].kind), (Form::Tensor, 3, Type::Float));
        for free in [
            json!([{ "type": "array", "items": { "type": "long" }, "name": "a" }]),
            json!([{ "type": "tensor", "tensor-spec": { "dtype": "float32", "shape": [-1, 3, 3] } }]),
            json!([{ "type": "tensor", "tensor-spec": { "dtype": "float32", "shape": [-1, 3] }, "name": "x" }]),
            json!([{ "type": "long", "name": "a" }, { "type": "long", "name": "a" }]),
            json!([{ "type": "long", "name": "a" }, { "type": "long" }]),
            json!([]),
        ] {
            assert_eq!(schema(free.clone()).form, Form::Free, "{free}");
        }
        assert_eq!(Schema::new(None).form, Form::Free);
    }
}
