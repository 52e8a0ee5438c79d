//! `GET …/rows`: the rows of a training set, streamed in their order.

use std::time::Duration;

use axum::{body::Body, response::Response};
use http::{Method, Request};
use lake::query::Form;
use schemars::JsonSchema;
use serde::Deserialize;

use super::get;
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    files::http::{param, read_query},
    router::{Limits, PathParams, Policy, Route},
    tables::sql::respond,
};

/// How long it may take until the last row is there.
const TIME: Duration = Duration::from_hours(1);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw(
            Method::GET,
            "/api/1.0/training-sets/{full_name}/rows",
            Policy::Asset(Action::Read),
            Limits::STREAM,
            "Read the rows of a training set",
            rows,
        )
        .taking_query::<RowsRequest>()
        .giving_content("application/vnd.apache.parquet"),
    ]
}

/// In which form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct RowsRequest {
    /// `parquet` (if absent), `csv`, `arrow` (an IPC stream) or `json` (an object a line).
    pub format: Option<String>,
}

async fn rows(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: RowsRequest = read_query(request.uri().query())?;
    let form = match asked.format.as_deref().unwrap_or("parquet") {
        "parquet" => Form::Parquet,
        "csv" => Form::Csv,
        "arrow" => Form::Arrow,
        "json" => Form::Json,
        other => {
            return Err(Error::invalid(format!(
                "Invalid value '{other}' for parameter 'format' supplied: it is one of parquet, csv, arrow, json."
            )));
        }
    };
    let name = param(&params, "full_name").to_owned();
    let set = ctx.read(move |sql| get(sql, &name, Action::Read)).await?;
    let answer = ctx.app.lake.training_rows(set.at(), set.timestamp, form, TIME).await?;
    respond(answer, form).await
}
