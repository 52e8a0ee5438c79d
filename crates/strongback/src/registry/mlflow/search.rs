//! Searching models and versions.

use http::Method;
use syntax::search::Grammar;

use super::wire::{ModelOut, ModelsResponse, SearchRequest, VersionOut, VersionsResponse};
use crate::{
    context::Ctx,
    error::Result,
    registry::search::Search,
    router::{Limits, Policy, Route},
    tracking::limits,
};

/// Models a page when nothing is asked for, and at most.
const MODELS: (i64, i64) = (100, 1_000);
/// Versions a page when nothing is asked for, and at most.
const VERSIONS: (i64, i64) = (200_000, 200_000);

pub(super) fn routes() -> Vec<Route> {
    let models = "/api/2.0/mlflow/registered-models/search";
    let versions = "/api/2.0/mlflow/model-versions/search";
    let find_models =
        |method| Route::json(method, models, Policy::Visible, Limits::JSON, "Search models", search_models);
    let find_versions = |method| {
        Route::json(method, versions, Policy::Visible, Limits::JSON, "Search model versions", search_versions)
    };
    vec![
        find_models(Method::GET),
        find_models(Method::POST),
        find_versions(Method::GET),
        find_versions(Method::POST),
    ]
}

fn read(request: &SearchRequest, grammar: Grammar, (default, most): (i64, i64)) -> Result<Search> {
    let most = limits::max_results(request.max_results.map(|n| n.0), default, most)?;
    let filter = request.filter.as_deref().unwrap_or_default();
    Search::new(grammar, filter, &request.order_by, most, request.page_token.as_deref())
}

pub(super) async fn search_models(ctx: Ctx, request: SearchRequest) -> Result<ModelsResponse> {
    let search = read(&request, Grammar::RegisteredModels, MODELS)?;
    ctx.read(move |sql| {
        let found = search.models(sql)?;
        let registered_models = ModelOut::complete(sql, &found.items, true)?;
        Ok(ModelsResponse { registered_models, next_page_token: found.next_page_token })
    })
    .await
}

async fn search_versions(ctx: Ctx, request: SearchRequest) -> Result<VersionsResponse> {
    let search = read(&request, Grammar::ModelVersions, VERSIONS)?;
    ctx.read(move |sql| {
        let found = search.versions(sql)?;
        let model_versions =
            found.show(|model, version, aliases| Ok(VersionOut::new(&model.name(), version, aliases)))?;
        Ok(VersionsResponse { model_versions, next_page_token: found.next_page_token })
    })
    .await
}
