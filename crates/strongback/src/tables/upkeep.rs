//! Upkeep: removing the files that only old versions need, and joining small ones.
//!
//! A vacuum goes by versions: everything from one version on stays readable, and every pinned version does. It refuses
//! where a pinned version would lose a file, and names who pins it; with `keep_pinned` it goes round those. That versions
//! are lost is recorded before the first file goes, so that nobody pins one meanwhile.

use http::Method;
use lake::{table::Committed, vacuum::Keep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    hold::to_the_end,
    inside::gone,
    land::revert_row,
    managed::{self, Managed, Totals},
    operations::{self, COMPACT, Place, Upkeep, VACUUM, Version},
    pins::{self, PINS_MAX, Pin},
    recover::{adopt, settle},
    store,
};
use crate::{
    auth, bind,
    catalog::{Action, asset, authorize::authorize_end},
    context::Ctx,
    db::Change,
    error::{Code, Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Int64, flag},
    },
};

/// How old a version must be that nothing is said about, in milliseconds: as Delta's own vacuum has it.
const AGE_MS: i64 = 7 * 24 * 3_600_000;

pub(super) fn routes() -> Vec<Route> {
    let edit = Policy::Asset(Action::Edit);
    let long = Limits { time: Limits::STREAM.time, ..Limits::SMALL };
    let (clean, join) = ("/api/1.0/tables/{full_name}/vacuum", "/api/1.0/tables/{full_name}/compact");
    vec![
        Route::json(Method::POST, clean, edit, long, "Remove the files that only old versions need", vacuum),
        Route::json(
            Method::POST,
            join,
            edit,
            long,
            "Join the small files of a table into large ones",
            compact,
        ),
    ]
}

/// What to remove.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct VacuumRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// Keep this version and all after it; absent, those of the last seven days.
    pub keep_from: Option<Int64>,
    /// Goes round pinned versions instead of refusing.
    #[serde(default, deserialize_with = "flag")]
    pub keep_pinned: bool,
    /// Says what would be removed.
    #[serde(default, deserialize_with = "flag")]
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VacuumResponse {
    /// The oldest version that stays readable, but for pinned ones.
    pub keep_from: u64,
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Pins on older versions that need some of those files.
    pub pins: Vec<Pin>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

async fn vacuum(ctx: Ctx, request: VacuumRequest) -> Result<VacuumResponse> {
    let (place, held) = hold(&ctx, &request.full_name).await?;
    let (keep, pins) = plan(&ctx, &request).await?;
    let from = keep.from;
    let planned = ctx.app.lake.plan_vacuum(place.id(), keep.clone()).await?;
    let needing: Vec<Pin> = pins.into_iter().filter(|pin| planned.needed_by.contains(&pin.version)).collect();
    if !planned.needed_by.is_empty() && !request.keep_pinned && !request.dry_run {
        return Err(refusal(&needing));
    }
    let mut response = VacuumResponse {
        keep_from: from,
        files: planned.files,
        bytes: planned.bytes,
        pins: needing,
        dry_run: request.dry_run,
    };
    if request.dry_run || planned.files == 0 {
        return Ok(response);
    }
    let work = async move {
        let _held = held;
        let (operation, upkeep) = begin_vacuum(&ctx, &request, place, keep).await?;
        let removed = ctx.app.lake.vacuum(place.id(), kept(&upkeep)?).await?;
        end_vacuum(&ctx, operation, &upkeep, removed.files, removed.bytes).await?;
        (response.files, response.bytes) = (removed.files, removed.bytes);
        Ok(response)
    };
    to_the_end(work).await
}

/// The table is this caller's alone, with all that was begun on it ended.
async fn hold(ctx: &Ctx, full_name: &str) -> Result<(Place, super::hold::Held)> {
    let name = managed::parse(full_name)?;
    hold_found(ctx, ctx.read(move |sql| managed::get(sql, &name, Action::Edit)).await?).await
}

async fn hold_found(ctx: &Ctx, found: Managed) -> Result<(Place, super::hold::Held)> {
    managed::refuse_frozen(&found)?;
    let place = Place::of(&found);
    let held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    Ok((place, held))
}

/// Refuses a table that was made anew under the name while this waited for the old one.
fn the_same(found: Managed, held: Place) -> Result<Managed> {
    if found.table == held.id() {
        return Ok(found);
    }
    Err(Error::new(Code::ResourceConflict, "The table was made anew at the same moment. Repeat the call."))
}

/// From which version on all stay, and the pins before it.
async fn plan(ctx: &Ctx, request: &VacuumRequest) -> Result<(Keep, Vec<Pin>)> {
    let (name, wanted) = (managed::parse(&request.full_name)?, request.keep_from);
    ctx.read(move |sql| {
        let table = managed::get(sql, &name, Action::Edit)?;
        let newest = table.newest.version;
        let from = match wanted.map(|version| version.0) {
            None => sql
                .first(&store::VERSION_AT, bind![table.asset.id, sql.now() - AGE_MS], |row| row.get::<i64>(0))?
                .map_or(0, |version| version as u64),
            Some(version) => u64::try_from(version).ok().filter(|version| *version <= newest).ok_or_else(|| {
                Error::invalid(format!(
                    "Invalid value {version} for parameter 'keep_from' supplied: it is a version of the table, from 0 to {newest}."
                ))
            })?,
        };
        let id = table.asset.id;
        // What an earlier vacuum took does not come back.
        let lost = sql.one(&store::VERSION_NEWEST_LOST, bind![id], |row| row.get::<Option<i64>>(0))?;
        let from = from.max(lost.map_or(0, |version| version as u64 + 1));
        let keep = Keep { from, pinned: pins::versions_before(sql, id, from)? };
        Ok((keep, pins::list(sql, id, 0, from as i64, PINS_MAX)?))
    })
    .await
}

fn refusal(pins: &[Pin]) -> Error {
    let text = format!(
        "Pinned versions need some of the files, so nothing was removed:{}\nRepeat with keep_pinned=true to go round them, or take \
         the pins away.",
        pins::named(pins)
    );
    Error::new(Code::ResourceConflict, text)
}

async fn begin_vacuum(ctx: &Ctx, request: &VacuumRequest, held: Place, keep: Keep) -> Result<(Uuid, Upkeep)> {
    let name = managed::parse(&request.full_name)?;
    let keep_pinned = request.keep_pinned;
    ctx.write(move |tx| {
        auth::renew(tx)?;
        let table = the_same(managed::get(tx, &name, Action::Edit)?, held)?;
        let id = table.asset.id;
        // Whoever pins a version waits for this row, and then finds the version lost.
        asset::lock(tx, id)?;
        let pinned = pins::versions_before(tx, id, keep.from)?;
        if !keep_pinned && pinned.iter().any(|version| !keep.pinned.contains(version)) {
            return Err(Error::new(
                Code::ResourceConflict,
                "A version was pinned at the same moment. Repeat the call.",
            ));
        }
        let now = tx.now();
        tx.execute(&store::VERSIONS_LOSE, bind![id, keep.from as i64, now])?;
        let upkeep = Upkeep { place: Place::of(&table), keep: Some(Keep { from: keep.from, pinned }) };
        let (operation, event) = operations::begin(tx, VACUUM, &upkeep, Some(id))?;
        Ok(Change::Made((operation, upkeep), event))
    })
    .await
}

fn kept(upkeep: &Upkeep) -> Result<Keep> {
    upkeep.keep.clone().ok_or_else(|| Error::internal("a vacuum does not say what it keeps"))
}

async fn end_vacuum(ctx: &Ctx, id: Uuid, upkeep: &Upkeep, files: u64, bytes: u64) -> Result<()> {
    let (asset_id, from) = (upkeep.place.asset, kept(upkeep)?.from);
    ctx.write(move |tx| {
        authorize_end(tx, id)?;
        if asset::get(tx, asset_id)?.is_none() {
            return gone(tx, id, asset_id, ());
        }
        operations::close(tx, id)?;
        let revision = asset::touch(tx, asset_id)?;
        let event = Event::new(EventKind::TableVacuum)
            .asset(asset_id, revision)
            .operation(id)
            .detail(json!({ "keep_from": from, "files": files, "bytes": bytes }));
        Ok(Change::Made((), event))
    })
    .await
}

/// Ends a vacuum of which nobody knows how far it came: it may be made twice.
pub(super) async fn finish_vacuum(ctx: &Ctx, id: Uuid, upkeep: &Upkeep) -> Result<()> {
    let removed = ctx.app.lake.vacuum(upkeep.place.id(), kept(upkeep)?).await?;
    end_vacuum(ctx, id, upkeep, removed.files, removed.bytes).await
}

/// Which table's files to join.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CompactRequest {
    /// `catalog.schema.table`
    pub full_name: String,
}

/// What was joined.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CompactResponse {
    /// The version since.
    pub version: u64,
    /// Files that were joined.
    pub files_removed: u64,
    /// What they became.
    pub files_added: u64,
}

async fn compact(ctx: Ctx, request: CompactRequest) -> Result<CompactResponse> {
    let (place, held) = hold(&ctx, &request.full_name).await?;
    compact_held(ctx, place, held).await
}

/// Joins the small files of a table that the server itself appends to, once it has appended so many times since that was done last.
/// `None` if it has not.
pub async fn compact_after(ctx: &Ctx, asset_id: i64, appends: i64) -> Result<Option<CompactResponse>> {
    let found = ctx
        .read(move |sql| {
            let table = managed::by_asset(sql, asset_id, Action::Edit)?;
            let since = sql.one(&store::APPENDS_SINCE_COMPACT, bind![asset_id], |row| row.get::<i64>(0))?;
            Ok((since >= appends).then_some(table))
        })
        .await?;
    let Some(found) = found else { return Ok(None) };
    let (place, held) = hold_found(ctx, found).await?;
    compact_held(ctx.clone(), place, held).await.map(Some)
}

async fn compact_held(ctx: Ctx, place: Place, held: super::hold::Held) -> Result<CompactResponse> {
    let work = async move {
        let _held = held;
        let (table, operation) = ctx
            .write(move |tx| {
                let table = managed::by_asset(tx, place.asset, Action::Edit)?;
                let upkeep = Upkeep { place: Place::of(&table), keep: None };
                let (id, event) = operations::begin(tx, COMPACT, &upkeep, Some(table.asset.id))?;
                Ok(Change::Made((table, id), event))
            })
            .await?;
        let upkeep = Upkeep { place: Place::of(&table), keep: None };
        let mark = lake::table::Mark { operation, notes: Vec::new() };
        let done = ctx.app.lake.compact(table.table, mark).await;
        let recorded = match &done {
            Ok(Some(done)) => end_compact(&ctx, operation, &upkeep, done).await,
            Ok(None) => {
                revert_row(&ctx, operation, Some(upkeep.place.asset), "there was nothing to join").await
            }
            Err(_) => finish_compact(&Ctx::system(&ctx.app), operation, &upkeep).await,
        };
        recorded?;
        Ok(joined(&table, done?))
    };
    to_the_end(work).await
}

fn joined(table: &Managed, done: Option<Committed>) -> CompactResponse {
    match done {
        Some(done) => CompactResponse {
            version: done.version,
            files_removed: done.files_removed,
            files_added: done.files_added,
        },
        None => CompactResponse { version: table.newest.version, files_removed: 0, files_added: 0 },
    }
}

/// Ends a compaction of which nobody knows whether it was committed.
pub(super) async fn finish_compact(ctx: &Ctx, id: Uuid, upkeep: &Upkeep) -> Result<()> {
    match ctx.app.lake.find_commit(upkeep.place.id(), id, Some(upkeep.place.version)).await? {
        Some(done) => end_compact(ctx, id, upkeep, &done).await,
        None => {
            revert_row(ctx, id, Some(upkeep.place.asset), "the server stopped before the files were joined")
                .await
        }
    }
}

async fn end_compact(ctx: &Ctx, id: Uuid, upkeep: &Upkeep, done: &Committed) -> Result<()> {
    let totals = Totals::of(&ctx.app.lake.state(upkeep.place.id(), Some(done.version)).await?);
    let (asset_id, done) = (upkeep.place.asset, *done);
    adopt(ctx, asset_id, done.version).await?;
    ctx.write(move |tx| {
        let by = authorize_end(tx, id)?;
        if asset::get(tx, asset_id)?.is_none() {
            return gone(tx, id, asset_id, ());
        }
        operations::close(tx, id)?;
        let version =
            Version { kind: "compact", operation: Some(id), batch: None, report: String::new(), by };
        let revision = operations::record(tx, asset_id, 0, totals, &version)?;
        let event = Event::new(EventKind::TableCompact).asset(asset_id, revision).operation(id).detail(
            json!({ "version": done.version, "removed": done.files_removed, "added": done.files_added }),
        );
        Ok(Change::Made((), event))
    })
    .await
}
