//! `catalog.schema.leaf`, by Unity Catalog's rules.

use std::fmt;
use std::str::FromStr;

use super::{NameError, shown};

/// Longest catalog, schema or leaf name, in characters.
pub const PART_CHARS_MAX: usize = 255;

/// A three-level name, kept as given and compared without case.
///
/// `==` compares what was given; [`FullName::is_same`] and [`FullName::key`] compare as Unity Catalog does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FullName {
    /// First level.
    pub catalog: String,
    /// Second level.
    pub schema: String,
    /// Third level: model, table, experiment and so on.
    pub leaf: String,
}

impl FullName {
    /// Reads `catalog.schema.leaf`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let parts: Vec<&str> = name.splitn(4, '.').collect();
        match parts.as_slice() {
            [catalog, schema, leaf] => Self::new(catalog, schema, leaf),
            _ => Err(NameError::new(format!(
                "Invalid name '{}': specify all three levels, and no more, as <catalog>.<schema>.<name>",
                shown(name)
            ))),
        }
    }

    /// Reads `catalog.schema.leaf`, or a version of it as `catalog.schema.leaf@7`. An `@` before the last level is part of a name.
    pub fn parse_versioned(text: &str) -> Result<(Self, Option<u64>), NameError> {
        let versioned = text.rsplit_once('@').filter(|(_, version)| !version.contains('.'));
        let Some((name, version)) = versioned else { return Ok((Self::parse(text)?, None)) };
        // As it is printed: no sign, no zeros in front.
        let is_number = version == "0" || version.starts_with(|first: char| matches!(first, '1'..='9'));
        let number = version.parse().ok().filter(|_| is_number).ok_or_else(|| {
            NameError::new(format!(
                "'{}' is no version of a table; write a number, like {}@7",
                shown(version),
                shown(name)
            ))
        })?;
        Ok((Self::parse(name)?, Some(number)))
    }

    /// Puts a name together from its three parts.
    pub fn new(catalog: &str, schema: &str, leaf: &str) -> Result<Self, NameError> {
        check_catalog_name(catalog)?;
        check_schema_name(schema)?;
        check_leaf_name(leaf)?;
        Ok(Self { catalog: catalog.to_owned(), schema: schema.to_owned(), leaf: leaf.to_owned() })
    }

    /// The name with its case folded: equal for names that mean the same thing.
    pub fn key(&self) -> String {
        fold_case(&self.to_string())
    }

    /// Whether both mean the same thing.
    pub fn is_same(&self, other: &FullName) -> bool {
        self.key() == other.key()
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.leaf)
    }
}

impl FromStr for FullName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

/// The form in which catalog, schema and leaf names are compared: lower case, character by character.
pub fn fold_case(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Checks the name of a catalog.
pub fn check_catalog_name(name: &str) -> Result<(), NameError> {
    check_part("catalog name", name)
}

/// Checks the name of a schema, without its catalog.
pub fn check_schema_name(name: &str) -> Result<(), NameError> {
    check_part("schema name", name)
}

/// Checks the last part of a three-level name.
pub fn check_leaf_name(name: &str) -> Result<(), NameError> {
    check_part("name", name)
}

/// Unity Catalog's rules, the same on each level: not empty, at most 255 characters, no dot, slash, white space or
/// control character.
fn check_part(what: &str, name: &str) -> Result<(), NameError> {
    let refuse = |problem: String| {
        let message = format!("Invalid {what} '{}': {problem}", shown(name));
        Err(NameError::new(message))
    };
    if name.is_empty() {
        return refuse("it is empty; give a name".to_owned());
    }
    if name.chars().nth(PART_CHARS_MAX).is_some() {
        return refuse(format!("it exceeds the maximum length of {PART_CHARS_MAX} characters; shorten it"));
    }
    let refused = name.chars().find(|c| matches!(c, '.' | '/') || c.is_whitespace() || c.is_control());
    match refused {
        None => Ok(()),
        Some(c) => {
            let c = c.escape_debug();
            refuse(format!(
                "it contains '{c}'; dots, slashes, spaces and control characters are not allowed, use '_' instead"
            ))
        }
    }
}
