//! `POST /api/1.0/sql`: a query over tables that the caller may read.
//!
//! The statement is read before anything else, so that its names are known; each is resolved and authorised in one
//! snapshot, with the version that is the newest there: a query sees one state of the world. The answer is streamed.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Method, Request, header};
use lake::{
    query::{self, Answer, Chunk, Form, Named, Resolved, Statement, Value, Wanted},
    schema::Column,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use syntax::names::FullName;

use super::managed;
use crate::{
    catalog::{
        Action,
        authorize::visible,
        bootstrap::{DEFAULT_CATALOG, DEFAULT_SCHEMA},
    },
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::http::read_json,
    router::{Limits, PathParams, Policy, Route, wire::Int64},
};

/// How long a query may take when nothing is said.
const TIME: Duration = Duration::from_mins(5);
/// How long it may take at most.
const TIME_MAX_S: i64 = 6 * 3_600;

pub(super) fn routes() -> Vec<Route> {
    let limits = Limits { time: Limits::STREAM.time, ..Limits::JSON };
    vec![
        Route::raw(Method::POST, "/api/1.0/sql", Policy::Visible, limits, "Ask tables by SQL", ask)
            .taking::<SqlRequest>()
            .giving_content("application/x-ndjson"),
    ]
}

/// What to ask.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct SqlRequest {
    /// One query. Tables have names of three levels; `VERSION AS OF 3` and `TIMESTAMP AS OF '2026-11-24'` read older versions.
    pub statement: String,
    /// Catalog of names that do not say one; `main` if absent.
    pub catalog: Option<String>,
    /// Schema of names that do not say one; `default` if absent.
    pub schema: Option<String>,
    /// Values for `$name` in the statement: texts, numbers, true, false or null.
    pub parameters: Option<Map<String, Json>>,
    /// `json` (an object a line), `csv`, `arrow` (an IPC stream) or `texts` (an array of texts a line, and a last line that
    /// says how many rows there were).
    pub format: Option<String>,
    /// Rows at most; the rest is cut off.
    pub row_limit: Option<Int64>,
    /// Seconds that it may take; 300 if absent.
    pub time_s: Option<Int64>,
}

/// The last line of an answer in the form `texts`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// Rows in the answer.
    pub rows: u64,
    /// Whether there were more.
    pub is_cut: bool,
}

async fn ask(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: SqlRequest = read_json(&ctx, params, request).await?;
    let wanted = wanted(&asked)?;
    let form = wanted.form;
    let answer = open(&ctx, &asked, wanted).await?;
    respond(answer, form).await
}

/// An answer of the engine as a response, which is streamed while it is made.
pub async fn respond(mut answer: Answer, form: Form) -> Result<Response> {
    // What goes wrong before the first rows has a status of its own.
    let first = answer.next().await.transpose()?;
    let mut response = Response::new(body(answer, first, form));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(form)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Resolves what a statement names for the caller of `ctx`, and begins to answer.
async fn open(ctx: &Ctx, asked: &SqlRequest, wanted: Wanted) -> Result<Answer> {
    let statement = query::read(&asked.statement)?;
    let catalog = asked.catalog.as_deref().unwrap_or(DEFAULT_CATALOG);
    let schema = asked.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
    let tables = resolve_all(ctx, &statement, catalog, schema).await?;
    Ok(ctx.app.lake.query(statement, tables, wanted).await?)
}

/// The tables that a statement names, in one snapshot, for a caller who may read all of them.
pub(super) async fn resolve_all(
    ctx: &Ctx,
    statement: &Statement,
    catalog: &str,
    schema: &str,
) -> Result<Vec<Resolved>> {
    let (names, catalog, schema) = (statement.tables.clone(), catalog.to_owned(), schema.to_owned());
    ctx.read(move |sql| {
        visible(sql);
        names.iter().map(|named| resolve(sql, named, &catalog, &schema)).collect()
    })
    .await
}

/// The table that a statement names, for a caller who may read it.
fn resolve(sql: &mut Sql<'_>, named: &Named, catalog: &str, schema: &str) -> Result<Resolved> {
    let full = match &named.parts[..] {
        [leaf] => format!("{catalog}.{schema}.{leaf}"),
        [schema, leaf] => format!("{catalog}.{schema}.{leaf}"),
        parts => parts.join("."),
    };
    let name: FullName = managed::parse(&full)?;
    let table = managed::get(sql, &name, Action::Read)?;
    let version = table.version_at(sql, named.as_of)?;
    Ok(Resolved { catalog: name.catalog, schema: name.schema, leaf: name.leaf, id: table.table, version })
}

fn wanted(asked: &SqlRequest) -> Result<Wanted> {
    let form = match asked.format.as_deref().unwrap_or("json") {
        "json" => Form::Json,
        "csv" => Form::Csv,
        "arrow" => Form::Arrow,
        "texts" => Form::Texts,
        other => {
            return Err(Error::invalid(format!(
                "Invalid value '{other}' for parameter 'format' supplied: it is one of json, csv, arrow, texts."
            )));
        }
    };
    let positive = |field: &str, given: Option<Int64>, most: i64| match given.map(|given| given.0) {
        None => Ok(None),
        Some(number) if (1..=most).contains(&number) => Ok(Some(number as u64)),
        Some(number) => Err(Error::invalid(format!(
            "Invalid value {number} for parameter '{field}' supplied: it is from 1 to {most}."
        ))),
    };
    let parameters = asked.parameters.iter().flatten();
    Ok(Wanted {
        form,
        rows_max: positive("row_limit", asked.row_limit, i64::MAX)?,
        time: positive("time_s", asked.time_s, TIME_MAX_S)?.map_or(TIME, Duration::from_secs),
        parameters: parameters
            .map(|(name, value)| Ok((name.clone(), parameter(name, value)?)))
            .collect::<Result<_>>()?,
    })
}

fn parameter(name: &str, value: &Json) -> Result<Value> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(number)) => Value::Float(number),
            (None, None) => return Err(unfit(name)),
        },
        Json::Array(_) | Json::Object(_) => return Err(unfit(name)),
    })
}

fn unfit(name: &str) -> Error {
    Error::invalid(format!(
        "Invalid value for parameter 'parameters.{name}' supplied: it is a text, a number, true, false or null."
    ))
}

fn content_type(form: Form) -> &'static str {
    match form {
        Form::Arrow => "application/vnd.apache.arrow.stream",
        Form::Csv => "text/csv; charset=utf-8",
        Form::Parquet => "application/vnd.apache.parquet",
        Form::Json | Form::Texts => "application/x-ndjson",
    }
}

/// How far an answer was read that is streamed. Where that was not to its end, the log says so.
struct Reading {
    rows: u64,
    is_over: bool,
}

impl Reading {
    /// Takes account of a piece; answers how many rows there were with it.
    fn take(&mut self, piece: &lake::Result<Chunk>) -> u64 {
        match piece {
            Ok(chunk) => {
                self.rows += chunk.rows;
                self.is_over |= chunk.is_last;
            }
            // Logged by itself.
            Err(_) => self.is_over = true,
        }
        self.rows
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            let rows = self.rows;
            tracing::info!(
                rows,
                "a query was called off: whoever asked it left, or took nothing of its answer for too long"
            );
        }
    }
}

/// The answer as it leaves: what goes wrong behind the first rows breaks it off, so that nobody takes a part for the whole.
fn body(answer: Answer, first: Option<Chunk>, form: Form) -> Body {
    let heading = (form == Form::Texts).then(|| line(&heading(&answer.columns)));
    let mut reading = Reading { rows: 0, is_over: false };
    let first = first.map(Ok);
    let chunks = stream::iter(first).chain(answer).map(move |chunk| {
        let rows = reading.take(&chunk);
        let chunk = chunk?;
        if form == Form::Texts && chunk.is_last {
            return Ok(line(&json!(End { rows, is_cut: chunk.is_cut })));
        }
        Ok::<Bytes, lake::Error>(chunk.bytes)
    });
    let logged = chunks.inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(%error, "an answer broke off");
        }
    });
    Body::from_stream(stream::iter(heading.map(Ok)).chain(logged))
}

fn heading(columns: &[Column]) -> Json {
    columns.iter().map(|column| json!([column.name, column.type_text])).collect()
}

fn line(value: &Json) -> Bytes {
    format!("{value}\n").into()
}
