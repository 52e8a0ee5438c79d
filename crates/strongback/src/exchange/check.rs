//! Checking: what is here, as digests, to be compared with what was read elsewhere.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ID_CHARS, ItemKind, digest};
use crate::{
    catalog::authorize_admin,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    registry::carried as models,
    router::{Limits, Policy, Route},
    tracking::{experiment, limits, model::carried as logged_models, run::carried as runs},
};

/// Items of one request.
const ITEMS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/exchange/check",
        Policy::Admin,
        Limits::JSON,
        "Digests of what is kept",
        check,
    )]
}

/// Which items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckRequest {
    /// What they are.
    pub kind: ItemKind,
    /// Their ids here; at most 1,000.
    pub ids: Vec<String>,
}

/// Their digests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckResponse {
    /// Of those that are here, in the order of the ids.
    pub items: Vec<Checked>,
}

/// An item that is here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// Its id here.
    pub id: String,
    /// The digest of its content.
    pub digest: String,
    /// Points of a run; 0 for other kinds.
    pub points: usize,
    /// Files that a version is pinned to; 0 for other kinds.
    #[serde(default)]
    pub files: u64,
}

async fn check(ctx: Ctx, request: CheckRequest) -> Result<CheckResponse> {
    if request.ids.len() > ITEMS_MAX {
        return Err(Error::invalid(format!(
            "'ids' can contain at most {ITEMS_MAX} ids; it has {}.",
            request.ids.len()
        )));
    }
    for id in &request.ids {
        limits::text("ids", id, ID_CHARS)?;
    }
    ctx.read(move |sql| {
        authorize_admin(sql, "read everything that is kept")?;
        let items = match request.kind {
            ItemKind::Run => {
                let mut items = Vec::with_capacity(request.ids.len());
                for id in &request.ids {
                    // One at a time: a run may hold millions of points.
                    for run in runs::give(sql, std::slice::from_ref(id))? {
                        items.push(Checked { points: run.points(), ..checked(id, &run)? });
                    }
                }
                items
            }
            ItemKind::LoggedModel => {
                let given = logged_models::give(sql, &request.ids)?;
                given.iter().map(|model| checked(&model.model_id, model)).collect::<Result<_>>()?
            }
            kind => {
                let mut items = Vec::new();
                for id in &request.ids {
                    items.extend(other(sql, kind, id)?);
                }
                items
            }
        };
        Ok(CheckResponse { items })
    })
    .await
}

fn checked<T: Serialize>(id: &str, item: &T) -> Result<Checked> {
    Ok(Checked { id: id.to_owned(), digest: digest(item)?, points: 0, files: 0 })
}

fn other(sql: &mut Sql<'_>, kind: ItemKind, id: &str) -> Result<Option<Checked>> {
    match kind {
        ItemKind::Experiment => {
            let found = experiment::find(sql, limits::experiment_id(id)?)?;
            found.map(|found| checked(id, &experiment::carried::give(&found))).transpose()
        }
        ItemKind::Model => {
            let found = models::present(sql, id)?;
            found.map(|found| checked(id, &models::whole_model(&found))).transpose()
        }
        _ => match models::give_version(sql, id)? {
            Some((version, files)) => Ok(Some(Checked { files, ..checked(id, &version)? })),
            None => Ok(None),
        },
    }
}
