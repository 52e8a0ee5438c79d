//! From a name on any face to a model.
//!
//! A name of three parts whose catalog and schema exist is that governed model, on every face. Any other name is plain
//! MLflow's: it lives in `main.default` under an escaped leaf, is compared byte for byte, and every face gives it back
//! as it was made. A plain model is thus also `main.default.<leaf>`, and the faces that want three levels know it by
//! that name and by its own. One whose own name became a governed one is known by `main.default.<leaf>` alone, and
//! whoever looks for it under its former name is told so (docs/decisions/0010).

use syntax::names::{FullName, NameError, check_model_name, escape_wire_name, fold_case};

use super::{
    models::{self, Model},
    store,
};
use crate::{
    bind,
    catalog::{
        Action, Asset, Kind,
        asset::{self, NewAsset},
        authorize::{authorize, is_allowed},
        bootstrap,
        names::{is_of_plain_model, otherwise, refused, schema_above, schema_of, three_levels},
        store as catalog_store,
    },
    db::Sql,
    error::{Error, Result},
};

/// Models of nearly the same name that are looked at.
const NEAR_MAX: i64 = 20;

/// Which names a face takes for something that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Levels {
    /// Any name that MLflow takes.
    Any,
    /// Three levels.
    Three,
}

/// Where a model of some name lives, or would.
#[derive(Debug)]
pub(super) struct Place {
    /// The schema it lies in.
    pub schema: Asset,
    /// Its last part, as given or escaped.
    pub leaf: String,
    /// The same as it compares.
    pub leaf_key: String,
    /// The whole name, where it is a plain one.
    pub wire_name: Option<String>,
}

impl Place {
    /// The asset to be made here, owned by the caller.
    pub fn new_asset<'a>(&'a self, tx: &Sql<'_>, comment: Option<&'a str>) -> NewAsset<'a> {
        NewAsset {
            parent_id: Some(self.schema.id),
            kind: Kind::Model,
            leaf: &self.leaf,
            leaf_key: &self.leaf_key,
            wire_name: self.wire_name.as_deref(),
            owner_id: tx.caller().id,
            comment,
            properties: None,
        }
    }

    /// Refuses a name that another model than `own` has here.
    pub fn refuse_taken(&self, tx: &mut Sql<'_>, name: &str, own: Option<i64>) -> Result<()> {
        let other = asset::find(tx, Some(self.schema.id), Kind::Model, &self.leaf_key)?;
        match other
            .filter(|other| Some(other.id) != own)
            .map(|other| models::get(tx, other.id))
            .transpose()?
        {
            Some(Some(other)) => Err(taken(name, &other)),
            _ => Ok(()),
        }
    }
}

/// Reads a name: its three levels, or why it has none.
fn read(name: &str) -> Result<std::result::Result<FullName, NameError>> {
    // Escaped and with two levels before it, a plain name is longer than one may be.
    if !is_of_plain_model(name) {
        check_model_name(name).map_err(refused)?;
    }
    Ok(three_levels(name))
}

/// Where a model of this name would be made.
pub(super) fn place(sql: &mut Sql<'_>, name: &str, levels: Levels) -> Result<Place> {
    let governed = match (read(name)?, levels) {
        (Ok(full), Levels::Three) => Some((schema_of(sql, &full.catalog, &full.schema)?.1, full)),
        (Err(error), Levels::Three) => return Err(refused(error)),
        (Ok(full), Levels::Any) => schema_above(sql, &full)?.map(|schema| (schema, full)),
        (Err(_), Levels::Any) => None,
    };
    Ok(match governed {
        Some((schema, full)) => {
            Place { schema, leaf_key: fold_case(&full.leaf), leaf: full.leaf, wire_name: None }
        }
        None => {
            let leaf = escape_wire_name(name);
            let schema = bootstrap::default_schema(sql)?;
            Place { schema, leaf_key: leaf.clone(), leaf, wire_name: Some(name.to_owned()) }
        }
    })
}

/// `asset.id` of the living model that this name means. It asks nobody's leave.
pub fn find(sql: &mut Sql<'_>, name: &str) -> Result<Option<i64>> {
    let Place { schema, leaf_key, .. } = place(sql, name, Levels::Any)?;
    let found = asset::find(sql, Some(schema.id), Kind::Model, &leaf_key)?;
    Ok(found.map(|found| found.id))
}

/// The model that this name means, for a caller who may read it.
pub fn load(sql: &mut Sql<'_>, name: &str, levels: Levels) -> Result<Model> {
    let id = require(sql, name, levels)?;
    authorize(sql, Action::Read, id)?;
    models::get(sql, id)?.ok_or_else(|| missing(name))
}

/// The same, kept from others until the transaction ends, for a caller who may do this to it. Every change of a model,
/// its versions and its aliases begins here: changes of one model happen one after another.
pub fn lock(tx: &mut Sql<'_>, name: &str, levels: Levels, action: Action) -> Result<Model> {
    let id = require(tx, name, levels)?;
    tx.first(&catalog_store::ASSET_LOCK, bind![id], |_| Ok(()))?.ok_or_else(|| missing(name))?;
    authorize(tx, action, id)?;
    models::get(tx, id)?.ok_or_else(|| missing(name))
}

fn require(sql: &mut Sql<'_>, name: &str, levels: Levels) -> Result<i64> {
    if let Some(id) = find(sql, name)? {
        return Ok(id);
    }
    // Says which level is missing, where there must be three.
    place(sql, name, levels)?;
    let Some(near) = near(sql, name)? else {
        return Err(match FullName::parse(name) {
            Ok(full) => otherwise(sql, &full, Kind::Model, missing(name)),
            Err(_) => missing(name),
        });
    };
    let why = if near.wire_name.is_some() {
        format!("There is '{}': plain model names are case sensitive.", near.name())
    } else {
        format!(
            "Its catalog and schema exist, so the name is that of a governed model. The plain model that was made under it \
             before is '{}' now.",
            near.name()
        )
    };
    Err(Error::missing(format!("{} {why}", missing(name).message())))
}

/// A plain model that the caller may have meant, if they may read it: it was made under this name before that became a
/// governed one, or under one that differs from it in case.
fn near(sql: &mut Sql<'_>, name: &str) -> Result<Option<Model>> {
    for id in sql.all(&store::MODEL_NEAR_NAME, bind![name, NEAR_MAX], |row| row.get::<i64>(0))? {
        if is_allowed(sql, Action::Read, id)? {
            return models::get(sql, id);
        }
    }
    Ok(None)
}

/// The error for a name that means nothing.
pub fn missing(name: &str) -> Error {
    Error::missing(format!("Registered Model with name={name} not found"))
}

/// The error for a name that is taken by `other`. Says so when they are not written alike.
pub fn taken(name: &str, other: &Model) -> Error {
    let stored = other.name();
    Error::exists(if stored == name {
        format!("Registered Model (name={name}) already exists.")
    } else if fold_case(&stored) == fold_case(name) {
        format!(
            "Registered Model (name={name}) already exists as '{stored}': three-level names compare without case."
        )
    } else {
        format!("Registered Model (name={name}) already exists: it is the same as '{stored}'.")
    })
}
