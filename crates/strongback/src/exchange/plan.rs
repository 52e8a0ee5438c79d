//! Planning: which items of a source came already, and which of its ids are somebody else's here.

use std::collections::{HashMap, HashSet};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ID_CHARS, ItemKind, checked_source, store};
use crate::{
    bind,
    catalog::authorize_admin,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    registry::{self, versions},
    router::{Limits, Policy, Route},
    tracking::{experiment::carried as experiments, limits},
};

/// Items of one request.
const ITEMS_MAX: usize = 20_000;
/// Longest name of an experiment that is looked for, in characters.
const NAME_CHARS: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/exchange/plan",
        Policy::Admin,
        Limits::LARGE,
        "Which items of another store are known here, and whose ids are taken",
        plan,
    )]
}

/// Items of one kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanRequest {
    /// The label of the store that they come from.
    pub source: String,
    /// What they are.
    pub kind: ItemKind,
    /// At most 20,000.
    pub items: Vec<PlanItem>,
}

/// An item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanItem {
    /// Its id there.
    pub id: String,
    /// Its name, where that must be free too: of an experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the files of its runs stay, if not in the server: of an experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_location: Option<String>,
}

/// What is known of the items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanResponse {
    /// Those that are known, or whose id is taken. All others are free.
    pub here: Vec<Here>,
}

/// An item whose id is not free.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Here {
    /// Its id there.
    pub id: String,
    /// How it stands here.
    #[serde(flatten)]
    pub state: State,
}

/// How an item stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It came before.
    Known {
        /// Its id here.
        target: String,
        /// The digest of what came last.
        digest: String,
    },
    /// Its id, or its name, is of something that did not come from this source.
    Taken {
        /// What has it.
        by: String,
    },
}

async fn plan(ctx: Ctx, request: PlanRequest) -> Result<PlanResponse> {
    checked_source(&request.source)?;
    if request.items.len() > ITEMS_MAX {
        return Err(Error::invalid(format!(
            "'items' can contain at most {ITEMS_MAX} items; it has {}.",
            request.items.len()
        )));
    }
    for item in &request.items {
        limits::text("id", &item.id, ID_CHARS)?;
        limits::text("name", item.name.as_deref().unwrap_or_default(), NAME_CHARS)?;
        if let Some(location) = &item.artifact_location {
            experiments::check_location(location)?;
        }
    }
    ctx.read(move |sql| {
        authorize_admin(sql, "take what another store holds")?;
        let mut known = known(sql, &request)?;
        let mut taken = taken(sql, &request, &known)?;
        let mut here = Vec::new();
        for PlanItem { id, .. } in request.items {
            let state = known.remove(&id).or_else(|| taken.remove(&id));
            here.extend(state.map(|state| Here { id, state }));
        }
        Ok(PlanResponse { here })
    })
    .await
}

fn known(sql: &mut Sql<'_>, request: &PlanRequest) -> Result<HashMap<String, State>> {
    let ids = texts(request.items.iter().map(|item| &item.id))?;
    let found = sql.all(&store::ITEMS_KNOWN, bind![&request.source, request.kind.name(), &ids], |row| {
        Ok((row.get(0)?, State::Known { target: row.get(1)?, digest: row.get(2)? }))
    })?;
    Ok(found.into_iter().collect())
}

fn texts<'a>(ids: impl Iterator<Item = &'a String>) -> Result<String> {
    serde_json::to_string(&ids.collect::<Vec<_>>()).map_err(Error::internal)
}

/// Those whose ids others have.
fn taken(
    sql: &mut Sql<'_>,
    request: &PlanRequest,
    known: &HashMap<String, State>,
) -> Result<HashMap<String, State>> {
    let fresh: Vec<&PlanItem> = request.items.iter().filter(|item| !known.contains_key(&item.id)).collect();
    let ids = fresh.iter().map(|item| &item.id);
    let of_id = |id: String| (id, State::Taken { by: "the same id".to_owned() });
    Ok(match request.kind {
        ItemKind::Run => uuids(sql, &store::RUNS_HERE, &texts(ids)?)?.into_iter().map(of_id).collect(),
        ItemKind::LoggedModel => {
            uuids(sql, &store::LOGGED_MODELS_HERE, &texts(ids)?)?.into_iter().map(of_id).collect()
        }
        ItemKind::Experiment => {
            let mut taken = HashMap::new();
            for item in fresh {
                if let Some(by) = experiment_taken(sql, item)? {
                    taken.insert(item.id.clone(), State::Taken { by });
                }
            }
            taken
        }
        ItemKind::Model | ItemKind::Version => {
            let mut taken = HashMap::new();
            for item in fresh {
                if registered(sql, request.kind, &item.id)? {
                    taken.insert(item.id.clone(), State::Taken { by: "the same name".to_owned() });
                }
            }
            taken
        }
    })
}

fn uuids(sql: &mut Sql<'_>, stmt: &'static crate::db::Stmt, ids: &str) -> Result<HashSet<String>> {
    Ok(sql.all(stmt, bind![ids], |row| row.get(0))?.into_iter().collect())
}

/// What has the id or the name of an experiment. The one that every store begins with is everybody's.
fn experiment_taken(sql: &mut Sql<'_>, item: &PlanItem) -> Result<Option<String>> {
    let id: Option<i64> = item.id.parse().ok();
    if id == Some(experiments::DEFAULT) {
        let is_free = experiments::fits_default(sql, item.artifact_location.as_deref())?;
        return Ok(
            (!is_free).then(|| "the default experiment, whose runs have their files elsewhere".to_owned())
        );
    }
    let [by_id, by_name] = experiments::present(sql, id, item.name.as_deref().unwrap_or_default())?;
    Ok(match (by_id, by_name) {
        (Some(other), _) => Some(format!("the experiment {} '{}'", other.mlflow_id, other.name)),
        (None, Some(other)) => Some(format!("the name of the experiment {}", other.mlflow_id)),
        (None, None) => None,
    })
}

fn registered(sql: &mut Sql<'_>, kind: ItemKind, id: &str) -> Result<bool> {
    if kind == ItemKind::Model {
        return Ok(registry::carried::present(sql, id)?.is_some());
    }
    let Some((name, number)) = id.rsplit_once('/') else { return Ok(false) };
    match (registry::carried::present(sql, name)?, number.parse()) {
        (Some(model), Ok(number)) => Ok(versions::get(sql, model.id, number)?.is_some()),
        _ => Ok(false),
    }
}
