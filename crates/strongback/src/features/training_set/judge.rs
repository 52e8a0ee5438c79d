//! `POST …/rebuild`: the rows are made again from the pinned versions, and compared.

use http::Method;
use lake::training::Difference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::get;
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    router::{Limits, Policy, Route},
};

pub(super) fn routes() -> Vec<Route> {
    let long = Limits { time: Limits::STREAM.time, ..Limits::SMALL };
    vec![Route::json(
        Method::POST,
        "/api/1.0/training-sets/{full_name}/rebuild",
        Policy::Asset(Action::Read),
        long,
        "Make a training set again and compare",
        rebuild,
    )]
}

/// Which training set.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RebuildRequest {
    /// `catalog.schema.name`
    pub full_name: String,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RebuildResponse {
    /// `equal`, `differs`, or `unjudged` where the rows could not be made.
    pub verdict: String,
    /// In words.
    pub why: String,
    /// The digest that was recorded when the set was made.
    pub sha256: String,
    /// The digest of the rows as they came out now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilt_sha256: Option<String>,
    /// How many rows came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The first place where they differ from what is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

async fn rebuild(ctx: Ctx, request: RebuildRequest) -> Result<RebuildResponse> {
    let set = ctx.read(move |sql| get(sql, &request.full_name, Action::Read)).await?;
    let (at, recipe, sha256) = (set.at(), set.definition.recipe, set.digest);
    let judged = match ctx.app.lake.judge_training_set(at, recipe).await {
        Ok(judged) => judged,
        Err(error) => {
            tracing::warn!(%error, "a training set could not be made again");
            return Ok(RebuildResponse {
                verdict: "unjudged".to_owned(),
                why: error.message().to_owned(),
                sha256,
                rebuilt_sha256: None,
                rows: None,
                difference: None,
            });
        }
    };
    let (is_made, is_kept) = (judged.digest == sha256, judged.kept_digest == sha256);
    let why = match (is_made, is_kept) {
        (true, true) => format!("The same {} rows came out.", judged.rows),
        (true, false) => "The rows came out as they were; those that are kept were changed since.".to_owned(),
        (false, true) => "Other rows came out than those that are kept.".to_owned(),
        (false, false) => "Neither what came out nor what is kept are the rows of then.".to_owned(),
    };
    Ok(RebuildResponse {
        verdict: if is_made && is_kept { "equal" } else { "differs" }.to_owned(),
        why,
        sha256,
        rebuilt_sha256: Some(judged.digest),
        rows: Some(judged.rows),
        difference: judged.difference,
    })
}
