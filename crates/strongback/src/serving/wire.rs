//! The face of Databricks' serving endpoints, as databricks-sdk and MLflow's deployment client speak it.
//!
//! An entity whose name ends in `@alias` follows the alias, which is ours; one with a version stays at it. What means something
//! that is not here (several entities, provisioned throughput, external models) is refused rather than dropped.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    endpoints::{NewEndpoint, endpoint_create, endpoint_delete, endpoint_update},
    http::{EndpointInfo, Readiness, info, infos},
};
use crate::{
    catalog::{Action, securable::check_text, unsupported::refuse},
    context::Ctx,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Empty},
};

/// Longest description, in characters.
const TEXT_CHARS_MAX: usize = 20_000;
/// Longest name of an entity, in characters.
const NAME_CHARS_MAX: usize = 255;
const ALL: &str = "/api/2.0/serving-endpoints";
const ONE: &str = "/api/2.0/serving-endpoints/{name}";

pub(super) fn routes() -> Vec<Route> {
    let (small, json) = (Limits::SMALL, Limits::JSON);
    let of = Policy::Asset;
    let all = vec![
        Route::json(Method::POST, ALL, of(Action::Create), json, "Make a serving endpoint", create),
        Route::json(Method::GET, ALL, Policy::Visible, small, "List serving endpoints", list),
    ];
    // MLflow's deployment client asks with a slash at the end.
    let slashed = all.iter().map(|route| route.also_at("/api/2.0/serving-endpoints/")).collect();
    let one = vec![
        Route::json(Method::GET, ONE, of(Action::Read), small, "Get a serving endpoint", get),
        Route::json(Method::DELETE, ONE, of(Action::Delete), small, "Delete a serving endpoint", delete),
        Route::json(
            Method::PUT,
            "/api/2.0/serving-endpoints/{name}/config",
            of(Action::Edit),
            json,
            "Change what a serving endpoint serves",
            update,
        ),
    ];
    [all, slashed, one].concat()
}

/// One served entity, or served model as it was called before.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct EntityIn {
    /// What the entity is called; made of the model when absent.
    pub name: Option<String>,
    /// Name of the model, with `@alias` if that is to be followed.
    #[serde(alias = "model_name")]
    pub entity_name: Option<String>,
    /// Number of the version; the newest when absent.
    #[serde(alias = "model_version")]
    pub entity_version: Option<Json>,
    /// Refused: nothing is forwarded to other providers.
    pub external_model: Option<Json>,
    /// Refused: a model's process finds nothing of the outside.
    pub environment_vars: Option<Json>,
}

/// What is to be served. Sizes and traffic have no effect: one entity runs on this machine and gets all requests.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ConfigIn {
    /// One of them.
    pub served_entities: Option<Vec<EntityIn>>,
    /// The same as it was called before.
    pub served_models: Option<Vec<EntityIn>>,
}

impl ConfigIn {
    /// The model's name and the entity's.
    fn model(self) -> Result<(String, Option<String>)> {
        for entity in self.served_entities.iter().chain(&self.served_models).flatten() {
            check_text("entity_name", entity.entity_name.as_deref().unwrap_or_default(), NAME_CHARS_MAX)?;
            check_text("name", entity.name.as_deref().unwrap_or_default(), NAME_CHARS_MAX)?;
        }
        if self.served_entities.is_some() && self.served_models.is_some() {
            return Err(Error::invalid(
                "Invalid value for parameter 'served_models' supplied: it is what 'served_entities' was called before, and both \
                 came. Send one of them, with the 'name', 'entity_name' and 'entity_version' of one entity.",
            ));
        }
        let mut given = self.served_entities.or(self.served_models).unwrap_or_default();
        let count = given.len();
        let Some(entity) = given.pop().filter(|_| count == 1) else {
            return Err(Error::invalid(format!(
                "Invalid value for parameter 'served_entities' supplied: an endpoint serves exactly one entity; {count} came."
            )));
        };
        refuse(
            "external_model",
            entity.external_model.is_some_and(|value| !value.is_null()),
            "nothing is forwarded to other providers.",
        )?;
        let has_variables =
            entity.environment_vars.is_some_and(|value| value.as_object().is_some_and(|map| !map.is_empty()));
        refuse("environment_vars", has_variables, "a model's process finds nothing of the outside.")?;
        let name = entity
            .entity_name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Error::required("entity_name"))?;
        let version = match entity.entity_version {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text).filter(|text| !text.is_empty()),
            Some(Json::Number(number)) => Some(number.to_string()),
            Some(_) => {
                return Err(Error::invalid(
                    "Invalid value for parameter 'entity_version' supplied: it is a number.",
                ));
            }
        };
        let model = match version {
            Some(version) if name.contains('@') => {
                return Err(Error::invalid(format!(
                    "Invalid value for parameter 'entity_version' supplied: the 'entity_name' {name:?} follows an alias, which \
                     says the version. Send either the alias or the version {version}."
                )));
            }
            Some(version) => format!("{name}/{version}"),
            None => name,
        };
        Ok((model, entity.name))
    }
}

/// What to make.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// What it serves.
    pub config: Option<ConfigIn>,
    /// Description.
    pub description: Option<String>,
}

/// Whether it answers, and whether it changes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateOut {
    /// `READY` or `NOT_READY`
    pub ready: &'static str,
    /// `NOT_UPDATING`, `IN_PROGRESS` or `UPDATE_FAILED`
    pub config_update: &'static str,
}

/// Where an entity stands.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EntityState {
    /// `DEPLOYMENT_READY`, `DEPLOYMENT_CREATING` or `DEPLOYMENT_FAILED`
    pub deployment: &'static str,
    /// Why so.
    pub deployment_state_message: String,
}

/// A served entity.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EntityOut {
    /// What it is called.
    pub name: String,
    /// Name of the model.
    pub entity_name: String,
    /// Number of the version.
    pub entity_version: String,
    /// The same as it was called before.
    pub model_name: String,
    /// The same as it was called before.
    pub model_version: String,
    /// The alias that is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Where it stands.
    pub state: EntityState,
    /// Always `Small`.
    pub workload_size: &'static str,
    /// Never.
    pub scale_to_zero_enabled: bool,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Who made it.
    pub creator: String,
}

/// Which entity gets how much.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RouteOut {
    /// The entity.
    pub served_model_name: String,
    /// Of 100.
    pub traffic_percentage: i64,
}

/// How requests are spread.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrafficOut {
    /// One.
    pub routes: Vec<RouteOut>,
}

/// What is served.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigOut {
    /// One.
    pub served_entities: Vec<EntityOut>,
    /// The same as it was called before.
    pub served_models: Vec<EntityOut>,
    /// All to the one.
    pub traffic_config: TrafficOut,
    /// Its number.
    pub config_version: i64,
}

/// An endpoint on this face. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointOut {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Who owns it.
    pub creator: String,
    /// When it was made.
    pub creation_timestamp: i64,
    /// When it was changed.
    pub last_updated_timestamp: i64,
    /// Whether it answers.
    pub state: StateOut,
    /// What it serves.
    pub config: ConfigOut,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// None.
    pub tags: Vec<Json>,
    /// What the caller may do at least.
    pub permission_level: &'static str,
}

impl From<EndpointInfo> for EndpointOut {
    fn from(info: EndpointInfo) -> Self {
        let is_served = info.serving.as_ref().is_some_and(|serving| serving.config >= info.config.n);
        let state = StateOut {
            ready: if info.state == Readiness::Ready { "READY" } else { "NOT_READY" },
            config_update: match (&info.reason, is_served) {
                (Some(_), _) => "UPDATE_FAILED",
                (None, true) => "NOT_UPDATING",
                (None, false) => "IN_PROGRESS",
            },
        };
        let deployment = match (&info.reason, is_served) {
            (Some(_), _) => "DEPLOYMENT_FAILED",
            (None, true) => "DEPLOYMENT_READY",
            (None, false) => "DEPLOYMENT_CREATING",
        };
        let (model, version) = (info.config.model, info.config.version.to_string());
        let served = info.config.served_name;
        let entity = EntityOut {
            name: served.clone(),
            entity_name: model.clone(),
            entity_version: version.clone(),
            model_name: model,
            model_version: version,
            alias: info.config.alias,
            state: EntityState { deployment, deployment_state_message: info.reason.unwrap_or_default() },
            workload_size: "Small",
            scale_to_zero_enabled: false,
            creation_timestamp: info.config.created_at,
            creator: info.config.created_by,
        };
        let routes = vec![RouteOut { served_model_name: served, traffic_percentage: 100 }];
        Self {
            name: info.name,
            id: info.endpoint_id,
            creator: info.owner,
            creation_timestamp: info.created_at,
            last_updated_timestamp: info.updated_at,
            state,
            config: ConfigOut {
                served_entities: vec![entity.clone()],
                served_models: vec![entity],
                traffic_config: TrafficOut { routes },
                config_version: info.config.n,
            },
            description: info.comment,
            tags: Vec::new(),
            permission_level: "CAN_VIEW",
        }
    }
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<EndpointOut> {
    let config = request.config.ok_or_else(|| Error::required("config"))?;
    check_text("description", request.description.as_deref().unwrap_or_default(), TEXT_CHARS_MAX)?;
    let (model, served_name) = config.model()?;
    let new =
        NewEndpoint { name: request.name, full_name: None, model, served_name, comment: request.description };
    let made = endpoint_create(&ctx, new).await?;
    Ok(info(&ctx, made.full_name).await?.into())
}

/// Nothing to say.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {}

/// Endpoints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub endpoints: Vec<EndpointOut>,
}

async fn list(ctx: Ctx, _: ListRequest) -> Result<ListResponse> {
    Ok(ListResponse { endpoints: infos(&ctx).await?.into_iter().map(EndpointOut::from).collect() })
}

/// Which endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// Its name.
    pub name: String,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<EndpointOut> {
    Ok(info(&ctx, request.name).await?.into())
}

async fn delete(ctx: Ctx, request: GetRequest) -> Result<Empty> {
    endpoint_delete(&ctx, request.name).await?;
    Ok(Empty {})
}

/// What to serve from now on.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// The endpoint's name.
    pub name: String,
    /// One.
    pub served_entities: Option<Vec<EntityIn>>,
    /// The same as it was called before.
    pub served_models: Option<Vec<EntityIn>>,
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<EndpointOut> {
    let UpdateRequest { name, served_entities, served_models } = request;
    let (model, served_name) = ConfigIn { served_entities, served_models }.model()?;
    let changed = endpoint_update(&ctx, name, model, served_name).await?;
    Ok(info(&ctx, changed.full_name).await?.into())
}
