//! Giving items, a page at a time: what an export reads.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ItemKind, StoredFile, store};
use crate::{
    bind,
    catalog::authorize_admin,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::File,
    registry::carried::{self as models, CarriedAliases, CarriedModel, CarriedVersion, Given},
    router::{Limits, Policy, Route, wire::Int64},
    tracking::{
        experiment::{self, carried::CarriedExperiment},
        limits,
        model::carried::{self as logged_models, CarriedLoggedModel},
        run::carried::{self as runs, CarriedRun},
    },
};

/// Items a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (100, 1_000);
/// Points of a page of runs above which it ends.
const POINTS_MAX: usize = 200_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/exchange/give",
        Policy::Admin,
        Limits::JSON,
        "Items in whole, a page at a time",
        give,
    )]
}

/// Which items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GiveRequest {
    /// What they are.
    pub kind: ItemKind,
    /// The experiment of runs and logged models; the model of versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// At most so many; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// A page of one kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct GiveResponse {
    /// All experiments, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<CarriedExperiment>,
    /// How much lies in all of them, beside the experiments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// Runs of an experiment, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<CarriedRun>,
    /// Logged models of an experiment, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logged_models: Vec<CarriedLoggedModel>,
    /// All registered models, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<CarriedModel>,
    /// Versions of a model, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<GivenVersion>,
    /// Aliases, of all models beside the models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<CarriedAliases>,
    /// Where the next page begins; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// How much lies in all experiments, deleted ones with it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// Logged models.
    pub logged_models: u64,
}

/// A version, and where its files are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GivenVersion {
    /// The version.
    pub item: CarriedVersion,
    /// The address at which its files are: those of the run or the logged model that it was made of, as long as they are the same.
    pub address: String,
    /// Its files, where they are its own alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StoredFile>,
}

async fn give(ctx: Ctx, request: GiveRequest) -> Result<GiveResponse> {
    let most = limits::max_results(request.max_results.map(|most| most.0), PAGE.0, PAGE.1)? as i64;
    let after = match request.page_token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => token.parse().map_err(|_| {
            Error::invalid(format!(
                "Invalid value '{}' for parameter 'page_token': it is no token of this call.",
                limits::cut(token, 100)
            ))
        })?,
        None => 0,
    };
    ctx.read(move |sql| {
        authorize_admin(sql, "read everything that is kept")?;
        let of = request.of.as_deref();
        match request.kind {
            ItemKind::Experiment => {
                let all = experiment::carried::all(sql)?;
                let experiments = all.iter().map(experiment::carried::give).collect();
                let totals = sql.one(&store::WHOLES_COUNT, bind![], |row| {
                    let count = |at| row.get::<i64>(at).map(|count| count.max(0).unsigned_abs());
                    Ok(Totals { runs: count(0)?, logged_models: count(1)? })
                })?;
                Ok(GiveResponse { experiments, totals: Some(totals), ..GiveResponse::default() })
            }
            ItemKind::Run => runs_of(sql, of, after, most),
            ItemKind::LoggedModel => logged_models_of(sql, of, after, most),
            ItemKind::Model => all_models(sql),
            ItemKind::Version => versions_of(sql, of, after, most),
        }
    })
    .await
}

/// Ids of what lies in an experiment, each with the internal one.
fn ids_of(
    sql: &mut Sql<'_>,
    stmt: &'static crate::db::Stmt,
    of: Option<&str>,
    after: i64,
    most: i64,
) -> Result<Vec<(i64, String)>> {
    let of = of.ok_or_else(|| Error::required("of"))?;
    let mlflow_id = limits::experiment_id(of).map_err(|error| error.in_field("of"))?;
    let home = experiment::find(sql, mlflow_id)?.ok_or_else(|| experiment::unknown(mlflow_id))?;
    sql.all(stmt, bind![home.id, after, most], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn runs_of(sql: &mut Sql<'_>, of: Option<&str>, after: i64, most: i64) -> Result<GiveResponse> {
    let ids = ids_of(sql, &store::RUNS_AFTER, of, after, most)?;
    let mut page = GiveResponse::default();
    let mut points = 0;
    for (at, (id, uuid)) in ids.iter().enumerate() {
        for run in runs::give(sql, std::slice::from_ref(uuid))? {
            points += run.points();
            page.runs.push(run);
        }
        if points > POINTS_MAX || at + 1 == most as usize {
            page.next_page_token = Some(id.to_string());
            break;
        }
    }
    Ok(page)
}

fn logged_models_of(sql: &mut Sql<'_>, of: Option<&str>, after: i64, most: i64) -> Result<GiveResponse> {
    let ids = ids_of(sql, &store::LOGGED_MODELS_AFTER, of, after, most)?;
    let next = ids.last().filter(|_| ids.len() as i64 == most).map(|(id, _)| id.to_string());
    let uuids: Vec<String> = ids.into_iter().map(|(_, uuid)| uuid).collect();
    let logged_models = logged_models::give(sql, &uuids)?;
    Ok(GiveResponse { logged_models, next_page_token: next, ..GiveResponse::default() })
}

fn all_models(sql: &mut Sql<'_>) -> Result<GiveResponse> {
    let given = models::give_models(sql)?;
    let mut aliases = Vec::new();
    for model in &given {
        if let Some(found) = models::present(sql, &model.name)? {
            aliases.push(models::give_aliases(sql, &found)?);
        }
    }
    aliases.retain(|of| !of.aliases.is_empty());
    Ok(GiveResponse { models: given, aliases, ..GiveResponse::default() })
}

fn versions_of(sql: &mut Sql<'_>, of: Option<&str>, after: i64, most: i64) -> Result<GiveResponse> {
    let name = of.ok_or_else(|| Error::required("of"))?;
    let found = models::present(sql, name)?.ok_or_else(|| {
        Error::missing(format!("There is no registered model '{}'.", limits::cut(name, 300)))
    })?;
    let given = models::give_versions(sql, &found, after, most)?;
    let next = given.last().filter(|_| given.len() as i64 == most).map(|last| last.item.version.to_string());
    let stored = |files: Vec<File>| files.into_iter().map(StoredFile::from).collect();
    let versions = given
        .into_iter()
        .map(|Given { item, address, files }| GivenVersion { item, address, files: stored(files) })
        .collect();
    Ok(GiveResponse { versions, next_page_token: next, ..GiveResponse::default() })
}
