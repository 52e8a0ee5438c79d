//! Rows of tables for other slices, which compute on them: batch by batch, on behalf of who may read the tables.

use std::time::Duration;

use lake::query::{self, Rows, Value};
use syntax::names::FullName;

use super::sql::resolve_all;
use crate::{
    catalog::bootstrap::{DEFAULT_CATALOG, DEFAULT_SCHEMA},
    context::Ctx,
    error::Result,
};

/// Begins a query. `parameters` take the place of `$name` in the statement.
pub async fn rows(
    ctx: &Ctx,
    statement: &str,
    parameters: Vec<(String, Value)>,
    time: Duration,
) -> Result<Rows> {
    let statement = query::read(statement)?;
    let tables = resolve_all(ctx, &statement, DEFAULT_CATALOG, DEFAULT_SCHEMA).await?;
    Ok(ctx.app.lake.rows(statement, tables, parameters, time).await?)
}

/// A word of a statement that means this name whatever is in it: of a column, or of one part of a table's.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table at a version, as a statement names it.
pub fn at_version(name: &FullName, version: u64) -> String {
    let [catalog, schema, leaf] = [&name.catalog, &name.schema, &name.leaf].map(|part| quoted(part));
    format!("{catalog}.{schema}.{leaf} VERSION AS OF {version}")
}
