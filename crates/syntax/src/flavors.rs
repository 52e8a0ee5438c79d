//! The flavors of an `MLmodel` file: by which libraries a model can be loaded, and which of its files hold it.
//!
//! What must stay true: the file is a client's, read as a stream of events like its signature
//! ([`crate::mlmodel`]), within the same limits; only plain texts directly below a flavor are kept.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::{
    mlmodel::{MLMODEL_BYTES_MAX, MlmodelError},
    names::shown,
};

/// Levels that the file may be nested.
const DEPTH_MAX: usize = 64;
/// Values that are kept at most.
const VALUES_MAX: usize = 10_000;

/// Settings by flavor, as `flavors["onnx"]["data"]`.
pub type Flavors = BTreeMap<String, BTreeMap<String, String>>;

/// The flavors in the text of an MLmodel file; empty if it names none.
pub fn read_flavors(text: &str) -> Result<Flavors, MlmodelError> {
    if text.len() > MLMODEL_BYTES_MAX {
        return Err(MlmodelError::TooLarge);
    }
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| MlmodelError::Yaml(shown(&error.to_string())))?;
        reader.take(event)?;
    }
    Ok(reader.flavors)
}

/// Where the reader stands: for each open level whether it is a mapping, and the key whose value comes next.
#[derive(Default)]
struct Reader {
    levels: Vec<Level>,
    kept: usize,
    flavors: Flavors,
}

struct Level {
    is_mapping: bool,
    key: Option<String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), MlmodelError> {
        match event {
            Event::MappingStart(..) => self.open(true),
            Event::SequenceStart(..) => self.open(false),
            Event::MappingEnd | Event::SequenceEnd => {
                self.levels.pop();
                self.passed();
                Ok(())
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style),
            Event::Alias(_) => self.scalar("", ScalarStyle::Plain),
            _ => Ok(()),
        }
    }

    fn open(&mut self, is_mapping: bool) -> Result<(), MlmodelError> {
        // A flavor without any setting that is kept is one all the same.
        if let [outer, inner] = &self.levels[..]
            && outer.key.as_deref() == Some("flavors")
            && let Some(flavor) = inner.key.clone()
        {
            self.flavors.entry(flavor).or_default();
        }
        self.levels.push(Level { is_mapping, key: None });
        if self.levels.len() > DEPTH_MAX {
            return Err(MlmodelError::Form("is nested too deep"));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), MlmodelError> {
        let Some(level) = self.levels.last_mut().filter(|level| level.is_mapping) else { return Ok(()) };
        if level.key.is_none() {
            level.key = Some(text.to_owned());
            return Ok(());
        }
        let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        if let [outer, flavor, inner] = &self.levels[..]
            && outer.key.as_deref() == Some("flavors")
            && let (Some(flavor), Some(key)) = (&flavor.key, &inner.key)
            && !is_null
        {
            self.kept += 1;
            if self.kept > VALUES_MAX {
                return Err(MlmodelError::Form("has too many settings of flavors"));
            }
            self.flavors.entry(flavor.clone()).or_default().insert(key.clone(), text.to_owned());
        }
        self.passed();
        Ok(())
    }

    /// Goes past a value.
    fn passed(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_mlflow_writes_is_read() {
        let found = read_flavors(
            "artifact_path: x\nflavors:\n  onnx:\n    code: null\n    data: model.onnx\n    providers:\n    - CPU\n    \
             onnx_version: 1.2.3\n  python_function:\n    data: model.onnx\n    env:\n      conda: conda.yaml\n    \
             loader_module: mlflow.onnx\n  keras: {}\nmodel_uuid: 7\n",
        )
        .unwrap();
        assert_eq!(found["onnx"]["data"], "model.onnx");
        assert_eq!(found["onnx"]["onnx_version"], "1.2.3");
        assert_eq!(found["onnx"].len(), 2, "{found:?}");
        assert_eq!(found["python_function"]["loader_module"], "mlflow.onnx");
        assert_eq!(found["python_function"].get("conda"), None);
        assert!(found["keras"].is_empty() && !found.contains_key("model_uuid"));
        for none in ["", "flavors:", "flavors: []", "flavors: x", "[1, 2]", "a: {flavors: {b: {c: d}}}"] {
            assert_eq!(read_flavors(none).unwrap(), Flavors::new(), "{none}");
        }
        assert!(read_flavors(&format!("a: {}", "[".repeat(100))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(flavors|data|[ \n:{}\\[\\]&*!|>'\"#?-]|\t|\\PC){0,60}") {
            let _ = read_flavors(&text);
        }
    }
}
