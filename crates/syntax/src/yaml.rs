//! YAML as a small tree with positions, for files that people write: declarations, gates.
//!
//! What must stay true: size, depth and number of values are bounded before anything is built; anchors, aliases and tags
//! are refused, so that a file is as large as it looks and has no types but text; a key stands once in its mapping.

mod fields;
mod places;

use std::{collections::HashMap, fmt};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

pub(crate) use fields::{Fields, list, scalar};
pub use places::Places;

use crate::names::shown;

/// Largest file, in bytes.
pub const YAML_BYTES_MAX: usize = 1 << 20;

/// Levels that a file may be nested.
const DEPTH_MAX: usize = 16;

/// Values that a file may have.
const VALUES_MAX: usize = 50_000;

/// A position in a file; both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct YamlError {
    /// Where.
    pub position: Position,
    /// What was wrong, with which value, and what to do.
    pub message: String,
}

impl YamlError {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }
}

/// A value of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, or a plain `null` or `~`.
    Null,
    /// Any other scalar, as it is written.
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) position: Position,
    pub(crate) text: String,
}

impl Value {
    /// What it is called in an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// A value that is not complete yet.
enum Open {
    List(Position, Vec<Node>),
    Mapping(OpenMapping),
}

/// A mapping that is not complete yet.
struct OpenMapping {
    position: Position,
    entries: Vec<(Key, Node)>,
    /// The key that waits for its value.
    waiting: Option<Key>,
    /// Where each key stands. A file may have very many.
    known: HashMap<String, Position>,
}

/// The one document of a file.
pub(crate) fn read(text: &str) -> Result<Node, YamlError> {
    read_up_to(text, YAML_BYTES_MAX)
}

/// The one document of a file that may have so many bytes.
pub(crate) fn read_up_to(text: &str, bytes_max: usize) -> Result<Node, YamlError> {
    if text.len() > bytes_max {
        let message = format!("the file has {} bytes, at most {bytes_max} are read", text.len());
        return Err(YamlError::new(Position { line: 1, column: 1 }, message));
    }
    let mut reader = Reader { open: vec![], root: None, documents: 0, values: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let position = Position { line: mark.line(), column: mark.col() + 1 };
            YamlError::new(position, format!("this is not YAML: {}", shown(error.info())))
        })?;
        reader.take(event, place(span))?;
    }
    let end = Position { line: text.lines().count().max(1), column: 1 };
    reader.root.ok_or_else(|| YamlError::new(end, "the file is empty"))
}

fn place(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

struct Reader {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    values: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(YamlError::new(position, "a second document begins; a file has one"));
                }
                Ok(())
            }
            Event::Alias(_) => Err(YamlError::new(position, "an alias stands here; write the value out")),
            Event::Scalar(_, _, anchor, ref tag) if anchor != 0 || tag.is_some() => Err(odd(position)),
            Event::SequenceStart(anchor, ref tag) | Event::MappingStart(anchor, ref tag)
                if anchor != 0 || tag.is_some() =>
            {
                Err(odd(position))
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style, position),
            Event::SequenceStart(..) => self.begin(Open::List(position, vec![]), position),
            Event::MappingStart(..) => {
                let (entries, known) = (vec![], HashMap::new());
                let open = OpenMapping { position, entries, waiting: None, known };
                self.begin(Open::Mapping(open), position)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, position: Position) -> Result<(), YamlError> {
        if let Some(Open::Mapping(OpenMapping { waiting: None, .. })) = self.open.last() {
            return Err(YamlError::new(position, "a key is a single value; write a name and a colon"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::new(
                position,
                format!("the file is nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        match self.open.pop() {
            Some(Open::List(position, items)) => self.put(Node { position, value: Value::List(items) }),
            Some(Open::Mapping(OpenMapping { position, entries, .. })) => {
                self.put(Node { position, value: Value::Mapping(entries) })
            }
            None => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, position: Position) -> Result<(), YamlError> {
        if let Some(Open::Mapping(OpenMapping { waiting: waiting @ None, known, .. })) = self.open.last_mut()
        {
            if let Some(before) = known.insert(text.to_owned(), position) {
                let message = format!("'{}' stood at {before} already; keep one of them", shown(text));
                return Err(YamlError::new(position, message));
            }
            *waiting = Some(Key { position, text: text.to_owned() });
            return Ok(());
        }
        let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if is_null { Value::Null } else { Value::Text(text.to_owned()) };
        self.put(Node { position, value })
    }

    fn put(&mut self, node: Node) -> Result<(), YamlError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(YamlError::new(node.position, format!("the file has more than {VALUES_MAX} values")));
        }
        match self.open.last_mut() {
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Mapping(OpenMapping { entries, waiting, .. })) => {
                if let Some(key) = waiting.take() {
                    entries.push((key, node));
                }
            }
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn odd(position: Position) -> YamlError {
    YamlError::new(position, "an anchor or a tag stands here; write the plain value")
}
