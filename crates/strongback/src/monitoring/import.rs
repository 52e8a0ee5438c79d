//! Labels land beside what they belong to: `request_id`, the row within the request, the label, and when it was given.

use axum::{body::Body, response::Response};
use http::{Method, Request};
use lake::{query::Value, schema::Declared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use syntax::names::FullName;

use super::{
    matched::{Counted, Given},
    monitor, tables,
};
use crate::{
    catalog::{Action, Kind, authorize, names},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::http::{body_stream, param, read_query},
    router::{Limits, PathParams, Policy, Route, wire::json_response},
    tables::{
        append::{Filled, append_filled},
        batches::{batch_id_of, format_named},
        managed::{self, Found},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw(
            Method::PUT,
            "/api/1.0/labels/{full_name}/batches/{batch_id}",
            Policy::Asset(Action::Edit),
            Limits::STREAM,
            "Let labels land beside an endpoint's or a table's rows, exactly once a batch id",
            put,
        )
        .taking_query::<LabelsRequest>()
        .taking_bytes()
        .giving::<LabelsResponse>(),
    ]
}

/// How the body is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct LabelsRequest {
    /// `csv`, `json` (an object a line), `parquet` or `arrow` (an IPC stream), with `request_id`, `label`, and if they are there
    /// `row` (0 where it is absent) and `labelled_at` (now where it is absent).
    pub format: Option<String>,
}

/// What landed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LabelsResponse {
    /// The table of labels.
    pub table: String,
    /// The version that they made.
    pub version: u64,
    /// How many.
    pub rows: u64,
    /// How many of them belong to a row that is there now, those included that were served a moment ago; absent where that was
    /// not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// How many belong to none: they count once there is a row with their `request_id` and `row`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<u64>,
    /// What to know about these two, or why they are absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether the batch had landed before: nothing was written now.
    pub is_repeat: bool,
}

/// The columns of a table of labels.
pub fn columns() -> Vec<Declared> {
    let column = |name: &str, kind: &str, nullable| Declared {
        name: name.to_owned(),
        type_text: kind.to_owned(),
        nullable,
    };
    vec![
        column("request_id", "string", false),
        column("row", "int", true),
        column("label", "double", false),
        column("labelled_at", "timestamp", true),
    ]
}

/// Whether the name is that of an endpoint.
fn is_endpoint(sql: &mut Sql<'_>, name: &FullName) -> Result<bool> {
    Ok(names::leaf(sql, name, Kind::Endpoint)?.is_some())
}

/// Lets pass who may let labels of this name land, where there is what they could belong to: who may change the labels that
/// landed before; where there are none, who may make a table here and change the endpoint, its payload table, or the table that
/// they belong to.
fn require(sql: &mut Sql<'_>, name: &FullName) -> Result<()> {
    match managed::find(sql, &tables::names(name).labels)? {
        Found::Managed(labels) => return authorize(sql, Action::Edit, labels.asset.id),
        Found::Declared(labels) => return authorize(sql, Action::Edit, labels.id),
        Found::Nothing { schema } => authorize(sql, Action::Create, schema.id)?,
    }
    if let Some(subject) = monitor::subject(sql, name)? {
        return authorize(sql, Action::Edit, subject);
    }
    Err(Error::missing(format!(
        "There is neither an endpoint nor a table '{}' that labels could belong to. Name the endpoint by its three levels, as \
         `strongback endpoint list` shows it, or the table that a monitor watches.",
        managed::show(name)
    )))
}

async fn put(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: LabelsRequest = read_query(request.uri().query())?;
    let format = format_named(asked.format.as_deref().unwrap_or("csv"))?;
    let batch_id = batch_id_of(&params)?;
    let watched = managed::parse(param(&params, "full_name"))?;
    let name = tables::names(&watched).labels;
    let looked_up = watched.clone();
    let is_endpoint = ctx
        .read(move |sql| {
            require(sql, &looked_up)?;
            is_endpoint(sql, &looked_up)
        })
        .await?;
    let filled = Filled {
        name: name.clone(),
        batch_id,
        comment: "Labels of rows that were served; the latest of a row counts",
        format,
        columns: columns(),
        defaults: vec![
            ("row".to_owned(), Value::Int(0)),
            ("labelled_at".to_owned(), Value::Int(ctx.now().saturating_mul(1_000))),
        ],
    };
    let body = body_stream(request);
    let given = Given::new(is_endpoint);
    let landed = append_filled(&ctx, filled, given.look(), body).await?;
    let Counted { matched, note } = given.matched(&ctx, watched).await;
    json_response(&LabelsResponse {
        table: managed::show(&name),
        version: landed.version,
        rows: landed.rows,
        matched,
        unmatched: matched.map(|matched| landed.rows.saturating_sub(matched)),
        note,
        is_repeat: landed.is_repeat,
    })
}
