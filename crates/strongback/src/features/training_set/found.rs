//! The tables that a training set is asked to stand on, and at which versions.

use lake::query::AsOf;
use syntax::names::FullName;

use super::create::CreateRequest;
use crate::{
    bind,
    catalog::{Action, authorize, names},
    db::Sql,
    error::{Code, Error, Result},
    features::{
        definition::{self, Definition},
        readable_as, store,
    },
    tables::managed::{self, Managed},
};

/// The tables as a request names them, found.
pub(super) struct Found {
    pub labels: Managed,
    pub version: u64,
    pub features: Vec<(Managed, Definition, u64)>,
}

/// A table and a version, as `name@7`.
fn versioned(given: &str) -> Result<(FullName, Option<AsOf>)> {
    let (name, version) = FullName::parse_versioned(given).map_err(names::refused)?;
    Ok((name, version.map(AsOf::Version)))
}

pub(super) fn look_up(sql: &mut Sql<'_>, name: &FullName, asked: &CreateRequest) -> Result<Found> {
    let (_, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    authorize(sql, Action::Create, schema.id)?;
    let (labels, as_of) = versioned(&asked.labels).map_err(|error| error.in_field("labels"))?;
    let labels = managed::get(sql, &labels, Action::Read)?;
    let version = labels.version_at(sql, as_of)?;
    let mut features = Vec::with_capacity(asked.features.len());
    for given in &asked.features {
        let (name, as_of) = versioned(given).map_err(|error| error.in_field("features"))?;
        features.push(feature_table(sql, &name, as_of)?);
    }
    Ok(Found { labels, version, features })
}

/// A feature table at a version that has the rows of a publication and can be read still.
fn feature_table(
    sql: &mut Sql<'_>,
    name: &FullName,
    as_of: Option<AsOf>,
) -> Result<(Managed, Definition, u64)> {
    let (table, state) = definition::find(sql, name, Action::Read)?;
    let shown = managed::show(name);
    let unpublished = || {
        Error::new(
            Code::InvalidState,
            format!(
                "Nothing of the feature table '{shown}' is published yet. Compute it with: strongback feature-table materialize \
                 {shown} --wait"
            ),
        )
    };
    let upto = match as_of {
        Some(_) => table.version_at(sql, as_of)?,
        None => state.published.ok_or_else(unpublished)?.version,
    };
    // A version that came by joining files has the rows of the publication before it.
    let at = sql.first(&store::PUBLICATION_AT, bind![table.asset.id, upto as i64], |row| {
        Ok((row.get::<i64>(0)? as u64, row.get::<i64>(1)?))
    })?;
    let (published, n) = at.ok_or_else(unpublished)?;
    let version = readable_as(sql, table.asset.id, published)?.ok_or_else(|| {
        Error::new(
            Code::InvalidState,
            format!(
                "A vacuum removed the files of version {published} of the feature table '{shown}', which was published. Compute it \
                 again with: strongback feature-table materialize {shown} --full --wait"
            ),
        )
    })?;
    let definition = definition::get(sql, table.asset.id, n)?;
    Ok((table, definition, version))
}
