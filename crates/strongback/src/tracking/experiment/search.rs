//! Searching experiments: there are few of them, so they are read, filtered and ordered in memory.

use std::{borrow::Cow, cmp::Ordering};

use http::Method;
use serde::{Deserialize, Serialize};
use syntax::search::{self as grammar, Attribute, Expr, Fields, Grammar, OrderBy, Predicate, Subject};

use super::{
    Experiment, read, store,
    wire::{ListRequest, SearchRequest, SearchResponse},
};
use crate::{
    bind,
    catalog::{Action, authorize::is_allowed},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route},
    tracking::{
        limits,
        ordered::{self, Value},
        page::{self, Question},
        wire::ViewType,
    },
};

/// What the client sends when nobody says otherwise.
const PAGE: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.0/mlflow/experiments/search";
    let summary = "Search experiments";
    let search = |method| Route::json(method, path, Policy::Visible, Limits::JSON, summary, search);
    let list = Route::json(
        Method::GET,
        "/api/2.0/mlflow/experiments/list",
        Policy::Visible,
        Limits::SMALL,
        "List experiments",
        list,
    );
    vec![search(Method::POST), search(Method::GET), list]
}

impl Fields for Experiment {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Attribute(Attribute::CreationTime) => Some(self.created_at as f64),
            Subject::Attribute(Attribute::LastUpdateTime) => Some(self.updated_at as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Attribute(Attribute::Name) => Some(Cow::Borrowed(&self.name)),
            Subject::Attribute(Attribute::ExperimentId) => Some(Cow::Owned(self.mlflow_id.to_string())),
            Subject::Tag(key) => self.tags.get(key).map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        }
    }
}

/// What the order looks at, of one experiment: its place among the others, and where a page ended.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    keys: Vec<Value>,
    created_at: i64,
    mlflow_id: i64,
}

impl Place {
    fn of(experiment: &Experiment, order: &[OrderBy]) -> Self {
        let &Experiment { created_at, mlflow_id, .. } = experiment;
        Self { keys: ordered::values(order, experiment), created_at, mlflow_id }
    }
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<SearchResponse> {
    search(ctx, request.into()).await
}

async fn search(ctx: Ctx, request: SearchRequest) -> Result<SearchResponse> {
    let most = limits::max_results(request.max_results.map(|n| n.0), PAGE, limits::PAGE)?;
    let filter = request.filter.unwrap_or_default();
    let in_field = |field| move |error: grammar::SyntaxError| Error::from(error).in_field(field);
    let parsed = match filter.as_str() {
        "" => Expr::And(Vec::new()),
        text => grammar::parse_filter(Grammar::Experiments, text).map_err(in_field("filter"))?,
    };
    let predicate = Predicate::new(&parsed);
    let order =
        grammar::parse_order_by(Grammar::Experiments, &request.order_by).map_err(in_field("order_by"))?;
    let view = request.view_type;
    let question = Question::of(&(&filter, &request.order_by, view))?;
    let after: Option<Place> = page::anchor(question, request.page_token.as_deref())?;
    ctx.read(move |sql| {
        let (mut found, until) = (Vec::new(), sql.limit());
        for experiment in visible(sql, view)? {
            let place = Place::of(&experiment, &order);
            let is_behind = after.as_ref().is_none_or(|after| compare(&order, &place, after).is_gt());
            if is_behind && predicate.matches_while(&experiment, || until.check())? {
                found.push((place, experiment));
            }
        }
        found.sort_by(|(a, _), (b, _)| compare(&order, a, b));
        let more = found.len() > most;
        found.truncate(most);
        let next_page_token = match found.last().filter(|_| more) {
            Some((last, _)) => Some(page::token(question, last)?),
            None => None,
        };
        let experiments = found.iter().map(|(_, experiment)| experiment.into()).collect();
        Ok(SearchResponse { experiments, next_page_token })
    })
    .await
}

/// Experiments that the caller may see.
fn visible(sql: &mut Sql<'_>, view: ViewType) -> Result<Vec<Experiment>> {
    let all = sql.all(&store::EXPERIMENT_ALL, bind![], read)?;
    let mut found = Vec::with_capacity(all.len());
    for experiment in all {
        if is_allowed(sql, Action::Read, experiment.id)? && view.shows(experiment.deleted) {
            found.push(experiment);
        }
    }
    Ok(found)
}

/// The order asked for; then newest first, then by id from the largest, as MLflow has it.
fn compare(order: &[OrderBy], a: &Place, b: &Place) -> Ordering {
    ordered::compare(order, &a.keys, &b.keys)
        .then_with(|| (b.created_at, b.mlflow_id).cmp(&(a.created_at, a.mlflow_id)))
}

impl From<grammar::SyntaxError> for Error {
    fn from(error: grammar::SyntaxError) -> Self {
        Self::invalid(error.to_string())
    }
}
