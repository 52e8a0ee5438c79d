//! MLflow's webhook calls: create, list, get, update, delete, test.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use super::{
    log::before,
    send, told,
    topic::Topic,
    webhook::{self, Wanted, Webhook, status_name, webhook_create, webhook_delete, webhook_update},
};
use crate::{
    auth::Secret,
    context::Ctx,
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, list},
    },
    time::now_ms,
    tracking::wire::EnumIn,
};

/// Webhooks a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (100, 1_000);

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/2.0/mlflow/webhooks";
    const ONE: &str = "/api/2.0/mlflow/webhooks/{webhook_id}";
    let (admin, small) = (Policy::Admin, Limits::SMALL);
    vec![
        Route::json(Method::POST, ALL, admin, small, "Make a webhook", create),
        Route::json(Method::GET, ALL, admin, small, "List webhooks, newest first", page),
        Route::json(Method::GET, ONE, admin, small, "Get a webhook", get),
        Route::json(Method::PATCH, ONE, admin, small, "Change a webhook", update),
        Route::json(
            Method::DELETE,
            ONE,
            admin,
            small,
            "Delete a webhook and the log of its deliveries",
            delete,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/webhooks/{webhook_id}/test",
            admin,
            Limits::JSON,
            "Send an example to a webhook, and tell what it answered",
            test,
        ),
    ]
}

/// An entity and an action.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct EventIn {
    /// E.g. `MODEL_VERSION`, or its number.
    pub entity: Option<EnumIn>,
    /// E.g. `CREATED`, or its number.
    pub action: Option<EnumIn>,
}

/// What signs. It is read by itself, so that no message repeats a wrong one.
#[derive(Debug, Clone)]
pub enum SecretIn {
    /// A text.
    Text(Secret),
    /// Something else.
    Other,
}

impl<'de> Deserialize<'de> for SecretIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Json::deserialize(deserializer)? {
            Json::String(text) => Self::Text(Secret::from_text(text)),
            _ => Self::Other,
        })
    }
}

impl JsonSchema for SecretIn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        String::schema_name()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// What a webhook is to be.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WebhookRequest {
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Where it is told.
    pub url: Option<String>,
    /// Of what it is told.
    #[serde(default, deserialize_with = "list")]
    pub events: Vec<EventIn>,
    /// What signs the deliveries; it is never answered.
    pub secret: Option<SecretIn>,
    /// `ACTIVE` or `DISABLED`, or its number.
    pub status: Option<EnumIn>,
}

/// What a webhook is to be from now on; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// Which one.
    pub webhook_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its description; empty takes it away.
    pub description: Option<String>,
    /// Where it is told.
    pub url: Option<String>,
    /// Of what it is told; empty leaves that as it is.
    #[serde(default, deserialize_with = "list")]
    pub events: Vec<EventIn>,
    /// What signs the deliveries; empty takes it away.
    pub secret: Option<SecretIn>,
    /// `ACTIVE` or `DISABLED`, or its number.
    pub status: Option<EnumIn>,
}

/// Which webhook.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneRequest {
    /// Its id.
    pub webhook_id: String,
}

/// Which webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// At most so many; 100 by default.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// Which webhook, and of what it is to be told an example.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TestRequest {
    /// Which one.
    pub webhook_id: String,
    /// The first of its own where none is named.
    pub event: Option<EventIn>,
}

/// An entity and an action.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventOut {
    /// E.g. `MODEL_VERSION`.
    pub entity: String,
    /// E.g. `CREATED`.
    pub action: String,
}

/// A webhook, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookOut {
    /// UUID.
    pub webhook_id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it is told.
    pub url: String,
    /// Of what it is told.
    pub events: Vec<EventOut>,
    /// `ACTIVE` or `DISABLED`.
    pub status: &'static str,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
}

impl From<Webhook> for WebhookOut {
    fn from(webhook: Webhook) -> Self {
        let event = |topic: &Topic| EventOut { entity: topic.entity_name(), action: topic.action_name() };
        Self {
            events: webhook.topics.iter().map(event).collect(),
            webhook_id: webhook.uuid,
            name: webhook.name,
            description: webhook.description,
            url: webhook.url,
            status: status_name(webhook.is_active),
            creation_timestamp: webhook.created_at,
            last_updated_timestamp: webhook.updated_at,
        }
    }
}

/// One webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookResponse {
    /// The webhook.
    pub webhook: WebhookOut,
}

/// A page of webhooks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// Newest first.
    pub webhooks: Vec<WebhookOut>,
    /// There are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// What a receiver made of an example.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestResult {
    /// Whether it took it.
    pub success: bool,
    /// The status of its answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
    /// The beginning of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// What a receiver made of an example.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestResponse {
    /// The result.
    pub result: TestResult,
}

fn topics(events: &[EventIn]) -> Result<Option<Vec<Topic>>> {
    let read = |(at, event): (usize, &EventIn)| {
        Topic::read(&format!("events[{at}]"), event.entity.as_ref(), event.action.as_ref())
    };
    let topics = events.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Some(topics).filter(|topics| !topics.is_empty()))
}

fn secret(given: Option<SecretIn>) -> Result<Option<Secret>> {
    match given {
        None => Ok(None),
        Some(SecretIn::Text(secret)) => Ok(Some(secret)),
        Some(SecretIn::Other) => {
            Err(Error::invalid("Invalid value for parameter 'secret' supplied: it must be a text."))
        }
    }
}

fn status(given: Option<EnumIn>) -> Result<Option<bool>> {
    let known = |name: &str| match name {
        "ACTIVE" | "1" => Some(true),
        "DISABLED" | "2" => Some(false),
        _ => None,
    };
    let name = match given {
        None => return Ok(None),
        Some(EnumIn::Name(name)) => name,
        Some(EnumIn::Number(n)) => n.to_string(),
    };
    known(&name).map(Some).ok_or_else(|| {
        let shown = crate::tracking::limits::cut(&name, 100);
        Error::invalid(format!(
            "Invalid value {shown:?} for parameter 'status' supplied: it is ACTIVE or DISABLED."
        ))
    })
}

fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

async fn create(ctx: Ctx, request: WebhookRequest) -> Result<WebhookResponse> {
    let wanted = Wanted {
        name: not_empty(request.name),
        url: not_empty(request.url),
        description: request.description,
        topics: topics(&request.events)?,
        secret: secret(request.secret)?,
        is_active: status(request.status)?,
    };
    Ok(WebhookResponse { webhook: webhook_create(&ctx, wanted).await?.into() })
}

async fn page(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let most = match request.max_results.map_or(0, |n| n.0) {
        0 => PAGE.0,
        n if (1..=PAGE.1).contains(&n) => n,
        n => return Err(Error::invalid(format!("max_results must be between 1 and {}; it is {n}.", PAGE.1))),
    };
    let before = before(request.page_token.as_deref())?;
    ctx.read(move |sql| {
        // One more than the page shows whether there is a next one.
        let mut found = webhook::page(sql, before, most + 1)?;
        let is_more = found.len() as i64 > most;
        found.truncate(most as usize);
        let next_page_token = found.last().filter(|_| is_more).map(|last| last.id.to_string());
        Ok(ListResponse { webhooks: found.into_iter().map(Into::into).collect(), next_page_token })
    })
    .await
}

async fn get(ctx: Ctx, request: OneRequest) -> Result<WebhookResponse> {
    let webhook = ctx.read(move |sql| webhook::load(sql, &request.webhook_id)).await?.into();
    Ok(WebhookResponse { webhook })
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<WebhookResponse> {
    let wanted = Wanted {
        name: not_empty(request.name),
        url: not_empty(request.url),
        description: request.description,
        topics: topics(&request.events)?,
        secret: secret(request.secret)?,
        is_active: status(request.status)?,
    };
    Ok(WebhookResponse { webhook: webhook_update(&ctx, request.webhook_id, wanted).await?.into() })
}

async fn delete(ctx: Ctx, request: OneRequest) -> Result<Empty> {
    webhook_delete(&ctx, request.webhook_id).await?;
    Ok(Empty {})
}

/// Once and at once, also to a webhook that is disabled; the log of deliveries has nothing of it.
async fn test(ctx: Ctx, request: TestRequest) -> Result<TestResponse> {
    let event = request.event;
    let named =
        event.map(|event| Topic::read("event", event.entity.as_ref(), event.action.as_ref())).transpose()?;
    let hook = ctx.read(move |sql| webhook::load(sql, &request.webhook_id)).await?;
    let topic = named.or_else(|| hook.topics.first().copied()).ok_or_else(|| Error::required("event"))?;
    let body = told::body(topic, now_ms(), &topic.example())?;
    let outcome = send::send(&ctx.app, &hook, &uuid::Uuid::new_v4().to_string(), body).await?;
    Ok(TestResponse {
        result: TestResult {
            success: outcome.error.is_none(),
            response_status: outcome.status,
            response_body: outcome.answer,
            // An answer speaks for itself, but for one that says to go elsewhere.
            error_message: outcome
                .error
                .filter(|_| outcome.status.is_none_or(|status| (300..400).contains(&status))),
        },
    })
}
