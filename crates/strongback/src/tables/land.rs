//! How a file lands: intent, commit, outcome, each of which a crash may follow.
//!
//! 1. The file waits in the spool.
//! 2. In one transaction the caller is authorised and the intent stored.
//! 3. The engine writes the rows and commits them to the Delta table, under the operation's id.
//! 4. In one transaction the version, the batch and, where it is new, the table's asset become visible, and the operation
//!    ends.
//!
//! Between 3 and 4 the commit is there and no version: whoever writes to the table next, or the next start, finishes the
//! operation from the spool ([`settle`]). Before 3 there is nothing but files that no version names: it is reverted.

use lake::{
    commit::Mode,
    decode::{Format, Report, Source},
    import::Imported,
    schema::Declared,
    table::Committed,
};
use serde_json::{Map, Value as Json, json};
use syntax::names::{FullName, fold_case};
use uuid::Uuid;

use super::{
    column,
    hold::to_the_end,
    managed::{self, Found, Totals},
    operations::{self, CREATE, IMPORT, Landing, NewTable, Place, Target, Version, report_text},
    recover::{adopt, settle},
    store,
};
use crate::{
    auth, bind,
    catalog::{
        Action,
        asset::{self, Kind, NewAsset},
        authorize::{authorize, authorize_admin, authorize_end},
        names,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    objects::{Claim, Written},
};

/// How often it is begun anew because the table came to be, or went, meanwhile.
const ATTEMPTS: usize = 3;

/// What somebody wants to land.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub name: FullName,
    pub batch_id: String,
    pub create: bool,
    pub comment: String,
    pub mode: Mode,
    pub source: Source,
    pub quarantine: Option<FullName>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    /// As it is written.
    pub name: FullName,
    pub version: u64,
    /// What the file held, as JSON text.
    pub report: String,
    /// Whether the batch had landed before, so that nothing was done now.
    pub is_repeat: bool,
}

/// Says what a file holds for a table, and writes nothing.
pub(super) async fn inspect(ctx: &Ctx, wanted: &Wanted, claim: &Claim) -> Result<Report> {
    let key = key_of(ctx, wanted).await?;
    let source = Source { path: ctx.app.spool.open()?.path(claim.id()), ..wanted.source.clone() };
    Ok(ctx.app.lake.inspect(key.place.map(Place::id), source).await?)
}

/// Lets a file land that waits in the spool, and removes it from there, unless its operation is open still and will be
/// finished from it.
pub(super) async fn land(ctx: Ctx, wanted: Wanted, claim: Claim, written: Written) -> Result<Landed> {
    let (object, mut is_open) = (claim.id(), false);
    let outcome = land_claimed(&ctx, wanted, &claim, &written, &mut is_open).await;
    if !is_open {
        ctx.app.spool.open()?.remove(vec![object]).await;
    }
    drop(claim);
    outcome
}

async fn land_claimed(
    ctx: &Ctx,
    mut wanted: Wanted,
    claim: &Claim,
    written: &Written,
    is_open: &mut bool,
) -> Result<Landed> {
    prepare_quarantine(ctx, &mut wanted, claim).await?;
    for _ in 0..ATTEMPTS {
        let key = key_of(ctx, &wanted).await?;
        let _held = ctx.app.holds.take_all(key.texts()).await;
        for place in key.place.into_iter().chain(key.quarantine) {
            settle(ctx, place).await?;
        }
        match begin(ctx, &wanted, claim, written, &key).await? {
            Begun::Otherwise => {}
            Begun::Repeat(landed) => return Ok(landed),
            Begun::Open(operation, landing) => {
                *is_open = true;
                return carry_out(ctx, operation, &landing, is_open).await;
            }
        }
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "The table '{}' is made and deleted all the time. Repeat the call later.",
            managed::show(&wanted.name)
        ),
    ))
}

/// Makes the table for bad rows if there are any and it is not there. If there are none, none is needed.
async fn prepare_quarantine(ctx: &Ctx, wanted: &mut Wanted, claim: &Claim) -> Result<()> {
    let Some(name) = wanted.quarantine.clone() else { return Ok(()) };
    let looked_up = name.clone();
    let is_there =
        ctx.read(move |sql| Ok(matches!(target(sql, &looked_up, true)?, Target::Existing(_)))).await?;
    if is_there {
        return Ok(());
    }
    if inspect(ctx, wanted, claim).await?.bad_rows == 0 {
        wanted.quarantine = None;
        return Ok(());
    }
    let new = NewEmpty {
        comment: format!("Rows that did not fit the table {}", managed::show(&wanted.name)),
        name,
        columns: lake::import::quarantine_columns(),
        properties: None,
        owner: None,
    };
    match create_empty(ctx, new).await {
        // Another import made it at the same moment.
        Err(error) if error.code() == Code::AlreadyExists => Ok(()),
        made => made.map(|_| ()),
    }
}

/// By what a table is held, and where it is if it exists.
struct Key {
    text: String,
    place: Option<Place>,
    /// The table for bad rows.
    quarantine: Option<Place>,
}

impl Key {
    fn texts(&self) -> Vec<String> {
        let quarantine = self.quarantine.map(|place| place.id().to_string());
        [self.text.clone()].into_iter().chain(quarantine).collect()
    }
}

async fn key_of(ctx: &Ctx, wanted: &Wanted) -> Result<Key> {
    let wanted = wanted.clone();
    ctx.read(move |sql| {
        let quarantine = match &wanted.quarantine {
            Some(name) => match target(sql, name, true)? {
                Target::Existing(place) => Some(place),
                Target::New(_) => None,
            },
            None => None,
        };
        let target = target(sql, &wanted.name, wanted.create)?;
        let place = match target {
            Target::Existing(place) => Some(place),
            Target::New(_) => None,
        };
        Ok(Key { text: target.key(), place, quarantine })
    })
    .await
}

/// Where rows for this name go, for a caller who may put them there.
fn target(sql: &mut Sql<'_>, name: &FullName, create: bool) -> Result<Target> {
    match managed::find(sql, name)? {
        Found::Managed(found) => {
            authorize(sql, Action::Edit, found.asset.id)?;
            managed::refuse_kept(sql, &found)?;
            Ok(Target::Existing(Place::of(&found)))
        }
        Found::Declared(found) => {
            authorize(sql, Action::Edit, found.id)?;
            Err(managed::elsewhere(name))
        }
        Found::Nothing { schema } => {
            authorize(sql, Action::Create, schema.id)?;
            if !create {
                return Err(managed::missing(name));
            }
            Ok(Target::New(NewTable { schema: schema.id, leaf: name.leaf.clone(), table: Uuid::now_v7() }))
        }
    }
}

/// Checks early, before many bytes come, that the caller may do this.
pub(super) async fn check(ctx: &Ctx, wanted: &Wanted) -> Result<()> {
    key_of(ctx, wanted).await.map(|_| ())
}

enum Begun {
    Open(Uuid, Box<Landing>),
    Repeat(Landed),
    /// The table came to be, or went, since it was looked up.
    Otherwise,
}

async fn begin(ctx: &Ctx, wanted: &Wanted, claim: &Claim, written: &Written, held: &Key) -> Result<Begun> {
    let (wanted, object) = (wanted.clone(), claim.id().to_string());
    let digest = hex::encode(written.sha256);
    let held = (held.place.map(|place| place.table), held.quarantine.map(|place| place.table));
    ctx.write(move |tx| {
        auth::renew(tx)?;
        let target = target(tx, &wanted.name, wanted.create)?;
        let found = match &target {
            Target::New(_) => None,
            Target::Existing(place) => Some(place.table),
        };
        if found != held.0 {
            return Ok(Change::Nothing(Begun::Otherwise));
        }
        if let Target::Existing(place) = &target
            && let Some(landed) = repeat(tx, *place, &wanted, &digest)?
        {
            return Ok(Change::Nothing(Begun::Repeat(landed)));
        }
        let quarantine =
            wanted.quarantine.as_ref().map(|name| managed::get(tx, name, Action::Edit)).transpose()?;
        if quarantine.as_ref().map(|table| table.table.0) != held.1 {
            return Ok(Change::Nothing(Begun::Otherwise));
        }
        let landing = Landing {
            target,
            batch_id: wanted.batch_id.clone(),
            digest: digest.clone(),
            object: object.clone(),
            source: Source { path: std::path::PathBuf::new(), ..wanted.source.clone() },
            mode: wanted.mode,
            quarantine: quarantine.as_ref().map(Place::of),
            comment: wanted.comment.clone(),
            at: tx.now(),
        };
        let (id, event) = operations::begin(tx, IMPORT, &landing, landing.target.asset())?;
        Ok(Change::Made(Begun::Open(id, Box::new(landing)), event))
    })
    .await
}

/// The answer to a batch that landed before; refused if it was another file.
fn repeat(sql: &mut Sql<'_>, place: Place, wanted: &Wanted, digest: &str) -> Result<Option<Landed>> {
    let found = sql.first(&store::VERSION_OF_BATCH, bind![place.asset, &wanted.batch_id], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    let Some((version, landed_digest, report)) = found else { return Ok(None) };
    if landed_digest != digest {
        return Err(Error::new(
            Code::AlreadyExists,
            format!(
                "The batch '{}' of the table '{}' landed already as version {version}, and was another file. Give this one \
                 another batch id.",
                wanted.batch_id,
                managed::show(&wanted.name)
            ),
        ));
    }
    Ok(Some(Landed { name: wanted.name.clone(), version: version as u64, report, is_repeat: true }))
}

/// Writes and commits the rows, and records that.
async fn carry_out(ctx: &Ctx, operation: Uuid, landing: &Landing, is_open: &mut bool) -> Result<Landed> {
    let imported = match import(ctx, operation, landing).await {
        Ok(imported) if imported.committed.is_some() => imported,
        Ok(imported) => {
            let refusal = refusal(&imported.report);
            let why = format!("{} rows do not fit", imported.report.bad_rows);
            revert(ctx, operation, landing, &why).await?;
            *is_open = false;
            return Err(refusal);
        }
        Err(error) => {
            let unknown = || Error::outcome_unknown("The rows may have been committed.");
            // Whether they were, only the table knows.
            let after = Some(landing.target.after());
            match ctx.app.lake.find_commit(landing.target.id(), operation, after).await {
                Ok(None) => {
                    revert(ctx, operation, landing, error.message()).await?;
                    *is_open = false;
                    return Err(error);
                }
                // What failed came after the commit.
                Ok(Some(_)) => {
                    import(ctx, operation, landing).await.map_err(|again| unknown().because(again))?
                }
                Err(_) => return Err(unknown().because(error)),
            }
        }
    };
    let outcome = record_or_revert(ctx, operation, landing, imported).await;
    *is_open = matches!(&outcome, Err(error) if error.is_ours());
    outcome
}

/// Records what was committed. What can never be recorded, because the table or its schema is gone or the name was taken, is
/// taken back.
async fn record_or_revert(
    ctx: &Ctx,
    operation: Uuid,
    landing: &Landing,
    imported: Imported,
) -> Result<Landed> {
    let outcome = record(ctx, operation, landing, imported).await;
    if let Err(error) = &outcome
        && !error.is_ours()
    {
        revert(ctx, operation, landing, error.message()).await?;
    }
    outcome
}

async fn import(ctx: &Ctx, operation: Uuid, landing: &Landing) -> Result<Imported> {
    let path = ctx.app.spool.open()?.path(landing.object()?);
    let source = Source { path, ..landing.source.clone() };
    Ok(ctx.app.lake.import(landing.import(operation, source)).await?)
}

/// The error for a file with rows that do not fit, and no place for them.
pub(super) fn refusal(report: &Report) -> Error {
    use std::fmt::Write as _;
    let mut text = format!(
        "{} of {} rows do not fit, so nothing was imported.",
        report.bad_rows,
        report.rows + report.bad_rows
    );
    for bad in &report.first_bad_rows {
        let column = if bad.column.is_empty() { String::new() } else { format!(", column {}", bad.column) };
        let value = if bad.value.is_empty() { String::new() } else { format!(" '{}'", bad.value) };
        let _ = write!(text, "\n  line {}{column}:{value} {}", bad.line, bad.reason);
    }
    if report.bad_rows > report.first_bad_rows.len() as u64 {
        let _ = write!(text, "\n  and {} more", report.bad_rows - report.first_bad_rows.len() as u64);
    }
    text.push_str("\nMend the file, or have such rows put aside by naming a quarantine table.");
    Error::invalid(text)
}

/// Makes what was committed visible, and ends the operation.
async fn record(ctx: &Ctx, operation: Uuid, landing: &Landing, imported: Imported) -> Result<Landed> {
    let done = imported.committed.unwrap_or_default();
    let columns = match &landing.target {
        // Without a report the table says what it has.
        Target::New(new) if imported.report.columns.is_empty() => {
            let state = ctx.app.lake.state(lake::TableId(new.table), Some(done.version)).await?;
            column::shown(&state.columns)?
        }
        Target::New(_) => column::shown(imported.report.columns.iter().map(|column| &column.column))?,
        Target::Existing(place) => {
            adopt(ctx, place.asset, done.version).await?;
            String::new()
        }
    };
    if let (Some(place), Some(done)) = (landing.quarantine, imported.quarantined) {
        adopt(ctx, place.asset, done.version).await?;
    }
    let report = report_text(&imported.report)?;
    let landing = landing.clone();
    ctx.write(move |tx| outcome(tx, operation, &landing, &imported, &columns, &report)).await
}

fn outcome(
    tx: &mut Sql<'_>,
    operation: Uuid,
    landing: &Landing,
    imported: &Imported,
    columns: &str,
    report: &str,
) -> Result<Change<Landed>> {
    let by = authorize_end(tx, operation)?;
    let (kind, asset, before) = match &landing.target {
        Target::New(new) => {
            let asset = make_asset(tx, new, &landing.comment, None, by, columns)?;
            (EventKind::TableCreate, asset, Totals::NOTHING)
        }
        Target::Existing(place) => {
            require(tx, place.asset)?;
            let kind = match landing.mode {
                Mode::Append => EventKind::TableAppend,
                Mode::Overwrite => EventKind::TableOverwrite,
            };
            (kind, place.asset, newest(tx, place.asset)?)
        }
    };
    operations::close(tx, operation)?;
    let done = imported.committed.unwrap_or_default();
    let version = Version {
        kind: if landing.mode == Mode::Overwrite { "overwrite" } else { "append" },
        operation: Some(operation),
        batch: Some((&landing.batch_id, &landing.digest)),
        report: report.to_owned(),
        by,
    };
    if let Target::New(_) = landing.target {
        // The version without rows, which made it.
        let made = Version { kind: "create", batch: None, report: String::new(), ..version_of(&version) };
        operations::record(tx, asset, 0, Totals::NOTHING, &made)?;
    }
    let totals = before.and(&done, landing.mode);
    let revision = operations::record(tx, asset, done.rows_added, totals, &version)?;
    let mut detail = json!({
        "batch": landing.batch_id, "version": done.version, "rows": done.rows_added, "digest": landing.digest,
    });
    if let (Some(place), Some(done)) = (landing.quarantine, imported.quarantined)
        && asset::get(tx, place.asset)?.is_some()
    {
        let put_aside =
            Version { kind: "quarantine", batch: None, report: String::new(), ..version_of(&version) };
        let before = newest(tx, place.asset)?;
        operations::record(tx, place.asset, done.rows_added, before.and(&done, Mode::Append), &put_aside)?;
        detail["quarantined"] =
            json!({ "asset": place.asset, "version": done.version, "rows": done.rows_added });
    }
    let name = names::full_name_of(tx, asset)?;
    let landed = Landed { name, version: done.version, report: report.to_owned(), is_repeat: false };
    let event = Event::new(kind).asset(asset, revision).operation(operation).detail(detail);
    Ok(Change::Made(landed, event))
}

/// Refuses where the table was deleted meanwhile.
fn require(tx: &mut Sql<'_>, asset_id: i64) -> Result<()> {
    match asset::get(tx, asset_id)? {
        Some(_) => Ok(()),
        None => Err(Error::missing("The table was deleted while rows were on their way into it.")),
    }
}

fn version_of<'a>(version: &Version<'a>) -> Version<'a> {
    Version { report: String::new(), ..*version }
}

fn newest(tx: &mut Sql<'_>, asset_id: i64) -> Result<Totals> {
    managed::newest(tx, asset_id)?.ok_or_else(|| Error::internal("a table that is kept has no version"))
}

fn make_asset(
    tx: &mut Sql<'_>,
    new: &NewTable,
    comment: &str,
    properties: Option<&Map<String, Json>>,
    owner_id: i64,
    columns: &str,
) -> Result<i64> {
    asset::lock(tx, new.schema)?;
    let leaf_key = fold_case(&new.leaf);
    if let Some(other) = managed::of_leaf(tx, new.schema, &leaf_key)? {
        return Err(names::taken(&new.leaf, &other));
    }
    let made = asset::create_as(
        tx,
        &new.table.to_string(),
        &NewAsset {
            parent_id: Some(new.schema),
            kind: Kind::Table,
            leaf: &new.leaf,
            leaf_key: &leaf_key,
            wire_name: None,
            owner_id,
            comment: Some(comment).filter(|comment| !comment.is_empty()),
            properties,
        },
    )?;
    tx.execute(&store::TABLE_INSERT, bind![made.id, "DELTA", "", columns, 0_i64])?;
    Ok(made.id)
}

/// A table that is to come to be without rows.
#[derive(Debug, Clone)]
pub struct NewEmpty {
    /// Its name.
    pub name: FullName,
    /// Its columns.
    pub columns: Vec<Declared>,
    /// Description.
    pub comment: String,
    /// Free properties.
    pub properties: Option<Map<String, Json>>,
    /// Whose it is, if not of whoever makes it.
    pub owner: Option<i64>,
}

/// Makes an empty table. If a crash comes between the table's directory and its asset, the next start removes the directory.
/// Answers the asset.
pub(super) async fn create_empty(ctx: &Ctx, new: NewEmpty) -> Result<i64> {
    create_with(ctx, new, |_, _| Ok(None)).await
}

/// The same for a table whose rows another slice computes: nobody else writes them. What else belongs to it is written with
/// it; `also` answers which event that is, and what it says.
pub async fn create_kept(
    ctx: &Ctx,
    new: NewEmpty,
    kept_by: &'static str,
    mut also: impl FnMut(&mut Sql<'_>, i64) -> Result<(EventKind, Json)> + Send + 'static,
) -> Result<i64> {
    create_with(ctx, new, move |tx, asset| {
        tx.execute(&store::TABLE_SET_KEPT_BY, bind![asset, kept_by])?;
        also(tx, asset).map(Some)
    })
    .await
}

/// What was begun goes on to its end, also where nobody waits for it any more.
async fn create_with(
    ctx: &Ctx,
    new: NewEmpty,
    also: impl FnMut(&mut Sql<'_>, i64) -> Result<Option<(EventKind, Json)>> + Send + 'static,
) -> Result<i64> {
    let ctx = ctx.clone();
    to_the_end(async move { create_through(&ctx, new, also).await }).await
}

async fn create_through(
    ctx: &Ctx,
    new: NewEmpty,
    mut also: impl FnMut(&mut Sql<'_>, i64) -> Result<Option<(EventKind, Json)>> + Send + 'static,
) -> Result<i64> {
    let intended = new.name.clone();
    let (operation, table) = ctx
        .write(move |tx| {
            let Target::New(table) = target(tx, &intended, true)? else {
                return Err(names::taken_by_name(tx, &intended)?);
            };
            let (id, event) = operations::begin(tx, CREATE, &table, None)?;
            Ok(Change::Made((id, table), event))
        })
        .await?;
    let mark = lake::table::Mark { operation, notes: Vec::new() };
    let made = ctx.app.lake.create(lake::TableId(table.table), new.columns.clone(), mark).await;
    let state = match made {
        Ok(_) => ctx.app.lake.state(lake::TableId(table.table), None).await,
        Err(error) => Err(error),
    };
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            revert_new(ctx, operation, &table, error.message()).await?;
            return Err(error.into());
        }
    };
    let columns = column::shown(&state.columns)?;
    let recorded = {
        let table = table.clone();
        ctx.write(move |tx| {
            let by = authorize_end(tx, operation)?;
            let owner = new.owner.unwrap_or(by);
            let asset = make_asset(tx, &table, &new.comment, new.properties.as_ref(), owner, &columns)?;
            operations::close(tx, operation)?;
            let version = Version {
                kind: "create",
                operation: Some(operation),
                batch: None,
                report: String::new(),
                by,
            };
            let revision = operations::record(tx, asset, 0, Totals::NOTHING, &version)?;
            let made = || json!({ "name": managed::show(&new.name), "columns": new.columns.len() });
            let (kind, detail) = also(tx, asset)?.unwrap_or_else(|| (EventKind::TableCreate, made()));
            let event = Event::new(kind).asset(asset, revision).operation(operation).detail(detail);
            Ok(Change::Made(asset, event))
        })
        .await
    };
    if let Err(error) = &recorded
        && !error.is_ours()
    {
        revert_new(ctx, operation, &table, error.message()).await?;
    }
    recorded
}

/// Ends the making of an empty table of which nobody knows how far it came: nobody was told of it.
pub(super) async fn finish_create(ctx: &Ctx, operation: Uuid, table: &NewTable) -> Result<()> {
    revert_new(ctx, operation, table, "the server stopped before the table was recorded").await
}

async fn revert_new(ctx: &Ctx, operation: Uuid, table: &NewTable, why: &str) -> Result<()> {
    ctx.app.lake.remove(lake::TableId(table.table)).await?;
    revert_row(ctx, operation, None, why).await
}

/// Takes an intent back that had no effect, with what was written of a table that never came to be.
async fn revert(ctx: &Ctx, operation: Uuid, landing: &Landing, why: &str) -> Result<()> {
    if let Target::New(new) = &landing.target {
        ctx.app.lake.remove(lake::TableId(new.table)).await?;
    }
    revert_row(ctx, operation, landing.target.asset(), why).await
}

pub(super) async fn revert_row(ctx: &Ctx, operation: Uuid, asset: Option<i64>, why: &str) -> Result<()> {
    let why = why.to_owned();
    Ctx::system(&ctx.app)
        .write(move |tx| {
            authorize_admin(tx, "revert operations on tables")?;
            Ok(match operations::revert(tx, operation, asset, &why)? {
                Some(event) => Change::Made((), event),
                None => Change::Nothing(()),
            })
        })
        .await
}

/// Finishes an operation of which nobody knows how far it came.
pub(super) async fn finish(ctx: &Ctx, operation: Uuid, landing: &Landing) -> Result<()> {
    let lake = &ctx.app.lake;
    let committed = lake.find_commit(landing.target.id(), operation, Some(landing.target.after())).await?;
    if let Some(done) = committed {
        let imported = import_again(ctx, operation, landing, done).await?;
        match record_or_revert(ctx, operation, landing, imported).await {
            Err(error) if error.is_ours() => return Err(error),
            Err(error) => {
                tracing::warn!(%operation, %error, "an import could not be recorded and was taken back");
            }
            Ok(_) => {}
        }
    } else {
        revert(ctx, operation, landing, "the server stopped before the rows were committed").await?;
    }
    ctx.app.spool.open()?.remove(vec![landing.object()?]).await;
    Ok(())
}

/// What came of an import that was committed, by its file. Where that is gone or damaged since, the commits say how many rows
/// there are, and nothing else that a report says: rows that landed are not held back for what was to be said about them.
async fn import_again(ctx: &Ctx, operation: Uuid, landing: &Landing, done: Committed) -> Result<Imported> {
    let is_there = ctx.app.spool.open()?.path(landing.object()?).exists();
    let again = if is_there { Some(import(ctx, operation, landing).await) } else { None };
    match again {
        Some(Ok(imported)) if imported.committed.is_some() => return Ok(imported),
        Some(Err(error)) if error.is_ours() => return Err(error),
        _ => {}
    }
    tracing::error!(%operation, "the file of an import is gone or damaged; its rows are recorded without a report");
    let quarantined = match landing.quarantine {
        Some(place) => ctx.app.lake.find_commit(place.id(), operation, Some(place.version)).await?,
        None => None,
    };
    let bad_rows = quarantined.map_or(0, |bad| bad.rows_added);
    let report = Report { rows: done.rows_added, bad_rows, ..Report::default() };
    Ok(Imported { report, committed: Some(done), quarantined })
}

/// What a file is written in, by its content type.
pub(super) fn format_of(content_type: &str) -> Option<Format> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match kind.as_str() {
        "text/csv" => Format::Csv,
        "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => Format::Json,
        "application/vnd.apache.parquet" => Format::Parquet,
        "application/vnd.apache.arrow.stream" => Format::Arrow,
        _ => return None,
    })
}
