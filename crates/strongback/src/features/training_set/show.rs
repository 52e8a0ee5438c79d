//! Training sets as they leave; and deleting one.

use http::Method;
use lake::schema::Column;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TrainingSet, get, holder, pinned, read};
use crate::{
    catalog::{
        Action, Kind, asset, names,
        securable::{self, Paging, People},
    },
    context::Ctx,
    db::{Change, Sql},
    error::Result,
    events::EventKind,
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, required},
    },
    tables,
};

pub(super) fn routes() -> Vec<Route> {
    let (all, one) = ("/api/1.0/training-sets", "/api/1.0/training-sets/{full_name}");
    let small = Limits::SMALL;
    vec![
        Route::json(Method::GET, all, Policy::Visible, small, "List the training sets of a schema", list),
        Route::json(Method::GET, one, Policy::Asset(Action::Read), small, "Get a training set", show),
        Route::json(
            Method::DELETE,
            one,
            Policy::Asset(Action::Delete),
            small,
            "Delete a training set",
            delete,
        ),
    ]
}

/// A table that a set stands on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StandsOn {
    /// Its name, as it is called now.
    pub table: String,
    /// The version, which is pinned.
    pub version: u64,
    /// By which definition that was computed, where it is a feature table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<i64>,
    /// The columns that come from it.
    pub columns: Vec<String>,
}

/// A training set as it leaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TrainingSetInfo {
    /// `catalog.schema.name`
    pub full_name: String,
    /// Name of the owner.
    pub owner: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// How many rows it has.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// SHA-256 of the rows in their canonical form, hexadecimal.
    pub sha256: String,
    /// The table with the labels.
    pub labels: StandsOn,
    /// The feature tables.
    pub features: Vec<StandsOn>,
    /// Column of the label, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Column of the time at which features had to be known. Rows stand in the order of it and then of all other columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Which labels, as SQL.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// All columns, in their order.
    pub columns: Vec<Column>,
    /// The job that made it.
    pub job: String,
    /// When, milliseconds since the epoch.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// UUID.
    pub training_set_id: String,
}

impl TrainingSetInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, set: TrainingSet) -> Result<Self> {
        let recipe = set.definition.recipe;
        let labels = StandsOn {
            table: asset::display_name(sql, set.definition.label_table)?,
            version: recipe.labels.version,
            definition: None,
            columns: recipe.columns,
        };
        let mut features = Vec::new();
        for (table, source) in recipe.features.into_iter().zip(&set.definition.features) {
            features.push(StandsOn {
                table: asset::display_name(sql, source.table)?,
                version: source.version,
                definition: Some(source.definition),
                columns: table.take.into_iter().map(|taken| taken.column).collect(),
            });
        }
        Ok(Self {
            full_name: asset::display_name(sql, set.asset.id)?,
            owner: people.name(sql, set.asset.owner_id)?,
            comment: set.asset.comment,
            rows: set.rows,
            bytes: set.bytes,
            sha256: set.digest,
            labels,
            features,
            label: set.label,
            timestamp: set.timestamp,
            filter: recipe.filter,
            columns: set.columns,
            job: set.job,
            created_at: set.asset.created_at,
            created_by: people.name(sql, set.asset.created_by)?,
            training_set_id: set.asset.uuid,
        })
    }
}

/// Which training set.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `catalog.schema.name`
    pub full_name: String,
}

async fn show(ctx: Ctx, request: GetRequest) -> Result<TrainingSetInfo> {
    ctx.read(move |sql| {
        let set = get(sql, &request.full_name, Action::Read)?;
        TrainingSetInfo::new(sql, &mut People::default(), set)
    })
    .await
}

/// Whose training sets to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the catalog.
    pub catalog_name: Option<String>,
    /// Name of the schema.
    pub schema_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of training sets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub training_sets: Vec<TrainingSetInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    let catalog_name = required(&request.catalog_name, "catalog_name")?.to_owned();
    let schema_name = required(&request.schema_name, "schema_name")?.to_owned();
    ctx.read(move |sql| {
        let (_, schema) = names::schema_of(sql, &catalog_name, &schema_name)?;
        let (assets, next_page_token) = securable::page(sql, schema.id, Kind::TrainingSet, &paging)?;
        let (mut people, mut training_sets) = (People::default(), Vec::new());
        for found in assets {
            let set = read(sql, found)?;
            training_sets.push(TrainingSetInfo::new(sql, &mut people, set)?);
        }
        Ok(ListResponse { training_sets, next_page_token })
    })
    .await
}

async fn delete(ctx: Ctx, request: GetRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        let set = get(tx, &request.full_name, Action::Delete)?;
        for (table, _) in pinned(&set.definition) {
            tables::unpin_all_in_tx(tx, table, &holder(&set.asset.uuid))?;
        }
        let event = securable::delete(tx, &set.asset, false, EventKind::TrainingSetDelete)?;
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
