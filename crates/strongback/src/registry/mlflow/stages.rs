//! Stages, MLflow's older way to say which version is in use. They are kept because its client still has them; the rest
//! of the product looks at aliases. MLflow says so to whoever calls them since version 2.9; older clients are told by a header.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::wire::{VersionOut, VersionResponse, VersionsResponse, name, number};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    registry::{
        aliases::{self, Alias},
        answered,
        names::{self, Levels},
        versions::{self, Stage},
    },
    router::{
        Limits, Policy, Route,
        wire::{Int64, flag, list, required},
    },
    tracking::limits,
};

/// Longest comment on a move, in characters.
const COMMENT_CHARS: usize = 5_000;

/// When MLflow 2.9 said that aliases take the place of stages: 5 December 2023.
const DEPRECATED: i64 = 1_701_734_400;

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.0/mlflow/registered-models/get-latest-versions";
    let read = Policy::Asset(Action::Read);
    vec![
        Route::json(Method::POST, path, read, Limits::SMALL, "The highest version of each stage", latest),
        Route::json(Method::GET, path, read, Limits::SMALL, "The highest version of each stage", latest),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/model-versions/transition-stage",
            Policy::Asset(Action::Edit),
            Limits::SMALL,
            "Move a model version to a stage",
            transition,
        ),
    ]
    .into_iter()
    .map(|route| route.deprecated(DEPRECATED))
    .collect()
}

/// Which stages of which model.
#[derive(Debug, Deserialize, JsonSchema)]
struct LatestRequest {
    /// Name of the model.
    name: Option<String>,
    /// The stages; all if none is named.
    #[serde(default, deserialize_with = "list")]
    stages: Vec<String>,
}

/// Where a version is to go.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TransitionRequest {
    /// Name of the model.
    name: Option<String>,
    /// The number.
    version: Option<Int64>,
    /// The stage, in any case.
    stage: Option<String>,
    /// Whether the other versions there are archived.
    #[serde(default, alias = "archiveExistingVersions", deserialize_with = "flag")]
    archive_existing_versions: bool,
    /// Why, for the log of changes.
    comment: Option<String>,
}

async fn latest(ctx: Ctx, request: LatestRequest) -> Result<VersionsResponse> {
    let name = name(request.name.as_ref())?;
    let stages = request.stages.iter().map(|stage| Stage::parse(stage)).collect::<Result<Vec<_>>>()?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Any)?;
        let mut found = versions::latest(sql, &[model.id])?;
        found.retain(|version| stages.is_empty() || stages.contains(&version.stage));
        let all = aliases::list(sql, &[model.id])?;
        let all: Vec<&Alias> = all.iter().collect();
        let model_versions =
            found.iter().map(|version| VersionOut::new(&model.name(), version, &all)).collect();
        Ok(VersionsResponse { model_versions, next_page_token: None })
    })
    .await
}

pub(super) async fn transition(ctx: Ctx, request: TransitionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let stage = Stage::parse(required(&request.stage, "stage")?)?;
    let archive_others = request.archive_existing_versions;
    let comment = request.comment.filter(|comment| !comment.is_empty());
    if let Some(comment) = &comment {
        limits::text("comment", comment, COMMENT_CHARS)?;
    }
    let how = versions::Transition { stage, archive_others, comment };
    ctx.write(move |tx| {
        let changed = versions::transition(tx, &name, number, &how)?;
        answered(changed, |(model, version)| {
            Ok(VersionResponse { model_version: VersionOut::load(tx, &model.name(), &version)? })
        })
    })
    .await
}
