//! YAML files that are one mapping of names to single values, as programs write them for themselves: MLflow's `meta.yaml`.
//!
//! What must stay true: what bounds every YAML file here ([`crate::yaml`]) bounds these too, but for their size: one of them holds
//! the whole profile of a data set.

use std::{borrow::Cow, collections::BTreeMap};

use crate::yaml::{Value, YamlError, read_up_to};

/// Largest file, in bytes. MLflow's longest field, the profile of a data set, has 16 MiB before it is escaped.
pub const FLAT_YAML_BYTES_MAX: usize = 32 << 20;

/// What such a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlatYaml {
    texts: BTreeMap<String, String>,
    mappings: BTreeMap<String, BTreeMap<String, String>>,
}

impl FlatYaml {
    /// Reads a file. Values are texts, as they are written; nothing else but mappings of texts is kept, one level deep.
    pub fn read(text: &str) -> Result<Self, YamlError> {
        let root = read_up_to(&unfolded(text), FLAT_YAML_BYTES_MAX)?;
        let Value::Mapping(entries) = root.value else {
            let kind = root.value.kind();
            return Err(YamlError::new(
                root.position,
                format!("{kind} stands here, and no mapping of names to values"),
            ));
        };
        let mut flat = Self::default();
        for (key, node) in entries {
            match node.value {
                Value::Text(text) => drop(flat.texts.insert(key.text, text)),
                Value::Mapping(entries) => drop(flat.mappings.insert(key.text, texts(entries))),
                Value::Null | Value::List(_) => {}
            }
        }
        Ok(flat)
    }

    /// The value of a name; none if it is null, a list, a mapping or not there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// The mapping of a name.
    pub fn mapping(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.mappings.get(name)
    }
}

/// The text without the indent that Python's writer puts behind these characters: they end a line in YAML 1.1, which it writes, and in
/// 1.2 they are like any other.
fn unfolded(text: &str) -> Cow<'_, str> {
    const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
    if !text.contains(BREAKS) {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive(BREAKS).enumerate();
    Cow::Owned(lines.map(|(at, line)| if at == 0 { line } else { line.trim_start_matches(' ') }).collect())
}

/// The single values of a mapping; one that is null is empty.
fn texts(entries: Vec<(crate::yaml::Key, crate::yaml::Node)>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::Text(text) => Some(text),
        Value::Null => Some(String::new()),
        Value::List(_) | Value::Mapping(_) => None,
    };
    entries.into_iter().filter_map(|(key, node)| Some((key.text, text(node.value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_for_python_leaves_no_indent() {
        let flat = FlatYaml::read("n: 'a\u{2028}  b\u{2029}  c'\nm: d\n").unwrap();
        assert_eq!((flat.text("n"), flat.text("m")), (Some("a\u{2028}b\u{2029}c"), Some("d")));
    }

    #[test]
    fn a_file_of_pyyaml_is_read() {
        let text = concat!(
            "artifact_uri: file:///a%20b/0/1f/artifacts\nend_time: null\nexperiment_id: '0'\nlong: it begins here\n",
            "  and goes on\nname: \"Gr\\xFC\\xDFe \\U0001F600\\n  zwei\\\n  \\ Zeilen\"\nquoted: 'null'\nquote: it's 'a'\n",
            "run_name: ''\nstatus: 3\ntags: []\nmore:\n  a: b\n  c: null\n  d: [1]\n  ? e\n  : f\n",
        );
        let flat = FlatYaml::read(text).unwrap();
        let expect = [
            ("artifact_uri", Some("file:///a%20b/0/1f/artifacts")),
            ("end_time", None),
            ("experiment_id", Some("0")),
            ("long", Some("it begins here and goes on")),
            ("name", Some("Grüße 😀\n  zwei Zeilen")),
            ("quoted", Some("null")),
            ("quote", Some("it's 'a'")),
            ("run_name", Some("")),
            ("status", Some("3")),
            ("tags", None),
            ("more", None),
            ("absent", None),
        ];
        for (name, value) in expect {
            assert_eq!(flat.text(name), value, "{name}");
        }
        let more = flat.mapping("more").unwrap();
        let more: Vec<(&str, &str)> =
            more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(more, [("a", "b"), ("c", ""), ("e", "f")]);
        assert_eq!(flat.mapping("status"), None);
    }

    #[test]
    fn what_is_no_flat_mapping_is_refused() {
        for text in
            ["", "- a", "text", "a: b\na: c", "a: &x b", "a: *x", "a: !!python/object:os.x b", "a: 'b", "\0"]
        {
            assert!(FlatYaml::read(text).is_err(), "{text:?}");
        }
        assert!(FlatYaml::read(&"[".repeat(100_000)).is_err());
        assert!(FlatYaml::read(&" ".repeat(FLAT_YAML_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_long_value_is_read() {
        let long = "x".repeat(4 << 20);
        let flat = FlatYaml::read(&format!("profile: '{long}'\n")).unwrap();
        assert_eq!(flat.text("profile").map(str::len), Some(long.len()));
    }
}
