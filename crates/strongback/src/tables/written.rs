//! What a file names that somebody brought: it is looked up while he waits, and a slip is told with its place in the file, what
//! it said and the name that was meant.

use std::fmt::Display;

use lake::schema::Column;
use syntax::{
    names::{FullName, closest, fold_case},
    yaml::{Places, YamlError},
};

use super::managed;
use crate::{
    catalog::{
        Action,
        asset::{self, Asset, Kind},
        authorize::is_allowed,
        names,
    },
    db::Sql,
    error::{Code, Error, Result},
};

/// A file that was read, and what it is called in errors.
#[derive(Debug, Clone)]
pub struct Written {
    places: Places,
    what: &'static str,
    field: &'static str,
}

impl Written {
    /// Of a file's text. `what` is the beginning of a sentence (`The gates cannot be judged`), `field` the parameter that it
    /// came in.
    pub fn new(text: &str, what: &'static str, field: &'static str) -> Result<Self> {
        let unreadable = |error: YamlError| Error::invalid(format!("{what}: {error}.")).in_field(field);
        Ok(Self { places: Places::of(text).map_err(unreadable)?, what, field })
    }

    /// A value that is refused, as a clause that says which one it is and what to do.
    pub fn refused(&self, path: &str, why: impl Display) -> Error {
        let why = why.to_string();
        let why = why.trim_end_matches('.');
        let end = if why.ends_with('?') { "" } else { "." };
        Error::invalid(format!("{}: {}: {why}{end}", self.what, self.places.at(path))).in_field(self.field)
    }

    /// What was looked up, or its refusal with the place. What is not there is a slip in the file; what the caller may not see,
    /// and what failed here, stays what it is.
    pub fn placed<T>(&self, path: &str, found: Result<T>) -> Result<T> {
        found.map_err(|error| match error.code() {
            Code::ResourceDoesNotExist | Code::InvalidParameterValue | Code::BadRequest => {
                self.refused(path, error.message())
            }
            _ => error,
        })
    }

    /// The same of something that has a name of three levels, with the nearest name of these kinds that the caller may read.
    pub fn named<T>(
        &self,
        sql: &mut Sql<'_>,
        (path, name, kinds): (&str, &str, &[Kind]),
        found: Result<T>,
    ) -> Result<T> {
        let error = match found {
            Err(error) if error.code() == Code::ResourceDoesNotExist => error,
            other => return self.placed(path, other),
        };
        let near = match FullName::parse(name) {
            Ok(name) => nearest(sql, &name, kinds)?,
            Err(_) => None,
        };
        Err(match near {
            Some(near) => {
                self.refused(path, format!("there is no '{name}' to be read; did you mean '{near}'?"))
            }
            None => self.refused(path, error.message()),
        })
    }

    /// The column of this name, which compares without case.
    pub fn column<'c>(
        &self,
        path: &str,
        columns: &'c [Column],
        table: &str,
        name: &str,
    ) -> Result<&'c Column> {
        let wanted = fold_case(name);
        columns.iter().find(|column| fold_case(&column.name) == wanted).ok_or_else(|| {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let hint = match closest(name, known.iter().copied()) {
                Some(close) => format!("did you mean '{close}'?"),
                None => format!("it has {}", listed(&known)),
            };
            self.refused(path, format!("'{table}' has no column '{name}'; {hint}"))
        })
    }
}

/// Names of an error's hint.
const LISTED: usize = 12;

fn listed(names: &[&str]) -> String {
    match names.len() {
        0..=LISTED => names.join(", "),
        more => format!("{} and {} more", names[..LISTED].join(", "), more - LISTED),
    }
}

/// The name of one of these kinds that somebody meant who wrote another one, among those that the caller may read.
fn nearest(sql: &mut Sql<'_>, name: &FullName, kinds: &[Kind]) -> Result<Option<String>> {
    let catalog = match names::catalog(sql, &name.catalog) {
        Err(error) if error.code() == Code::ResourceDoesNotExist => return Ok(None),
        found => found?,
    };
    let Some(schema) = meant(sql, catalog.id, &[Kind::Schema], &name.schema)? else { return Ok(None) };
    // Of a schema that is another one than was written, what was written of the leaf may be right.
    let leaf = match meant(sql, schema.id, kinds, &name.leaf)? {
        Some(leaf)
            if fold_case(&leaf.leaf) != fold_case(&name.leaf)
                || fold_case(&schema.leaf) != fold_case(&name.schema) =>
        {
            leaf.leaf
        }
        _ => return Ok(None),
    };
    Ok(Some(managed::show(&FullName { catalog: catalog.leaf, schema: schema.leaf, leaf })))
}

/// The asset of one of these kinds below another that has a name, or the one that is closest to it.
fn meant(sql: &mut Sql<'_>, above: i64, kinds: &[Kind], leaf: &str) -> Result<Option<Asset>> {
    let mut known = Vec::new();
    for kind in kinds {
        for asset in asset::list(sql, above, *kind)? {
            if is_allowed(sql, Action::Read, asset.id)? {
                known.push(asset);
            }
        }
    }
    let close = closest(leaf, known.iter().map(|asset| asset.leaf.as_str())).map(str::to_owned);
    Ok(close.and_then(|close| known.into_iter().find(|asset| asset.leaf == close)))
}
