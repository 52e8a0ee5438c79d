//! Unity Catalog's face of tables: those that this server keeps are its managed ones, those that somebody declares its
//! external ones. Nothing is read from the place that a declaration points to.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use syntax::names::{FullName, check_leaf_name, fold_case};

use super::{
    column::{self, Column},
    land, managed,
    pins::{self, PINS_MAX, Pin},
    store,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind, NewAsset},
        authorize, names,
        securable::{self, Paging, People, Properties, Wanted, check_text},
        unsupported::refuse_text,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{self, Empty, Int64, flag, required},
    },
};

/// What may be declared; both clients know these.
const FORMATS: &[&str] = &["DELTA", "ICEBERG", "CSV", "JSON", "AVRO", "PARQUET", "ORC", "TEXT"];
/// Longest location, in characters.
const LOCATION_CHARS_MAX: usize = 4_096;

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/2.1/unity-catalog/tables";
    const ONE: &str = "/api/2.1/unity-catalog/tables/{full_name}";
    const EXISTS: &str = "/api/2.1/unity-catalog/tables/{full_name}/exists";
    let on = |action| Policy::Asset(action);
    vec![
        Route::json(Method::POST, ALL, on(Action::Create), Limits::JSON, "Declare a table", create),
        Route::json(Method::GET, ALL, Policy::Visible, Limits::SMALL, "List the tables of a schema", list),
        Route::json(Method::GET, ONE, on(Action::Read), Limits::SMALL, "Get a table", get),
        Route::json(Method::PATCH, ONE, on(Action::Edit), Limits::JSON, "Change a table", update),
        Route::json(
            Method::DELETE,
            ONE,
            on(Action::Delete),
            Limits::SMALL,
            "Delete a table, or its declaration",
            delete,
        ),
        Route::json(
            Method::GET,
            EXISTS,
            on(Action::Read),
            Limits::SMALL,
            "Whether a table is declared",
            exists,
        ),
        Route::json(
            Method::GET,
            "/api/1.0/tables/{full_name}",
            on(Action::Read),
            Limits::SMALL,
            "Get a table with its newest version, who computes it and who pins it",
            show,
        ),
    ]
}

/// A table as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TableInfo {
    /// Its own part of the name.
    pub name: String,
    /// Name of its catalog.
    pub catalog_name: String,
    /// Name of its schema.
    pub schema_name: String,
    /// `catalog.schema.table`
    pub full_name: String,
    /// `MANAGED` where this server keeps it, `EXTERNAL` where it lives elsewhere.
    pub table_type: &'static str,
    /// `DELTA`, `PARQUET` and so on, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_source_format: Option<String>,
    /// Its columns, as declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// Where it lives, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_location: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Free properties.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
    /// Name of the owner.
    pub owner: String,
    /// When it was declared.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it was changed last.
    pub updated_at: i64,
    /// By whom.
    pub updated_by: String,
    /// UUID.
    pub table_id: String,
}

impl TableInfo {
    fn new(
        sql: &mut Sql<'_>,
        root: &lake::Root,
        people: &mut People,
        above: (&str, &str),
        asset: Asset,
    ) -> Result<Self> {
        let (format, mut location, columns, version) =
            sql.one(&store::TABLE_GET, bind![asset.id], |row| {
                let text = |at| row.get::<String>(at);
                Ok((text(0)?, text(1)?, text(2)?, row.get::<Option<i64>>(3)?))
            })?;
        if version.is_some() {
            location = root.url_of(asset.uuid.parse()?)?.to_string();
        }
        let (catalog, schema) = above;
        Ok(Self {
            full_name: format!("{catalog}.{schema}.{}", asset.leaf),
            name: asset.leaf,
            catalog_name: catalog.to_owned(),
            schema_name: schema.to_owned(),
            table_type: if version.is_some() { "MANAGED" } else { "EXTERNAL" },
            data_source_format: (!format.is_empty()).then_some(format),
            columns: Some(serde_json::from_str(&columns).map_err(Error::internal)?),
            storage_location: (!location.is_empty()).then_some(location),
            comment: asset.comment,
            properties: securable::from_map(&asset.properties),
            owner: people.name(sql, asset.owner_id)?,
            created_at: asset.created_at,
            created_by: people.name(sql, asset.created_by)?,
            updated_at: asset.updated_at,
            updated_by: people.name(sql, asset.updated_by)?,
            table_id: asset.uuid,
        })
    }
}

/// What to declare.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Its own part of the name.
    pub name: String,
    /// Name of its catalog.
    #[serde(alias = "catalogName")]
    pub catalog_name: String,
    /// Name of its schema.
    #[serde(alias = "schemaName")]
    pub schema_name: String,
    /// `EXTERNAL`, or absent.
    #[serde(alias = "tableType")]
    pub table_type: Option<String>,
    /// `DELTA`, `PARQUET` and so on.
    #[serde(alias = "dataSourceFormat")]
    pub data_source_format: Option<String>,
    /// Where it lives.
    #[serde(alias = "storageLocation")]
    pub storage_location: Option<String>,
    /// Its columns.
    #[serde(default, deserialize_with = "wire::list")]
    pub columns: Vec<Column>,
    /// Description.
    pub comment: Option<String>,
    /// Free properties.
    pub properties: Option<Properties>,
}

impl CreateRequest {
    fn check(&self) -> Result<()> {
        check_leaf_name(&self.name).map_err(names::refused)?;
        securable::check_comment(self.comment.as_deref())?;
        securable::check_properties(self.properties.as_ref())?;
        check_text("storage_location", self.location(), LOCATION_CHARS_MAX)?;
        match self.table_type.as_deref().unwrap_or_default() {
            "" | "EXTERNAL" => {}
            "MANAGED" => self.check_managed()?,
            other => {
                return Err(Error::invalid(format!(
                    "Invalid value '{other}' for parameter 'table_type' supplied: it is MANAGED for a table that is kept here, or \
                     EXTERNAL for one that lives elsewhere."
                )));
            }
        }
        if !self.format().is_empty() && !FORMATS.contains(&self.format()) {
            return Err(Error::invalid(format!(
                "Invalid value '{}' for parameter 'data_source_format' supplied: it is one of {}.",
                self.format(),
                FORMATS.join(", ")
            )));
        }
        column::check(&self.columns)
    }

    fn is_managed(&self) -> bool {
        self.table_type.as_deref() == Some("MANAGED")
    }

    fn check_managed(&self) -> Result<()> {
        if !matches!(self.format(), "" | "DELTA") {
            return Err(Error::invalid(format!(
                "Invalid value '{}' for parameter 'data_source_format' supplied: a table that is kept here is DELTA.",
                self.format()
            )));
        }
        if !self.location().is_empty() {
            return Err(Error::invalid(
                "Invalid value for parameter 'storage_location' supplied: where a table is kept is the server's choice; leave it out.",
            ));
        }
        Ok(())
    }

    fn format(&self) -> &str {
        self.data_source_format.as_deref().unwrap_or_default()
    }

    fn location(&self) -> &str {
        self.storage_location.as_deref().unwrap_or_default()
    }
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<TableInfo> {
    request.check()?;
    if request.is_managed() {
        return create_managed(ctx, request).await;
    }
    let properties = request.properties.as_ref().map(securable::to_map);
    let root = ctx.app.lake.root().clone();
    let columns = serde_json::to_string(&column::numbered(&request.columns)).map_err(Error::internal)?;
    ctx.write(move |tx| {
        let (catalog, schema) = names::schema_of(tx, &request.catalog_name, &request.schema_name)?;
        // Nobody deletes the schema while something is made in it.
        let schema = asset::lock(tx, schema.id)?;
        authorize(tx, Action::Create, schema.id)?;
        let leaf_key = fold_case(&request.name);
        if let Some(other) = managed::of_leaf(tx, schema.id, &leaf_key)? {
            return Err(names::taken(&request.name, &other));
        }
        let owner_id = tx.caller().id;
        let made = asset::create(
            tx,
            &NewAsset {
                parent_id: Some(schema.id),
                kind: Kind::Table,
                leaf: &request.name,
                leaf_key: &leaf_key,
                wire_name: None,
                owner_id,
                comment: request.comment.as_deref().filter(|comment| !comment.is_empty()),
                properties: properties.as_ref(),
            },
        )?;
        let (id, revision) = (made.id, made.revision);
        let location = request.location();
        tx.execute(&store::TABLE_INSERT, bind![id, request.format(), location, &columns, None::<i64>])?;
        let info = TableInfo::new(tx, &root, &mut People::default(), (&catalog.leaf, &schema.leaf), made)?;
        let event = Event::new(EventKind::TableDeclare).asset(id, revision).detail(json!({
            "name": info.full_name, "location": info.storage_location, "columns": request.columns.len(),
        }));
        Ok(Change::Made(info, event))
    })
    .await
}

/// Makes an empty table that is kept here.
async fn create_managed(ctx: Ctx, request: CreateRequest) -> Result<TableInfo> {
    let full_name = format!("{}.{}.{}", request.catalog_name, request.schema_name, request.name);
    let name = managed::parse(&full_name)?;
    let new = land::NewEmpty {
        name: name.clone(),
        columns: column::to_lake(&request.columns)?,
        comment: request.comment.clone().unwrap_or_default(),
        properties: request.properties.as_ref().map(securable::to_map),
        owner: None,
    };
    land::create_empty(&ctx, new).await?;
    get(ctx, GetRequest { full_name }).await
}

/// Whose tables to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the catalog.
    #[serde(alias = "catalogName")]
    pub catalog_name: Option<String>,
    /// Name of the schema.
    #[serde(alias = "schemaName")]
    pub schema_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
    /// Leaves the columns out.
    #[serde(default, deserialize_with = "flag")]
    pub omit_columns: bool,
    /// Leaves the properties out.
    #[serde(default, deserialize_with = "flag")]
    pub omit_properties: bool,
}

/// A page of tables.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub tables: Vec<TableInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    let catalog_name = required(&request.catalog_name, "catalog_name")?.to_owned();
    let schema_name = required(&request.schema_name, "schema_name")?.to_owned();
    let root = ctx.app.lake.root().clone();
    ctx.read(move |sql| {
        let (catalog, schema) = names::schema_of(sql, &catalog_name, &schema_name)?;
        let (assets, next_page_token) = securable::page(sql, schema.id, Kind::Table, &paging)?;
        let mut people = People::default();
        let mut tables = Vec::with_capacity(assets.len());
        for asset in assets {
            let mut info = TableInfo::new(sql, &root, &mut people, (&catalog.leaf, &schema.leaf), asset)?;
            if request.omit_columns {
                info.columns = None;
            }
            if request.omit_properties {
                info.properties.clear();
            }
            tables.push(info);
        }
        Ok(ListResponse { tables, next_page_token })
    })
    .await
}

/// Which table.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `catalog.schema.table`
    pub full_name: String,
}

/// The catalog's and schema's names as they are written, and the table.
fn find(sql: &mut Sql<'_>, full_name: &str) -> Result<(String, String, Asset)> {
    let name = FullName::parse(full_name).map_err(names::refused)?;
    let (catalog, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    let Some(found) = asset::find(sql, Some(schema.id), Kind::Table, &fold_case(&name.leaf))? else {
        let missing = Error::missing(format!(
            "The table '{full_name}' does not exist. Declare it with: strongback table declare {full_name}"
        ));
        return Err(names::otherwise(sql, &name, Kind::Table, missing));
    };
    Ok((catalog.leaf, schema.leaf, found))
}

/// All that is known of a table.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TableView {
    /// What every table has.
    pub table: TableInfo,
    /// The newest version of one that is kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<NewestVersion>,
    /// What computes its rows, so that nobody else writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<String>,
    /// Who needs which version.
    pub pins: Vec<Pin>,
}

/// A version with its size.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewestVersion {
    /// Its number.
    pub version: u64,
    /// Rows that the table has, if somebody counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
}

async fn show(ctx: Ctx, request: GetRequest) -> Result<TableView> {
    let root = ctx.app.lake.root().clone();
    ctx.read(move |sql| {
        let (catalog, schema, found) = find(sql, &request.full_name)?;
        authorize(sql, Action::Read, found.id)?;
        let id = found.id;
        let newest = managed::newest(sql, id)?.map(|newest| NewestVersion {
            version: newest.version,
            rows: newest.rows,
            bytes: newest.bytes,
            files: newest.files,
        });
        Ok(TableView {
            table: TableInfo::new(sql, &root, &mut People::default(), (&catalog, &schema), found)?,
            newest,
            kept_by: managed::kept_by(sql, id)?,
            pins: pins::list(sql, id, 0, i64::MAX, PINS_MAX)?,
        })
    })
    .await
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<TableInfo> {
    let root = ctx.app.lake.root().clone();
    ctx.read(move |sql| {
        let (catalog, schema, found) = find(sql, &request.full_name)?;
        authorize(sql, Action::Read, found.id)?;
        TableInfo::new(sql, &root, &mut People::default(), (&catalog, &schema), found)
    })
    .await
}

/// Whether it is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExistsResponse {
    /// A table that the caller may not read is refused, as by a get.
    pub table_exists: bool,
}

async fn exists(ctx: Ctx, request: GetRequest) -> Result<ExistsResponse> {
    let name = FullName::parse(&request.full_name).map_err(names::refused)?;
    ctx.read(move |sql| {
        let found = names::leaf(sql, &name, Kind::Table)?;
        match &found {
            Some(found) => authorize(sql, Action::Read, found.id)?,
            // That a name is free is nobody's secret.
            None => authorize::visible(sql),
        }
        Ok(ExistsResponse { table_exists: found.is_some() })
    })
    .await
}

/// What to change; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// Name of the new owner.
    pub owner: Option<String>,
    /// Description; empty takes it away.
    pub comment: Option<String>,
    /// Free properties, in place of all earlier ones.
    pub properties: Option<Properties>,
    /// Refused unless it is the name: a table keeps it.
    pub new_name: Option<String>,
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<TableInfo> {
    let root = ctx.app.lake.root().clone();
    ctx.write(move |tx| {
        let (catalog, schema, found) = find(tx, &request.full_name)?;
        let why = "tables keep their names, by which statements, gates and monitors know them.";
        refuse_text("new_name", request.new_name.as_deref(), &found.leaf, why)?;
        let wanted = Wanted {
            leaf: None,
            owner: request.owner.as_deref(),
            comment: request.comment.as_deref(),
            properties: request.properties.as_ref(),
        };
        let (people, above) = (&mut People::default(), (catalog.as_str(), schema.as_str()));
        let Some(changed) = securable::change(tx, found.id, &wanted)? else {
            return Ok(Change::Nothing(TableInfo::new(tx, &root, people, above, found)?));
        };
        let kind = if changed.is_owner_only { EventKind::OwnerSet } else { EventKind::TableUpdate };
        let event = Event::new(kind).asset(changed.asset.id, changed.asset.revision).detail(changed.detail);
        Ok(Change::Made(TableInfo::new(tx, &root, people, above, changed.asset)?, event))
    })
    .await
}

/// Which table to delete.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeleteRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// Whether it is deleted also where somebody needs a version of it.
    #[serde(default, deserialize_with = "flag")]
    pub force: bool,
}

/// Refuses a table of which somebody needs a version: what stands on it could not be made again.
fn refuse_pinned(tx: &mut Sql<'_>, table: &Asset) -> Result<()> {
    // Whoever pins a version waits for this row.
    asset::lock(tx, table.id)?;
    authorize(tx, Action::Delete, table.id)?;
    let pins = pins::list(tx, table.id, 0, i64::MAX, PINS_MAX)?;
    if pins.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "Versions of the table '{}' are pinned, so it was not deleted:{}\nTake the pins away (a training set, a monitor and a gate \
             report take theirs along when they go), or repeat with force=true; what stands on it cannot be made again then.",
            asset::display_name(tx, table.id)?,
            pins::named(&pins)
        ),
    ))
}

async fn delete(ctx: Ctx, request: DeleteRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        let (_, _, found) = find(tx, &request.full_name)?;
        if !request.force {
            refuse_pinned(tx, &found)?;
        }
        let event = securable::delete(tx, &found, false, EventKind::TableDelete)?;
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
