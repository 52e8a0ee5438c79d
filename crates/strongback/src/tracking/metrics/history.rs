//! One key's history, in pages.

use http::Method;

use super::{
    Stored,
    wire::{HistoryRequest, HistoryResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::required},
    tracking::{
        document::Point,
        page::{self, Question},
        run::{self, wire::run_id},
        wire::MetricOut,
    },
};

/// Points of one page at most; whoever asks for more, or for all, gets so many and a token.
const PAGE: usize = 250_000;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    let path = "/api/2.0/mlflow/metrics/get-history";
    vec![Route::json(Method::GET, path, policy, Limits::JSON, "The history of a metric", get_history)]
}

async fn get_history(ctx: Ctx, request: HistoryRequest) -> Result<HistoryResponse> {
    let id = run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let key = required(&request.metric_key, "metric_key")?.to_owned();
    let most = match request.max_results.map(|n| n.0) {
        None => PAGE,
        Some(n) if n > 0 => usize::try_from(n).unwrap_or(PAGE).min(PAGE),
        Some(n) => {
            return Err(Error::invalid(format!(
                "Invalid value {n} for parameter 'max_results' supplied: it must be a positive integer."
            )));
        }
    };
    let question = Question::of(&(&id, &key))?;
    // A value of a point is finite or NaN; its bits survive where JSON's numbers would not.
    let after: Option<(i64, i64, u64)> = page::anchor(question, request.page_token.as_deref())?;
    let after = after.map(|(time, step, bits)| Point::new(time, step, f64::from_bits(bits)));
    ctx.read(move |sql| {
        let run = run::load(sql, &id)?;
        let stored = Stored::load(sql, &run, &key)?;
        let mut points = stored.history()?.page(after, most + 1)?;
        let more = points.len() > most;
        points.truncate(most);
        let next_page_token = match points.last().filter(|_| more) {
            Some(last) => {
                let anchor = (last.timestamp_ms, last.step, last.value.get().to_bits());
                Some(page::token(question, &anchor)?)
            }
            None => None,
        };
        let metrics = points.into_iter().map(|point| MetricOut::new(&key, point)).collect();
        Ok(HistoryResponse { metrics, next_page_token })
    })
    .await
}
