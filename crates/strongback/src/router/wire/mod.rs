//! How foreign JSON is read and written: the rules that MLflow's and Databricks' clients share.
//!
//! Names in snake_case or camelCase (by serde aliases), unknown fields ignored, 64-bit integers as numbers or decimal
//! text, doubles as numbers or `NaN`, `Infinity`, `-Infinity`. Where the reference server is lax and loses data (broken
//! JSON read as an empty object, wrong types dropped, the last of two values for one name kept), the answer here is a
//! refusal that names the field.

mod check;
mod merge;
mod number;

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, IgnoredAny, SeqAccess, Unexpected, Visitor},
};
use serde_json::{Map, Value};

pub use number::{Double, Int64};

use super::body::Input;
use crate::error::{Code, Error, Result};

/// Why a text is refused, wherever it stands.
const HAS_NUL: &str = "it contains a NUL character; remove it";

/// Bytes of a request whose wrong value is shown beside its place.
const SHOWN_FROM_MAX: usize = 1 << 20;
/// Entries of a list in a request.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of a value, or of a field's name, that a message repeats.
const SHOWN_BYTES_MAX: usize = 200;
/// Bytes of a reason, which may list what is allowed, and may repeat a value.
const WHY_BYTES_MAX: usize = 1_000;

/// Names of the fields of a request that are lists.
pub type ListFields = HashSet<String>;

/// Reads a request type: the body's fields, the query's and the path's. None may be given twice in one place, and the body says
/// nothing else than the others; clients repeat there what the path says. `lists` names the fields that are lists: a query that has such a field once means a list
/// of one. A large body is read beside the worker, which goes on with other requests meanwhile.
pub fn parse<T: DeserializeOwned>(input: &Input, lists: &ListFields) -> Result<T> {
    /// A worker is through with less in about a millisecond.
    const MUCH: usize = 128 << 10;
    if input.body.len() > MUCH {
        tokio::task::block_in_place(|| parse_here(input, lists))
    } else {
        parse_here(input, lists)
    }
}

fn parse_here<T: DeserializeOwned>(input: &Input, lists: &ListFields) -> Result<T> {
    let body = input.body.trim_ascii();
    if !body.is_empty() {
        check::check(body)?;
    }
    if input.params.is_empty() && input.query.is_empty() && body.first() == Some(&b'{') {
        return from_slice(body);
    }
    let mut query = Map::new();
    add_query(&mut query, &input.query, lists)?;
    let path =
        input.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    from_slice(&merge::over(&object(body)?, query, path)?)
}

fn add_query(fields: &mut Map<String, Value>, query: &str, lists: &ListFields) -> Result<()> {
    let wrong = |name: &str, why: &str| {
        Error::invalid(format!(
            "Invalid value for parameter '{}' supplied: {why}.",
            name.replace('\0', "\\0")
        ))
    };
    for pair in query.split('&') {
        if percent_encoding::percent_decode_str(pair).decode_utf8().is_err() {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(wrong(name, "decoded, it is not UTF-8 text"));
        }
    }
    let mut seen = HashSet::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name.contains('\0') || value.contains('\0') {
            return Err(wrong(&name, HAS_NUL));
        }
        let is_first = seen.insert(name.clone());
        let value = Value::String(value.into_owned());
        if lists.contains(name.as_ref()) {
            match fields.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(values) => values.push(value),
                other => *other = Value::Array(vec![value]),
            }
        } else if is_first {
            fields.insert(name.into_owned(), value);
        } else {
            return Err(wrong(&name, check::REPEATED));
        }
    }
    Ok(())
}

/// The body as the text of an object. No body is an empty one; some clients send the object as a JSON text.
fn object(body: &[u8]) -> Result<Cow<'_, [u8]>> {
    let kind = match body.first() {
        None => return Ok(Cow::Borrowed(b"{}")),
        Some(b'{') => return Ok(Cow::Borrowed(body)),
        Some(b'"') => {
            let text: String = from_slice(body)?;
            check::check(text.as_bytes())?;
            if text.trim_start().starts_with('{') {
                return Ok(Cow::Owned(text.into_bytes()));
            }
            "a text without an object in it"
        }
        Some(b'n') => return from_slice::<()>(body).map(|()| Cow::Borrowed(&b"{}"[..])),
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(_) => "a number",
    };
    from_slice::<IgnoredAny>(body)?;
    Err(Error::new(Code::BadRequest, format!("The body must be a JSON object; it is {kind}.")))
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
            // As values a text takes many times its size: of a large one the place is named alone.
            let small = Some(bytes).filter(|bytes| bytes.len() <= SHOWN_FROM_MAX);
            let whole = small.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
            let finer = whole.as_ref().and_then(|whole| finer_path::<T>(whole, &path));
            wrong_field(finer.as_deref().unwrap_or(&path), &inner, whole.as_ref())
        } else {
            check::unreadable(bytes, &inner)
        }
    })?;
    reader.end().map_err(|error| broken(&error))?;
    Ok(value)
}

fn broken(error: &serde_json::Error) -> Error {
    Error::new(Code::BadRequest, format!("The body is not valid JSON: {error}."))
}

/// At most so many bytes of what a caller sent.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

/// What is wrong with one field, with the value that came.
fn wrong_field(path: &str, error: &serde_json::Error, whole: Option<&Value>) -> Error {
    let text = error.to_string();
    let why = cut(text.split(" at line ").next().unwrap_or(&text).to_owned(), WHY_BYTES_MAX);
    let shown =
        whole.and_then(|whole| lookup(whole, path)).map(|value| cut(value.to_string(), SHOWN_BYTES_MAX));
    let path = &cut(path.to_owned(), SHOWN_BYTES_MAX);
    if let Some(field) = why.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let path = if path == "." { field.to_owned() } else { format!("{path}.{field}") };
        return Error::required(&path);
    }
    match shown {
        Some(value) => {
            Error::invalid(format!("Invalid value {value} for parameter '{path}' supplied: {why}."))
        }
        None => Error::invalid(format!("Invalid value for parameter '{path}' supplied: {why}.")),
    }
}

/// The path to the wrong field, where the path of an error ends above it: `serde(flatten)` reads its fields through a
/// buffer, in which their places are lost. It is the field without which the error is gone; only small requests are
/// read again for that.
fn finer_path<T: DeserializeOwned>(whole: &Value, path: &str) -> Option<String> {
    const FIELDS_MAX: usize = 64;
    const BYTES_MAX: usize = 64 << 10;
    const MISSING: &str = "missing field";
    let fields = lookup(whole, path)?.as_object().filter(|fields| fields.len() <= FIELDS_MAX)?;
    if whole.to_string().len() > BYTES_MAX {
        return None;
    }
    let error_of = |value: &Value| T::deserialize(value).err().map(|error| error.to_string());
    let error = error_of(whole).filter(|error| !error.starts_with(MISSING))?;
    let is_wrong = |name: &&String| {
        let mut without = whole.clone();
        match lookup_mut(&mut without, path).and_then(Value::as_object_mut) {
            Some(fields) => fields.remove(*name),
            None => return false,
        };
        error_of(&without).is_none_or(|other| other != error && !other.starts_with(MISSING))
    };
    let name = fields.keys().find(is_wrong)?;
    Some(if path == "." { name.clone() } else { format!("{path}.{name}") })
}

/// Follows a path such as `metrics[3].value`.
fn lookup<'v>(whole: &'v Value, path: &str) -> Option<&'v Value> {
    steps(path).try_fold(whole, |value, step| match step {
        Step::Entry(index) => value.get(index?),
        Step::Field(name) => value.get(name),
    })
}

/// A step of a path.
enum Step<'p> {
    /// Of a list; `None` is what stands at no number.
    Entry(Option<usize>),
    Field(&'p str),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(|part| match part.strip_suffix(']') {
        Some(index) => Step::Entry(index.parse().ok()),
        None => Step::Field(part),
    })
}

/// The same, to change what is there.
fn lookup_mut<'v>(whole: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    steps(path).try_fold(whole, |value, step| match step {
        Step::Entry(index) => value.get_mut(index?),
        Step::Field(name) => value.get_mut(name),
    })
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

/// A list; null is the empty one. No list of these protocols has nearly [`ENTRIES_MAX`]; entries take more memory than
/// their text.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a sequence")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == ENTRIES_MAX {
                    return Err(de::Error::custom(format_args!("it has more than {ENTRIES_MAX} entries")));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(List(PhantomData))
}

/// A truth value that may come as a boolean or, in a query, as text; null is false.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;

    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("true or false")
        }

        fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }

        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
            match text {
                _ if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
                _ if text.eq_ignore_ascii_case("false") || text == "0" || text.is_empty() => Ok(false),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }

    deserializer.deserialize_any(Flag)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::router::PathParams;

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
        Input::new(Bytes::from(body.to_owned()), query.into(), PathParams::new())
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

    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "read by the derived code only")]
    struct Grouped {
        name: String,
        #[serde(default)]
        below: Vec<Grouped>,
        #[serde(flatten)]
        sample: Sample,
    }

    #[test]
    fn a_wrong_field_of_a_group_is_named_as_any_other() {
        let check = |body: &str, query: &str, start: &str| {
            let lists = list_fields::<Grouped>();
            let error = parse::<Grouped>(&input(body, query), &lists).unwrap_err();
            assert!(error.message().starts_with(start), "{body}: {error}");
        };
        check(r#"{"name": "a", "step": 1.5}"#, "", "Invalid value 1.5 for parameter 'step'");
        check(r#"{"name": "a"}"#, "step=x", "Invalid value \"x\" for parameter 'step'");
        check(r#"{"name": "a", "value": "x", "step": {}}"#, "", "Invalid value ");
        let below = r#"{"name": "a", "below": [{"name": "b"}, {"name": "c", "value": true}]}"#;
        check(below, "", "Invalid value true for parameter 'below[1].value'");
        check(r#"{"name": {"a": 1}}"#, "", "Invalid value {\"a\":1} for parameter 'name'");
        check(r#"{"value": 1}"#, "", "Missing value for required parameter 'name'");
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
        check("\"[1]\"", Code::BadRequest, "a text without an object in it");
        check(r#"{"name": 5}"#, Code::InvalidParameterValue, "Invalid value 5 for parameter 'name'");
        check(r#"{"step": 1.5}"#, Code::InvalidParameterValue, "'step'");
        check(r#"{"value": nan}"#, Code::BadRequest, "not valid JSON");
        let crowded: Vec<_> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        for trailing in ["NaN", "Infinity", "-Infinity", "x"] {
            for body in [format!("{{}} {trailing}"), format!("{{{}}} {trailing}", crowded.join(","))] {
                check(&body, Code::BadRequest, "not valid JSON");
                let error = read(&body, "step=1").unwrap_err();
                assert!(error.message().contains("not valid JSON"), "{body}: {error}");
            }
        }
        check(r#"{"name": "b" NaN}"#, Code::BadRequest, "not valid JSON");
        let has_none = "'value' supplied: JSON has no such number";
        for word in ["NaN", "Infinity", "-Infinity", "\n\n  NaN"] {
            check(&format!("{{\"value\": {word}}}"), Code::InvalidParameterValue, has_none);
        }
        check(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), Code::BadRequest, "nested deeper");
        let deep = format!("{{\"other\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        check(&deep, Code::BadRequest, "nested deeper");
        let odd = Code::InvalidParameterValue;
        check(r#"{"other": "\ud800"}"#, odd, "'other' supplied: it has half of a character");
        check(r#"{"other": [{"a": "\ud800x"}]}"#, odd, "'other[0].a' supplied: it has half of a character");
        check(r#"{"other": "\udc00"}"#, odd, "half of a character");
        let beyond = "'other' supplied: it is beyond the numbers of 64 bits";
        check(r#"{"other": 1e999}"#, Code::InvalidParameterValue, beyond);
        check(&format!("{{\"other\": {}}}", "9".repeat(400)), Code::InvalidParameterValue, beyond);
        check(r#"{"name": "a\u0000b"}"#, Code::InvalidParameterValue, "'name'");
        check(r#"{"ids": "a"}"#, Code::InvalidParameterValue, "'ids'");
        let long = read(&format!("{{\"name\": [\"{}\"]}}", "x".repeat(100_000)), "").unwrap_err();
        assert!(long.message().len() < 2_000, "{long}");
    }

    #[test]
    fn a_list_ends_somewhere_and_a_truth_has_few_words() {
        #[derive(Debug, Deserialize, JsonSchema)]
        struct Asked {
            #[serde(default, deserialize_with = "list")]
            ids: Vec<String>,
            #[serde(default, deserialize_with = "flag")]
            force: bool,
        }
        let read = |body: &str, query: &str| parse::<Asked>(&input(body, query), &list_fields::<Asked>());
        assert!(read(r#"{"ids": null, "force": null}"#, "").unwrap().ids.is_empty());
        let many = |n: usize| format!("{{\"ids\": [{}]}}", vec!["\"\""; n].join(","));
        assert_eq!(
            parse_here::<Asked>(&input(&many(ENTRIES_MAX), ""), &ListFields::new()).unwrap().ids.len(),
            ENTRIES_MAX
        );
        let error = parse_here::<Asked>(&input(&many(ENTRIES_MAX + 1), ""), &ListFields::new()).unwrap_err();
        assert!(error.message().contains("'ids' supplied: it has more than 100000 entries"), "{error}");
        for (query, force) in [("force=True", true), ("force=1", true), ("force=", false), ("", false)] {
            assert_eq!(read("", query).unwrap().force, force, "{query}");
        }
        for body in [r#"{"force": "yes"}"#, r#"{"force": 1}"#, r#"{"force": [0]}"#] {
            let error = read(body, "").unwrap_err();
            assert!(error.message().contains("'force' supplied: invalid"), "{error}");
        }
    }

    #[test]
    fn an_object_has_not_any_number_of_fields() {
        let fields: Vec<_> = (0..100_100).map(|n| format!("\"{n}\":0")).collect();
        let error =
            parse_here::<Sample>(&input(&format!("{{{}}}", fields.join(",")), ""), &ListFields::new());
        let error = error.unwrap_err();
        assert!(error.message().contains("too many fields"), "{error}");
    }

    /// As values it would take many times its size.
    #[test]
    fn of_a_large_body_the_place_alone_is_told() {
        let body = format!("{{\"name\": 5, \"other\": [{}0]}}", "0,".repeat(1 << 20));
        let error = parse_here::<Sample>(&input(&body, ""), &ListFields::new()).unwrap_err();
        assert!(error.message().starts_with("Invalid value for parameter 'name' supplied"), "{error}");
    }

    /// Whichever way a body is read: alone, beside a query, as a text of JSON, with or without an escape somewhere.
    #[test]
    fn a_name_that_is_given_twice_is_refused_on_every_way() {
        let refused = |body: &str, query: &str, field: &str| {
            let error = read(body, query).unwrap_err();
            assert_eq!(error.code(), Code::InvalidParameterValue, "{body}?{query}: {error}");
            let said = format!("parameter '{field}' supplied: it is given more than once");
            assert!(error.message().contains(&said), "{body}?{query}: {error}");
        };
        let twice = |body: &str, field: &str| {
            refused(body, "", field);
            refused(body, "step=1", field);
            let with_escape = format!("{},\"other\":\"\\u0041\"}}", body.strip_suffix('}').unwrap());
            refused(&with_escape, "", field);
            refused(&Value::String(body.to_owned()).to_string(), "", field);
        };
        twice(r#"{"name":"a","name":"b"}"#, "name");
        twice(r#"{"name":"a","step":1,"na\u006de":"a"}"#, "name");
        twice(r#"{"other":{"deep":[1,{"x":1,"x":2}]}}"#, "other.deep[1].x");
        twice(r#"{"other":1,"other":2}"#, "other");
        let many: Vec<_> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        twice(&format!("{{{},\"k39\":1}}", many.join(",")), "k39");
        twice(&format!("{{{},\"k3\":1}}", many.join(",")), "k3");
        refused("", "step=1&step=2", "step");
        let long = "ü".repeat(100_000);
        twice(&format!("{{\"{long}\":1,\"{long}\":2}}"), &format!("{}…", "ü".repeat(100)));
        // Once in each place: they may not differ.
        let error = read(r#"{"name":"a"}"#, "name=b").unwrap_err();
        assert!(error.message().contains("'name' supplied: body, query and path give different"), "{error}");
        assert_eq!(read(r#"{"name":"a"}"#, "name=a").unwrap().name.unwrap(), "a");
        read(r#"{"a":{"x":1},"b":{"x":1},"x":[{"x":1},{"x":1}]}"#, "").unwrap();
    }
}
