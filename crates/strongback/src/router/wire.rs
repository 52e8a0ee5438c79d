//! How foreign JSON is read and written: the rules that MLflow's and Databricks' clients share.
//!
//! Names in snake_case or camelCase (by serde aliases), unknown fields ignored, 64-bit integers as numbers or decimal
//! text, doubles as numbers or `NaN`, `Infinity`, `-Infinity`. Where the reference server is lax and loses data (broken
//! JSON read as an empty object, wrong types dropped), the answer here is a refusal that names the field.

use std::{collections::HashSet, fmt};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, Visitor},
};
use serde_json::{Map, Value};

use super::{PathParams, guard};
use crate::error::{Code, Error, Result};

/// Levels that a body may be nested.
const DEPTH_MAX: usize = 100;
/// Digits in a row that no ordinary number exceeds.
const DIGITS_PLAIN: usize = 24;

/// Names of the fields of a request that are lists.
pub type ListFields = HashSet<String>;

/// What a typed request is read from.
pub struct Input {
    /// The body.
    pub body: Bytes,
    /// The query text, without `?`.
    pub query: String,
    /// Values of the path.
    pub params: PathParams,
}

/// Reads the whole of a request that brings JSON; a body of more than `most` bytes is refused before it is held.
pub async fn read_input(request: Request<Body>, params: PathParams, most: usize) -> Result<Input> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_json = guard::is_json(request.headers());
    let body = Limited::new(request.into_body(), most).collect().await.map_err(|error| {
        if is_too_large(&*error) {
            let message = format!("The body is larger than the limit of {most} bytes. Send less at once.");
            Error::new(Code::BadRequest, message).with_status(413)
        } else {
            Error::new(Code::BadRequest, "The body broke off before its end. Send the request again.")
                .because(error)
        }
    })?;
    let body = body.to_bytes();
    if !is_json && !body.is_empty() {
        return Err(not_json());
    }
    Ok(Input { body, query, params })
}

/// The error for a body that is not said to be JSON.
pub fn not_json() -> Error {
    Error::invalid("Bad Request. Content-Type must be 'application/json' for this endpoint.")
}

/// Whether a body was given up for its length, here or by a limit around it.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Reads a request type: the body's fields, then the query's, then the path's, later ones winning. `lists` names the
/// fields that are lists: a query that has such a field once means a list of one.
pub fn parse<T: DeserializeOwned>(input: &Input, lists: &ListFields) -> Result<T> {
    let suspicious = scan(&input.body)?;
    if !suspicious && input.params.is_empty() && input.query.is_empty() && input.body.first() == Some(&b'{') {
        return from_slice(&input.body);
    }
    let mut fields = read_object(&input.body)?;
    for pair in input.query.split('&') {
        if percent_encoding::percent_decode_str(pair).decode_utf8().is_err() {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(Error::invalid(format!(
                "Invalid value for parameter '{name}' supplied: decoded, it is not UTF-8 text."
            )));
        }
    }
    for (name, value) in url::form_urlencoded::parse(input.query.as_bytes()) {
        let value = Value::String(value.into_owned());
        if lists.contains(name.as_ref()) {
            match fields.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(values) => values.push(value),
                other => *other = Value::Array(vec![value]),
            }
        } else {
            fields.insert(name.into_owned(), value);
        }
    }
    fields.extend(input.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
    let whole = Value::Object(fields);
    if let Some(path) = find_nul(&whole, String::new()) {
        return Err(Error::invalid(format!(
            "Invalid value for parameter '{path}' supplied: it contains a NUL character. Remove it."
        )));
    }
    serde_path_to_error::deserialize(&whole).map_err(|error| {
        let path = error.path().to_string();
        wrong_field(&path, &error.into_inner(), Some(&whole))
    })
}

/// Reads the body as an object. No body is an empty one; some clients send the object as a JSON text.
fn read_object(body: &[u8]) -> Result<Map<String, Value>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match from_slice::<Value>(body)? {
        Value::Object(fields) => Ok(fields),
        Value::String(text) => from_slice(text.as_bytes()),
        Value::Null => Ok(Map::new()),
        other => Err(Error::new(
            Code::BadRequest,
            format!("The body must be a JSON object; it is {}.", kind_of(&other)),
        )),
    }
}

/// Looks at the raw bytes before anything is built from them: broken text and deep nesting are refused, and the answer
/// says whether there is something (an escape, a long number) that must be read as a whole, since a reader of known
/// fields passes over what it does not know without looking.
fn scan(body: &[u8]) -> Result<bool> {
    if std::str::from_utf8(body).is_err() {
        return Err(Error::new(Code::BadRequest, "The body is not valid JSON: it is not UTF-8 text."));
    }
    let (mut depth, mut in_text, mut suspicious, mut digits) = (0_usize, false, false, 0_usize);
    let mut bytes = body.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_text => suspicious |= bytes.next() == Some(b'u'),
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Error::new(
                        Code::BadRequest,
                        format!("The body is nested deeper than {DEPTH_MAX} levels. Send it flatter."),
                    ));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'0'..=b'9' => {
                digits += 1;
                suspicious |= digits > DIGITS_PLAIN;
                continue;
            }
            b'e' | b'E' if digits > 0 => suspicious = true,
            _ => {}
        }
        digits = 0;
    }
    Ok(suspicious)
}

/// Where a text has a NUL, which neither database stores.
fn find_nul(value: &Value, path: String) -> Option<String> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::String(text) => text.contains('\0').then_some(path),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(at, value)| find_nul(value, format!("{path}[{at}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') { Some(below("(a name)")) } else { find_nul(value, below(name)) }
        }),
        _ => None,
    }
}

/// Names of the fields of a request type that are lists, in both spellings.
pub fn list_fields<T: JsonSchema>() -> ListFields {
    let schema = schemars::schema_for!(T);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return HashSet::new() };
    let is_list = |schema: &Value| match &schema["type"] {
        Value::String(kind) => kind == "array",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "array"),
        _ => false,
    };
    properties
        .iter()
        .filter(|(_, schema)| is_list(schema))
        .flat_map(|(name, _)| [name.clone(), camel_case(name)])
        .collect()
}

/// `run_ids` as `runIds`.
pub fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' => raise = true,
            letter if raise => {
                out.extend(letter.to_uppercase());
                raise = false;
            }
            letter => out.push(letter),
        }
    }
    out
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

/// A list; null is the empty one.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
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

    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "read by the derived code only")]
    struct Sample {
        name: Option<String>,
        #[serde(default, deserialize_with = "list")]
        ids: Vec<String>,
        step: Option<Int64>,
        value: Option<Double>,
    }

    fn read(body: &str, query: &str) -> Result<Sample> {
        parse(&input(body, query), &list_fields::<Sample>())
    }

    fn input(body: &str, query: &str) -> Input {
        Input { body: Bytes::from(body.to_owned()), query: query.into(), params: PathParams::new() }
    }

    #[test]
    fn integers_and_doubles_come_in_both_forms() {
        let sample: Sample = read(r#"{"step": "42", "value": "NaN"}"#, "").unwrap();
        assert_eq!(sample.step, Some(Int64(42)));
        assert!(sample.value.unwrap().0.is_nan());
        let sample: Sample = read("", "ids=a&ids=b&step=7").unwrap();
        assert_eq!((sample.ids, sample.step), (vec!["a".into(), "b".into()], Some(Int64(7))));
        let sample: Sample = read("", "ids=a").unwrap();
        assert_eq!(sample.ids, vec!["a"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let check = |body: &str, code: Code, part: &str| {
            let error = read(body, "").unwrap_err();
            assert_eq!(error.code(), code, "{body}: {error}");
            assert!(error.message().contains(part), "{body}: {error}");
        };
        check("{", Code::BadRequest, "not valid JSON");
        check("[]", Code::BadRequest, "a list");
        check(r#"{"name": 5}"#, Code::InvalidParameterValue, "Invalid value 5 for parameter 'name'");
        check(r#"{"step": 1.5}"#, Code::InvalidParameterValue, "'step'");
        check(r#"{"value": NaN}"#, Code::BadRequest, "not valid JSON");
        check(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), Code::BadRequest, "nested deeper");
        let deep = format!("{{\"other\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        check(&deep, Code::BadRequest, "nested deeper");
        check(r#"{"other": "\ud800"}"#, Code::BadRequest, "not valid JSON");
        check(r#"{"other": 1e999}"#, Code::BadRequest, "not valid JSON");
        check(&format!("{{\"other\": {}}}", "9".repeat(400)), Code::BadRequest, "not valid JSON");
        check(r#"{"name": "a\u0000b"}"#, Code::InvalidParameterValue, "'name'");
        check(r#"{"ids": "a"}"#, Code::InvalidParameterValue, "'ids'");
    }
}
