//! Reading the tree: mappings whose keys are all known, single values, lists.

use super::{Key, Node, Position, Value, YamlError};
use crate::names::{closest, shown};

/// A mapping whose keys are all known.
pub(crate) struct Fields<'n> {
    pub(crate) position: Position,
    pub(crate) entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    pub(crate) fn of(node: &'n Node, known: &[&str]) -> Result<Self, YamlError> {
        let Value::Mapping(entries) = &node.value else {
            let message =
                format!("a mapping is expected here, not {}; it has {}", node.value.kind(), known.join(", "));
            return Err(YamlError::new(node.position, message));
        };
        for (key, _) in entries {
            if !known.contains(&key.text.as_str()) {
                let hint = match closest(&key.text, known.iter().copied()) {
                    Some(close) => format!("did you mean '{close}'?"),
                    None => format!("known are {}", known.join(", ")),
                };
                return Err(YamlError::new(
                    key.position,
                    format!("'{}' is not known here; {hint}", shown(&key.text)),
                ));
            }
        }
        Ok(Self { position: node.position, entries })
    }

    /// The value, where there is one.
    pub(crate) fn get(&self, field: &str) -> Option<&'n Node> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == field)?;
        (node.value != Value::Null).then_some(node)
    }

    pub(crate) fn need(&self, field: &str) -> Result<&'n Node, YamlError> {
        self.get(field)
            .ok_or_else(|| YamlError::new(self.position, format!("'{field}' is missing here; add it")))
    }

    pub(crate) fn text(&self, field: &str) -> Result<(Position, &'n str), YamlError> {
        let node = self.need(field)?;
        Ok((node.position, scalar(field, node)?))
    }
}

pub(crate) fn scalar<'n>(field: &str, node: &'n Node) -> Result<&'n str, YamlError> {
    match &node.value {
        Value::Text(text) => Ok(text),
        other => {
            let message = format!("'{field}' takes a single value, not {}", other.kind());
            Err(YamlError::new(node.position, message))
        }
    }
}

pub(crate) fn list<'n>(field: &str, node: &'n Node) -> Result<&'n [Node], YamlError> {
    match &node.value {
        Value::List(items) => Ok(items),
        other => {
            let message = format!("'{field}' takes a list like [a, b], not {}", other.kind());
            Err(YamlError::new(node.position, message))
        }
    }
}
