//! Schemas, as Unity Catalog's REST 2.1 has them.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use syntax::names::{check_schema_name, fold_case};

use super::{
    Action,
    asset::{self, Asset, Kind, NewAsset},
    authorize, bootstrap, names,
    securable::{self, Paging, People, Properties, Wanted},
    unsupported::Unsupported,
};
use crate::{
    context::Ctx,
    db::{Change, Sql},
    error::Result,
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, flag, required},
    },
};

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/2.1/unity-catalog/schemas";
    const ONE: &str = "/api/2.1/unity-catalog/schemas/{full_name}";
    let on = |action| Policy::Asset(action);
    vec![
        Route::json(Method::POST, ALL, on(Action::Create), Limits::JSON, "Create a schema", create),
        Route::json(Method::GET, ALL, Policy::Visible, Limits::SMALL, "List the schemas of a catalog", list),
        Route::json(Method::GET, ONE, on(Action::Read), Limits::SMALL, "Get a schema", get),
        Route::json(Method::PATCH, ONE, on(Action::Edit), Limits::JSON, "Change a schema", update),
        Route::json(Method::DELETE, ONE, on(Action::Delete), Limits::SMALL, "Delete a schema", delete),
    ]
}

/// A schema as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SchemaInfo {
    /// Its own part of the name.
    pub name: String,
    /// Name of its catalog.
    pub catalog_name: String,
    /// `catalog.schema`
    pub full_name: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Free properties.
    #[serde(skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
    /// Name of the owner.
    pub owner: String,
    /// When it was made.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it was changed last.
    pub updated_at: i64,
    /// By whom.
    pub updated_by: String,
    /// UUID.
    pub schema_id: String,
    /// UUID of the metastore.
    pub metastore_id: String,
    /// Always `MANAGED_CATALOG`.
    pub catalog_type: &'static str,
}

impl SchemaInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, catalog_name: &str, asset: Asset) -> Result<Self> {
        Ok(Self {
            full_name: format!("{catalog_name}.{}", asset.leaf),
            name: asset.leaf,
            catalog_name: catalog_name.to_owned(),
            comment: asset.comment,
            properties: securable::from_map(&asset.properties),
            owner: people.name(sql, asset.owner_id)?,
            created_at: asset.created_at,
            created_by: people.name(sql, asset.created_by)?,
            updated_at: asset.updated_at,
            updated_by: people.name(sql, asset.updated_by)?,
            schema_id: asset.uuid,
            metastore_id: bootstrap::metastore(sql)?.uuid,
            catalog_type: "MANAGED_CATALOG",
        })
    }
}

/// What to create.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Its own part of the name.
    pub name: String,
    /// Name of its catalog.
    #[serde(alias = "catalogName")]
    pub catalog_name: String,
    /// Description.
    pub comment: Option<String>,
    /// Free properties.
    pub properties: Option<Properties>,
    /// What a schema cannot have.
    #[serde(flatten)]
    pub unsupported: Unsupported,
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<SchemaInfo> {
    check_schema_name(&request.name).map_err(names::refused)?;
    securable::check_comment(request.comment.as_deref())?;
    securable::check_properties(request.properties.as_ref())?;
    request.unsupported.check("a schema")?;
    let properties = request.properties.as_ref().map(securable::to_map);
    ctx.write(move |tx| {
        let above = names::catalog(tx, &request.catalog_name)?;
        // Nobody deletes the catalog while something is made in it.
        let above = asset::lock(tx, above.id)?;
        authorize(tx, Action::Create, above.id)?;
        let leaf_key = fold_case(&request.name);
        if let Some(other) = asset::find(tx, Some(above.id), Kind::Schema, &leaf_key)? {
            return Err(names::taken(&request.name, &other));
        }
        let owner_id = tx.caller().id;
        let made = asset::create(
            tx,
            &NewAsset {
                parent_id: Some(above.id),
                kind: Kind::Schema,
                leaf: &request.name,
                leaf_key: &leaf_key,
                wire_name: None,
                owner_id,
                comment: request.comment.as_deref().filter(|comment| !comment.is_empty()),
                properties: properties.as_ref(),
            },
        )?;
        let (id, revision) = (made.id, made.revision);
        let info = SchemaInfo::new(tx, &mut People::default(), &above.leaf, made)?;
        let event = Event::new(EventKind::SchemaCreate).asset(id, revision).detail(
            json!({ "name": info.full_name, "comment": info.comment, "properties": info.properties }),
        );
        Ok(Change::Made(info, event))
    })
    .await
}

/// Whose schemas to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the catalog.
    #[serde(alias = "catalogName")]
    pub catalog_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A page of schemas.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub schemas: Vec<SchemaInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    required(&request.catalog_name, "catalog_name")?;
    ctx.read(move |sql| {
        let above = names::catalog(sql, request.catalog_name.as_deref().unwrap_or_default())?;
        let (assets, next_page_token) = securable::page(sql, above.id, Kind::Schema, &paging)?;
        let mut people = People::default();
        let schemas = assets
            .into_iter()
            .map(|asset| SchemaInfo::new(sql, &mut people, &above.leaf, asset))
            .collect::<Result<_>>()?;
        Ok(ListResponse { schemas, next_page_token })
    })
    .await
}

/// Which schema.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `catalog.schema`
    pub full_name: String,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<SchemaInfo> {
    ctx.read(move |sql| {
        let (above, found) = names::schema(sql, &request.full_name)?;
        authorize(sql, Action::Read, found.id)?;
        SchemaInfo::new(sql, &mut People::default(), &above.leaf, found)
    })
    .await
}

/// What to change; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// `catalog.schema` now.
    pub full_name: String,
    /// Its own part of the name afterwards.
    #[serde(alias = "newName")]
    pub new_name: Option<String>,
    /// Name of the new owner.
    pub owner: Option<String>,
    /// Description; empty takes it away.
    pub comment: Option<String>,
    /// Free properties, in place of all earlier ones.
    pub properties: Option<Properties>,
    /// What a schema cannot have.
    #[serde(flatten)]
    pub unsupported: Unsupported,
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<SchemaInfo> {
    if let Some(name) = &request.new_name {
        check_schema_name(name).map_err(names::refused)?;
    }
    request.unsupported.check("a schema")?;
    ctx.write(move |tx| {
        let (above, found) = names::schema(tx, &request.full_name)?;
        let wanted = Wanted {
            leaf: request.new_name.as_deref(),
            owner: request.owner.as_deref(),
            comment: request.comment.as_deref(),
            properties: request.properties.as_ref(),
        };
        let people = &mut People::default();
        let Some(changed) = securable::change(tx, found.id, &wanted)? else {
            return Ok(Change::Nothing(SchemaInfo::new(tx, people, &above.leaf, found)?));
        };
        let kind = if changed.is_owner_only { EventKind::OwnerSet } else { EventKind::SchemaUpdate };
        let event = Event::new(kind).asset(changed.asset.id, changed.asset.revision).detail(changed.detail);
        Ok(Change::Made(SchemaInfo::new(tx, people, &above.leaf, changed.asset)?, event))
    })
    .await
}

/// What to delete.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeleteRequest {
    /// `catalog.schema`
    pub full_name: String,
    /// With everything in it.
    #[serde(default, deserialize_with = "flag")]
    pub force: bool,
}

async fn delete(ctx: Ctx, request: DeleteRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        let (_, found) = names::schema(tx, &request.full_name)?;
        let event = securable::delete(tx, &found, request.force, EventKind::SchemaDelete)?;
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
