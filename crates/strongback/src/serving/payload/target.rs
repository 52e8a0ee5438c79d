//! The table that an endpoint's rows go to, and who may put records into the log for it.

use std::sync::{Arc, atomic::Ordering};

use lake::arrow::datatypes::Schema;
use serde_json::json;
use syntax::names::FullName;

use super::{
    log::{Opened, Tally},
    names::{self, Input},
    record::{self, Record},
    store,
};
use crate::{
    bind,
    catalog::{
        asset::{self, Kind},
        authorize_admin,
        lineage::{self, EdgeKind, Fact, NodeRef},
        names as catalog_names,
    },
    context::{App, Ctx},
    db::{Origin, Sql},
    error::{Code, Error, Result},
    events::EventKind,
    tables::{self, NewEmpty},
};

/// What the log has to know of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRef {
    /// Its asset.
    pub asset: i64,
    /// The name of its payload table, as it is when the table comes to be.
    pub table: FullName,
    /// `principal.id` of its owner, who gets the table.
    pub owner: i64,
}

/// Puts requests of one endpoint with the same inputs into the log. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Recording>);

struct Recording {
    endpoint: i64,
    schema: i64,
    inputs: Arc<[Input]>,
    tally: Arc<Tally>,
    opened: Arc<Opened>,
}

/// Who logs the requests of an endpoint whose model has these inputs. To be asked for when a configuration is loaded, not with
/// each request: what the records mean is made durable here.
pub async fn recorder(ctx: &Ctx, endpoint: &EndpointRef, inputs: &Schema) -> Result<Recorder> {
    let opened = ctx.app.payload.open().await?;
    let inputs: Arc<[Input]> = names::inputs(inputs)?.into();
    let columns = serde_json::to_string(&inputs[..]).map_err(Error::internal)?;
    let endpoint = endpoint.clone();
    let asset = endpoint.asset;
    let schema = ctx
        .app
        .db
        .derive(move |tx| {
            let (_, schema) = catalog_names::schema_of(tx, &endpoint.table.catalog, &endpoint.table.schema)?;
            tx.execute(
                &store::ENDPOINT_PUT,
                bind![endpoint.asset, schema.id, &endpoint.table.leaf, endpoint.owner],
            )?;
            tx.execute(&store::SCHEMA_PUT, bind![&columns])?;
            tx.one(&store::SCHEMA_FIND, bind![&columns], |row| row.get::<i64>(0))
        })
        .await?;
    let tally = opened.tally(asset);
    Ok(Recorder(Arc::new(Recording { endpoint: asset, schema, inputs, tally, opened })))
}

impl Recorder {
    /// Logs a request; it may be answered once this has succeeded, and not otherwise.
    pub async fn append(&self, record: Record) -> Result<()> {
        let Recording { endpoint, schema, inputs, tally, opened } = &*self.0;
        let bytes = record::encode(*endpoint, *schema, inputs, record)?;
        opened.append(tally, &bytes).await
    }

    /// Requests that were logged and answered through the log since it was opened.
    pub fn served(&self) -> u64 {
        self.0.tally.served.load(Ordering::Relaxed)
    }
}

/// The inputs that records name by number.
pub(super) async fn inputs_of(app: &App, schema: i64) -> Result<Arc<[Input]>> {
    let columns = app
        .db
        .read(&Origin::system(), move |sql| {
            sql.first(&store::SCHEMA_GET, bind![schema], |row| row.get::<String>(0))
        })
        .await?
        .ok_or_else(|| Error::internal(format!("no inputs are stored under the number {schema}")))?;
    Ok(serde_json::from_str::<Vec<Input>>(&columns).map_err(Error::internal)?.into())
}

/// Where the rows of an endpoint go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This table.
    Table(i64),
    /// Nowhere: the endpoint is gone, and so is the table or the schema that it would lie in.
    Nowhere,
}

enum Found {
    Target(Target),
    New(NewEmpty),
}

/// Who writes payload tables, as whoever else tries to is told.
const KEEPER: &str = "what an endpoint served";
/// Tables of one name and a number, as endpoints that were made again leave them.
const NUMBERS_MAX: usize = 1_000;

/// The table of an endpoint, made if it is not there.
pub(super) async fn of(ctx: &Ctx, endpoint: i64) -> Result<Target> {
    let new = match ctx.read(move |sql| find(sql, endpoint)).await? {
        Found::Target(target) => return Ok(target),
        Found::New(new) => new,
    };
    let name = tables::managed::show(&new.name);
    // Made and noted in one transaction: no crash comes between, and no table of somebody else's is taken for it.
    let table = tables::create_kept(ctx, new, KEEPER, move |tx, table| {
        tx.execute(&store::ENDPOINT_SET_TABLE, bind![endpoint, table])?;
        record_lineage(tx, endpoint, table)?;
        Ok((EventKind::TableCreate, json!({ "name": name, "columns": names::FIXED.len() })))
    })
    .await?;
    Ok(Target::Table(table))
}

/// Records that the rows of this table are what an endpoint served.
pub fn record_lineage(tx: &mut Sql<'_>, endpoint: i64, table: i64) -> Result<()> {
    let (source, target) = (NodeRef::Asset(endpoint), NodeRef::Asset(table));
    lineage::record(tx, source, target, EdgeKind::Logs, Fact::default()).map(drop)
}

fn find(sql: &mut Sql<'_>, endpoint: i64) -> Result<Found> {
    authorize_admin(sql, "bring what was logged into tables")?;
    let known = sql.first(&store::ENDPOINT_GET, bind![endpoint], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?, row.get::<Option<i64>>(3)?))
    })?;
    let Some((schema, leaf, owner, table)) = known else {
        return Err(Error::internal(format!(
            "nothing is known of the endpoint {endpoint} of a logged request"
        )));
    };
    if let Some(table) = table
        && asset::get(sql, table)?.is_some()
    {
        return Ok(Found::Target(Target::Table(table)));
    }
    let Some(above) = asset::get(sql, schema)? else { return Ok(Found::Target(Target::Nowhere)) };
    // The table was deleted, and then the endpoint: nobody wants the rows.
    if table.is_some() && asset::get(sql, endpoint)?.is_none() {
        return Ok(Found::Target(Target::Nowhere));
    }
    let catalog = above.parent_id.map(|id| asset::get(sql, id)).transpose()?.flatten();
    let catalog = catalog.ok_or_else(|| Error::internal("a schema has no catalog"))?;
    Ok(Found::New(NewEmpty {
        name: FullName { catalog: catalog.leaf, schema: above.leaf, leaf: free_leaf(sql, schema, &leaf)? },
        columns: names::fixed(),
        comment: comment(endpoint),
        properties: None,
        owner: Some(owner),
    }))
}

/// The name, or the first with a number behind it that nothing has: an endpoint that was deleted leaves its table, and another one
/// may be made under its name.
fn free_leaf(sql: &mut Sql<'_>, schema: i64, leaf: &str) -> Result<String> {
    for number in 1..=NUMBERS_MAX {
        let tried = if number == 1 { leaf.to_owned() } else { format!("{leaf}_{number}") };
        let key = syntax::names::fold_case(&tried);
        let is_taken = asset::find(sql, Some(schema), Kind::Table, &key)?.is_some()
            || asset::find(sql, Some(schema), Kind::TrainingSet, &key)?.is_some();
        if !is_taken {
            return Ok(tried);
        }
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "There are {NUMBERS_MAX} tables named '{leaf}' with a number behind it. Delete those of endpoints that are gone."
        ),
    ))
}

fn comment(endpoint: i64) -> String {
    format!("Requests that were served, a row a scored row (endpoint {endpoint})")
}

/// The table of an endpoint, if it was made and is there. It authorises nothing.
pub fn recorded_table(sql: &mut Sql<'_>, endpoint: i64) -> Result<Option<i64>> {
    Ok(match recorded(sql, endpoint)? {
        Recorded::Table(table) => Some(table),
        Recorded::Nothing | Recorded::Deleted => None,
    })
}

/// What an endpoint recorded.
pub enum Recorded {
    /// In this table.
    Table(i64),
    /// Nothing that is in a table yet.
    Nothing,
    /// In a table that was deleted.
    Deleted,
}

/// Where the rows of an endpoint are. It authorises nothing.
pub fn recorded(sql: &mut Sql<'_>, endpoint: i64) -> Result<Recorded> {
    let table = sql.first(&store::ENDPOINT_GET, bind![endpoint], |row| row.get::<Option<i64>>(3))?.flatten();
    Ok(match table {
        None => Recorded::Nothing,
        Some(table) if asset::get(sql, table)?.is_none() => Recorded::Deleted,
        Some(table) => Recorded::Table(table),
    })
}

/// Where the rows of the endpoint that has this name now are; `None` if there is no such endpoint. It authorises nothing, but for
/// what finding the schema asks.
pub fn recorded_by(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<Recorded>> {
    let (_, schema) = catalog_names::schema_of(sql, &name.catalog, &name.schema)?;
    let leaf_key = syntax::names::fold_case(&name.leaf);
    let endpoint = asset::find(sql, Some(schema.id), Kind::Endpoint, &leaf_key)?;
    endpoint.map(|endpoint| recorded(sql, endpoint.id)).transpose()
}
