//! Catalogs, as Unity Catalog's REST 2.1 has them.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use syntax::names::{check_catalog_name, fold_case};

use super::{
    Action,
    asset::{self, Asset, Kind, NewAsset},
    authorize, bootstrap, names,
    securable::{self, Paging, People, Properties, Wanted},
    unsupported::{Unsupported, UnsupportedOfCatalogs},
};
use crate::{
    context::Ctx,
    db::{Change, Sql},
    error::Result,
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, flag},
    },
};

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/2.1/unity-catalog/catalogs";
    const ONE: &str = "/api/2.1/unity-catalog/catalogs/{name}";
    let on = |action| Policy::Asset(action);
    vec![
        Route::json(Method::POST, ALL, on(Action::Create), Limits::JSON, "Create a catalog", create),
        Route::json(Method::GET, ALL, Policy::Visible, Limits::SMALL, "List catalogs", list),
        Route::json(Method::GET, ONE, on(Action::Read), Limits::SMALL, "Get a catalog", get),
        Route::json(Method::PATCH, ONE, on(Action::Edit), Limits::JSON, "Change a catalog", update),
        Route::json(Method::DELETE, ONE, on(Action::Delete), Limits::SMALL, "Delete a catalog", delete),
    ]
}

/// A catalog as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CatalogInfo {
    /// Its name, as given.
    pub name: String,
    /// The same, as the SDK asks for it.
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
    pub id: String,
    /// UUID of the metastore.
    pub metastore_id: String,
    /// Always `MANAGED_CATALOG`.
    pub catalog_type: &'static str,
    /// Always `CATALOG`.
    pub securable_type: &'static str,
}

impl CatalogInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, metastore_id: &str, asset: Asset) -> Result<Self> {
        Ok(Self {
            full_name: asset.leaf.clone(),
            name: asset.leaf,
            comment: asset.comment,
            properties: securable::from_map(&asset.properties),
            owner: people.name(sql, asset.owner_id)?,
            created_at: asset.created_at,
            created_by: people.name(sql, asset.created_by)?,
            updated_at: asset.updated_at,
            updated_by: people.name(sql, asset.updated_by)?,
            id: asset.uuid,
            metastore_id: metastore_id.to_owned(),
            catalog_type: "MANAGED_CATALOG",
            securable_type: "CATALOG",
        })
    }
}

/// What to create.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// Description.
    pub comment: Option<String>,
    /// Free properties.
    pub properties: Option<Properties>,
    /// What a catalog cannot have.
    #[serde(flatten)]
    pub unsupported: UnsupportedOfCatalogs,
    /// What neither catalogs nor schemas can have.
    #[serde(flatten)]
    pub unsupported_anywhere: Unsupported,
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<CatalogInfo> {
    check_catalog_name(&request.name).map_err(names::refused)?;
    securable::check_comment(request.comment.as_deref())?;
    securable::check_properties(request.properties.as_ref())?;
    request.unsupported.check()?;
    request.unsupported_anywhere.check("a catalog")?;
    let properties = request.properties.as_ref().map(securable::to_map);
    ctx.write(move |tx| {
        let root = bootstrap::metastore(tx)?;
        authorize(tx, Action::Create, root.id)?;
        let leaf_key = fold_case(&request.name);
        if let Some(other) = asset::find(tx, Some(root.id), Kind::Catalog, &leaf_key)? {
            return Err(names::taken(&request.name, &other));
        }
        let owner_id = tx.caller().id;
        let made = asset::create(
            tx,
            &NewAsset {
                parent_id: Some(root.id),
                kind: Kind::Catalog,
                leaf: &request.name,
                leaf_key: &leaf_key,
                wire_name: None,
                owner_id,
                comment: request.comment.as_deref().filter(|comment| !comment.is_empty()),
                properties: properties.as_ref(),
            },
        )?;
        let event = Event::new(EventKind::CatalogCreate)
            .asset(made.id, made.revision)
            .detail(json!({ "name": made.leaf, "comment": made.comment, "properties": made.properties }));
        let info = CatalogInfo::new(tx, &mut People::default(), &root.uuid, made)?;
        Ok(Change::Made(info, event))
    })
    .await
}

/// A page of catalogs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub catalogs: Vec<CatalogInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, paging: Paging) -> Result<ListResponse> {
    ctx.read(move |sql| {
        let root = bootstrap::metastore(sql)?;
        let (assets, next_page_token) = securable::page(sql, root.id, Kind::Catalog, &paging)?;
        let mut people = People::default();
        let catalogs = assets
            .into_iter()
            .map(|asset| CatalogInfo::new(sql, &mut people, &root.uuid, asset))
            .collect::<Result<_>>()?;
        Ok(ListResponse { catalogs, next_page_token })
    })
    .await
}

/// Which catalog.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// Its name.
    pub name: String,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<CatalogInfo> {
    ctx.read(move |sql| {
        let root = bootstrap::metastore(sql)?;
        let found = names::catalog(sql, &request.name)?;
        authorize(sql, Action::Read, found.id)?;
        CatalogInfo::new(sql, &mut People::default(), &root.uuid, found)
    })
    .await
}

/// What to change; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// Its name now.
    pub name: String,
    /// Its name afterwards.
    #[serde(alias = "newName")]
    pub new_name: Option<String>,
    /// Name of the new owner.
    pub owner: Option<String>,
    /// Description; empty takes it away.
    pub comment: Option<String>,
    /// Free properties, in place of all earlier ones.
    pub properties: Option<Properties>,
    /// What a catalog cannot have.
    #[serde(flatten)]
    pub unsupported: UnsupportedOfCatalogs,
    /// What neither catalogs nor schemas can have.
    #[serde(flatten)]
    pub unsupported_anywhere: Unsupported,
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<CatalogInfo> {
    if let Some(name) = &request.new_name {
        check_catalog_name(name).map_err(names::refused)?;
    }
    request.unsupported.check()?;
    request.unsupported_anywhere.check("a catalog")?;
    ctx.write(move |tx| {
        let root = bootstrap::metastore(tx)?;
        let found = names::catalog(tx, &request.name)?;
        let wanted = Wanted {
            leaf: request.new_name.as_deref(),
            owner: request.owner.as_deref(),
            comment: request.comment.as_deref(),
            properties: request.properties.as_ref(),
        };
        let people = &mut People::default();
        let Some(changed) = securable::change(tx, found.id, &wanted)? else {
            return Ok(Change::Nothing(CatalogInfo::new(tx, people, &root.uuid, found)?));
        };
        let kind = if changed.is_owner_only { EventKind::OwnerSet } else { EventKind::CatalogUpdate };
        let event = Event::new(kind).asset(changed.asset.id, changed.asset.revision).detail(changed.detail);
        Ok(Change::Made(CatalogInfo::new(tx, people, &root.uuid, changed.asset)?, event))
    })
    .await
}

/// What to delete.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeleteRequest {
    /// Its name.
    pub name: String,
    /// With everything in it.
    #[serde(default, deserialize_with = "flag")]
    pub force: bool,
}

async fn delete(ctx: Ctx, request: DeleteRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        let found = names::catalog(tx, &request.name)?;
        let event = securable::delete(tx, &found, request.force, EventKind::CatalogDelete)?;
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
