//! Histories of several runs at once, for charts.

use http::Method;

use super::{
    Stored,
    wire::{BulkRequest, BulkResponse, IntervalRequest},
};
use crate::{
    catalog::{
        Action,
        authorize::{authorize, visible},
    },
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::required},
    tracking::{document::Point, limits, run, wire::MetricOut},
};

/// Runs of one request.
const RUNS: usize = 100;
/// Points of `get-history-bulk`, over all runs.
const BULK_POINTS: i64 = 25_000;
/// Points a run of `get-history-bulk-interval`.
const SAMPLE_POINTS: i64 = 2_500;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    let bulk = "/api/2.0/mlflow/metrics/get-history-bulk";
    let interval = "/api/2.0/mlflow/metrics/get-history-bulk-interval";
    vec![
        Route::json(Method::GET, bulk, policy, Limits::JSON, "Histories of several runs", get_bulk),
        Route::json(
            Method::GET,
            interval,
            policy,
            Limits::JSON,
            "Samples of several runs' histories",
            get_interval,
        ),
    ]
}

async fn get_bulk(ctx: Ctx, request: BulkRequest) -> Result<BulkResponse> {
    let mut runs = checked_runs(&request.run_id, "GetMetricHistoryBulk", "run_id")?;
    runs.sort_unstable();
    runs.dedup();
    let key = required(&request.metric_key, "metric_key")?.to_owned();
    let most =
        limits::max_results(request.max_results.map(|n| n.0.min(BULK_POINTS)), BULK_POINTS, BULK_POINTS)?;
    ctx.read(move |sql| {
        let metrics =
            collect(sql, &runs, &key, |stored, found| Ok(stored.history()?.page(None, most - found)?), most)?;
        Ok(BulkResponse { metrics })
    })
    .await
}

pub(crate) async fn get_interval(ctx: Ctx, request: IntervalRequest) -> Result<BulkResponse> {
    let runs = checked_runs(&request.run_ids, "GetMetricHistoryBulkInterval", "run_ids")?;
    let key = required(&request.metric_key, "metric_key")?.to_owned();
    let most = limits::max_results(request.max_results.map(|n| n.0), SAMPLE_POINTS, SAMPLE_POINTS)?;
    let steps = match (request.start_step.map(|n| n.0), request.end_step.map(|n| n.0)) {
        (None, None) => None,
        (Some(start), Some(end)) if start <= end => Some((start, end)),
        (Some(start), Some(end)) => {
            return Err(Error::invalid(format!(
                "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
            )));
        }
        _ => {
            return Err(Error::invalid(
                "If either start step or end step are specified, both must be specified: 'start_step' and 'end_step'.",
            ));
        }
    };
    ctx.read(move |sql| {
        let metrics =
            collect(sql, &runs, &key, |stored, _| Ok(stored.history()?.sample(steps, most)?), usize::MAX)?;
        Ok(BulkResponse { metrics })
    })
    .await
}

fn checked_runs(runs: &[String], request: &str, field: &str) -> Result<Vec<String>> {
    if runs.is_empty() {
        return Err(Error::invalid(format!("{request} request must specify at least one {field}.")));
    }
    if runs.len() > RUNS {
        return Err(Error::invalid(format!(
            "{request} request cannot specify more than {RUNS} {field}. Received {} {field}.",
            runs.len()
        )));
    }
    runs.iter().map(|id| limits::run_id(field, Some(id)).map(str::to_owned)).collect()
}

/// Points of runs, one run after the other, until there are `most`. `points` is told how many there are. As in MLflow,
/// a run that is nowhere has none: a chart of many runs shows the others.
fn collect(
    sql: &mut Sql<'_>,
    ids: &[String],
    key: &str,
    points: impl Fn(&Stored, usize) -> Result<Vec<Point>>,
    most: usize,
) -> Result<Vec<MetricOut>> {
    visible(sql);
    let mut metrics = Vec::new();
    for id in ids {
        if metrics.len() >= most {
            break;
        }
        let Some(run) = run::find(sql, id)? else { continue };
        authorize(sql, Action::Read, run.experiment_id)?;
        for point in points(&Stored::load(sql, &run, key)?, metrics.len())? {
            metrics.push(MetricOut { run_id: Some(id.clone()), ..MetricOut::new(key, point) });
        }
    }
    Ok(metrics)
}
