//! What came from a source, page by page: an import names what is not there any more.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ID_CHARS, ItemKind, checked_source, store};
use crate::{
    bind,
    catalog::authorize_admin,
    context::Ctx,
    error::Result,
    router::{Limits, Policy, Route},
    tracking::limits,
};

/// Items of a page.
const PAGE: i64 = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/exchange/known",
        Policy::Admin,
        Limits::JSON,
        "Which items came from another store so far",
        known,
    )]
}

/// Which items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KnownRequest {
    /// The label of the store that they came from.
    pub source: String,
    /// What they are.
    pub kind: ItemKind,
    /// The last id, there, of the page before; empty or absent for the first page.
    #[serde(default)]
    pub after: String,
}

/// A page of items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KnownResponse {
    /// In the order of their ids there, at most 10,000; none after the last one.
    pub items: Vec<KnownItem>,
}

/// An item that came.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KnownItem {
    /// Its id there.
    pub id: String,
    /// The id that it got here, whether it still is here or not.
    pub target: String,
}

async fn known(ctx: Ctx, request: KnownRequest) -> Result<KnownResponse> {
    checked_source(&request.source)?;
    limits::text("after", &request.after, ID_CHARS)?;
    ctx.read(move |sql| {
        authorize_admin(sql, "take what another store holds")?;
        let KnownRequest { source, kind, after } = &request;
        let items = sql.all(&store::ITEMS_AFTER, bind![source, kind.name(), after, PAGE], |row| {
            Ok(KnownItem { id: row.get(0)?, target: row.get(1)? })
        })?;
        Ok(KnownResponse { items })
    })
    .await
}
