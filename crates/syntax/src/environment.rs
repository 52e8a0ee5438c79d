//! The environment files of a logged model: `requirements.txt`, `python_env.yaml`, `conda.yaml`. What is read of them is the version
//! of Python and the packages, to be compared, never to be installed.
//!
//! What must stay true: whatever the file says, it becomes texts by name; the number of packages is bounded.

use std::collections::BTreeMap;

use crate::yaml::{self, Key, Node, Value, YamlError};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = yaml::YAML_BYTES_MAX;

/// Packages that are kept of a file.
const PACKAGES_MAX: usize = 5_000;

/// A version of Python, and packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// As the file writes it, such as `3.11.2`.
    pub python: Option<String>,
    /// What is asked of each package, such as `==2.1.0`, by its name as indexes compare names; empty where anything will do.
    pub packages: BTreeMap<String, String>,
}

impl Environment {
    /// Adds what another file of the same model says beyond this one.
    pub fn complete_with(&mut self, other: Self) {
        self.python = self.python.take().or(other.python);
        for (name, asked) in other.packages {
            self.packages.entry(name).or_insert(asked);
        }
    }

    /// Adds what another model of the same run asks for. Where the two differ, both are kept.
    pub fn join(&mut self, other: Self) {
        self.python = match (self.python.take(), other.python) {
            (Some(one), Some(two)) => Some(both(one, &two)),
            (one, two) => one.or(two),
        };
        for (name, asked) in other.packages {
            let joined = match self.packages.remove(&name) {
                Some(known) => both(known, &asked),
                None => asked,
            };
            self.packages.insert(name, joined);
        }
    }

    fn add(&mut self, line: &str) {
        if self.packages.len() < PACKAGES_MAX
            && let Some((name, asked)) = requirement(line)
        {
            self.packages.entry(name).or_insert(asked);
        }
    }
}

fn both(known: String, other: &str) -> String {
    if known.split(" or ").any(|one| one == other) { known } else { format!("{known} or {other}") }
}

/// The packages of a `requirements.txt`. Options of pip, such as `-r other.txt`, are no packages.
pub fn read_requirements(text: &str) -> Environment {
    let mut found = Environment::default();
    for line in text.lines() {
        found.add(line);
    }
    found
}

/// Python and the packages of a `python_env.yaml`; what is needed to build packages is not among them.
pub fn read_python_env(text: &str) -> Result<Environment, YamlError> {
    let node = yaml::read(text)?;
    let mut found = Environment::default();
    if let Some(Value::Text(python)) = field(&node, "python") {
        found.python = Some(python.clone());
    }
    for line in texts(field(&node, "dependencies")) {
        found.add(line);
    }
    Ok(found)
}

/// Python and the packages of a `conda.yaml`, those of its `pip` list too.
pub fn read_conda(text: &str) -> Result<Environment, YamlError> {
    let node = yaml::read(text)?;
    let mut found = Environment::default();
    let Some(Value::List(dependencies)) = field(&node, "dependencies") else { return Ok(found) };
    for dependency in dependencies {
        match &dependency.value {
            Value::Text(line) => match requirement(line) {
                Some((name, asked)) if name == "python" => {
                    found.python = Some(asked.trim_start_matches('=').to_owned());
                }
                _ => found.add(line),
            },
            _ => texts(field(dependency, "pip")).for_each(|line| found.add(line)),
        }
    }
    Ok(found)
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Value> {
    let Value::Mapping(entries) = &node.value else { return None };
    entries.iter().find(|(Key { text, .. }, _)| text == name).map(|(_, found)| &found.value)
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = match value {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(|item| match &item.value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// The name of a requirement, and what is asked of it. None where the line is empty, a comment or an option.
fn requirement(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    // A comment begins the line or stands behind a space: a URL may have a `#` of its own.
    let line = if line.starts_with('#') { "" } else { line };
    let line = line.split_once(" #").map_or(line, |(before, _)| before).trim_end();
    if line.is_empty() || line.starts_with('-') {
        return None;
    }
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let end = line.find(|letter| !is_of_name(letter)).unwrap_or(line.len());
    let (name, asked) = line.split_at(end);
    let known = normal(name);
    // A path or an address is a package whose name is not known.
    if known.is_empty() || asked.starts_with([':', '/', '+', '\\']) {
        return Some((line.to_owned(), String::new()));
    }
    Some((known, asked.chars().filter(|letter| !letter.is_whitespace()).collect()))
}

/// A package's name as indexes compare names: small letters, and one `-` for each run of `-`, `_` and `.`.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}
