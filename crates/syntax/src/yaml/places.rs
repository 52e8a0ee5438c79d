//! Where the values of a file stand, for who finds a mistake after it was read.

use std::collections::BTreeMap;

use super::{Node, Position, Value, YamlError, read};

/// The places of a file's values by path: `evaluation.label`, `fairness.0.group`.
#[derive(Debug, Clone)]
pub struct Places(BTreeMap<String, Position>);

impl Places {
    /// Those of the text of a file.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(file: &str) -> Result<Self, YamlError> {
        let mut places = BTreeMap::new();
        enter(&mut places, "", &read(file)?);
        Ok(Self(places))
    }

    /// Where the value of a path stands; where it was left out, what it would stand in.
    pub fn at(&self, path: &str) -> Position {
        let mut path = path;
        loop {
            if let Some(found) = self.0.get(path) {
                return *found;
            }
            match path.rsplit_once('.') {
                Some((above, _)) => path = above,
                None if path.is_empty() => return Position { line: 1, column: 1 },
                None => path = "",
            }
        }
    }
}

/// Depth is bounded by the reader.
fn enter(places: &mut BTreeMap<String, Position>, path: &str, node: &Node) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match &node.value {
        Value::Null | Value::Text(_) => {}
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                enter(places, &below(&at.to_string()), item);
            }
        }
        Value::Mapping(entries) => {
            for (key, item) in entries {
                enter(places, &below(&key.text), item);
            }
        }
    }
    places.insert(path.to_owned(), node.position);
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn values_are_found_by_their_path_and_what_is_left_out_by_what_it_would_stand_in() {
        let file = "version: 1\nevaluation:\n  table: a.b.c\nfairness:\n  - { metric: f1, group: g }\n  - metric: f2\n";
        let places = Places::of(file).unwrap();
        for (path, position) in [
            ("evaluation.table", "line 3, column 10"),
            ("evaluation.label", "line 3, column 3"),
            ("fairness.0.group", "line 5, column 26"),
            ("fairness.1.group", "line 6, column 5"),
            ("fairness.7", "line 5, column 3"),
            ("latency.rows", "line 1, column 1"),
            ("", "line 1, column 1"),
        ] {
            assert_eq!(places.at(path).to_string(), position, "{path}");
        }
    }
}
