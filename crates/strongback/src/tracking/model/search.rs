//! Searching logged models: the models of the named experiments are read one by one, filtered, and ordered in memory.
//!
//! A document may be large, so that of what matches only its place is kept; the models of the page are read again.

use std::{borrow::Cow, cmp::Ordering};

use http::Method;
use serde::{Deserialize, Serialize};
use syntax::search::{
    self as grammar, Attribute, Fields, Grammar, ORDER_FIELDS_MAX, OrderBy, Predicate, Subject,
};

use super::{
    LoggedModel, Metric, in_order, read, store,
    wire::{DatasetChoice, SearchRequest, SearchResponse},
};
use crate::{
    bind,
    context::Ctx,
    db::Limit,
    error::{Error, Result},
    router::{Limits, Policy, Route},
    tracking::{
        damaged::read_if_whole,
        document::Point,
        experiment, limits,
        ordered::Value,
        page::{self, Question},
    },
};

/// Models of a page that asks for no number.
const PAGE: i64 = 50;
/// Experiments of one search.
const EXPERIMENTS: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/logged-models/search",
        Policy::Visible,
        Limits::JSON,
        "Search logged models",
        search,
    )]
}

impl DatasetChoice {
    fn fits(&self, metric: &Metric) -> bool {
        let fits =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        fits(&self.dataset_name, &metric.dataset_name) && fits(&self.dataset_digest, &metric.dataset_digest)
    }
}

impl Fields for LoggedModel {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Attribute(Attribute::CreationTime) => Some(self.created_at as f64),
            Subject::Attribute(Attribute::LastUpdateTime) => Some(self.updated_at as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        let text = match subject {
            Subject::Attribute(Attribute::Name) => &self.name,
            Subject::Attribute(Attribute::ModelId) => &self.uuid,
            Subject::Attribute(Attribute::ModelType) => &self.model_type,
            Subject::Attribute(Attribute::SourceRunId) => &self.source_run,
            Subject::Attribute(Attribute::StatusMessage) => &self.status_message,
            Subject::Attribute(Attribute::ExperimentId) => {
                return Some(Cow::Owned(self.mlflow_id.to_string()));
            }
            Subject::Attribute(Attribute::Status) => {
                return Some(Cow::Owned((self.status as i64).to_string()));
            }
            Subject::Param(key) => self.document.params.get(key)?,
            Subject::Tag(key) => self.document.tags.get(key)?,
            _ => return None,
        };
        Some(Cow::Borrowed(text))
    }
}

/// A filter made ready: a comparison of a metric holds if some metric of that key and of the chosen data sets fits.
/// Without such a comparison, a choice of data sets finds the models that have any metric on one of them.
struct Filter {
    predicate: Predicate,
    asks_metrics: bool,
    datasets: Vec<DatasetChoice>,
}

impl Filter {
    fn new(text: &str, datasets: Vec<DatasetChoice>) -> Result<Self> {
        let parsed = grammar::parse_filter(Grammar::LoggedModels, text)
            .map_err(|error| Error::from(error).in_field("filter"))?;
        let comparisons = parsed.comparisons();
        let asks_metrics = comparisons.iter().any(|one| matches!(one.subject, Subject::Metric(_)));
        Ok(Self { predicate: Predicate::new(&parsed), asks_metrics, datasets })
    }

    fn matches(&self, model: &LoggedModel, until: &Limit) -> Result<bool> {
        let measured = Measured { model, datasets: &self.datasets };
        let is_asked = self.datasets.is_empty() || self.asks_metrics || measured.metrics().next().is_some();
        Ok(is_asked && self.predicate.matches_while(&measured, || until.check())?)
    }
}

/// A model with its metrics on the chosen data sets.
struct Measured<'m> {
    model: &'m LoggedModel,
    datasets: &'m [DatasetChoice],
}

impl<'m> Measured<'m> {
    fn metrics(&self) -> impl Iterator<Item = &'m Metric> {
        let datasets = self.datasets;
        let is_chosen =
            move |metric: &&Metric| datasets.is_empty() || datasets.iter().any(|choice| choice.fits(metric));
        self.model.document.metrics.iter().filter(is_chosen)
    }
}

impl Fields for Measured<'_> {
    fn number(&self, subject: &Subject) -> Option<f64> {
        self.model.number(subject)
    }

    fn some_number(&self, subject: &Subject, passes: &dyn Fn(f64) -> bool) -> bool {
        match subject {
            Subject::Metric(key) => {
                self.metrics().any(|metric| metric.key == *key && passes(metric.number()))
            }
            subject => self.number(subject).is_some_and(passes),
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        self.model.text(subject)
    }
}

/// What the order looks at, of one model: its place among the others, and the anchor of a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    keys: Vec<Value>,
    created_at: i64,
    uuid: String,
}

/// A field of the order, and whose metrics it looks at.
type Field = (OrderBy, DatasetChoice);

fn place(order: &[Field], model: &LoggedModel) -> Place {
    let key = |(field, dataset): &Field| match &field.subject {
        Subject::Metric(key) => {
            let own =
                model.document.metrics.iter().filter(|metric| metric.key == *key && dataset.fits(metric));
            let point = |metric: &Metric| Point::new(metric.timestamp_ms, metric.step, metric.number());
            Value::number(own.map(point).max().map(|point| point.value.get()))
        }
        subject => Value::of(subject, model),
    };
    Place { keys: order.iter().map(key).collect(), created_at: model.created_at, uuid: model.uuid.clone() }
}

/// The order asked for, then newest first, then by id.
fn compare(order: &[Field], a: &Place, b: &Place) -> Ordering {
    let fields = order.iter().zip(a.keys.iter().zip(&b.keys));
    let by_keys = fields.map(|((field, _), (a, b))| a.compare(b, field.ascending)).find(|by| by.is_ne());
    by_keys.unwrap_or_else(|| b.created_at.cmp(&a.created_at).then_with(|| a.uuid.cmp(&b.uuid)))
}

async fn search(ctx: Ctx, request: SearchRequest) -> Result<SearchResponse> {
    let ids = &request.experiment_ids;
    if ids.is_empty() {
        return Err(Error::required("experiment_ids"));
    }
    if ids.len() > EXPERIMENTS {
        return Err(Error::invalid(format!("'experiment_ids' can contain at most {EXPERIMENTS} ids.")));
    }
    let mut experiments = ids.iter().map(|id| limits::experiment_id(id)).collect::<Result<Vec<_>>>()?;
    experiments.sort_unstable();
    experiments.dedup();
    let most = limits::max_results(request.max_results.map(|n| n.0), PAGE, limits::PAGE)?;
    for (at, dataset) in request.datasets.iter().enumerate() {
        if dataset.dataset_name.as_deref().is_none_or(str::is_empty) {
            return Err(Error::required(&format!("datasets[{at}].dataset_name")));
        }
    }
    let text = request.filter.unwrap_or_default();
    let question = Question::of(&(&experiments, &text, &request.datasets, &request.order_by))?;
    let after: Option<Place> = page::anchor(question, request.page_token.as_deref())?;
    let order = fields(&request.order_by)?;
    let filter = Filter::new(&text, request.datasets)?;
    ctx.read(move |sql| {
        let until = sql.limit();
        let mut found = page::Finding::new(most, after, |a: &Place, b: &Place| compare(&order, a, b));
        for home in experiment::named(sql, &experiments)? {
            sql.each(&store::LOGGED_MODEL_LIVING, bind![home.id], |row| {
                let Some(model) = read_if_whole(row, 0, read)? else { return Ok(true) };
                if filter.matches(&model, &until)? {
                    let (at, bytes) = (place(&order, &model), model.bytes());
                    found.offer(at, model.uuid, bytes);
                }
                Ok(true)
            })?;
        }
        let (ids, next) = found.page(|_| 0);
        let next_page_token = next.map(|next| page::token(question, &next)).transpose()?;
        let models = in_order(sql, &ids)?;
        Ok(SearchResponse { models: models.iter().map(Into::into).collect(), next_page_token })
    })
    .await
}

fn fields(given: &[super::wire::OrderIn]) -> Result<Vec<Field>> {
    if given.len() > ORDER_FIELDS_MAX {
        return Err(Error::invalid(format!("'order_by' can hold at most {ORDER_FIELDS_MAX} fields.")));
    }
    let mut order = Vec::with_capacity(given.len());
    for (at, field) in given.iter().enumerate() {
        let name = field.field_name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::required(&format!("order_by[{at}].field_name")))?;
        let parsed = grammar::parse_order_field(Grammar::LoggedModels, name, field.ascending)
            .map_err(|error| Error::from(error).in_field(&format!("order_by[{at}].field_name")))?;
        // What is named again decides nothing more.
        if !order.iter().any(|(known, of): &Field| known.subject == parsed.subject && *of == field.dataset) {
            order.push((parsed, field.dataset.clone()));
        }
    }
    Ok(order)
}
