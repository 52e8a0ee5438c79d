//! The metastore as clients ask for it, and what the SDK wants to know about a host before its first call.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Action, authorize::is_allowed, bootstrap, principal};
use crate::{
    context::Ctx,
    error::Result,
    router::{Limits, Policy, Route, openapi::Nothing, wire::Empty},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::json(
            Method::GET,
            "/api/2.1/unity-catalog/metastore_summary",
            Policy::Visible,
            Limits::SMALL,
            "The metastore",
            summary,
        ),
        Route::json(
            Method::GET,
            "/api/2.1/unity-catalog/current-metastore-assignment",
            Policy::Visible,
            Limits::SMALL,
            "The metastore that this server has",
            assignment,
        ),
        // Asked by databricks-sdk for nearly every client that it makes. Saying nothing keeps it with what it was
        // configured with; a missing endpoint would do the same, with a warning each time.
        Route::json(
            Method::GET,
            "/.well-known/databricks-config",
            Policy::Public,
            Limits::SMALL,
            "What databricks-sdk asks about a host: nothing to add",
            |_: Ctx, _: Nothing| async { Ok(Empty {}) },
        ),
    ]
}

/// The metastore.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// UUID.
    pub metastore_id: String,
    /// The same, as Unity Catalog's clients ask for it.
    pub global_metastore_id: String,
    /// Its name.
    pub name: String,
    /// Name of its owner, for those who may read the metastore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

async fn summary(ctx: Ctx, _: Nothing) -> Result<Summary> {
    ctx.read(|sql| {
        let root = bootstrap::metastore(sql)?;
        let owner = match is_allowed(sql, Action::Read, root.id)? {
            true => Some(principal::name_of(sql, root.owner_id)?),
            false => None,
        };
        Ok(Summary {
            global_metastore_id: root.uuid.clone(),
            metastore_id: root.uuid,
            name: root.leaf,
            owner,
            created_at: root.created_at,
        })
    })
    .await
}

/// Which metastore this server has.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Assignment {
    /// UUID.
    pub metastore_id: String,
    /// Where names without a catalog live.
    pub default_catalog_name: &'static str,
}

async fn assignment(ctx: Ctx, _: Nothing) -> Result<Assignment> {
    ctx.read(|sql| {
        let root = bootstrap::metastore(sql)?;
        is_allowed(sql, Action::Read, root.id)?;
        Ok(Assignment { metastore_id: root.uuid, default_catalog_name: bootstrap::DEFAULT_CATALOG })
    })
    .await
}
