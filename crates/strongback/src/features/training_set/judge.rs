//! `POST …/rebuild`: the rows are made again from the pinned versions, and compared.

use http::Method;
use lake::training::Difference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TrainingSet, get, pinned};
use crate::{
    catalog::{Action, asset, authorize::is_allowed},
    context::Ctx,
    db::Sql,
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
    let (set, may_see) = ctx
        .read(move |sql| {
            let set = get(sql, &request.full_name, Action::Read)?;
            let may_see = may_read_all(sql, &set)?;
            Ok((set, may_see))
        })
        .await?;
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
        difference: judged.difference.map(|difference| shown(difference, may_see)),
    })
}

/// Whether the caller may read every table that a set is made of, beside the set.
fn may_read_all(sql: &mut Sql<'_>, set: &TrainingSet) -> Result<bool> {
    for (table, _) in pinned(&set.definition) {
        if asset::get(sql, table)?.is_none() || !is_allowed(sql, Action::Read, table)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What came out is made of values of those tables, whose reading the right to read the set does not give.
fn shown(difference: Difference, may_see: bool) -> Difference {
    if may_see || difference.column.is_none() {
        return difference;
    }
    let made =
        "(another value, which only those see who may read the tables that the set is made of)".to_owned();
    Difference { made, ..difference }
}
