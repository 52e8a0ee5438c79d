//! `feature_materialize`: the job that computes a feature table and publishes it.
//!
//! 1. The newest version of the source is found and pinned.
//! 2. If the source only gained rows since what is published, those are read, and what they touch is folded again; else, and
//!    where rows came too late, everything is.
//! 3. The rows become one version of the feature table, under a batch id made of the definition and the source's version.
//! 4. The panes are published into the online store.
//! 5. What is published is recorded, and the pin goes.
//!
//! A crash may come anywhere: begun again, 3 finds its batch or replaces the same rows by the same, and 4 begins from what the
//! online store says of itself, which never is ahead of the table.

use std::{sync::Arc, time::Duration};

use http::Method;
use lake::{
    feed::{Gained, Part},
    panes::PanePlan,
    replace::{Replacement, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    definition::{self, Definition, Published},
    fold::{self, Folded},
    state::{self, Meta, View},
    store,
};
use crate::{
    bind,
    catalog::{
        Action, asset,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    jobs::{self, Handler, JobCtx, JobInfo, NewJob},
    router::{
        Limits, Policy, Route,
        wire::{Int64, flag},
    },
    tables::{
        self,
        inside::{self, Batch},
        managed::{self, Managed},
    },
};

/// The kind of these jobs.
pub const KIND: &str = "feature_materialize";
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
    Handler::new(KIND, run)
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
            let queued = jobs::enqueue(tx, &new_job(table.asset.id, run_as, request.full))?;
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

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    /// The feature table's asset.
    table: i64,
    #[serde(default)]
    full: bool,
}

pub(super) fn new_job(table: i64, run_as_id: i64, full: bool) -> NewJob {
    NewJob {
        asset: Some((table, Action::Edit)),
        ..NewJob::new(KIND, json!(Payload { table, full }), run_as_id)
    }
}

/// What a job works on.
#[derive(Clone)]
struct Work {
    table: Managed,
    definition: Definition,
    source: Managed,
    published: Option<Published>,
    plan: Arc<PanePlan>,
}

impl Work {
    fn holder(&self) -> String {
        format!("feature_table/{}", self.table.asset.uuid)
    }

    fn batch_id(&self) -> String {
        format!("features/{}/{}", self.definition.n, self.source.newest.version)
    }
}

async fn run(job: JobCtx) -> Result<Json> {
    let payload: Payload = serde_json::from_value(job.payload().1.clone()).map_err(Error::internal)?;
    let app = Arc::clone(&job.ctx().await?.app);
    let _turn = app.online.turn(payload.table).await;
    let work = begin(&job, payload.table).await?;
    let done = compute(&job, &work, payload.full).await;
    match done {
        Ok(done) => end(&job, &work, &done).await,
        Err(error) => {
            release(&job, &work).await?;
            Err(error)
        }
    }
}

/// Finds what there is to do, and pins the source's version while it is read.
async fn begin(job: &JobCtx, table: i64) -> Result<Work> {
    let found = job.ctx().await?.read(move |sql| load(sql, table)).await?;
    if found.published.is_some_and(|published| is_current(&found, published)) {
        return Ok(found);
    }
    job.write(move |tx| {
        let work = load(tx, table)?;
        let (source, version) = (work.source.asset.id, work.source.newest.version);
        tables::unpin_all_in_tx(tx, source, &work.holder())?;
        let reason = format!("read for {}", managed::show(&work.table.name));
        tables::pin_in_tx(tx, source, version, &work.holder(), &reason)?;
        let revision = asset::touch(tx, source)?;
        let event = Event::new(EventKind::TablePinAdd)
            .asset(source, revision)
            .detail(json!({ "version": version, "holder": work.holder(), "reason": reason }));
        Ok(Change::Made(work, event))
    })
    .await
}

fn is_current(work: &Work, published: Published) -> bool {
    published.definition == work.definition.n && published.source_version == work.source.newest.version
}

fn load(sql: &mut Sql<'_>, id: i64) -> Result<Work> {
    let table = managed::get_by_id(sql, id, Action::Edit)?;
    let state = definition::state(sql, id)?
        .ok_or_else(|| Error::internal("a job computes what is no feature table"))?;
    let definition = definition::get(sql, id, state.newest)?;
    if asset::get(sql, definition.source_id)?.is_none() {
        return Err(Error::missing(format!(
            "The source '{}' of '{}' was deleted. Apply the definition again, with a source that is there.",
            definition.declared.source,
            managed::show(&table.name)
        )));
    }
    let source = managed::get_by_id(sql, definition.source_id, Action::Read)?;
    Ok(Work { plan: definition.plan()?, table, definition, source, published: state.published })
}

/// What came of it.
struct Done {
    how: &'static str,
    why: &'static str,
    rows_read: usize,
    rows_published: usize,
    rows_passed_over: usize,
    meta: Meta,
}

enum Step {
    /// The panes are those of the source's newest version.
    Nothing(Meta),
    Part(Box<Folded>),
    Whole(Box<Folded>),
}

async fn compute(job: &JobCtx, work: &Work, is_full: bool) -> Result<Done> {
    let ctx = job.ctx().await?;
    let meta = ctx.app.online.meta(work.table.asset.id).await?;
    let base = meta.filter(|meta| {
        meta.table == work.table.asset.uuid
            && meta.definition == work.definition.n
            && meta.source_id == work.source.asset.id
            && meta.source_version <= work.source.newest.version
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
    let (source, version) = (work.source.table, work.source.newest.version);
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
    let (definition, newest) = (work.definition.n, base.newest_micros);
    let arrived = job
        .blocking(move || {
            let view = View::new(&*app.online.open()?)?;
            let near = |key: &[u8], span| view.panes((id, definition), key, span, plan.columns().len());
            fold::arrive(&plan, &gained, newest, near)
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
    let version = work.source.newest.version;
    let rows = ctx.app.lake.rows_of(work.source.table, version, columns, Part::All).await?;
    job.charge_read(rows.get_array_memory_size() as u64)?;
    *read = rows.num_rows();
    let plan = Arc::clone(&work.plan);
    let folded = job.blocking(move || fold::whole(&plan, &rows)).await?;
    Ok(Step::Whole(Box::new(folded)))
}

/// Rows into the table, then panes into the online store.
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
            let meta = Meta { source_version: work.source.newest.version, ..base };
            let done = Done { how: "nothing", why, rows_read, rows_published: 0, rows_passed_over: 0, meta };
            put(job, ctx, work, &done.meta, false, Vec::new()).await?;
            return Ok(done);
        }
        Step::Part(folded) => ("increment", folded, false),
        Step::Whole(folded) => ("full", folded, true),
    };
    let rows_published = folded.rows.num_rows();
    let scope = match folded.from_micros {
        _ if is_whole => Some(Scope::All),
        Some(from) => Some(Scope::From(from)),
        None => None,
    };
    let table_version = match scope {
        Some(scope) => {
            let declared = &work.definition.declared;
            let identity = declared.keys.iter().chain([&declared.timestamp]).cloned().collect();
            let replacement = |mark| Replacement {
                table: work.table.table,
                mark,
                rows: folded.rows.clone(),
                identity,
                time: declared.timestamp.clone(),
                scope,
                settled_micros: folded.settled_micros,
            };
            job.charge_written(folded.rows.get_array_memory_size() as u64);
            let (table, digest) = (work.table.asset.id, work.definition.digest.clone());
            inside::replace(ctx, Batch { table, id: work.batch_id(), digest }, replacement).await?.version
        }
        // Rows that belong to no pane change nothing.
        None => work.published.map_or(work.table.newest.version, |published| published.version),
    };
    let passed = folded.passed_over;
    let meta = Meta {
        table: work.table.asset.uuid.clone(),
        definition: work.definition.n,
        source_id: work.source.asset.id,
        source_version: work.source.newest.version,
        table_version,
        newest_micros: folded.newest_micros,
        key_kinds: folded.key_kinds.clone(),
    };
    put(job, ctx, work, &meta, is_whole, folded.panes).await?;
    let rows_passed_over = passed.no_time + passed.no_key + passed.impossible_time;
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
    job.blocking(move || state::publish(&*app.online.open()?, id, &meta, is_whole, &panes)).await
}

/// Records what is published, and takes the pin away.
async fn end(job: &JobCtx, work: &Work, done: &Done) -> Result<Json> {
    let result = json!({
        "full_name": managed::show(&work.table.name), "definition": done.meta.definition,
        "source_version": done.meta.source_version, "table_version": done.meta.table_version,
        "newest_event_micros": done.meta.newest_micros, "how": done.how, "why": done.why,
        "rows_read": done.rows_read, "rows_published": done.rows_published,
        "rows_passed_over": done.rows_passed_over,
    });
    let (work, meta, detail) = (work.clone(), done.meta.clone(), result.clone());
    job.write(move |tx| {
        // Also where it changed hands meanwhile: what is published, is.
        let id = work.table.asset.id;
        managed::get_by_id(tx, id, Action::Edit)?;
        let had = tables::unpin_all_in_tx(tx, work.source.asset.id, &work.holder())? > 0;
        let now = tx.now();
        let (version, source_version) = (meta.table_version as i64, meta.source_version as i64);
        let is_new = work
            .published
            .is_none_or(|before| !is_current(&work, before) || before.version != meta.table_version);
        if !had && !is_new {
            return Ok(Change::Nothing(()));
        }
        let row = bind![id, meta.definition, source_version, version, meta.newest_micros, now];
        tx.execute(&store::TABLE_SET_PUBLISHED, row)?;
        tx.execute(&store::PUBLICATION_INSERT, bind![id, version, meta.definition, source_version, now])?;
        let (from, to) = (source_version.to_string(), version.to_string());
        let fact = Fact { source_version: &from, target_version: &to, ..Fact::default() };
        let (source, target) = (NodeRef::Asset(work.source.asset.id), NodeRef::Asset(id));
        lineage::record(tx, source, target, EdgeKind::Derives, fact)?;
        let revision = asset::touch(tx, id)?;
        let event = Event::new(EventKind::FeatureTablePublish).asset(id, revision).detail(detail.clone());
        Ok(Change::Made((), event))
    })
    .await?;
    Ok(result)
}

/// Takes the pin away after a failure.
async fn release(job: &JobCtx, work: &Work) -> Result<()> {
    let work = work.clone();
    job.write(move |tx| {
        let source = work.source.asset.id;
        managed::get_by_id(tx, work.table.asset.id, Action::Edit)?;
        if tables::unpin_all_in_tx(tx, source, &work.holder())? == 0 {
            return Ok(Change::Nothing(()));
        }
        let revision = asset::touch(tx, source)?;
        let event = Event::new(EventKind::TablePinRemove)
            .asset(source, revision)
            .detail(json!({ "version": work.source.newest.version, "holder": work.holder() }));
        Ok(Change::Made((), event))
    })
    .await
}
