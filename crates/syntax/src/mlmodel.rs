//! `MLmodel` files, as far as a registry needs them: the signature.
//!
//! The file is YAML (or JSON, which is YAML too) that a client wrote. Its `signature` is a mapping of `inputs`, `outputs`
//! and `params` to texts that hold JSON: lists of columns, tensors or parameters.
//!
//! What must stay true: the file is read as a stream of events, never as a tree, so that neither depth nor anchors nor
//! tags of it become work or types of ours; what is kept is JSON in MLflow's own form, and every entry has a type.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use crate::names::shown;

/// Largest file that is read, in bytes.
pub const MLMODEL_BYTES_MAX: usize = 2 << 20;

/// Inputs, outputs or parameters that a signature may have, each.
pub const ENTRIES_MAX: usize = 20_000;

/// Levels that the file may be nested.
const DEPTH_MAX: usize = 64;

/// The key of the signature.
const SIGNATURE: &str = "signature";

/// The parts of a signature.
const PARTS: [&str; 3] = ["inputs", "outputs", "params"];

/// What a model takes and gives, in MLflow's own form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// `inputs`, `outputs` and `params`, as far as the file has them: lists of objects with a `type`.
    pub parts: Map<String, Value>,
}

/// Why no signature could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MlmodelError {
    /// Too long to be meant.
    #[error("the MLmodel file is larger than {MLMODEL_BYTES_MAX} bytes")]
    TooLarge,
    /// Not YAML.
    #[error("the MLmodel file is not YAML: {0}")]
    Yaml(String),
    /// Something that no MLmodel file has.
    #[error("the MLmodel file {0}")]
    Form(&'static str),
    /// Not what a signature is written as.
    #[error("'signature.{part}' of the MLmodel file {problem}")]
    Part {
        /// `inputs`, `outputs` or `params`.
        part: &'static str,
        /// What was wrong.
        problem: String,
    },
}

/// The signature in the text of an MLmodel file; none if the file has none.
pub fn read_signature(text: &str) -> Result<Option<Signature>, MlmodelError> {
    if text.len() > MLMODEL_BYTES_MAX {
        return Err(MlmodelError::TooLarge);
    }
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| MlmodelError::Yaml(shown(&error.to_string())))?;
        reader.take(event)?;
    }
    let signature = Signature { parts: reader.parts };
    Ok((!signature.parts.is_empty()).then_some(signature))
}

/// Where the reader stands in the file. The two outer levels are followed key by key.
#[derive(Default)]
struct Reader {
    depth: usize,
    levels: [Level; 2],
    documents: usize,
    signatures: usize,
    parts: Map<String, Value>,
}

#[derive(Default)]
struct Level {
    is_mapping: bool,
    /// Whether what comes next is a key.
    key_next: bool,
    /// The key whose value comes next, or came last.
    key: String,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), MlmodelError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(MlmodelError::Form("has several documents"));
                }
            }
            Event::MappingStart(..) => self.open(true)?,
            Event::SequenceStart(..) => self.open(false)?,
            Event::MappingEnd | Event::SequenceEnd => self.depth -= 1,
            Event::Scalar(text, style, ..) => self.scalar(&text, style)?,
            // What an alias stands for was passed where it was anchored.
            Event::Alias(_) => {
                if let Some(part) = self.value() {
                    return Err(odd(part, "is an alias; write it out"));
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, is_mapping: bool) -> Result<(), MlmodelError> {
        if self.depth == 0 && !is_mapping {
            return Err(MlmodelError::Form("is no mapping of names to values"));
        }
        if let Some(part) = self.value() {
            return Err(odd(part, "is no text that holds JSON"));
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level { is_mapping, key_next: is_mapping, key: String::new() };
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(MlmodelError::Form("is nested too deep"));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), MlmodelError> {
        let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let Some(at) = self.depth.checked_sub(1) else {
            // An empty file is one of no value.
            return if is_null {
                Ok(())
            } else {
                Err(MlmodelError::Form("is no mapping of names to values"))
            };
        };
        if let Some(level) = self.levels.get_mut(at).filter(|level| level.key_next) {
            level.key_next = false;
            text.clone_into(&mut level.key);
            self.signatures += usize::from(at == 0 && text == SIGNATURE);
            return if self.signatures > 1 {
                Err(MlmodelError::Form("has several signatures"))
            } else {
                Ok(())
            };
        }
        match self.value().filter(|_| !is_null) {
            Some(part) if self.parts.contains_key(part) => Err(odd(part, "stands there twice")),
            Some(part) => {
                self.parts.insert(part.to_owned(), read_part(part, text)?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Goes past a key or a value; answers which part of the signature it is the value of.
    fn value(&mut self) -> Option<&'static str> {
        let at = self.depth.checked_sub(1)?;
        let level = self.levels.get_mut(at)?;
        // A key that is no text has a value all the same.
        level.key_next = level.is_mapping && !level.key_next;
        let [outer, inner] = &self.levels;
        let is_part = at == 1 && outer.key == SIGNATURE && inner.is_mapping;
        PARTS.into_iter().find(|part| is_part && *part == inner.key)
    }
}

fn odd(part: &'static str, problem: &str) -> MlmodelError {
    MlmodelError::Part { part, problem: problem.to_owned() }
}

/// A list of objects that each say their type.
fn read_part(part: &'static str, text: &str) -> Result<Value, MlmodelError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| odd(part, &format!("holds no JSON: {error}")))?;
    let Value::Array(entries) = &value else { return Err(odd(part, "holds no list")) };
    if entries.len() > ENTRIES_MAX {
        return Err(odd(part, &format!("has more than {ENTRIES_MAX} entries")));
    }
    for (at, entry) in entries.iter().enumerate() {
        let is_name = |name: &Value| name.is_string() || name.is_null();
        if !entry["type"].is_string() || !entry.get("name").is_none_or(is_name) {
            return Err(odd(
                part,
                &format!("has an entry (number {at}) without a type, or with an odd name"),
            ));
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Value) {
        let found = read_signature(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.map_or(Value::Null, |found| Value::Object(found.parts)), expected, "{text}");
    }

    #[test]
    fn what_mlflow_writes_is_read() {
        // As mlflow 3.17.2 writes it: long texts are folded, quotes doubled.
        check(
            r#"artifact_path: mlflow-artifacts:/0/models/m-1/artifacts
flavors:
  python_function:
    env:
      conda: conda.yaml
    signature: not this one
  sklearn:
    code: null
mlflow_version: 3.17.2
model_uuid: m-1
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}, {"type": "double",
    "name": "it''s", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-11-25 13:00:00.000000'
"#,
            json!({
                "inputs": [
                    { "type": "double", "name": "amount", "required": true },
                    { "type": "double", "name": "it's", "required": false },
                ],
                "outputs": [{ "type": "tensor", "tensor-spec": { "dtype": "int64", "shape": [-1] } }],
            }),
        );
    }

    #[test]
    fn other_ways_to_write_it_are_read_too() {
        let column = json!({ "inputs": [{ "type": "long" }] });
        check(r#"{"signature": {"inputs": "[{\"type\": \"long\"}]", "outputs": null}}"#, column.clone());
        check("signature: {inputs: '[{\"type\": \"long\"}]'}", column.clone());
        check("signature:\n  inputs: |\n    [{\"type\":\n    \"long\"}]\n", column.clone());
        check(
            "a: &x [1]\nb: *x\nsignature:\n  other: [1, {inputs: '[]'}]\n  inputs: '[{\"type\": \"long\"}]'\n",
            column,
        );
        check("signature:\n  inputs: '[]'\n", json!({ "inputs": [] }));
        for none in
            ["", "flavors: {}", "signature: null", "signature:", "flavors:\n  signature:\n    inputs: '[]'"]
        {
            check(none, Value::Null);
        }
    }

    #[test]
    fn what_is_odd_is_refused_by_name() {
        let deep = format!("a: {}", "[".repeat(100));
        let long = format!("a: {}", "x".repeat(MLMODEL_BYTES_MAX));
        for (text, part) in [
            ("[1]", "no mapping"),
            ("words", "no mapping"),
            ("a: 'b", "not YAML"),
            ("a: b: c", "not YAML"),
            ("a: 1\n---\nb: 1", "several documents"),
            ("signature: {}\nsignature: {}", "several signatures"),
            (deep.as_str(), "nested too deep"),
            (long.as_str(), "larger than"),
            ("signature:\n  inputs: words", "'signature.inputs' of the MLmodel file holds no JSON"),
            ("signature:\n  inputs: '{}'", "holds no list"),
            ("signature:\n  inputs: '[1]'", "number 0"),
            ("signature:\n  inputs: '[{\"type\": 1}]'", "number 0"),
            ("signature:\n  inputs: '[{\"type\": \"long\", \"name\": 1}]'", "number 0"),
            ("signature:\n  outputs: [1]", "'signature.outputs' of the MLmodel file is no text"),
            ("signature:\n  params: {a: 1}", "'signature.params' of the MLmodel file is no text"),
            ("a: &x '[]'\nsignature:\n  inputs: *x", "is an alias"),
            ("signature:\n  inputs: '[]'\n  inputs: '[]'", "twice"),
        ] {
            let error = read_signature(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:.60}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(signature|inputs|[ \n:{}\\[\\]&*!|>'\"#?-]|\t|\\PC){0,60}") {
            let _ = read_signature(&text);
        }
    }
}
