//! `feature_materialize`: the job that computes a feature table and publishes it.
//!
//! 1. The newest version of the source is found and pinned.
//! 2. If the source only gained rows since what is published, those are read, and what they touch is folded again; else, and
//!    where rows came too late, everything is.
//! 3. The rows become one version of the feature table, under a batch id made of the definition and the source's version.
//! 4. The panes are published into the online store.
//! 5. What is published is recorded, and the pin goes.
//!
//! All of it is bounded: rows, panes and what is published are held in memory up to a limit each, and every loop looks whether the
//! job is to end. One such job runs at a time, and none waits for another.
//!
//! To *restore* is to compute just what is published once more, for the online store alone: nothing is published by it, unless a
//! vacuum took what it was computed from; then what the source has now is. Superseded
//! definitions that something served stands on are computed behind the newest one ([`super::uphold`]).
//!
//! A crash may come anywhere: begun again, 3 finds its batch or replaces the same rows by the same, and 4 begins from what the
//! online store says of itself, which never is ahead of the table.

use std::{sync::Arc, time::Duration};

use http::Method;
use lake::{
    feed::{Gained, Part},
    panes::Bounds,
    replace::{Replacement, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    definition,
    fold::{self, Folded},
    state::{self, Meta, View},
    uphold,
    work::{self, Done, Payload, Work, new_job},
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Code, Error, Result},
    jobs::{self, Handler, JobCtx, JobInfo},
    router::{
        Limits, Policy, Route,
        wire::{Int64, flag},
    },
    tables::{
        inside::{self, Batch},
        managed,
    },
};

/// The kind of these jobs.
pub const KIND: &str = "feature_materialize";
/// What a row of the source takes at least beside its columns, in bytes: its place, its time, where its keys begin.
const ROW_BYTES_MIN: usize = 32;
/// How long one call may wait for the end of the job, milliseconds.
const WAIT_MS_MAX: i64 = 30_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/feature-tables/{full_name}/materialize",
        Policy::Asset(Action::Edit),
        Limits::JSON,
        "Compute a feature table from what its source gained",
        materialize,
    )]
}

pub(super) fn handler() -> Handler {
    Handler::new(KIND, run).heavy()
}

/// What to compute.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MaterializeRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// Computes everything, also where the source only gained rows.
    #[serde(default, deserialize_with = "flag")]
    pub full: bool,
    /// How long to wait for the end of the job, milliseconds, up to 30000; 0 or absent answers at once.
    pub wait_ms: Option<Int64>,
}

async fn materialize(ctx: Ctx, request: MaterializeRequest) -> Result<JobInfo> {
    let wait = request.wait_ms.map_or(0, |wait| wait.0);
    if !(0..=WAIT_MS_MAX).contains(&wait) {
        return Err(Error::invalid(format!(
            "Invalid value {wait} for parameter 'wait_ms' supplied: it is 0 to {WAIT_MS_MAX}."
        )));
    }
    let name = managed::parse(&request.full_name)?;
    let id = ctx
        .write(move |tx| {
            let (table, _) = definition::find(tx, &name, Action::Edit)?;
            let run_as = tx.caller().id;
            let queued = jobs::join_or_enqueue(
                tx,
                &new_job(&Payload { full: request.full, ..Payload::of(table.asset.id) }, run_as),
            )?;
            Ok(match queued.event {
                Some(event) => Change::Made(queued.id, event),
                None => Change::Nothing(queued.id),
            })
        })
        .await?;
    let job = jobs::wait(&ctx, id, Duration::from_millis(wait as u64)).await?;
    ctx.read(move |sql| {
        let job = jobs::get(sql, job.id)?;
        jobs::info(sql, job)
    })
    .await
}

async fn run(job: JobCtx) -> Result<Json> {
    let payload: Payload = serde_json::from_value(job.payload().1.clone()).map_err(Error::internal)?;
    let app = Arc::clone(&job.ctx().await?.app);
    let turn = app.online.turn(payload.table);
    let _turn = turn.ok_or_else(|| {
        Error::new(
            Code::ResourceConflict,
            "Another job computes this feature table; it is tried again later.",
        )
    })?;
    let (table, is_restore) = (payload.table, payload.restore);
    if let Some(definition) = payload.uphold {
        return uphold::one(&job, table, definition, is_restore).await;
    }
    let answer = newest(&job, payload).await;
    if is_restore || job.is_to_end() {
        return answer;
    }
    // Also where the newest definition cannot be computed.
    let upheld = uphold::all(&job, table).await?;
    let mut answer = answer?;
    if !upheld.is_empty() {
        answer["superseded"] = upheld.into();
    }
    Ok(answer)
}

async fn newest(job: &JobCtx, payload: Payload) -> Result<Json> {
    let work = work::begin(job, payload).await?;
    let done = match work.payload.restore {
        true => restore(job, &work).await,
        false => compute(job, &work).await,
    };
    match done {
        Ok(done) if !work.payload.restore => work::end(job, &work, &done).await,
        done => {
            release(job, &work).await;
            Ok(done?.said(&work))
        }
    }
}

/// Takes the pin away. Where that fails, it goes with the next sweep.
pub(super) async fn release(job: &JobCtx, work: &Work) {
    if let Err(error) = work::release(job, work).await {
        tracing::warn!(job = %job.id(), ?error, "the pin of a computation is not taken away yet");
    }
}

enum Step {
    /// The panes are those of the source's newest version.
    Nothing(Meta),
    Part(Box<Folded>),
    Whole(Box<Folded>),
}

/// Computes a definition and publishes it: the newest into the table and the online store, a superseded one into that alone.
pub(super) async fn compute(job: &JobCtx, work: &Work) -> Result<Done> {
    let is_full = work.payload.full;
    let ctx = job.ctx().await?;
    let meta = ctx.app.online.meta(work.which()).await?;
    let base = meta.filter(|meta| {
        meta.table == work.table.asset.uuid
            && meta.source_id == work.source.asset.id
            && meta.source_version <= work.source_version
    });
    let mut read = 0;
    let (step, why) = match base {
        Some(base) if !is_full => increment(job, &ctx, work, base, &mut read).await?,
        None if !is_full => (None, "nothing of this definition is online"),
        _ => (None, "it was asked for"),
    };
    let step = match step {
        Some(step) => step,
        None => whole(job, &ctx, work, &mut read).await?,
    };
    publish(job, &ctx, work, step, why, read).await
}

/// Computes from what the source gained; `None`, and why, where everything has to be computed.
async fn increment(
    job: &JobCtx,
    ctx: &Ctx,
    work: &Work,
    base: Meta,
    read: &mut usize,
) -> Result<(Option<Step>, &'static str)> {
    let (source, version) = (work.source.table, work.read_version);
    let lake = &ctx.app.lake;
    let files = match lake.gained(source, base.source_version, version).await? {
        Gained::Nothing => return Ok((Some(Step::Nothing(base)), "the source gained nothing")),
        Gained::Replaced(why) => return Ok((None, why)),
        Gained::Appended(files) => files,
    };
    job.charge_read(files.bytes())?;
    let columns = fold::columns(&work.plan);
    let gained = lake.rows_of(source, version, columns.clone(), Part::Files(files)).await?;
    *read += gained.num_rows();
    let (plan, app, id) = (Arc::clone(&work.plan), Arc::clone(&ctx.app), work.table.asset.id);
    let (definition, newest, now) = (work.definition.n, base.newest_micros, now_micros(ctx));
    let bounds = bounds(job, ctx);
    let arrived = job
        .blocking(move || {
            let view = View::new(&*app.online.open()?)?;
            let near =
                |key: &[u8], span| view.panes((id, definition), key, span, plan.columns().len()).flatten();
            fold::arrive(&plan, &gained, newest, now, bounds, near)
        })
        .await?;
    if arrived.too_late > 0 {
        return Ok((None, "rows came later than the definition allows for"));
    }
    let mut again = None;
    if let Some((low, high)) = arrived.span {
        let part = Part::Between {
            column: work.definition.declared.timestamp.clone(),
            from_micros: work.plan.start_of(low),
            before_micros: work.plan.start_of(high.saturating_add(1)),
        };
        let rows = lake.rows_of(source, version, columns, part).await?;
        job.charge_read(rows.get_array_memory_size() as u64)?;
        *read += rows.num_rows();
        again = Some(rows);
    }
    let folded = job.blocking(move || arrived.fold(again.as_ref())).await?;
    Ok((Some(Step::Part(Box::new(folded))), "the source only gained rows"))
}

async fn whole(job: &JobCtx, ctx: &Ctx, work: &Work, read: &mut usize) -> Result<Step> {
    let columns = fold::columns(&work.plan);
    check_size(ctx, work, columns.stored.len() + columns.computed.len())?;
    let rows = ctx.app.lake.rows_of(work.source.table, work.read_version, columns, Part::All).await?;
    job.charge_read(rows.get_array_memory_size() as u64)?;
    *read = rows.num_rows();
    let (plan, now, bounds) = (Arc::clone(&work.plan), now_micros(ctx), bounds(job, ctx));
    let folded = job.blocking(move || fold::whole(&plan, &rows, now, bounds)).await?;
    Ok(Step::Whole(Box::new(folded)))
}

fn now_micros(ctx: &Ctx) -> i64 {
    ctx.now().saturating_mul(1_000)
}

/// What a computation may hold of rows, of panes, and of what it publishes, each.
fn bytes_max(ctx: &Ctx) -> usize {
    ctx.app.lake.memory_bytes() / 2
}

fn bounds(job: &JobCtx, ctx: &Ctx) -> Bounds {
    let job = job.clone();
    Bounds::new(bytes_max(ctx), move || job.is_to_end())
}

/// Refuses before anything is read what is certain not to fit.
fn check_size(ctx: &Ctx, work: &Work, columns: usize) -> Result<()> {
    let newest = work.source.newest;
    let Some(rows) = newest.rows.filter(|_| newest.version == work.read_version) else { return Ok(()) };
    let bytes = rows.saturating_mul((ROW_BYTES_MIN + columns) as u64);
    let limit = bytes_max(ctx) as u64;
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "To compute all of '{}', its source's {rows} rows are held in memory, in {bytes} bytes or more; the limit is {limit}, half \
         of what queries may use (query_memory_mb). Raise that, or compute from a table with fewer rows.",
        managed::show(&work.table.name)
    )))
}

/// Puts just what is published into the online store again; the table stays as it is.
async fn restore(job: &JobCtx, work: &Work) -> Result<Done> {
    let ctx = job.ctx().await?;
    let published =
        work.published.ok_or_else(|| Error::internal("what was never published is to be restored"))?;
    let online = ctx.app.online.meta(work.which()).await?;
    let known = online.filter(|meta| published.is_online(&work.table.asset.uuid, meta));
    if let Some(meta) = known {
        let why = "what is published is online";
        return Ok(Done { how: "nothing", why, rows_read: 0, rows_published: 0, rows_passed_over: 0, meta });
    }
    let mut rows_read = 0;
    let (Step::Whole(folded) | Step::Part(folded)) = whole(job, &ctx, work, &mut rows_read).await? else {
        return Err(Error::internal("everything was computed, and nothing came of it"));
    };
    let meta = meta_of(work, &folded, Some(published.version));
    let (why, rows_passed_over) = ("the online features were lost", folded.rows_passed_over());
    put(job, &ctx, work, &meta, true, folded.panes).await?;
    Ok(Done { how: "restored", why, rows_read, rows_published: 0, rows_passed_over, meta })
}

fn meta_of(work: &Work, folded: &Folded, table_version: Option<u64>) -> Meta {
    Meta {
        table: work.table.asset.uuid.clone(),
        definition: work.definition.n,
        source_id: work.source.asset.id,
        source_version: work.source_version,
        table_version,
        newest_micros: folded.newest_micros,
        key_kinds: folded.key_kinds.clone(),
    }
}

/// Rows into the table, but those of a superseded definition; then panes into the online store.
async fn publish(
    job: &JobCtx,
    ctx: &Ctx,
    work: &Work,
    step: Step,
    why: &'static str,
    rows_read: usize,
) -> Result<Done> {
    let (how, folded, is_whole) = match step {
        Step::Nothing(base) => {
            let meta = Meta { source_version: work.source_version, ..base };
            let done = Done { how: "nothing", why, rows_read, rows_published: 0, rows_passed_over: 0, meta };
            put(job, ctx, work, &done.meta, false, Vec::new()).await?;
            return Ok(done);
        }
        Step::Part(folded) => ("increment", folded, false),
        Step::Whole(folded) => ("full", folded, true),
    };
    let scope = match folded.from_micros {
        // The online state alone was lost: the table has these rows.
        _ if work.is_published() && !work.payload.full => None,
        _ if is_whole => Some(Scope::All),
        Some(from) => Some(Scope::From(from)),
        None => None,
    };
    let is_aside = work.payload.uphold.is_some();
    let rows_published = scope.filter(|_| !is_aside).map_or(0, |_| folded.rows.num_rows());
    let table_version = match scope {
        _ if is_aside => None,
        Some(scope) => {
            let declared = &work.definition.declared;
            let identity = declared.keys.iter().chain([&declared.timestamp]).cloned().collect();
            let (time, rows) = (declared.timestamp.clone(), folded.rows.clone());
            let (table, settled_micros) = (work.table.table, folded.settled_micros);
            let replacement =
                move |mark| Replacement { table, mark, rows, identity, time, scope, settled_micros };
            job.charge_written(folded.rows.get_array_memory_size() as u64);
            let (table, digest) = (work.table.asset.id, work.definition.digest.clone());
            let batch = Batch { table, id: work.batch_id(job.id()), digest };
            Some(inside::replace(ctx, batch, replacement).await?.version)
        }
        // Rows that belong to no pane change nothing.
        None => Some(work.published.map_or(work.table.newest.version, |published| published.version)),
    };
    let meta = meta_of(work, &folded, table_version);
    let rows_passed_over = folded.rows_passed_over();
    put(job, ctx, work, &meta, is_whole, folded.panes).await?;
    Ok(Done { how, why, rows_read, rows_published, rows_passed_over, meta })
}

async fn put(
    job: &JobCtx,
    ctx: &Ctx,
    work: &Work,
    meta: &Meta,
    is_whole: bool,
    panes: Vec<state::StoredPane>,
) -> Result<()> {
    let (app, id, meta) = (Arc::clone(&ctx.app), work.table.asset.id, meta.clone());
    job.blocking(move || app.online.publish(id, &meta, is_whole, &panes)).await
}
