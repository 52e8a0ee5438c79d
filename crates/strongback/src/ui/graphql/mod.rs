//! The few GraphQL questions that MLflow's web pages ask instead of REST: an experiment, a run, runs, a history.
//!
//! A question is answered by the REST handler of the same name, whose answer is then cut to the fields that were asked
//! for. So both faces have one authorisation and one meaning. What MLflow's schema calls a long travels as text.
//! Source of the shapes: the queries that MLflow 3.17's pages send.

mod document;

use std::collections::{HashMap, hash_map::Entry};

use async_graphql_parser::types::{Field, OperationType};
use async_graphql_value::{Name, Variables};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    bind,
    catalog::{Action, asset, authorize},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire},
    tracking::{
        experiment::{self, wire::ExperimentOut},
        limits, metrics, page, run, search,
    },
};
use document::shown;

/// Questions in one request.
const QUESTIONS_MAX: usize = 10;
/// Bytes of what several questions of one request are answered with: what one may be answered with alone.
const ANSWERS_BYTES: u64 = page::BYTES;

crate::statements! {
    /// Versions that were registered from these runs.
    VERSIONS_OF_RUNS = "SELECT v.run_uuid, v.model_id, v.version, v.status, v.source, v.created_at FROM model_version v
        WHERE v.run_uuid IN {texts:$1} AND v.deleted_at IS NULL ORDER BY v.run_uuid, v.model_id, v.version";
}

pub(super) fn routes() -> Vec<Route> {
    let summary = "The questions that MLflow's web pages ask as GraphQL";
    vec![Route::json(Method::POST, "/graphql", Policy::Visible, Limits::SMALL, summary, answer)]
}

/// A GraphQL request.
#[derive(Debug, Deserialize, JsonSchema)]
struct Request {
    /// The document.
    query: Option<String>,
    /// Values for its variables.
    #[serde(default)]
    variables: Value,
    /// Which of its operations.
    #[serde(alias = "operationName")]
    operation_name: Option<String>,
}

/// A GraphQL answer.
#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    data: Value,
    errors: Option<Vec<String>>,
}

async fn answer(ctx: Ctx, request: Request) -> Result<Answer> {
    let text = request.query.as_deref().ok_or_else(|| Error::required("query"))?;
    let document = document::read(text)?;
    let wanted = request.operation_name.as_deref();
    let operation = document
        .operations
        .iter()
        .find(|(name, _)| wanted.is_none() || name.map(Name::as_str) == wanted)
        .map(|(_, operation)| &operation.node)
        .ok_or_else(|| Error::invalid("The GraphQL request has no such operation."))?;
    if operation.ty != OperationType::Query {
        return Err(Error::invalid("Only GraphQL queries are answered; changes go through REST."));
    }
    let variables = Variables::from_json(request.variables);
    let questions = &operation.selection_set.node;
    if questions.items.len() > QUESTIONS_MAX {
        return Err(Error::invalid(format!("A GraphQL request can ask at most {QUESTIONS_MAX} questions.")));
    }
    document::check(questions)?;
    let (mut data, mut errors, mut bytes) = (Map::new(), Vec::new(), 0);
    for field in document::fields_of(questions) {
        let key = field.response_key().node.to_string();
        let input = document::argument(field, &variables)?;
        let whole = match question(&ctx, &field.name.node, input).await {
            Ok(answer) => camel(answer),
            Err(error) if error.is_ours() => return Err(error),
            Err(error) if asks_for_errors(field) => told(&error),
            Err(error) => {
                errors.push(error.message().to_owned());
                data.insert(key, Value::Null);
                continue;
            }
        };
        let shown = document::cut(&whole, &field.selection_set.node, &field.name.node);
        bytes += document::bytes(&shown);
        if !data.is_empty() && bytes > ANSWERS_BYTES {
            return Err(Error::invalid(format!(
                "The answers of one GraphQL request hold at most {ANSWERS_BYTES} bytes together, and these hold more. Ask \
                 the questions in requests of their own, or for fewer runs."
            )));
        }
        data.insert(key, shown);
    }
    Ok(Answer { data: Value::Object(data), errors: (!errors.is_empty()).then_some(errors) })
}

/// Where an error of a question stands in its answer.
const API_ERROR: &str = "apiError";

/// Whether a question wants to hear in its answer why there is none. For one that does not, it stands beside the answers: an empty
/// answer would be a false one.
fn asks_for_errors(question: &Field) -> bool {
    document::fields_of(&question.selection_set.node).any(|field| field.name.node == API_ERROR)
}

fn told(error: &Error) -> Value {
    json!({ API_ERROR: { "code": error.code().name(), "message": error.message() } })
}

/// Answers one question, as REST does.
async fn question(ctx: &Ctx, name: &str, input: Value) -> Result<Value> {
    match name {
        "mlflowGetExperiment" => ask(input, |request| experiment::find::get(ctx.clone(), request)).await,
        "mlflowGetRun" => get_run(ctx, input).await,
        "mlflowSearchRuns" => search_runs(ctx, input).await,
        "mlflowGetMetricHistoryBulkInterval" => {
            ask(input, |request| metrics::bulk::get_interval(ctx.clone(), request)).await
        }
        other => Err(Error::new(
            crate::error::Code::NotImplemented,
            format!(
                "The GraphQL question {:?} is not answered here; REST has what it asks for.",
                shown(other)
            ),
        )),
    }
}

async fn ask<Req, Res, Fut>(input: Value, handler: impl FnOnce(Req) -> Fut) -> Result<Value>
where
    Req: DeserializeOwned,
    Res: Serialize,
    Fut: Future<Output = Result<Res>>,
{
    if !input.is_object() {
        return Err(Error::invalid(format!(
            "The GraphQL input {} is no object. Name its fields in braces.",
            shown(&input.to_string())
        )));
    }
    let request = serde_json::from_value(input).map_err(|error| {
        Error::invalid(format!("The GraphQL input is not allowed: {}.", shown(&error.to_string())))
    })?;
    serde_json::to_value(handler(request).await?).map_err(Error::internal)
}

async fn get_run(ctx: &Ctx, input: Value) -> Result<Value> {
    let mut answer = ask(input, |request| run::get::get(ctx.clone(), request)).await?;
    if let Some(run) = answer.get_mut("run") {
        complete(ctx, std::slice::from_mut(run)).await?;
    }
    Ok(answer)
}

async fn search_runs(ctx: &Ctx, input: Value) -> Result<Value> {
    let mut answer = ask(input, |request| search::search(ctx.clone(), request)).await?;
    if let Some(runs) = answer.get_mut("runs").and_then(Value::as_array_mut) {
        complete(ctx, runs).await?;
    }
    Ok(answer)
}

/// Adds what the pages want to see with runs: their experiments, of which they share a few, and the versions registered
/// from them. One read for all.
async fn complete(ctx: &Ctx, runs: &mut [Value]) -> Result<()> {
    let of = |run: &Value, name: &str| run["info"][name].as_str().unwrap_or_default().to_owned();
    let mut experiments: Vec<String> = runs.iter().map(|run| of(run, "experiment_id")).collect();
    experiments.sort_unstable();
    experiments.dedup();
    let uuids: Vec<String> = runs.iter().map(|run| of(run, "run_id")).collect();
    let (experiments, mut versions) = ctx
        .read(move |sql| {
            let mut found = HashMap::with_capacity(experiments.len());
            for id in experiments {
                let experiment = experiment::load(sql, limits::experiment_id(&id)?, Action::Read)?;
                let experiment =
                    serde_json::to_value(ExperimentOut::from(&experiment)).map_err(Error::internal)?;
                found.insert(id, experiment);
            }
            Ok((found, versions_of(sql, &uuids)?))
        })
        .await?;
    for run in runs {
        run["experiment"] = experiments.get(&of(run, "experiment_id")).cloned().unwrap_or_default();
        run["model_versions"] = versions.remove(&of(run, "run_id")).unwrap_or_default().into();
    }
    Ok(())
}

/// Versions by the run they were registered from, of models that the caller may read.
fn versions_of(sql: &mut Sql<'_>, uuids: &[String]) -> Result<HashMap<String, Vec<Value>>> {
    authorize::visible(sql);
    let uuids = serde_json::to_string(uuids).map_err(Error::internal)?;
    let found = sql.all(&VERSIONS_OF_RUNS, bind![&uuids], |row| {
        let version = json!({
            "version": row.get::<i64>(2)?.to_string(),
            "status": row.get::<String>(3)?,
            "source": row.get::<String>(4)?,
            "creation_timestamp": row.get::<i64>(5)?,
        });
        Ok((row.get::<String>(0)?, row.get::<i64>(1)?, version))
    })?;
    // A model's name, where it may be read.
    let mut names = HashMap::new();
    let mut versions: HashMap<String, Vec<Value>> = HashMap::new();
    for (uuid, model, mut version) in found {
        let name: &Option<String> = match names.entry(model) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let is_allowed = authorize::is_allowed(sql, Action::Read, model)?;
                new.insert(if is_allowed { Some(asset::display_name(sql, model)?) } else { None })
            }
        };
        if let Some(name) = name {
            version["name"] = Value::String(name.clone());
            versions.entry(uuid).or_default().push(version);
        }
    }
    Ok(versions)
}

/// Field names in camel case, as GraphQL has them. Keys that clients chose stand in values, not in names.
fn camel(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(camel).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (wire::camel_case(&name), camel(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}
