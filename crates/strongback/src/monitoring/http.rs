//! Monitors by REST.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    Asked, apply,
    monitor::{self, Monitor},
    plan, schedule,
    span::moment,
    store, tables,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::Kind,
        authorize, names,
        securable::{self, Paging, People},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, required},
    },
    tables::managed,
};

/// Windows of one answer.
const WINDOWS_MAX: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/1.0/monitors";
    const ONE: &str = "/api/1.0/monitors/{full_name}";
    let (read, small, json) = (Policy::Asset(Action::Read), Limits::SMALL, Limits::JSON);
    let (create, edit) = (Policy::Asset(Action::Create), Policy::Asset(Action::Edit));
    let delete_ = Policy::Asset(Action::Delete);
    vec![
        Route::json(Method::POST, ALL, create, json, "Declare a monitor, or its next version", declare),
        Route::json(Method::GET, ALL, Policy::Visible, small, "List the monitors of a schema", list),
        Route::json(Method::GET, ONE, read, small, "Get a monitor", get),
        Route::json(Method::DELETE, ONE, delete_, small, "Delete a monitor", delete),
        Route::json(
            Method::GET,
            "/api/1.0/monitors/{full_name}/windows",
            read,
            small,
            "List the windows of a monitor, newest first",
            windows,
        ),
        Route::json(
            Method::POST,
            "/api/1.0/monitors/{full_name}/run",
            edit,
            small,
            "Queue a job that computes windows",
            run,
        ),
    ]
}

/// A monitor as it leaves. Times in milliseconds since the epoch; moments of windows in RFC 3339.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MonitorInfo {
    /// Name of what is watched, and of the monitor.
    pub full_name: String,
    /// Number of the definition.
    pub version: i64,
    /// What it is declared as.
    pub definition: Json,
    /// The table that is watched, by its name now; absent where it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_table: Option<String>,
    /// Where sketches land.
    pub sketch_table: String,
    /// Where figures land.
    pub drift_table: String,
    /// The run that has the figures as metric series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Windows that begin before this were computed, or passed over because nothing is in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed_to: Option<String>,
    /// Event time of the newest row at the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_event: Option<String>,
    /// When a command was queued last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_at: Option<i64>,
    /// When this version was declared.
    pub declared_at: i64,
    /// By whom, and whose rights count.
    pub declared_by: String,
    /// Name of the owner.
    pub owner: String,
    /// UUID of the monitor.
    pub monitor_id: String,
}

impl MonitorInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, monitor: Monitor) -> Result<Self> {
        let names = tables::names_of(sql, &monitor)?;
        let watched = crate::catalog::asset::get(sql, monitor.watched_id)?
            .map(|table| crate::catalog::asset::display_name(sql, table.id))
            .transpose()?;
        Ok(Self {
            full_name: crate::catalog::asset::display_name(sql, monitor.asset.id)?,
            version: monitor.n,
            definition: serde_json::to_value(&monitor.definition).map_err(Error::internal)?,
            watched_table: watched,
            sketch_table: managed::show(&names.sketch),
            drift_table: managed::show(&names.drift),
            run_id: monitor.state.run_id,
            computed_to: monitor.state.computed_to.map(moment),
            newest_event: monitor.state.newest_event.map(moment),
            triggered_at: monitor.state.triggered_at,
            declared_at: monitor.declared_at,
            declared_by: people.name(sql, monitor.declared_by)?,
            owner: people.name(sql, monitor.asset.owner_id)?,
            monitor_id: monitor.asset.uuid,
        })
    }
}

/// What to declare.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeclareRequest {
    /// The definition, in YAML.
    pub yaml: Option<String>,
}

async fn declare(ctx: Ctx, request: DeclareRequest) -> Result<MonitorInfo> {
    let declared = apply::declare(&ctx, required(&request.yaml, "yaml")?).await?;
    ctx.read(move |sql| {
        authorize(sql, Action::Read, declared.asset.id)?;
        MonitorInfo::new(sql, &mut People::default(), declared)
    })
    .await
}

/// Whose monitors to list.
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

/// A page of monitors.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub monitors: Vec<MonitorInfo>,
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
        let (assets, next_page_token) = securable::page(sql, schema.id, Kind::Monitor, &paging)?;
        let mut people = People::default();
        let mut monitors = Vec::with_capacity(assets.len());
        for asset in assets {
            let one = monitor::load(sql, asset)?;
            monitors.push(MonitorInfo::new(sql, &mut people, one)?);
        }
        Ok(ListResponse { monitors, next_page_token })
    })
    .await
}

/// Which monitor.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneRequest {
    /// `catalog.schema.leaf` of what is watched.
    pub full_name: String,
}

async fn get(ctx: Ctx, request: OneRequest) -> Result<MonitorInfo> {
    ctx.read(move |sql| {
        let found = monitor::get(sql, &request.full_name, Action::Read)?;
        MonitorInfo::new(sql, &mut People::default(), found)
    })
    .await
}

async fn delete(ctx: Ctx, request: OneRequest) -> Result<Empty> {
    ctx.write(move |tx| Ok(Change::Made(Empty {}, apply::delete(tx, &request.full_name)?))).await
}

/// Which windows.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WindowsRequest {
    /// `catalog.schema.leaf` of what is watched.
    pub full_name: String,
    /// Only those that begin before this moment, in RFC 3339.
    pub before: Option<String>,
    /// At most so many; 100 when absent.
    pub max_results: Option<Int64>,
}

/// A window as it leaves, in its newest revision.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WindowInfo {
    /// The first moment that is in it, in RFC 3339.
    pub start: String,
    /// The first that is not.
    pub end: String,
    /// 1, and one more each time that late rows or labels changed it.
    pub revision: i64,
    /// `planned` or `computed`.
    pub state: &'static str,
    /// `ok`, `small` or `empty`; absent before it was computed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// Rows in it.
    pub rows: u64,
    /// Rows of them with a label.
    pub labelled_rows: u64,
    /// Version of the watched table that it was read at.
    pub table_version: u64,
    /// Version of the definition.
    pub definition: i64,
    /// When it was computed, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed_at: Option<i64>,
}

/// Windows of a monitor.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WindowsResponse {
    /// Newest first.
    pub windows: Vec<WindowInfo>,
}

async fn windows(ctx: Ctx, request: WindowsRequest) -> Result<WindowsResponse> {
    let most = request.max_results.map_or(100, |n| n.0);
    if !(1..=WINDOWS_MAX).contains(&most) {
        return Err(Error::invalid(format!(
            "Invalid value {most} for parameter 'max_results' supplied: it is 1 to {WINDOWS_MAX}."
        )));
    }
    let before = request.before.as_deref().map(|text| micros("before", text)).transpose()?;
    ctx.read(move |sql| {
        let found = monitor::get(sql, &request.full_name, Action::Read)?;
        let values = bind![found.asset.id, before.unwrap_or(i64::MAX), most];
        let windows = sql.all(&store::WINDOW_NEWEST, values, plan::read)?;
        let info = |window: plan::Stored| WindowInfo {
            start: moment(window.span.start),
            end: moment(window.span.end),
            revision: window.span.revision,
            state: if window.is_computed { "computed" } else { "planned" },
            outcome: window.outcome,
            rows: window.rows,
            labelled_rows: window.labelled,
            table_version: window.table_version,
            definition: window.definition_n,
            computed_at: window.computed_at,
        };
        Ok(WindowsResponse { windows: windows.into_iter().map(info).collect() })
    })
    .await
}

/// A moment in RFC 3339, in microseconds since the epoch.
fn micros(field: &str, text: &str) -> Result<i64> {
    chrono::DateTime::parse_from_rfc3339(text).map(|at| at.timestamp_micros()).map_err(|error| {
        Error::invalid(format!(
            "Invalid value '{text}' for parameter '{field}' supplied: it is no moment such as 2026-11-24T08:00:00Z ({error})."
        ))
    })
}

/// What to compute.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RunRequest {
    /// `catalog.schema.leaf` of what is watched.
    pub full_name: String,
    /// Only windows from this moment on, in RFC 3339; also those that were computed already, where something has changed
    /// since, be it the definition. Together with `to`; at most 1,000 windows.
    pub from: Option<String>,
    /// Only windows that end at this moment or before.
    pub to: Option<String>,
}

/// What was queued.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunResponse {
    /// UUID of the job.
    pub job_id: String,
}

async fn run(ctx: Ctx, request: RunRequest) -> Result<RunResponse> {
    let range = match (&request.from, &request.to) {
        (None, None) => None,
        (Some(from), Some(to)) => {
            let (from, to) = (micros("from", from)?, micros("to", to)?);
            if from >= to {
                return Err(Error::invalid(
                    "Invalid value for parameter 'to' supplied: it is not after 'from'.",
                ));
            }
            Some((from, to))
        }
        _ => return Err(Error::invalid("Give both 'from' and 'to', or neither.")),
    };
    ctx.write(move |tx| {
        let found = monitor::get(tx, &request.full_name, Action::Edit)?;
        if let Some(range) = range {
            plan::check_range(found.definition.window, range)?;
        }
        let queued = schedule::join(tx, &found, &Asked { monitor_id: found.asset.id, range })?;
        let response = RunResponse { job_id: queued.id.to_string() };
        Ok(match queued.event {
            Some(event) => Change::Made(response, event),
            None => Change::Nothing(response),
        })
    })
    .await
}
