//! From the names that people and clients write to assets, and what is said when that does not work.
//!
//! Three-level names compare without case and are shown as they were given. Whoever asks for a name that is not there
//! learns which level is missing and how to make it.
//!
//! A model's name of three levels whose catalog and schema exist is that governed model's and nothing else's. A plain
//! model that was made under it before goes by its own three levels, `main.default.<escaped leaf>`, as long as that
//! lasts. Whether it does is asked when the name is used and stored nowhere, so that making, renaming and deleting a
//! schema changes no row of a model.

use syntax::names::{self, FullName, NameError, check_model_name, fold_case, unescape_wire_name};

use super::{
    asset::{self, Asset, Kind},
    authorize::{Action, is_allowed},
    bootstrap::{self, DEFAULT_CATALOG, DEFAULT_SCHEMA},
};
use crate::{
    db::Sql,
    error::{Code, Error, Result},
};

/// A refused name as the caller reads it.
pub fn refused(error: NameError) -> Error {
    Error::invalid(error.message().to_owned())
}

/// The living catalog of this name.
pub fn catalog(sql: &mut Sql<'_>, name: &str) -> Result<Asset> {
    names::check_catalog_name(name).map_err(refused)?;
    let root = bootstrap::metastore(sql)?;
    asset::find(sql, Some(root.id), Kind::Catalog, &fold_case(name))?.ok_or_else(|| {
        Error::missing(format!(
            "The catalog '{name}' does not exist. Create it with: strongback catalog create {name}"
        ))
    })
}

/// The living catalog and schema of `catalog.schema`.
pub fn schema(sql: &mut Sql<'_>, full_name: &str) -> Result<(Asset, Asset)> {
    match full_name.split_once('.') {
        Some((catalog_name, leaf)) => schema_of(sql, catalog_name, leaf),
        None => Err(Error::invalid(format!(
            "Invalid schema name '{full_name}': specify both levels, as <catalog>.<schema>."
        ))),
    }
}

/// The living catalog and schema of these two names.
pub fn schema_of(sql: &mut Sql<'_>, catalog_name: &str, leaf: &str) -> Result<(Asset, Asset)> {
    names::check_schema_name(leaf).map_err(refused)?;
    let above = catalog(sql, catalog_name)?;
    let found = asset::find(sql, Some(above.id), Kind::Schema, &fold_case(leaf))?.ok_or_else(|| {
        Error::missing(format!(
            "The schema '{catalog_name}.{leaf}' does not exist. Create it with: strongback schema create {catalog_name}.{leaf}"
        ))
    })?;
    Ok((above, found))
}

/// Reads a name of three levels. That of a plain model, whose leaf is escaped, may be longer than what people give.
pub fn three_levels(name: &str) -> Result<FullName, NameError> {
    FullName::parse(name).or_else(|refused| of_plain_model(name).ok_or(refused))
}

/// Whether a name is the three levels of a plain model.
pub fn is_of_plain_model(name: &str) -> bool {
    of_plain_model(name).is_some()
}

fn of_plain_model(name: &str) -> Option<FullName> {
    let (catalog, rest) = name.split_once('.')?;
    let (schema, leaf) = rest.split_once('.')?;
    let is_plain = fold_case(catalog) == DEFAULT_CATALOG
        && fold_case(schema) == DEFAULT_SCHEMA
        && check_model_name(&unescape_wire_name(leaf)?).is_ok();
    let full = || FullName { catalog: catalog.to_owned(), schema: schema.to_owned(), leaf: leaf.to_owned() };
    is_plain.then(full)
}

/// The living schema that a three-level name lies in; `None` if it or its catalog is not there.
pub fn schema_above(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<Asset>> {
    let root = bootstrap::metastore(sql)?;
    match asset::find(sql, Some(root.id), Kind::Catalog, &fold_case(&name.catalog))? {
        Some(catalog) => asset::find(sql, Some(catalog.id), Kind::Schema, &fold_case(&name.schema)),
        None => Ok(None),
    }
}

/// The living asset of a kind with this three-level name; `None` if any of its levels is not there.
pub fn leaf(sql: &mut Sql<'_>, name: &FullName, kind: Kind) -> Result<Option<Asset>> {
    match schema_above(sql, name)? {
        Some(schema) => asset::find(sql, Some(schema.id), kind, &fold_case(&name.leaf)),
        None => Ok(None),
    }
}

/// The first of these kinds that has this name, and the version that the name ends with: a name may have an `@` of its own, and so
/// the whole of it is looked for first.
pub fn versioned(sql: &mut Sql<'_>, text: &str, kinds: &[Kind]) -> Result<Option<(Asset, Option<u64>)>> {
    let whole = FullName::parse(text).ok().map(|name| (name, None));
    let cut = FullName::parse_versioned(text).ok().filter(|(_, version)| version.is_some());
    for (name, version) in whole.into_iter().chain(cut) {
        for kind in kinds {
            if let Some(found) = leaf(sql, &name, *kind)? {
                return Ok(Some((found, version)));
            }
        }
    }
    Ok(None)
}

/// The error for the name of a table that is there already, as a table or as a training set.
pub fn taken_by_name(sql: &mut Sql<'_>, name: &FullName) -> Result<Error> {
    let found = match leaf(sql, name, Kind::Table)? {
        Some(table) => Some(table),
        None => leaf(sql, name, Kind::TrainingSet)?,
    };
    Ok(found
        .map_or_else(|| Error::internal("a name that is taken is free"), |other| taken(&name.leaf, &other)))
}

/// The three-level name of an asset in a schema, as it is now, also of a deleted one.
pub fn full_name_of(sql: &mut Sql<'_>, id: i64) -> Result<FullName> {
    FullName::parse(&asset::display_name(sql, id)?).map_err(Error::internal)
}

/// Whether a model's name is that of a governed one, also where there is no such model: its catalog and schema exist.
pub fn is_governed(sql: &mut Sql<'_>, name: &str) -> Result<bool> {
    match three_levels(name) {
        Ok(full) => Ok(schema_above(sql, &full)?.is_some()),
        Err(_) => Ok(false),
    }
}

/// Every living asset that a person may mean by a name: a catalog, a schema, what has that three-level name, and what
/// was created under exactly that name through a flat face. A model's name that is governed means no other model.
pub fn candidates(sql: &mut Sql<'_>, name: &str) -> Result<Vec<Asset>> {
    if name.contains('\0') {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let root = bootstrap::metastore(sql)?;
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [one] => found.extend(asset::find(sql, Some(root.id), Kind::Catalog, &fold_case(one))?),
        [catalog, schema] => {
            if let Some(above) = asset::find(sql, Some(root.id), Kind::Catalog, &fold_case(catalog))? {
                found.extend(asset::find(sql, Some(above.id), Kind::Schema, &fold_case(schema))?);
            }
        }
        _ => {}
    }
    let full = three_levels(name).ok();
    for kind in Kind::IN_SCHEMA {
        if let Some(full) = &full {
            found.extend(leaf(sql, full, kind)?);
        }
        if kind == Kind::Model && is_governed(sql, name)? {
            continue;
        }
        if let Some(wired) = asset::find_by_wire_name(sql, kind, name)?
            && found.iter().all(|other| other.id != wired.id)
        {
            found.push(wired);
        }
    }
    Ok(found)
}

/// The one asset that a name means, among those of `kind` if one is given.
pub fn resolve(sql: &mut Sql<'_>, name: &str, kind: Option<Kind>) -> Result<Asset> {
    let mut found = candidates(sql, name)?;
    found.retain(|asset| kind.is_none_or(|kind| kind == asset.kind));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::missing(format!(
            "There is no {} named '{name}'. Names are catalog, catalog.schema, catalog.schema.name, the path of an \
             experiment, or the name of a registered model.",
            kind.map_or(
                "catalog, schema, table, command, training set, endpoint, monitor, registered model or experiment",
                Kind::label
            ),
        ))),
        _ => {
            let kinds: Vec<&str> = found.iter().map(|asset| asset.kind.name()).collect();
            Err(Error::invalid(format!(
                "The name '{name}' is that of several things: {}. Say which one with 'kind'.",
                kinds.join(", ")
            )))
        }
    }
}

/// The error for a name that has to be that of one kind of thing and is not: what else has it, of what the caller may read, and
/// which command shows that; `missing` where nothing has it.
pub fn otherwise(sql: &mut Sql<'_>, name: &FullName, wanted: Kind, missing: Error) -> Error {
    match others(sql, name, wanted) {
        Ok(others) if others.is_empty() => missing,
        Ok(others) => {
            let name = format!("{}.{}.{}", name.catalog, name.schema, name.leaf);
            let others: Vec<String> = others.into_iter().map(|kind| shown_by(kind, &name)).collect();
            Error::missing(format!(
                "There is no {} '{name}'. It is the name of {}.",
                wanted.label(),
                others.join(" and of ")
            ))
        }
        Err(error) => error,
    }
}

fn others(sql: &mut Sql<'_>, name: &FullName, wanted: Kind) -> Result<Vec<Kind>> {
    let mut others = Vec::new();
    for kind in Kind::IN_SCHEMA.into_iter().filter(|kind| *kind != wanted) {
        if let Some(found) = leaf(sql, name, kind)?
            && is_allowed(sql, Action::Read, found.id)?
        {
            others.push(kind);
        }
    }
    Ok(others)
}

/// A kind with the command that shows it, where there is one.
fn shown_by(kind: Kind, name: &str) -> String {
    let (label, command) = match kind {
        Kind::Table => ("a table", "table show"),
        Kind::Model => ("a registered model", "model show"),
        Kind::Command => ("a command", "command show"),
        Kind::TrainingSet => ("a training set", "training-set show"),
        Kind::Endpoint => ("an endpoint", "endpoint show"),
        Kind::Monitor => ("a monitor", "monitor show"),
        Kind::Experiment => return "an experiment".to_owned(),
        Kind::Metastore | Kind::Catalog | Kind::Schema => return kind.label().to_owned(),
    };
    format!("{label} (strongback {command} {name})")
}

/// The error for a name that is taken by `other`. Says so when only the case differs.
pub fn taken(wanted: &str, other: &Asset) -> Error {
    let label = other.kind.label();
    let message = if wanted == other.leaf {
        format!("The {label} '{wanted}' exists already.")
    } else {
        format!(
            "The {label} '{wanted}' cannot be made: '{}' exists already, and these names compare without case.",
            other.leaf
        )
    };
    Error::new(Code::AlreadyExists, message)
}
