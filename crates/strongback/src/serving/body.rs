//! The body of a scoring request: MLflow's envelope, and what stands in it beside the rows.
//!
//! Exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs` holds the rows. The envelope is read
//! without looking into it, and then the rows straight into typed columns: no tree of values is built.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    cell::{is_moment, moment},
    csv,
    frame::{Frame, Values, missing_columns},
    rows,
    signature::{Form, Schema},
};
use crate::error::{Code, Error, Result};

/// Longest id that a caller may give a request, in characters.
const CLIENT_ID_CHARS_MAX: usize = 256;

/// Why a request is refused that does not say where its rows are.
const WANTED: &str = "The input must be a JSON dictionary with exactly one of the input fields {'dataframe_records', \
                      'dataframe_split', 'inputs', 'instances'}";

/// The outer object.
#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow)]
    dataframe_split: Option<&'b RawValue>,
    #[serde(borrow)]
    dataframe_records: Option<&'b RawValue>,
    #[serde(borrow)]
    instances: Option<&'b RawValue>,
    #[serde(borrow)]
    inputs: Option<&'b RawValue>,
    #[serde(borrow)]
    params: Option<&'b RawValue>,
    #[serde(borrow)]
    client_request_id: Option<&'b RawValue>,
    #[serde(borrow)]
    event_time: Option<&'b RawValue>,
}

/// The object of `dataframe_split`.
#[derive(Deserialize)]
struct Split<'b> {
    #[serde(borrow)]
    columns: Option<&'b RawValue>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

/// What a request asks.
#[derive(Debug)]
pub struct Asked {
    /// The rows; none of it where the model's own code reads them.
    pub frame: Frame,
    /// Parameters for the model's own code.
    pub params: Option<Box<RawValue>>,
    /// What the caller calls the request.
    pub client_request_id: Option<String>,
    /// When what is scored happened, microseconds since the epoch: one for each row, or none.
    pub event_times: Vec<i64>,
    /// The one moment that the request names, which is that of each answer, also where the rows are not known here.
    pub event_time: Option<i64>,
}

/// Reads a JSON body. `is_partial` lets required columns be absent that something else gives.
pub fn read_json(schema: &Schema, body: &[u8]) -> Result<Asked> {
    let envelope = envelope(body)?;
    let given = [
        ("dataframe_split", envelope.dataframe_split),
        ("dataframe_records", envelope.dataframe_records),
        ("instances", envelope.instances),
        ("inputs", envelope.inputs),
    ];
    let mut found = given.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    let (Some((name, rows)), None) = (found.next(), found.next()) else {
        let names: Vec<&str> =
            given.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
        return Err(Error::new(
            Code::BadRequest,
            format!("{WANTED}. Received dictionary with input fields: {names:?}."),
        ));
    };
    let frame = match (schema.form, name) {
        (Form::Free, _) => Frame { rows: 0, columns: Vec::new() },
        (_, "dataframe_split") => split(schema, rows.get())?,
        (_, "inputs") => rows::inputs(schema, rows.get())?,
        (_, name) => rows::list(schema, rows.get(), name)?,
    };
    let event_time = event_time(envelope.event_time)?;
    Ok(Asked {
        event_times: event_times(schema, &frame, event_time),
        event_time,
        frame,
        params: envelope.params.filter(|params| params.get() != "null").map(ToOwned::to_owned),
        client_request_id: envelope.client_request_id.map(client_request_id).transpose()?.flatten(),
    })
}

/// Reads a body of CSV with a header line.
pub fn read_csv(schema: &Schema, body: &[u8]) -> Result<Asked> {
    let frame = match schema.form {
        Form::Free => Frame { rows: 0, columns: Vec::new() },
        _ => csv::read(schema, body)?,
    };
    let event_times = event_times(schema, &frame, None);
    Ok(Asked { event_times, event_time: None, frame, params: None, client_request_id: None })
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>> {
    match body.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'[') => return Err(Error::new(Code::BadRequest, format!("{WANTED}. Received a list."))),
        None => return Err(Error::new(Code::BadRequest, format!("{WANTED}. The body is empty."))),
        // What is no JSON at all is told so by the parser.
        Some(_) => {
            serde_json::from_slice::<serde::de::IgnoredAny>(body).map_err(|error| not_json(&error))?;
            return Err(Error::new(Code::BadRequest, format!("{WANTED}. Received another type.")));
        }
    }
    serde_json::from_slice(body).map_err(|error| not_json(&error))
}

/// The error for a text that is not JSON, or not of the form that is needed.
pub(super) fn not_json(error: &serde_json::Error) -> Error {
    Error::new(
        Code::BadRequest,
        format!("Ensure that input is a valid JSON formatted string. Error: {error}."),
    )
}

fn split(schema: &Schema, text: &str) -> Result<Frame> {
    let split: Split<'_> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let Some(data) = split.data else {
        return Err(Error::new(
            Code::BadRequest,
            "'dataframe_split' has no 'data': it is an object with 'columns' and 'data'.",
        ));
    };
    let names: Option<Vec<String>> = match split.columns {
        Some(columns) => rows::names(columns.get())?,
        None => None,
    };
    let places: Vec<Option<usize>> = match (schema.form, names) {
        (Form::Named, Some(names)) => by_name(schema, &names)?,
        (Form::Named, None) => {
            let all: Vec<&String> = schema.inputs.iter().map(|input| &input.name).collect();
            return Err(missing_columns(schema, &all, None));
        }
        // Names of columns mean nothing where the signature has none.
        _ => (0..schema.inputs.len()).map(Some).collect(),
    };
    rows::table(schema, &places, data.get())
}

/// Where each column of a request goes; one that the model does not have goes nowhere, as in the reference.
pub(super) fn by_name(schema: &Schema, names: &[String]) -> Result<Vec<Option<usize>>> {
    let places: Vec<Option<usize>> =
        names.iter().enumerate().map(|(at, name)| schema.position(name, at)).collect();
    let mut is_given = vec![false; schema.inputs.len()];
    for place in places.iter().flatten() {
        if std::mem::replace(&mut is_given[*place], true) {
            let name = &schema.inputs[*place].name;
            return Err(Error::new(
                Code::BadRequest,
                format!("Failed to enforce schema: column '{name}' stands twice in the request."),
            ));
        }
    }
    let missing: Vec<&String> = schema
        .inputs
        .iter()
        .zip(&is_given)
        .filter(|(input, is_given)| input.required && !**is_given)
        .map(|(input, _)| &input.name)
        .collect();
    if missing.is_empty() { Ok(places) } else { Err(missing_columns(schema, &missing, None)) }
}

fn client_request_id(value: &RawValue) -> Result<Option<String>> {
    let found: Option<String> = serde_json::from_str(value.get()).map_err(|_| {
        Error::invalid("Invalid value for parameter 'client_request_id' supplied: it must be a text.")
    })?;
    found.map(check_client_request_id).transpose()
}

/// Refuses an id that is too long to be one.
pub(super) fn check_client_request_id(id: String) -> Result<String> {
    let chars = id.chars().count();
    if chars > CLIENT_ID_CHARS_MAX {
        return Err(Error::too_long("client_request_id", CLIENT_ID_CHARS_MAX, chars));
    }
    if id.contains('\0') {
        return Err(Error::invalid(
            "Invalid value for parameter 'client_request_id' supplied: it contains a NUL character.",
        ));
    }
    Ok(id)
}

/// The request's own word for when it happened, in microseconds since the epoch.
fn event_time(said: Option<&RawValue>) -> Result<Option<i64>> {
    let Some(said) = said.filter(|said| said.get() != "null") else { return Ok(None) };
    let text = serde_json::from_str::<String>(said.get()).ok();
    let millis = || serde_json::from_str::<i64>(said.get()).ok().map(|millis| millis.saturating_mul(1_000));
    let Some(moment) = text.and_then(|text| moment(&text)).or_else(millis) else {
        return Err(Error::invalid(
            "Invalid value for parameter 'event_time' supplied: it is a moment as ISO 8601 writes it, or milliseconds since \
             1970.",
        ));
    };
    if !is_moment(moment) {
        return Err(Error::invalid(format!(
            "Invalid value for parameter 'event_time' supplied: {} is not within the years 1 to 9999. A number is in \
             milliseconds since 1970.",
            said.get()
        )));
    }
    Ok(Some(moment))
}

/// The moment that the request names, or else the one among the inputs.
fn event_times(schema: &Schema, frame: &Frame, said: Option<i64>) -> Vec<i64> {
    use super::signature::Type;
    if let Some(said) = said {
        return vec![said; frame.rows];
    }
    let mut moments =
        schema.inputs.iter().zip(&frame.columns).filter(|(input, _)| input.kind == Type::Datetime);
    match (moments.next(), moments.next()) {
        (Some((_, column)), None) if column.missing.is_empty() => match &column.values {
            Values::Datetime(values) => values.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serving::frame::Column;

    fn schema(inputs: serde_json::Value) -> Schema {
        let serde_json::Value::Object(parts) = json!({ "inputs": inputs }) else { unreachable!() };
        Schema::new(Some(&parts))
    }

    fn named() -> Schema {
        schema(json!([
            { "type": "double", "name": "a" }, { "type": "long", "name": "b" },
            { "type": "string", "name": "c", "required": false },
        ]))
    }

    fn values(frame: &Frame) -> Vec<Values> {
        frame.columns.iter().map(|Column { values, .. }| values.clone()).collect()
    }

    #[test]
    fn every_form_gives_the_same_columns() {
        let expected = vec![
            Values::Double(vec![1.5, 2.0]),
            Values::Long(vec![3, 4]),
            Values::String(vec!["x".into(), "y".into()]),
        ];
        for body in [
            json!({ "dataframe_split": { "columns": ["c", "a", "z", "b"], "data": [["x", 1.5, [1], 3], ["y", 2, {}, 4]] } }),
            json!({ "dataframe_split": { "index": [0, 1], "data": [[1.5, 3, "x"], [2, 4, "y"]], "columns": ["a", "b", "c"] } }),
            json!({ "dataframe_records": [{ "a": 1.5, "b": 3, "c": "x" }, { "c": "y", "b": 4, "a": 2, "z": null }] }),
            json!({ "instances": [{ "a": 1.5, "b": 3, "c": "x" }, { "a": 2.0, "b": 4.0, "c": "y" }], "params": {} }),
            json!({ "inputs": { "a": [1.5, 2], "b": [3, 4], "c": ["x", "y"], "z": [0, 0] }, "more": 7 }),
            json!({ "inputs": [{ "a": 1.5, "b": 3, "c": "x" }, { "a": 2, "b": 4, "c": "y" }] }),
        ] {
            let asked =
                read_json(&named(), body.to_string().as_bytes()).unwrap_or_else(|e| panic!("{body}: {e}"));
            assert_eq!((values(&asked.frame), asked.frame.rows), (expected.clone(), 2), "{body}");
        }
        let csv = read_csv(&named(), b"b,a,c\n3,1.5,x\n4,2,\"y\"\n").unwrap();
        assert_eq!(values(&csv.frame), expected);
    }

    #[test]
    fn rows_by_position_are_for_signatures_without_names() {
        let tensor =
            schema(json!([{ "type": "tensor", "tensor-spec": { "dtype": "float32", "shape": [-1, 2] } }]));
        for body in [json!({ "inputs": [[1, 2], [3, 4]] }), json!({ "instances": [[1, 2], [3, 4]] })] {
            let asked = read_json(&tensor, body.to_string().as_bytes()).unwrap();
            assert_eq!(values(&asked.frame), [Values::Float(vec![1.0, 3.0]), Values::Float(vec![2.0, 4.0])]);
        }
        let one = schema(json!([{ "type": "double" }]));
        let asked = read_json(&one, br#"{"instances": [1, 2.5]}"#).unwrap();
        assert_eq!(values(&asked.frame), [Values::Double(vec![1.0, 2.5])]);
        let error = read_json(&tensor, br#"{"inputs": [[1, 2], [3]]}"#).unwrap_err();
        assert!(error.message().contains("row 1 has 1 value") && error.status() == 400, "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: &str, code: Code, words: &str| {
            let error = read_json(&named(), body.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!((error.code(), error.status()), (code, 400), "{body}: {error}");
            assert!(error.message().contains(words), "{body}: {error}");
        };
        let (bad, invalid) = (Code::BadRequest, Code::InvalidParameterValue);
        check("[1]", bad, "Received a list");
        check("", bad, "empty");
        check("7", bad, "another type");
        check("{", bad, "valid JSON");
        check(r#"{"inputs": NaN}"#, bad, "valid JSON");
        check("{}", bad, "exactly one");
        check(r#"{"inputs": [], "instances": []}"#, bad, "exactly one");
        check(r#"{"inputs": {}, "inputs": {}}"#, bad, "duplicate field");
        check(r#"{"dataframe_records": [{"a": 1}]}"#, invalid, "[\"b\"]");
        check(r#"{"dataframe_split": {"columns": ["a"], "data": [[1]]}}"#, invalid, "[\"b\"]");
        check(
            r#"{"dataframe_split": {"columns": ["a", "b", "a"], "data": [[1, 2, 3]]}}"#,
            bad,
            "'a' stands twice",
        );
        check(r#"{"dataframe_records": [{"a": 1, "b": 2, "a": 3}]}"#, bad, "'a' stands twice in row 0");
        check(r#"{"dataframe_split": {"data": [[1, 2, "x"]]}}"#, invalid, "needs the columns");
        check(r#"{"inputs": [[1, 2, "x"]]}"#, invalid, "by name");
        check(
            r#"{"dataframe_records": [{"a": 1, "b": 2}, {"a": "q", "b": 2}]}"#,
            bad,
            "'a', row 1: expected double, got \"q\"",
        );
        check(r#"{"dataframe_records": [{"a": 1, "b": [2]}]}"#, bad, "'b', row 0: expected long, got a list");
        check(r#"{"inputs": {"a": [1, 2], "b": [3]}}"#, bad, "'b' has 1");
        check(r#"{"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}"#, bad, "row 0 has 1 value");
        check(r#"{"dataframe_split": {"columns": ["a", "b"], "data": 7}}"#, bad, "list of rows");
        check(r#"{"inputs": {"a": 1, "b": 1}, "client_request_id": 7}"#, invalid, "client_request_id");
        check(r#"{"inputs": {"a": 1, "b": 1}, "event_time": "soon"}"#, invalid, "event_time");
        // Microseconds in place of milliseconds.
        for said in ["1700000000000000", "-9223372036854775808", "\"+12345-01-01\""] {
            let body = format!(r#"{{"inputs": {{"a": 1, "b": 1}}, "event_time": {said}}}"#);
            check(&body, invalid, &format!("{said} is not within the years 1 to 9999"));
        }
    }

    #[test]
    fn what_stands_beside_the_rows_is_read() {
        let body = br#"{"inputs": {"a": 1, "b": 1}, "client_request_id": "mine", "params": {"k": 1}, "event_time": 1500}"#;
        let asked = read_json(&named(), body).unwrap();
        assert_eq!(asked.client_request_id.as_deref(), Some("mine"));
        assert_eq!(asked.params.unwrap().get(), r#"{"k": 1}"#);
        assert_eq!((asked.event_times, asked.frame.columns[2].missing.clone()), (vec![1_500_000], vec![0]));
        let free = Schema::new(None);
        let asked = read_json(&free, br#"{"inputs": "any", "event_time": "1970-01-01T00:00:02Z"}"#).unwrap();
        assert_eq!((asked.event_time, asked.frame.rows), (Some(2_000_000), 0));
        let dated = schema(json!([{ "type": "datetime", "name": "at" }]));
        let asked = read_json(&dated, br#"{"inputs": {"at": ["1970-01-01T00:00:01Z"]}}"#).unwrap();
        assert_eq!(asked.event_times, [1_000_000]);
    }
}
