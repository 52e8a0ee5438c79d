//! How foreign JSON is read and written: the rules that MLflow's and Databricks' clients share.
//!
//! Names in snake_case or camelCase (by serde aliases), unknown fields ignored, 64-bit integers as numbers or decimal
//! text, doubles as numbers or `NaN`, `Infinity`, `-Infinity`. Where the reference server is lax and loses data (broken
//! JSON read as an empty object, wrong types dropped), the answer here is a refusal that names the field.

use std::fmt;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, Visitor},
};
use serde_json::{Map, Value};

use super::PathParams;
use crate::error::{Code, Error, Result};

/// What a typed request is read from.
pub struct Input {
    /// The body.
    pub body: Bytes,
    /// The query text, without `?`.
    pub query: String,
    /// Values of the path.
    pub params: PathParams,
}

/// Reads a request type: the body's fields, then the query's, then the path's, later ones winning.
pub fn parse<T: DeserializeOwned>(input: &Input) -> Result<T> {
    if input.params.is_empty() && input.query.is_empty() && input.body.first() == Some(&b'{') {
        return from_slice(&input.body);
    }
    let mut fields = match input.body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Map::new(),
        Some(_) => match from_slice::<Value>(&input.body)? {
            Value::Object(fields) => fields,
            // Some clients send the object as a JSON text.
            Value::String(text) => from_slice::<Map<String, Value>>(text.as_bytes())?,
            Value::Null => Map::new(),
            other => {
                return Err(Error::new(
                    Code::BadRequest,
                    format!("The body must be a JSON object; it is {}.", kind_of(&other)),
                ));
            }
        },
    };
    for (name, value) in url::form_urlencoded::parse(input.query.as_bytes()) {
        match fields.get_mut(name.as_ref()) {
            Some(Value::Array(values)) => values.push(Value::String(value.into_owned())),
            Some(earlier @ Value::String(_)) if input.body.is_empty() => {
                *earlier = Value::Array(vec![earlier.take(), Value::String(value.into_owned())]);
            }
            _ => {
                fields.insert(name.into_owned(), Value::String(value.into_owned()));
            }
        }
    }
    fields.extend(input.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
    let whole = Value::Object(fields);
    serde_path_to_error::deserialize(&whole).map_err(|error| {
        let path = error.path().to_string();
        wrong_field(&path, &error.into_inner(), Some(&whole))
    })
}

/// Reads JSON bytes.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let whole = serde_json::from_slice::<Value>(bytes).ok();
            wrong_field(&path, &inner, whole.as_ref())
        } else {
            broken(&inner)
        }
    })?;
    reader.end().map_err(|error| broken(&error))?;
    Ok(value)
}

fn broken(error: &serde_json::Error) -> Error {
    Error::new(Code::BadRequest, format!("The body is not valid JSON: {error}."))
}

/// What is wrong with one field, with the value that came.
fn wrong_field(path: &str, error: &serde_json::Error, whole: Option<&Value>) -> Error {
    let text = error.to_string();
    let why = text.split(" at line ").next().unwrap_or(&text);
    if let Some(field) = why.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let path = if path == "." { field.to_owned() } else { format!("{path}.{field}") };
        return Error::required(&path);
    }
    let shown = whole.and_then(|whole| lookup(whole, path)).map(|value| {
        let mut text = value.to_string();
        if text.len() > 200 {
            let cut = (0..=200).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(cut);
            text.push('…');
        }
        text
    });
    match shown {
        Some(value) => {
            Error::invalid(format!("Invalid value {value} for parameter '{path}' supplied: {why}."))
        }
        None => Error::invalid(format!("Invalid value for parameter '{path}' supplied: {why}.")),
    }
}

/// Follows a path such as `metrics[3].value`.
fn lookup<'v>(whole: &'v Value, path: &str) -> Option<&'v Value> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).try_fold(whole, |value, part| {
        match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?),
            None => value.get(part),
        }
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A 200 with JSON.
pub fn json_response<T: Serialize>(value: &T) -> Result<Response> {
    let bytes = serde_json::to_vec(value).map_err(Error::internal)?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The empty answer `{}`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Empty {}

/// A required text: absent and empty are the same to these protocols.
pub fn required<'t>(field: &'t Option<String>, path: &str) -> Result<&'t str> {
    field.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| Error::required(path))
}

/// A 64-bit integer that may come as a number or as decimal text. It leaves as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int64(pub i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Int64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit integer")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Int64, E> {
                Ok(Int64(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Int64, E> {
                i64::try_from(value).map(Int64).map_err(|_| E::custom("it does not fit into 64 bits"))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Int64, E> {
                // Exact integers below 2^53 only: anything else would be stored as another number than was sent.
                if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
                    Ok(Int64(value as i64))
                } else {
                    Err(E::custom("it is not an integer of 64 bits"))
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Int64, E> {
                text.trim().parse().map(Int64).map_err(|_| E::custom("it is not an integer of 64 bits"))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl JsonSchema for Int64 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Int64".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "format": "int64" }, { "type": "string", "pattern": "^-?[0-9]+$" }] })
    }
}

/// A double that may be `NaN`, `Infinity` or `-Infinity` as text, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Double(pub f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or \"NaN\", \"Infinity\", \"-Infinity\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Double, E> {
                Ok(Double(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Double, E> {
                match text {
                    "NaN" | "nan" => Ok(Double(f64::NAN)),
                    "Infinity" | "inf" => Ok(Double(f64::INFINITY)),
                    "-Infinity" | "-inf" => Ok(Double(f64::NEG_INFINITY)),
                    text => text.trim().parse().map(Double).map_err(|_| E::custom("it is not a number")),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }
}

impl JsonSchema for Double {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Double".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
    }
}

/// A list that may also come as one value, as a query with a single repetition does.
pub fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Reader<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = seq.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(de::value::StrDeserializer::new(text)).map(|value| vec![value])
        }
        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }
    deserializer.deserialize_any(Reader(std::marker::PhantomData))
}

/// A truth value that may come as a boolean or, in a query, as text.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(value) => Ok(value),
        Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" || text.is_empty() => {
            Ok(false)
        }
        Value::Null => Ok(false),
        other => Err(de::Error::custom(format!("{other} is not true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Sample {
        name: Option<String>,
        #[serde(default, deserialize_with = "one_or_many")]
        ids: Vec<String>,
        step: Option<Int64>,
        value: Option<Double>,
    }

    fn input(body: &str, query: &str) -> Input {
        Input { body: Bytes::from(body.to_owned()), query: query.into(), params: PathParams::new() }
    }

    #[test]
    fn integers_and_doubles_come_in_both_forms() {
        let sample: Sample = parse(&input(r#"{"step": "42", "value": "NaN"}"#, "")).unwrap();
        assert_eq!(sample.step, Some(Int64(42)));
        assert!(sample.value.unwrap().0.is_nan());
        let sample: Sample = parse(&input("", "ids=a&ids=b&step=7")).unwrap();
        assert_eq!((sample.ids, sample.step), (vec!["a".into(), "b".into()], Some(Int64(7))));
        let sample: Sample = parse(&input("", "ids=a")).unwrap();
        assert_eq!(sample.ids, vec!["a"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let check = |body: &str, code: Code, part: &str| {
            let error = parse::<Sample>(&input(body, "")).unwrap_err();
            assert_eq!(error.code(), code, "{body}: {error}");
            assert!(error.message().contains(part), "{body}: {error}");
        };
        check("{", Code::BadRequest, "not valid JSON");
        check("[]", Code::BadRequest, "a list");
        check(r#"{"name": 5}"#, Code::InvalidParameterValue, "Invalid value 5 for parameter 'name'");
        check(r#"{"step": 1.5}"#, Code::InvalidParameterValue, "'step'");
        check(r#"{"value": NaN}"#, Code::BadRequest, "not valid JSON");
        check(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), Code::BadRequest, "not valid JSON");
        check(
            &format!("{{\"name\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
            Code::InvalidParameterValue,
            "name",
        );
    }
}
