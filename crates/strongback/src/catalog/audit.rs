//! Reading the audit log: newest first, filtered, with names in place of numbers.

use std::collections::{HashMap, HashSet};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{asset, authorize_admin, principal};
use crate::{
    bind,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    events::{
        EventKind,
        chain::{Block, Detail, Entry},
        checkpoint::{self, Awaited, Look},
        store,
    },
    router::{Limits, Policy, Route, openapi::Nothing, wire::Int64},
};

/// Entries a page when nothing is asked for.
const PAGE: i64 = 100;
/// Entries a page at most.
const PAGE_MAX: i64 = 10_000;
/// Bytes of details after which a page ends before its number of events is reached.
const PAGE_BYTES: usize = 8 << 20;
/// Blocks that one page looks through at most. A rare event may be further away: then the page is short, or empty, and
/// its token goes on.
const BLOCKS_MAX: usize = 20_000;
/// Bytes of unpacked blocks after which a look ends as well.
pub(super) const LOOK_BYTES_MAX: usize = 256 << 20;

/// The kind of line that stands for a block that cannot be read.
const UNREADABLE: &str = "audit_log.unreadable";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::json(
            Method::GET,
            "/api/1.0/audit-log",
            Policy::Admin,
            Limits::SMALL,
            "List events, newest first",
            list,
        ),
        Route::json(
            Method::GET,
            "/api/1.0/audit-log/checkpoint",
            Policy::Admin,
            Limits::SMALL,
            "The newest signed checkpoint, to be kept elsewhere; it covers all that was acknowledged before, if one is signed \
             within some seconds",
            newest_checkpoint,
        ),
    ]
}

/// What to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Only events of this principal.
    pub principal: Option<String>,
    /// Only this kind of event, e.g. `alias.move`, or all of a noun, e.g. `alias`.
    pub action: Option<String>,
    /// Only events of the asset with this display name, and the one by which it went with the catalog or schema above.
    pub asset: Option<String>,
    /// Only events of this subject, e.g. a run id.
    pub subject: Option<String>,
    /// Not before, milliseconds since the epoch.
    pub since: Option<Int64>,
    /// Not after, milliseconds since the epoch.
    pub until: Option<Int64>,
    /// At most so many; 100 by default.
    pub max_results: Option<Int64>,
    /// Goes on where an earlier page ended.
    pub page_token: Option<String>,
}

/// A page of events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// Newest first.
    pub events: Vec<Listed>,
    /// There may be more; a page can be shorter than asked for, even empty, and have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// An event as a person reads it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Name of the principal.
    pub principal: String,
    /// What happened.
    pub action: String,
    /// Name of the asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// Id of a run or a logged model, number of a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The asset's revision since then: orders the events of one asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The subject's revision since then: orders the events of one run or logged model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_revision: Option<i64>,
    /// The request.
    pub request_id: String,
    /// The operation that this is intent or outcome of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What was said, unless it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
    /// Slot and number of the block that holds it.
    pub block: String,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    ctx.read(move |sql| {
        authorize_admin(sql, "read the audit log")?;
        event_list(sql, &request)
    })
    .await
}

async fn newest_checkpoint(ctx: Ctx, _: Nothing) -> Result<serde_json::Value> {
    let allowed = |sql: &mut Sql<'_>| authorize_admin(sql, "export a checkpoint");
    let heads = ctx.read(move |sql| allowed(sql).and_then(|()| checkpoint::heads(sql))).await?;
    let awaited = Awaited::new(heads);
    loop {
        let newest = ctx.read(move |sql| allowed(sql).and_then(|()| checkpoint::newest(sql))).await?;
        match awaited.look(newest)? {
            Look::Ends(newest, _) => return serde_json::to_value(newest).map_err(Error::internal),
            Look::Wait => tokio::time::sleep(checkpoint::LOOK_EVERY).await,
        }
    }
}

/// Lists events, newest first.
pub fn event_list(sql: &mut Sql<'_>, request: &ListRequest) -> Result<ListResponse> {
    let most = request.max_results.map_or(PAGE, |n| n.0);
    if !(1..=PAGE_MAX).contains(&most) {
        return Err(Error::invalid(format!(
            "Invalid value {most} for parameter 'max_results' supplied: it is 1 to {PAGE_MAX}."
        )));
    }
    let mut filter = Filter::of(sql, request)?;
    let mut place = Place::of(request.page_token.as_deref())?;
    let (mut events, mut looked_through, mut looked_bytes, mut bytes) = (Vec::new(), 0, 0, 0);
    loop {
        let blocks = filter.blocks_after(sql, place)?;
        if blocks.is_empty() {
            return Ok(ListResponse { events, next_page_token: None });
        }
        for block in blocks {
            let entries = match read(&block) {
                Ok(entries) => entries,
                Err(error) => {
                    if events.len() as i64 == most {
                        return Ok(ListResponse { events, next_page_token: Some(place.token()) });
                    }
                    tracing::error!(
                        ?error,
                        slot = block.slot,
                        n = block.n,
                        "a block of the audit log cannot be read"
                    );
                    events.push(Listed::unreadable(&block));
                    Vec::new()
                }
            };
            let begin = place.entries_seen_of(&block);
            for (at, (entry, detail)) in entries.into_iter().rev().enumerate().skip(begin) {
                if events.len() as i64 == most || bytes >= PAGE_BYTES {
                    let token = Place::within(&block, at).token();
                    return Ok(ListResponse { events, next_page_token: Some(token) });
                }
                if !filter.fits(sql, &entry)? {
                    continue;
                }
                let asset = entry.asset.map(|id| filter.names.asset(sql, id)).transpose()?;
                let principal = filter.names.principal(sql, entry.principal)?;
                bytes += detail.as_ref().map_or(0, |detail| detail.json.len());
                events.push(Listed::new(entry, detail, principal, asset, &block));
            }
            place = Place::after(&block);
            looked_through += 1;
            looked_bytes += block.bytes();
        }
        if looked_through >= BLOCKS_MAX || looked_bytes >= LOOK_BYTES_MAX {
            return Ok(ListResponse { events, next_page_token: Some(place.token()) });
        }
    }
}

/// The entries of a block, each with its detail unless that is gone or cannot be read.
fn read(block: &Block) -> Result<Vec<(Entry, Option<Detail>)>> {
    let entries = block.read_all_entries()?;
    let details = block.read_details().unwrap_or_default().into_iter().chain(std::iter::repeat(None));
    Ok(entries.into_iter().zip(details).collect())
}

/// Whether an entry is the deletion of one of these catalogs and schemas, and so of what went with them.
fn took_along(entry: &Entry, above: &HashSet<i64>) -> bool {
    let kinds = [EventKind::CatalogDelete, EventKind::SchemaDelete];
    entry.asset.is_some_and(|id| above.contains(&id)) && kinds.iter().any(|kind| kind.name() == entry.action)
}

/// Which events are meant: all of what is named must fit.
pub(super) struct Filter<'a> {
    request: &'a ListRequest,
    by: Option<i64>,
    since: i64,
    until: i64,
    names: Names,
    /// Catalogs and schemas whose deletion counts as an event of the asset, which went with them.
    above: HashSet<i64>,
}

impl<'a> Filter<'a> {
    /// Refuses a principal that nobody is.
    pub(super) fn of(sql: &mut Sql<'_>, request: &'a ListRequest) -> Result<Self> {
        let above = request.asset.as_deref().map(|name| asset::deleted_above(sql, name)).transpose()?;
        Ok(Self {
            request,
            by: request.principal.as_deref().map(|name| principal::require(sql, name)).transpose()?,
            since: request.since.map_or(i64::MIN, |at| at.0),
            until: request.until.map_or(i64::MAX, |at| at.0),
            names: Names::default(),
            above: above.unwrap_or_default(),
        })
    }

    /// Some blocks that may hold what is meant, newest first.
    pub(super) fn blocks_after(&self, sql: &mut Sql<'_>, place: Place) -> Result<Vec<Block>> {
        let Place { last_at, slot, n, .. } = place;
        let values = bind![last_at, slot, n, self.since, self.until, store::BLOCKS];
        store::blocks(sql, &store::BLOCKS_NEWEST, values)
    }

    /// Whether this entry is meant.
    pub(super) fn fits(&mut self, sql: &mut Sql<'_>, entry: &Entry) -> Result<bool> {
        let request = self.request;
        let is_action =
            |wanted: &str| entry.action == wanted || entry.action.split('.').next() == Some(wanted);
        let fits = (self.since..=self.until).contains(&entry.at)
            && self.by.is_none_or(|by| by == entry.principal)
            && request.action.as_deref().is_none_or(is_action)
            && request.subject.as_deref().is_none_or(|wanted| entry.subject.as_deref() == Some(wanted));
        match (&request.asset, entry.asset) {
            (Some(wanted), Some(id)) if fits => {
                Ok(self.names.asset(sql, id)? == *wanted || took_along(entry, &self.above))
            }
            (Some(_), _) => Ok(false),
            (None, _) => Ok(fits),
        }
    }
}

impl Listed {
    /// Stands for all of a block: whatever is asked for, an auditor has to see that it is there.
    fn unreadable(block: &Block) -> Self {
        Self {
            at: block.last_at,
            principal: String::new(),
            action: UNREADABLE.to_owned(),
            asset: None,
            subject: None,
            revision: None,
            subject_revision: None,
            request_id: String::new(),
            operation: None,
            detail: Some(
                json!({ "entries": block.entries, "remedy": "strongback audit-log verify says what is wrong" }),
            ),
            block: format!("{}:{}", block.slot, block.n),
        }
    }

    fn new(
        entry: Entry,
        detail: Option<Detail>,
        principal: String,
        asset: Option<String>,
        block: &Block,
    ) -> Self {
        Self {
            at: entry.at,
            principal,
            action: entry.action,
            asset,
            subject: entry.subject,
            revision: entry.revision,
            subject_revision: entry.subject_revision,
            request_id: entry.request.to_string(),
            operation: entry.operation.map(|id| id.to_string()),
            detail: detail.and_then(|detail| serde_json::from_str(&detail.json).ok()),
            block: format!("{}:{}", block.slot, block.n),
        }
    }
}

/// Where a page begins: before a block in the order of the list, and how many entries of the block just before it,
/// counted from its end, were listed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    last_at: i64,
    slot: i64,
    n: i64,
    seen: usize,
}

impl Place {
    const FIRST: Self = Self { last_at: i64::MAX, slot: i64::MAX, n: i64::MAX, seen: 0 };

    /// After the whole of a block.
    pub(super) fn after(block: &Block) -> Self {
        Self { last_at: block.last_at, slot: block.slot, n: block.n, seen: 0 }
    }

    /// In the middle of a block, which is read once more.
    fn within(block: &Block, seen: usize) -> Self {
        Self { n: block.n + 1, seen, ..Self::after(block) }
    }

    fn entries_seen_of(&self, block: &Block) -> usize {
        if Self::within(block, self.seen) == *self { self.seen } else { 0 }
    }

    pub(super) fn token(self) -> String {
        format!("{}.{}.{}.{}", self.last_at, self.slot, self.n, self.seen)
    }

    pub(super) fn of(token: Option<&str>) -> Result<Self> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Self::FIRST) };
        let parts: Vec<i64> = token.split('.').map_while(|part| part.parse().ok()).collect();
        match parts[..] {
            [last_at, slot, n, seen] => Ok(Self { last_at, slot, n, seen: seen.max(0) as usize }),
            _ => Err(Error::invalid(
                "Invalid value for parameter 'page_token' supplied: it is not one that this list gave. Begin without it.",
            )),
        }
    }
}

/// Names that were looked up already.
#[derive(Default)]
struct Names {
    assets: HashMap<i64, String>,
    principals: HashMap<i64, String>,
}

impl Names {
    fn asset(&mut self, sql: &mut Sql<'_>, id: i64) -> Result<String> {
        if let Some(name) = self.assets.get(&id) {
            return Ok(name.clone());
        }
        let name = asset::display_name(sql, id)?;
        self.assets.insert(id, name.clone());
        Ok(name)
    }

    fn principal(&mut self, sql: &mut Sql<'_>, id: i64) -> Result<String> {
        if let Some(name) = self.principals.get(&id) {
            return Ok(name.clone());
        }
        let name = principal::name_of(sql, id)?;
        self.principals.insert(id, name.clone());
        Ok(name)
    }
}
