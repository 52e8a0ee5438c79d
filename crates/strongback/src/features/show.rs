//! Feature tables as they leave: what is declared, what is published, how far it is behind its source.

use std::collections::HashMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names::FullName;

use super::{
    definition::{self, Definition, State},
    online::FeatureRef,
    state::{Meta, Which},
    store, uphold,
};
use crate::{
    bind,
    catalog::{
        Action, Kind, asset,
        authorize::is_allowed,
        names,
        securable::{self, Paging, People},
    },
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{Int64, required},
    },
    tables::managed::{self, Managed},
};

/// Definitions that are shown at most, the newest.
const DEFINITIONS_MAX: i64 = 100;
/// Uses of definitions that are shown at most.
const USES_MAX: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let (all, one) = ("/api/1.0/feature-tables", "/api/1.0/feature-tables/{full_name}");
    vec![
        Route::json(
            Method::GET,
            all,
            Policy::Visible,
            Limits::SMALL,
            "List the feature tables of a schema",
            list,
        ),
        Route::json(
            Method::GET,
            one,
            Policy::Asset(Action::Read),
            Limits::SMALL,
            "Get a feature table",
            show_one,
        ),
    ]
}

/// A version of a definition as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionInfo {
    /// Its number.
    pub definition: i64,
    /// As it was written.
    pub yaml: String,
    /// SHA-256 of what it computes, hexadecimal.
    pub digest: String,
    /// When it was declared.
    pub declared_at: i64,
    /// By whom.
    pub declared_by: String,
}

/// What is published of a feature table. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishedInfo {
    /// By which definition.
    pub definition: i64,
    /// From which version of the source.
    pub source_version: u64,
    /// As which version of the feature table.
    pub table_version: u64,
    /// The newest event time in it, microseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_event_micros: Option<i64>,
    /// When.
    pub at: i64,
    /// Versions of the source since.
    pub versions_behind: u64,
    /// Whether requests look up just this; else what they look up is being computed again.
    pub is_online: bool,
}

/// An earlier definition that is kept up to date for requests, since something served stands on it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SupersededInfo {
    /// Its number.
    pub definition: i64,
    /// The version of its source that requests look up; absent while nothing of it was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version: Option<u64>,
    /// Versions of its source since.
    pub versions_behind: u64,
    /// Why it cannot be brought further, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The endpoints that stand on it, of which the caller may read.
    pub used_by: Vec<String>,
}

fn superseded(sql: &mut Sql<'_>, table: i64, newest: i64) -> Result<Vec<SupersededInfo>> {
    let uses = sql.all(&store::USES_OF_TABLE, bind![table, USES_MAX], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    let mut found: Vec<SupersededInfo> = Vec::new();
    for (n, holder) in uses.into_iter().filter(|(n, _)| *n != newest) {
        if found.last().is_none_or(|last| last.definition != n) {
            let standing = uphold::standing(sql, FeatureRef { table, definition: n })?;
            found.push(SupersededInfo {
                definition: n,
                source_version: standing.source_version,
                versions_behind: standing.versions_behind,
                problem: standing.problem,
                used_by: Vec::new(),
            });
        }
        if let Some(last) = found.last_mut()
            && is_allowed(sql, Action::Read, holder)?
        {
            last.used_by.push(asset::display_name(sql, holder)?);
        }
    }
    Ok(found)
}

/// A feature table as it leaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FeatureTableInfo {
    /// `catalog.schema.table`
    pub full_name: String,
    /// Name of the owner.
    pub owner: String,
    /// Number of the newest definition.
    pub definition: i64,
    /// The table that it is computed from, as it is called now.
    pub source: String,
    /// The newest version of that; absent where it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version: Option<u64>,
    /// The keys.
    pub keys: Vec<String>,
    /// Column of the time.
    pub timestamp: String,
    /// The features.
    pub features: Vec<String>,
    /// `manual`, or `on_commit`: computed after each commit to the source.
    pub refresh: String,
    /// Rows that the table has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What is published; absent where nothing is yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedInfo>,
    /// Earlier definitions that something served stands on; lists leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<SupersededInfo>,
    /// The definitions, the newest first; lists leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub definitions: Vec<DefinitionInfo>,
    /// UUID of the table.
    pub table_id: String,
}

impl FeatureTableInfo {
    fn new(
        sql: &mut Sql<'_>,
        people: &mut People,
        found: (Managed, State),
        online: &HashMap<Which, Meta>,
        most: i64,
    ) -> Result<Self> {
        let (table, state) = found;
        let newest = definition::get(sql, table.asset.id, state.newest)?;
        let source = asset::get(sql, state.source_id)?;
        let source_version = match &source {
            Some(source) => managed::newest(sql, source.id)?.map(|newest| newest.version),
            None => None,
        };
        let published = state.published.map(|published| PublishedInfo {
            definition: published.definition,
            source_version: published.source_version,
            table_version: published.version,
            newest_event_micros: published.newest_micros,
            at: published.at,
            versions_behind: source_version.unwrap_or_default().saturating_sub(published.source_version),
            is_online: online
                .get(&(table.asset.id, published.definition))
                .is_some_and(|online| published.is_online(&table.asset.uuid, online)),
        });
        let superseded = if most > 0 { superseded(sql, table.asset.id, state.newest)? } else { Vec::new() };
        let mut definitions = Vec::new();
        for one in definition::list(sql, table.asset.id, most)? {
            definitions.push(shown(sql, people, one)?);
        }
        Ok(Self {
            full_name: managed::show(&table.name),
            owner: people.name(sql, table.asset.owner_id)?,
            definition: state.newest,
            source: asset::display_name(sql, state.source_id)?,
            source_version,
            keys: newest.declared.keys,
            timestamp: newest.declared.timestamp,
            features: newest.declared.features.into_iter().map(|feature| feature.name).collect(),
            refresh: state.refresh.name().to_owned(),
            rows: table.newest.rows,
            published,
            superseded,
            definitions,
            table_id: table.asset.uuid,
        })
    }
}

fn shown(sql: &mut Sql<'_>, people: &mut People, one: Definition) -> Result<DefinitionInfo> {
    Ok(DefinitionInfo {
        definition: one.n,
        yaml: one.yaml,
        digest: one.digest,
        declared_at: one.created_at,
        declared_by: people.name(sql, one.created_by)?,
    })
}

/// Which feature table.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `catalog.schema.table`
    pub full_name: String,
}

async fn show_one(ctx: Ctx, request: GetRequest) -> Result<FeatureTableInfo> {
    get(ctx, managed::parse(&request.full_name)?).await
}

pub(super) async fn get(ctx: Ctx, name: FullName) -> Result<FeatureTableInfo> {
    let looked_up = name.clone();
    ctx.read(move |sql| definition::find(sql, &looked_up, Action::Read).map(drop)).await?;
    let online = ctx.app.online.all().await?;
    ctx.read(move |sql| {
        let found = definition::find(sql, &name, Action::Read)?;
        FeatureTableInfo::new(sql, &mut People::default(), found, &online, DEFINITIONS_MAX)
    })
    .await
}

/// Whose feature tables to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the catalog.
    pub catalog_name: Option<String>,
    /// Name of the schema.
    pub schema_name: Option<String>,
    /// At most so many tables are looked through; 0 or absent leaves it to the server.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of feature tables. It may be shorter than asked for, even empty, and not the last.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub feature_tables: Vec<FeatureTableInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    let catalog_name = required(&request.catalog_name, "catalog_name")?.to_owned();
    let schema_name = required(&request.schema_name, "schema_name")?.to_owned();
    let all = ctx.app.online.all().await?;
    ctx.read(move |sql| {
        let (catalog, schema) = names::schema_of(sql, &catalog_name, &schema_name)?;
        let (assets, next_page_token) = securable::page(sql, schema.id, Kind::Table, &paging)?;
        let (mut people, mut feature_tables) = (People::default(), Vec::new());
        for found in assets {
            let Some(state) = definition::state(sql, found.id)? else { continue };
            let newest = managed::newest(sql, found.id)?
                .ok_or_else(|| Error::internal("a feature table has no version"))?;
            let name = FullName {
                catalog: catalog.leaf.clone(),
                schema: schema.leaf.clone(),
                leaf: found.leaf.clone(),
            };
            let table = Managed { table: found.uuid.parse()?, asset: found, name, newest };
            feature_tables.push(FeatureTableInfo::new(sql, &mut people, (table, state), &all, 0)?);
        }
        Ok(ListResponse { feature_tables, next_page_token })
    })
    .await
}
