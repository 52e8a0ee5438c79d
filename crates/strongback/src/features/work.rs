//! What a job that computes a feature table works on: found and pinned at its beginning, recorded and released at its end.

use std::sync::Arc;

use lake::panes::PanePlan;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use syntax::features::Refresh;

use super::{
    definition::{self, Definition, Published, State},
    materialize::KIND,
    readable_as,
    state::{Meta, Which},
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
    /// This superseded definition, for the online store alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uphold: Option<i64>,
}

impl Payload {
    /// What the source gained.
    pub fn of(table: i64) -> Self {
        Self { table, full: false, restore: false, uphold: None }
    }

    /// What the source gained, for a superseded definition.
    pub fn upholding(table: i64, definition: i64) -> Self {
        Self { uphold: Some(definition), ..Self::of(table) }
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
    /// What is computed, in the online store.
    pub fn which(&self) -> Which {
        (self.table.asset.id, self.definition.n)
    }

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
    if found.is_published() && !payload.full && !payload.restore && payload.uphold.is_none() {
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

/// What a job finds to do.
pub(super) fn load(sql: &mut Sql<'_>, payload: &Payload) -> Result<Work> {
    let id = payload.table;
    let table = managed::by_asset(sql, id, Action::Edit)?;
    let state = definition::state(sql, id)?
        .ok_or_else(|| Error::internal("a job computes what is no feature table"))?;
    let restored = restored(sql, payload, &state)?;
    let n = payload.uphold.unwrap_or_else(|| restored.map_or(state.newest, |published| published.definition));
    let definition = definition::get(sql, id, n)?;
    let shown = managed::show(&table.name);
    if asset::get(sql, definition.source_id)?.is_none() {
        let source = &definition.declared.source;
        return Err(Error::missing(match payload.uphold {
            None => format!(
                "The source '{source}' of '{shown}' was deleted. Apply the definition again, with a source that is there."
            ),
            Some(n) => format!(
                "The source '{source}' of definition {n} of '{shown}' was deleted, so that its features stay as they are. Train \
                 the model on the newest definition."
            ),
        }));
    }
    let source = managed::by_asset(sql, definition.source_id, Action::Read)?;
    let asked = match payload.uphold {
        Some(_) => upheld_version(sql, payload, &state, &definition)?,
        None => restored.map(|published| published.source_version),
    };
    let source_version = asked.unwrap_or(source.newest.version);
    let read_version = readable_as(sql, source.asset.id, source_version)?.ok_or_else(|| {
        Error::internal(format!("version {source_version} of the source of '{shown}' cannot be read"))
    })?;
    let is_restore = restored.is_some() || (payload.restore && payload.uphold.is_some());
    Ok(Work {
        payload: Payload { restore: is_restore, ..payload.clone() },
        plan: definition.plan()?,
        table,
        definition,
        source,
        source_version,
        read_version,
        published: state.published,
    })
}

/// What is to be restored; none where that is not asked for, or where a vacuum took the rows that it was computed from: then what the
/// source has now is published, since requests wait for something.
fn restored(sql: &mut Sql<'_>, payload: &Payload, state: &State) -> Result<Option<Published>> {
    let Some(published) = state.published.filter(|_| payload.restore && payload.uphold.is_none()) else {
        return Ok(None);
    };
    let source = definition::get(sql, payload.table, published.definition)?.source_id;
    Ok(readable_as(sql, source, published.source_version)?.map(|_| published))
}

/// How far a superseded definition is brought: where it was, to restore it; as far as the newest one where that is computed when
/// somebody asks for it; else, or where a vacuum took that version, as far as its source is.
fn upheld_version(
    sql: &mut Sql<'_>,
    payload: &Payload,
    state: &State,
    definition: &Definition,
) -> Result<Option<u64>> {
    let (table, source) = (payload.table, definition.source_id);
    let mut version = None;
    if payload.restore {
        version = definition::upheld(sql, table, definition.n)?.and_then(|upheld| upheld.source_version);
    } else if let (Refresh::Manual, Some(published)) = (state.refresh, state.published)
        && definition::get(sql, table, published.definition)?.source_id == source
    {
        version = Some(published.source_version);
    }
    match version {
        Some(version) if readable_as(sql, source, version)?.is_some() => Ok(Some(version)),
        _ => Ok(None),
    }
}

/// Records what is published, and takes the pin away.
pub(super) async fn end(job: &JobCtx, work: &Work, done: &Done) -> Result<Json> {
    let result = done.said(work);
    let (work, meta, detail) = (work.clone(), done.meta.clone(), result.clone());
    let table_version =
        meta.table_version.ok_or_else(|| Error::internal("what is published has no version of the table"))?;
    job.write(move |tx| {
        // Also where it changed hands meanwhile: what is published, is.
        let id = work.table.asset.id;
        managed::by_asset(tx, id, Action::Edit)?;
        let had = tables::unpin_all_in_tx(tx, work.source.asset.id, &work.holder())? > 0;
        let now = tx.now();
        let (version, source_version) = (table_version as i64, meta.source_version as i64);
        let is_new =
            !work.is_published() || work.published.is_none_or(|before| before.version != table_version);
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

/// Records how far a superseded definition was brought, and takes the pin away.
pub(super) async fn end_upheld(job: &JobCtx, work: &Work, done: &Done) -> Result<Json> {
    let mut result = done.said(work);
    result["upheld"] = true.into();
    let (work, meta, detail) = (work.clone(), done.meta.clone(), result.clone());
    job.write(move |tx| {
        let id = work.table.asset.id;
        managed::by_asset(tx, id, Action::Edit)?;
        tables::unpin_all_in_tx(tx, work.source.asset.id, &work.holder())?;
        let now = tx.now();
        tx.execute(&store::UPHELD_PUT, bind![id, meta.definition, meta.source_version as i64, now])?;
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
