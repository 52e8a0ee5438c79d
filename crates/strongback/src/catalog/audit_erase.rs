//! Erasing what was said in the audit log: details go, the hashed bytes stay as they are.
//!
//! What must stay true: only `event_block.details` is written, and what is left of it still fits the digests, so that the
//! log verifies as before and counts what is gone. Each batch of blocks is one transaction with one event of its own,
//! which says how many details went, in whose terms and why; it names principal and asset by number. What these events
//! say is never erased. A detail that does not fit its digest was changed by somebody and stays, for verification to find.

use std::collections::BTreeSet;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    audit::{Filter, LOOK_BYTES_MAX, ListRequest, Place},
    authorize_admin, principal,
    securable::check_text,
};
use crate::{
    bind,
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{
        Event, EventKind,
        chain::{Block, Entry},
        store,
    },
    router::{
        Limits, Policy, Route,
        wire::{Int64, required},
    },
};

/// Where it is asked for.
pub(crate) const PATH: &str = "/api/1.0/audit-log/erase";
/// Blocks that one call writes at most, in one transaction.
const BLOCKS_MAX: usize = 64;
/// Blocks that one call looks through at most.
const LOOK_MAX: usize = 4_096;
/// Bytes of details after which one call takes no more blocks, so that other writes do not wait for long.
const BYTES_MAX: usize = 4 << 20;
const REASON_CHARS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        PATH,
        Policy::Admin,
        Limits::SMALL,
        "Erase what some events say, newest first, a batch a call",
        erase,
    )]
}

/// Whose details are to go: a principal, an asset or a subject must be named, and all of what is named must fit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EraseRequest {
    /// Of events that this principal caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Of events of the asset with this display name, and of the one by which it went with the catalog or schema above: with
    /// the names of all that went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// Of events of this subject, e.g. a run id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Not before, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Int64>,
    /// Not after, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Int64>,
    /// Why; the audit log keeps it. It need not be given for a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only counts.
    #[serde(default)]
    pub dry_run: bool,
    /// Goes on where an earlier call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// What one call did.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EraseResponse {
    /// Details that went, or would go.
    pub details: u64,
    /// Blocks that they lay beside.
    pub blocks: u64,
    /// Blocks that could not be read, so that nothing was erased from them: `strongback audit-log verify` says what is
    /// wrong.
    pub unreadable_blocks: u64,
    /// There may be more: call again with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn erase(ctx: Ctx, request: EraseRequest) -> Result<EraseResponse> {
    event_erase(&ctx, request).await
}

/// Erases one batch, by REST and by the command line.
pub async fn event_erase(ctx: &Ctx, request: EraseRequest) -> Result<EraseResponse> {
    if [&request.principal, &request.asset, &request.subject].iter().all(|name| name.is_none()) {
        return Err(Error::invalid(
            "Missing value for required parameter 'principal': name a principal, an asset or a subject whose details are \
             to be erased.",
        ));
    }
    let reason = match request.dry_run {
        true => String::new(),
        false => required(&request.reason, "reason")?.to_owned(),
    };
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let list = request.as_list();
    let batch = ctx
        .read(move |sql| {
            authorize_admin(sql, "erase from the audit log")?;
            find(sql, &list)
        })
        .await?;
    let mut done = EraseResponse {
        details: batch.details as u64,
        blocks: batch.blocks.len() as u64,
        unreadable_blocks: batch.unreadable,
        next_page_token: batch.next.map(Place::token),
    };
    if request.dry_run || batch.blocks.is_empty() {
        return Ok(done);
    }
    let list = request.as_list();
    (done.details, done.blocks) = ctx
        .write(move |tx| {
            authorize_admin(tx, "erase from the audit log")?;
            write(tx, &list, &batch.blocks, &reason)
        })
        .await?;
    Ok(done)
}

impl EraseRequest {
    /// The list that shows the same events.
    fn as_list(&self) -> ListRequest {
        ListRequest {
            principal: self.principal.clone(),
            asset: self.asset.clone(),
            subject: self.subject.clone(),
            since: self.since,
            until: self.until,
            page_token: self.page_token.clone(),
            ..ListRequest::default()
        }
    }
}

/// What one call is to do.
struct Batch {
    /// Slot and number.
    blocks: Vec<(i64, i64)>,
    details: usize,
    unreadable: u64,
    /// Where the next call goes on, if there may be more.
    next: Option<Place>,
}

/// Takes what is meant out of a block, in memory. Answers whose details it was, unless the block cannot be read.
fn take(sql: &mut Sql<'_>, filter: &mut Filter<'_>, block: &mut Block) -> Result<Option<Vec<Entry>>> {
    let kept = EventKind::AuditLogErase.name();
    block.erase(|entry: &Entry| Ok(entry.action != kept && filter.fits(sql, entry)?))
}

/// The next blocks that hold something to erase.
fn find(sql: &mut Sql<'_>, list: &ListRequest) -> Result<Batch> {
    let mut filter = Filter::of(sql, list)?;
    let mut place = Place::of(list.page_token.as_deref())?;
    let mut batch = Batch { blocks: Vec::new(), details: 0, unreadable: 0, next: None };
    let (mut looked_through, mut looked_bytes, mut bytes) = (0, 0, 0);
    loop {
        let blocks = filter.blocks_after(sql, place)?;
        if blocks.is_empty() {
            return Ok(batch);
        }
        for mut block in blocks {
            let is_much = batch.blocks.len() == BLOCKS_MAX || bytes >= BYTES_MAX;
            if is_much || looked_through >= LOOK_MAX || looked_bytes >= LOOK_BYTES_MAX {
                batch.next = Some(place);
                return Ok(batch);
            }
            let (size, details) = (block.bytes(), block.details.len());
            match take(sql, &mut filter, &mut block)? {
                None => batch.unreadable += 1,
                Some(erased) if erased.is_empty() => {}
                Some(erased) => {
                    bytes += details;
                    batch.blocks.push((block.slot, block.n));
                    batch.details += erased.len();
                }
            }
            place = Place::after(&block);
            looked_through += 1;
            looked_bytes += size;
        }
    }
}

/// Erases in these blocks. Answers how many details in how many of them: another call may have been faster.
fn write(
    tx: &mut Sql<'_>,
    list: &ListRequest,
    blocks: &[(i64, i64)],
    reason: &str,
) -> Result<Change<(u64, u64)>> {
    let mut filter = Filter::of(tx, list)?;
    let (mut erased, mut assets) = ((0, 0), BTreeSet::new());
    for (slot, n) in blocks {
        let Some(mut block) = tx.first(&store::BLOCK_LOCK, bind![*slot, *n], store::block)? else { continue };
        let entries = take(tx, &mut filter, &mut block)?.unwrap_or_default();
        if !entries.is_empty() {
            block.update_details(tx)?;
            erased = (erased.0 + entries.len() as u64, erased.1 + 1);
            assets.extend(entries.iter().filter_map(|entry| entry.asset));
        }
    }
    if erased == (0, 0) {
        return Ok(Change::Nothing(erased));
    }
    // A principal is named by number, and so is an asset of which the caller said the name.
    let assets = list.asset.as_ref().map(|_| assets);
    let by = list.principal.as_deref().map(|name| principal::require(tx, name)).transpose()?;
    let detail = json!({
        "details": erased.0, "blocks": erased.1, "reason": reason, "principal": by, "assets": assets,
        "subject": list.subject, "since": list.since.map(|at| at.0), "until": list.until.map(|at| at.0),
    });
    Ok(Change::Made(erased, Event::new(EventKind::AuditLogErase).detail(detail)))
}
