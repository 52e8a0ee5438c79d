//! Searching runs: `runs/search`, answered from the index and from the documents that are newer than it.
//!
//! A search is bounded in time and its page in bytes, because each holds a reader and memory that others wait for. A run
//! that cannot be read is left out, and so is what the index knew of it.
//!
//! Nothing but the documents of marked runs and the columns that are asked for is read. Only who asks for the smallest or largest
//! value of a metric may have to look at histories, of runs of a former version that were not indexed since.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::search::{Expr, Grammar, OrderBy, SyntaxError, parse_filter, parse_order_by};

use super::{
    columns::{Kind, RunFacts},
    damaged::{read_if_whole, say_damaged},
    document::Damaged,
    experiment::{self, Experiment},
    index::{self, Columns},
    limits, metrics,
    page::{self, Question},
    run::{self, Run, wire::RunOut},
    scan::{Anchor, ColumnSource, FreshRun, Home, Query, Search, Segment, View},
    wire::ViewType,
};
use crate::{
    bind,
    context::Ctx,
    db::{Limit, Sql},
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{Int64, list},
    },
};

/// Runs of a page that asks for no number.
const PAGE: i64 = 1_000;
/// Runs that are in memory at once while their metrics are settled.
const RUNS_SETTLED: usize = 50;
/// Experiments of one search.
const EXPERIMENTS: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.0/mlflow/runs/search";
    vec![Route::json(Method::POST, path, Policy::Visible, Limits::JSON, "Search runs", search)]
}

/// `runs/search`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct SearchRequest {
    /// Decimal texts.
    #[serde(default, alias = "experimentIds", deserialize_with = "list")]
    pub experiment_ids: Vec<String>,
    /// E.g. `metrics.auc > 0.9 AND tags.team = 'risk'`.
    pub filter: Option<String>,
    /// `ACTIVE_ONLY`, `DELETED_ONLY` or `ALL`.
    #[serde(default, alias = "runViewType")]
    pub run_view_type: ViewType,
    /// 1 to 50,000; 1,000 if absent.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// E.g. `metrics.auc DESC`.
    #[serde(default, alias = "orderBy", deserialize_with = "list")]
    pub order_by: Vec<String>,
    /// From the answer before.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A page of runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SearchResponse {
    /// In the order asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunOut>,
    /// For the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A search, parsed. Other faces of this product ask by it too.
#[derive(Debug)]
pub struct RunSearch {
    /// MLflow's ids of the experiments.
    pub experiments: Vec<i64>,
    /// What must hold; `None` lets every run through.
    pub filter: Option<Expr>,
    /// The order, before start time and run id.
    pub order: Vec<OrderBy>,
    /// Which life-cycle stages are seen.
    pub view: View,
    /// Most runs of the page.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<Anchor>,
}

impl From<ViewType> for View {
    fn from(view: ViewType) -> Self {
        match view {
            ViewType::ActiveOnly => Self::Active,
            ViewType::DeletedOnly => Self::Deleted,
            ViewType::All => Self::All,
        }
    }
}

pub(crate) async fn search(ctx: Ctx, request: SearchRequest) -> Result<SearchResponse> {
    let ids = &request.experiment_ids;
    if ids.len() > EXPERIMENTS {
        return Err(Error::invalid(format!(
            "'experiment_ids' can contain at most {EXPERIMENTS} ids; it has {}.",
            ids.len()
        )));
    }
    let mut experiments = ids.iter().map(|id| limits::experiment_id(id)).collect::<Result<Vec<_>>>()?;
    experiments.sort_unstable();
    experiments.dedup();
    let limit = limits::max_results(request.max_results.map(|n| n.0), PAGE, limits::PAGE)?;
    let text = request.filter.unwrap_or_default();
    let in_field = |field| move |error: SyntaxError| Error::from(error).in_field(field);
    let filter = match text.as_str() {
        "" => None,
        text => Some(parse_filter(Grammar::Runs, text).map_err(in_field("filter"))?),
    };
    let order = parse_order_by(Grammar::Runs, &request.order_by).map_err(in_field("order_by"))?;
    let question = Question::of(&(&experiments, &text, &request.order_by, request.run_view_type))?;
    let after = match page::anchor::<String>(question, request.page_token.as_deref())? {
        Some(place) => Some(decode(&place, &order)?),
        None => None,
    };
    let asked = RunSearch { experiments, filter, order, view: request.run_view_type.into(), limit, after };
    let app = Arc::clone(&ctx.app);
    ctx.read(move |sql| {
        let (runs, next) = find(sql, &app.columns, &asked)?;
        let next_page_token = match next {
            Some(anchor) => Some(page::token(question, &hex::encode(anchor.encode()))?),
            None => None,
        };
        Ok(SearchResponse { runs: run::complete(sql, &runs)?, next_page_token })
    })
    .await
}

fn decode(place: &str, order: &[OrderBy]) -> Result<Anchor> {
    let bytes = hex::decode(place).ok().and_then(|bytes| Anchor::decode(&bytes, order).ok());
    bytes.ok_or_else(|| {
        Error::invalid("Invalid value for parameter 'page_token' supplied: it cannot be read.")
    })
}

/// Runs a search for the caller of `sql`, with the columns that are kept: the runs of the page, and where the next one goes on. There may be fewer runs
/// than asked for and more behind them.
pub fn find(sql: &mut Sql<'_>, columns: &Columns, asked: &RunSearch) -> Result<(Vec<Run>, Option<Anchor>)> {
    let experiments = experiment::named(sql, &asked.experiments)?;
    let homes: Vec<i64> = experiments.iter().map(|experiment| experiment.id).collect();
    let query = Query {
        filter: asked.filter.as_ref(),
        order: &asked.order,
        view: asked.view,
        limit: asked.limit,
        after: asked.after.as_ref(),
    };
    let mut search = Search::new(&query);
    let until = sql.limit();
    let aggregated = query.aggregated();
    let ids = serde_json::to_string(&homes).map_err(Error::internal)?;
    let (mut seen, mut later) = (HashSet::new(), Vec::new());
    sql.each(&run::store::RUN_FRESH, bind![&ids], |row| {
        let Some(run) = read_if_whole(row, 1, run::read)? else {
            search.hide(row.get(0)?);
            return Ok(true);
        };
        if !aggregated.is_empty() {
            seen.insert(run.id);
            if run.document.unsettled().any(|key| aggregated.contains(key)) {
                later.push(run.id);
                return Ok(true);
            }
        }
        show(&mut search, &run, &until)?;
        Ok(true)
    })?;
    if !aggregated.is_empty() {
        later.extend(index::runs_of_old(sql, &homes)?.into_iter().filter(|run| !seen.contains(run)));
        show_settled(sql, &mut search, &later, &aggregated)?;
    }
    let segments = index::segments(sql, &homes)?;
    let source = Stored { sql: RefCell::new(sql), columns, segments, experiments, until };
    let mut found = search.page(&source).map_err(|Failed(error)| error)?;
    let sql = source.sql.into_inner();
    found.end_after(run::count_within(sql, &found.run_ids, page::BYTES)?);
    Ok((run::in_order(sql, &found.run_ids)?, found.next))
}

/// Shows a run to the search as its document has it.
fn show(search: &mut Search<'_>, run: &Run, until: &Limit) -> Result<()> {
    let facts = RunFacts { deleted: run.is_deleted(), ..index::facts(run)? };
    let home = Home { mlflow_id: run.home.mlflow_id, artifact_root: &run.home.artifact_location };
    search.fresh(FreshRun { run_id: run.id, facts }, home, || until.check())
}

/// The same for runs whose documents may not know the bounds of these metrics, and whose rows in the index know none.
fn show_settled(
    sql: &mut Sql<'_>,
    search: &mut Search<'_>,
    run_ids: &[i64],
    keys: &BTreeSet<String>,
) -> Result<()> {
    let until = sql.limit();
    for part in run_ids.chunks(RUNS_SETTLED) {
        for id in part {
            search.hide(*id);
        }
        for mut run in run::in_order(sql, part)? {
            match metrics::settle(sql, &mut run, keys)? {
                Ok(()) => show(search, &run, &until)?,
                Err(error) => say_damaged(&run.uuid, &error.into()),
            }
        }
    }
    Ok(())
}

/// Columns in the store, read through one snapshot.
struct Stored<'s, 'c> {
    sql: RefCell<&'s mut Sql<'c>>,
    columns: &'s Columns,
    segments: Vec<Segment>,
    experiments: Vec<Experiment>,
    until: Limit,
}

/// What fails a scan, as the scan wants it.
struct Failed(Error);

impl From<Damaged> for Failed {
    fn from(error: Damaged) -> Self {
        Self(error.into())
    }
}

impl ColumnSource for Stored<'_, '_> {
    type Bytes = Arc<[u8]>;
    type Error = Failed;

    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn column(&self, segment: &Segment, kind: Kind, key: &str) -> Result<Option<Arc<[u8]>>, Failed> {
        let read = || {
            let code = i64::from(kind.code());
            let mut sql = self.sql.borrow_mut();
            sql.first(&index::store::COLUMN_GET, bind![segment.id, code, key], |row| row.get(0))
        };
        self.columns.get(segment, kind, key, read).map_err(Failed)
    }

    fn keep_going(&self) -> Result<(), Failed> {
        self.until.check().map_err(Failed)
    }

    fn is_deleted(&self, experiment: i64) -> bool {
        self.experiments.iter().any(|known| known.id == experiment && known.deleted)
    }

    fn home(&self, experiment: i64) -> Home<'_> {
        let found = self.experiments.iter().find(|known| known.id == experiment);
        found.map_or(Home { mlflow_id: 0, artifact_root: "" }, |found| Home {
            mlflow_id: found.mlflow_id,
            artifact_root: &found.artifact_location,
        })
    }
}
