//! The versions of a table, the newest first.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    managed,
    pins::{self, Pin},
    store,
};
use crate::{
    bind,
    catalog::{
        Action,
        securable::{Paging, People},
    },
    context::Ctx,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Int64},
};

/// Pins that a page of versions shows.
const PINS_MAX: i64 = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/tables/{full_name}/versions",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "List the versions of a table, the newest first",
        list,
    )]
}

/// Whose versions.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// At most so many; 0 or absent leaves it to the server.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A version as it leaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// The version.
    pub version: u64,
    /// What made it: `create`, `append`, `overwrite`, `quarantine`, `replace` (computed rows), `columns` (it got some), `compact`, or
    /// `foreign` for a commit past this server.
    pub kind: String,
    /// The batch that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
    /// Rows that it added.
    pub rows_added: u64,
    /// Rows that the table has since, if somebody counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Who.
    pub by: String,
    /// Since when its files may be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<i64>,
    /// Who needs it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pins: Vec<Pin>,
}

/// A page of versions.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// The newest first.
    pub versions: Vec<VersionView>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let name = managed::parse(&request.full_name)?;
    let limit = Paging::new(request.max_results, None).limit()?;
    let before = match request.page_token.as_deref().filter(|token| !token.is_empty()) {
        None => i64::MAX,
        Some(token) => token.parse().map_err(|_| {
            Error::invalid(format!("The 'page_token' {token:?} is not one that this server gave. Begin the list again without it."))
        })?,
    };
    ctx.read(move |sql| {
        let table = managed::get(sql, &name, Action::Read)?;
        let id = table.asset.id;
        let mut people = People::default();
        let rows = sql.all(&store::VERSION_PAGE, bind![id, before, limit as i64 + 1], |row| {
            let count = |at| row.get::<i64>(at).map(|count| count as u64);
            let view = VersionView {
                version: count(0)?,
                kind: row.get(1)?,
                batch_id: row.get(2)?,
                rows_added: count(3)?,
                rows: row.get::<Option<i64>>(4)?.map(|rows| rows as u64),
                bytes: count(5)?,
                files: count(6)?,
                at: row.get(7)?,
                by: String::new(),
                lost_at: row.get(9)?,
                pins: Vec::new(),
            };
            Ok((view, row.get::<i64>(8)?))
        })?;
        let has_more = rows.len() > limit;
        let mut versions = Vec::with_capacity(rows.len());
        for (view, by) in rows.into_iter().take(limit) {
            versions.push(VersionView { by: people.name(sql, by)?, ..view });
        }
        let oldest = versions.last().map_or(0, |last| last.version as i64);
        for pin in pins::list(sql, id, oldest, before, PINS_MAX)? {
            if let Some(view) = versions.iter_mut().find(|view| view.version == pin.version) {
                view.pins.push(pin);
            }
        }
        let next_page_token = has_more.then(|| oldest.to_string());
        Ok(ListResponse { versions, next_page_token })
    })
    .await
}
