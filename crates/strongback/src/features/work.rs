//! What a job that computes a feature table works on: found and pinned at its beginning, recorded and released at its end.

use std::sync::Arc;

use lake::panes::PanePlan;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    definition::{self, Definition, Published},
    materialize::KIND,
    readable_as,
    state::Meta,
    store,
};
use crate::{
    bind,
    catalog::{
        Action, asset,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    jobs::{Budget, JobCtx, JobId, NewJob},
    tables::{
        self,
        managed::{self, Managed},
    },
};

/// How often such a job may be begun: what passes, like a disk without room, has an hour to pass.
const ATTEMPTS_MAX: i64 = 20;
/// How long all attempts may take together, milliseconds.
const WALL_MS_MAX: i64 = 12 * 3_600_000;

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payload {
    /// The feature table's asset.
    pub table: i64,
    /// Everything, also where the source only gained rows.
    #[serde(default)]
    pub full: bool,
    /// Just what is published, into the online store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
}

impl Payload {
    /// What the source gained.
    pub fn of(table: i64) -> Self {
        Self { table, full: false, restore: false }
    }
}

pub(super) fn new_job(payload: &Payload, run_as_id: i64) -> NewJob {
    NewJob {
        asset: Some((payload.table, Action::Edit)),
        attempts_max: ATTEMPTS_MAX,
        budget: Budget { wall_ms: Some(WALL_MS_MAX), ..Budget::default() },
        ..NewJob::new(KIND, json!(payload), run_as_id)
    }
}

/// What a job works on.
#[derive(Clone)]
pub(super) struct Work {
    pub payload: Payload,
    pub table: Managed,
    pub definition: Definition,
    pub source: Managed,
    /// The version of the source that is computed from.
    pub source_version: u64,
    /// The version that is read for it, which has the same rows.
    pub read_version: u64,
    pub published: Option<Published>,
    pub plan: Arc<PanePlan>,
}

impl Work {
    /// Who pins what is read.
    fn holder(&self) -> String {
        format!("feature_table/{}", self.table.asset.uuid)
    }

    /// A version of the source lands once, and once more for each time that somebody asks for all of it.
    pub fn batch_id(&self, job: JobId) -> String {
        let once = format!("features/{}/{}", self.definition.n, self.source_version);
        if self.payload.full { format!("{once}/{job}") } else { once }
    }

    /// Whether just this is published.
    pub fn is_published(&self) -> bool {
        self.published.is_some_and(|published| {
            published.definition == self.definition.n && published.source_version == self.source_version
        })
    }
}

/// What came of a job.
pub(super) struct Done {
    pub how: &'static str,
    pub why: &'static str,
    pub rows_read: usize,
    pub rows_published: usize,
    pub rows_passed_over: usize,
    pub meta: Meta,
}

impl Done {
    /// As the job answers it.
    pub fn said(&self, work: &Work) -> Json {
        json!({
            "full_name": managed::show(&work.table.name), "definition": self.meta.definition,
            "source_version": self.meta.source_version, "table_version": self.meta.table_version,
            "newest_event_micros": self.meta.newest_micros, "how": self.how, "why": self.why,
            "rows_read": self.rows_read, "rows_published": self.rows_published,
            "rows_passed_over": self.rows_passed_over,
        })
    }
}

/// Finds what there is to do, and pins the source's version while it is read.
pub(super) async fn begin(job: &JobCtx, payload: Payload) -> Result<Work> {
    let asked = payload.clone();
    let found = job.ctx().await?.read(move |sql| load(sql, &asked)).await?;
    if found.is_published() && !payload.full && !payload.restore {
        return Ok(found);
    }
    job.write(move |tx| {
        let work = load(tx, &payload)?;
        let (source, version) = (work.source.asset.id, work.read_version);
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

fn load(sql: &mut Sql<'_>, payload: &Payload) -> Result<Work> {
    let id = payload.table;
    let table = managed::by_asset(sql, id, Action::Edit)?;
    let state = definition::state(sql, id)?
        .ok_or_else(|| Error::internal("a job computes what is no feature table"))?;
    let published = state.published.filter(|_| payload.restore);
    let definition =
        definition::get(sql, id, published.map_or(state.newest, |published| published.definition))?;
    let shown = managed::show(&table.name);
    if asset::get(sql, definition.source_id)?.is_none() {
        return Err(Error::missing(format!(
            "The source '{}' of '{shown}' was deleted. Apply the definition again, with a source that is there.",
            definition.declared.source
        )));
    }
    let source = managed::by_asset(sql, definition.source_id, Action::Read)?;
    let source_version = published.map_or(source.newest.version, |published| published.source_version);
    let read_version = readable_as(sql, source.asset.id, source_version)?.ok_or_else(|| {
        Error::missing(format!(
            "What is published of '{shown}' cannot be computed again: a vacuum removed the files of version {source_version} of \
             its source '{}'. Publish the source as it is now: strongback feature-table materialize {shown} --wait",
            managed::show(&source.name)
        ))
    })?;
    Ok(Work {
        payload: payload.clone(),
        plan: definition.plan()?,
        table,
        definition,
        source,
        source_version,
        read_version,
        published: state.published,
    })
}

/// Records what is published, and takes the pin away.
pub(super) async fn end(job: &JobCtx, work: &Work, done: &Done) -> Result<Json> {
    let result = done.said(work);
    let (work, meta, detail) = (work.clone(), done.meta.clone(), result.clone());
    job.write(move |tx| {
        // Also where it changed hands meanwhile: what is published, is.
        let id = work.table.asset.id;
        managed::by_asset(tx, id, Action::Edit)?;
        let had = tables::unpin_all_in_tx(tx, work.source.asset.id, &work.holder())? > 0;
        let now = tx.now();
        let (version, source_version) = (meta.table_version as i64, meta.source_version as i64);
        let is_new =
            !work.is_published() || work.published.is_none_or(|before| before.version != meta.table_version);
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

/// Takes the pin away where nothing was published.
pub(super) async fn release(job: &JobCtx, work: &Work) -> Result<()> {
    let work = work.clone();
    job.write(move |tx| {
        let source = work.source.asset.id;
        managed::by_asset(tx, work.table.asset.id, Action::Edit)?;
        if tables::unpin_all_in_tx(tx, source, &work.holder())? == 0 {
            return Ok(Change::Nothing(()));
        }
        let revision = asset::touch(tx, source)?;
        let event = Event::new(EventKind::TablePinRemove)
            .asset(source, revision)
            .detail(json!({ "version": work.read_version, "holder": work.holder() }));
        Ok(Change::Made((), event))
    })
    .await
}
