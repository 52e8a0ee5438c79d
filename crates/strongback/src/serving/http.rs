//! Our own face of endpoints: all that is known about them.

use std::{sync::Arc, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    endpoints::{self, Endpoint, NewEndpoint, endpoint_create, endpoint_delete, endpoint_update, find},
    live::Live,
    log::TABLE_SUFFIX,
    payload::{self, Figures},
    runtime::{Report, RuntimeKind},
    traffic::TrafficInfo,
};
use crate::{
    catalog::{
        Action, asset, authorize,
        authorize::{is_allowed, visible},
        securable::People,
    },
    context::{App, Ctx},
    db::Sql,
    error::{Error, Result},
    features::{self, FeatureRef},
    router::{Limits, Policy, Route, wire::Empty},
};

const ALL: &str = "/api/1.0/endpoints";
const ONE: &str = "/api/1.0/endpoints/{name}";
const LOG: &str = "/api/1.0/endpoints/{name}/log";
const FLUSH: &str = "/api/1.0/endpoints/{name}/flush";
/// How long bringing the log into tables may take.
const FLUSH_TIME: Duration = Duration::from_mins(10);

pub(super) fn routes() -> Vec<Route> {
    let (small, json) = (Limits::SMALL, Limits::JSON);
    let of = Policy::Asset;
    vec![
        Route::json(
            Method::POST,
            ALL,
            of(Action::Create),
            json,
            "Make an endpoint, where a model answers requests",
            create,
        ),
        Route::json(Method::GET, ALL, Policy::Visible, small, "List endpoints", list),
        Route::json(
            Method::GET,
            ONE,
            of(Action::Read),
            small,
            "Get an endpoint: state, version, runtime",
            get,
        ),
        Route::json(
            Method::PATCH,
            ONE,
            of(Action::Edit),
            json,
            "Let an endpoint serve another model, version or alias",
            update,
        ),
        Route::json(Method::DELETE, ONE, of(Action::Delete), small, "Delete an endpoint", delete),
        Route::json(
            Method::GET,
            LOG,
            of(Action::Read),
            small,
            "Whether everything that an endpoint served was logged, and where that is",
            log,
        ),
        Route::json(
            Method::POST,
            FLUSH,
            of(Action::Edit),
            Limits { time: FLUSH_TIME, ..small },
            "Bring what an endpoint served, and waits in the log, into its payload table",
            flush,
        ),
    ]
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Readiness {
    /// It answers.
    Ready,
    /// Its model is being loaded.
    NotReady,
    /// Its model cannot be loaded.
    Failed,
}

/// What an endpoint is to serve.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigInfo {
    /// Its number.
    pub n: i64,
    /// Name of the model.
    pub model: String,
    /// Number of the version.
    pub version: i64,
    /// The alias that is followed; absent where the endpoint stays at the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Digest of the version's files.
    pub digest: String,
    /// How flat faces call what is served.
    pub served_name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_at: i64,
    /// By whom; `system` where an alias moved.
    pub created_by: String,
}

/// What answers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServedInfo {
    /// Number of the configuration.
    pub config: i64,
    /// Name of the model.
    pub model: String,
    /// Number of the version.
    pub version: i64,
    /// What runs it.
    pub runtime: RuntimeKind,
    /// Why it is run so: how the converted form was compared with the original.
    pub report: Report,
    /// The number of the guard of the process that runs it, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_id: Option<u32>,
}

/// A feature table that an endpoint looks inputs up in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FeatureInfo {
    /// `catalog.schema.table`; absent where the caller may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The definition that is looked up: the one that the model was trained on, or one that computes its features alike.
    pub definition: i64,
    /// The table's newest definition.
    pub newest_definition: i64,
    /// The version of the table's source that is looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version: Option<u64>,
    /// Versions of the source since.
    pub versions_behind: u64,
    /// Why it cannot be brought further: requests get what was published last. Told with the table's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl FeatureInfo {
    fn new(sql: &mut Sql<'_>, feature_ref: FeatureRef) -> Result<Self> {
        let standing = features::standing(sql, feature_ref)?;
        let is_told = is_allowed(sql, Action::Read, feature_ref.table)?;
        Ok(Self {
            table: is_told.then_some(standing.table),
            definition: feature_ref.definition,
            newest_definition: standing.newest,
            source_version: standing.source_version,
            versions_behind: standing.versions_behind,
            problem: standing.problem.filter(|_| is_told),
        })
    }
}

/// An endpoint of the store, and whose names it needs to leave.
struct Found {
    endpoint: Endpoint,
    owner: String,
    created_by: String,
    features: Vec<FeatureInfo>,
}

impl Found {
    fn new(sql: &mut Sql<'_>, app: &App, people: &mut People, endpoint: Endpoint) -> Result<Self> {
        let deployed = live_of(app, &endpoint).and_then(|live| live.deployed());
        let uses = deployed.map(|deployed| deployed.lookup.uses()).unwrap_or_default();
        Ok(Self {
            owner: people.name(sql, endpoint.asset.owner_id)?,
            created_by: people.name(sql, endpoint.config.created_by)?,
            features: uses.into_iter().map(|one| FeatureInfo::new(sql, one)).collect::<Result<_>>()?,
            endpoint,
        })
    }
}

fn live_of(app: &App, endpoint: &Endpoint) -> Option<Arc<Live>> {
    app.serving.find(&endpoint.name).filter(|live| live.id == endpoint.asset.id)
}

/// An endpoint as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointInfo {
    /// The name on flat faces.
    pub name: String,
    /// `catalog.schema.endpoint`
    pub full_name: String,
    /// UUID of the endpoint.
    pub endpoint_id: String,
    /// Where it stands.
    pub state: Readiness,
    /// Why it is not ready, or why the newest configuration is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is to serve.
    pub config: ConfigInfo,
    /// What answers now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServedInfo>,
    /// Where inputs are looked up that requests do not bring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<FeatureInfo>,
    /// Requests since the server began.
    pub requests: u64,
    /// How many of them were refused or failed.
    pub errors: u64,
    /// What it did of late, in this process.
    pub traffic: TrafficInfo,
    /// Name of the owner.
    pub owner: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
}

impl EndpointInfo {
    /// An endpoint of the store with what this process knows of it.
    fn new(app: &App, found: Found) -> Self {
        let Found { endpoint, owner, created_by, features } = found;
        let live = live_of(app, &endpoint);
        let deployed = live.as_ref().and_then(|live| live.deployed());
        let failure = live.as_ref().and_then(|live| live.failure());
        let failure = failure.filter(|failure| failure.config == endpoint.config.n);
        let reason = failure.map(|failure| failure.why);
        let state = match (&deployed, &reason) {
            (Some(_), _) => Readiness::Ready,
            (None, Some(_)) => Readiness::Failed,
            (None, None) => Readiness::NotReady,
        };
        let serving = deployed.map(|deployed| ServedInfo {
            config: deployed.config,
            model: deployed.scorer.version().name.clone(),
            version: deployed.scorer.version().version,
            runtime: deployed.scorer.runtime(),
            report: deployed.scorer.report().clone(),
            process_id: deployed.scorer.process_id(),
        });
        let (requests, errors) = live.as_ref().map(|live| live.traffic.totals()).unwrap_or_default();
        let Endpoint { asset, name, full_name, config, model } = endpoint;
        Self {
            name,
            full_name,
            endpoint_id: asset.uuid,
            state,
            reason,
            config: ConfigInfo {
                n: config.n,
                model,
                version: config.version,
                alias: config.alias,
                digest: config.digest,
                served_name: config.served_name,
                created_at: config.created_at,
                created_by,
            },
            serving,
            features,
            requests,
            errors,
            traffic: live.as_ref().map(|live| live.traffic.info()).unwrap_or_default(),
            owner,
            comment: asset.comment,
            created_at: asset.created_at,
            updated_at: asset.updated_at,
        }
    }
}

/// The endpoint of this name as it leaves, for a caller who may read it.
pub(super) async fn info(ctx: &Ctx, name: String) -> Result<EndpointInfo> {
    let app = Arc::clone(&ctx.app);
    let found = ctx
        .read(move |sql| {
            let endpoint = find(sql, &name, Action::Read)?;
            Found::new(sql, &app, &mut People::default(), endpoint)
        })
        .await?;
    Ok(EndpointInfo::new(&ctx.app, found))
}

/// All that the caller may read.
pub(crate) async fn infos(ctx: &Ctx) -> Result<Vec<EndpointInfo>> {
    let app = Arc::clone(&ctx.app);
    let found = ctx
        .read(move |sql| {
            visible(sql);
            let mut people = People::default();
            let endpoints = endpoints::list(sql)?.into_iter();
            endpoints.map(|endpoint| Found::new(sql, &app, &mut people, endpoint)).collect::<Result<Vec<_>>>()
        })
        .await?;
    Ok(found.into_iter().map(|found| EndpointInfo::new(&ctx.app, found)).collect())
}

/// What to make.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// The name on flat faces: letters, digits, `-` and `_`.
    pub name: String,
    /// `name@alias`, which is followed, `name/version`, or `name`, which is the newest version now.
    pub model: String,
    /// `catalog.schema.endpoint`; in the model's schema under its name when absent.
    pub full_name: Option<String>,
    /// Description.
    pub comment: Option<String>,
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<EndpointInfo> {
    let CreateRequest { name, model, full_name, comment } = request;
    let full_name = full_name.filter(|name| !name.is_empty());
    let made =
        endpoint_create(&ctx, NewEndpoint { name, full_name, model, comment, served_name: None }).await?;
    info(&ctx, made.full_name).await
}

/// Nothing to say.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {}

/// Endpoints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub endpoints: Vec<EndpointInfo>,
}

async fn list(ctx: Ctx, _: ListRequest) -> Result<ListResponse> {
    Ok(ListResponse { endpoints: infos(&ctx).await? })
}

/// Which endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// Its name, flat or `catalog.schema.endpoint`.
    pub name: String,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<EndpointInfo> {
    info(&ctx, request.name).await
}

/// What to change.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// Its name, flat or `catalog.schema.endpoint`.
    pub name: String,
    /// `name@alias`, which is followed, `name/version`, or `name`, which is the newest version now.
    pub model: String,
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<EndpointInfo> {
    let changed = endpoint_update(&ctx, request.name, request.model, None).await?;
    info(&ctx, changed.full_name).await
}

async fn delete(ctx: Ctx, request: GetRequest) -> Result<Empty> {
    endpoint_delete(&ctx, request.name).await?;
    Ok(Empty {})
}

/// What was served, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogResponse {
    /// The payload table; before its first rows come to be, the name that it gets if that is free.
    pub table: String,
    /// Requests, counted where they pass.
    #[serde(flatten)]
    pub figures: Figures,
}

async fn log(ctx: Ctx, request: GetRequest) -> Result<LogResponse> {
    let endpoint = ctx.read(move |sql| find(sql, &request.name, Action::Read)).await?;
    logged(&ctx, endpoint).await
}

async fn flush(ctx: Ctx, request: GetRequest) -> Result<LogResponse> {
    let endpoint = ctx.read(move |sql| find(sql, &request.name, Action::Edit)).await?;
    // The log is drained as a whole, as the server does by itself once a minute.
    let drained = payload::flush(&Ctx::system(&ctx.app)).await;
    let log = logged(&ctx, endpoint).await?;
    // What was in the way may be another endpoint's, of which the caller may know nothing.
    if drained.is_err() && log.figures.waiting > 0 {
        return Err(Error::unavailable(format!(
            "{} requests wait in the log still: their table could not be written to. It is tried again by itself; the server's log \
             says why.",
            log.figures.waiting
        )));
    }
    Ok(log)
}

async fn logged(ctx: &Ctx, endpoint: Endpoint) -> Result<LogResponse> {
    let id = endpoint.asset.id;
    let table = ctx
        .read(move |sql| {
            authorize(sql, Action::Read, id)?;
            payload::recorded_table(sql, id)?.map(|table| asset::display_name(sql, table)).transpose()
        })
        .await?;
    let table = table.unwrap_or_else(|| format!("{}{TABLE_SUFFIX}", endpoint.full_name));
    Ok(LogResponse { table, figures: payload::figures(ctx, id).await? })
}
