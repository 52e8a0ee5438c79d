//! The few GraphQL questions that MLflow's web pages ask instead of REST: an experiment, a run, runs, a history.
//!
//! A question is answered by the REST handler of the same name, whose answer is then cut to the fields that were asked
//! for. So both faces have one authorisation and one meaning. What MLflow's schema calls a long travels as text.
//! Source of the shapes: the queries that MLflow 3.17's pages send.

use async_graphql_parser::{
    Positioned, parse_query,
    types::{Field, OperationType, Selection, SelectionSet},
};
use async_graphql_value::{ConstValue, Name, Value as Argument, Variables};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    bind,
    catalog::{Action, asset, authorize},
    context::Ctx,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire},
    tracking::{experiment, metrics, run, search},
};

/// Questions in one request.
const QUESTIONS_MAX: usize = 10;
/// Fields within fields.
const DEPTH_MAX: usize = 12;

crate::statements! {
    /// Versions that were registered from a run.
    VERSIONS_OF_RUN = "SELECT v.model_id, v.version, v.status, v.source, v.created_at FROM model_version v
        WHERE v.run_uuid = $1 AND v.deleted_at IS NULL ORDER BY v.model_id, v.version";
}

pub(super) fn routes() -> Vec<Route> {
    let summary = "The questions that MLflow's web pages ask as GraphQL";
    vec![Route::json(Method::POST, "/graphql", Policy::Visible, Limits::JSON, summary, answer)]
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
    let document = parse_query(text)
        .map_err(|error| Error::invalid(format!("The GraphQL query cannot be read: {error}.")))?;
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
    let fields: Vec<&Field> = fields_of(&operation.selection_set)?;
    if fields.len() > QUESTIONS_MAX {
        return Err(Error::invalid(format!("A GraphQL request can ask at most {QUESTIONS_MAX} questions.")));
    }
    let mut data = Map::new();
    for field in fields {
        let key = field.response_key().node.to_string();
        let whole = question(&ctx, field, &variables).await?;
        data.insert(key, cut(&whole, &field.selection_set.node, &field.name.node, 0)?);
    }
    Ok(Answer { data: Value::Object(data), errors: None })
}

/// Answers one question, in camel case, with `apiError` in place of an error.
async fn question(ctx: &Ctx, field: &Field, variables: &Variables) -> Result<Value> {
    let input = argument(field, variables)?;
    let answer = match field.name.node.as_str() {
        "mlflowGetExperiment" => ask(input, |request| experiment::find::get(ctx.clone(), request)).await,
        "mlflowGetRun" => get_run(ctx, input).await,
        "mlflowSearchRuns" => search_runs(ctx, input).await,
        "mlflowGetMetricHistoryBulkInterval" => {
            ask(input, |request| metrics::bulk::get_interval(ctx.clone(), request)).await
        }
        other => Err(Error::new(
            crate::error::Code::NotImplemented,
            format!("The GraphQL question {other:?} is not answered here; REST has what it asks for."),
        )),
    };
    Ok(match answer {
        Ok(value) => camel(value),
        Err(error) if error.is_ours() => return Err(error),
        Err(error) => json!({ "apiError": { "code": error.code().name(), "message": error.message() } }),
    })
}

async fn ask<Req, Res, Fut>(input: Value, handler: impl FnOnce(Req) -> Fut) -> Result<Value>
where
    Req: DeserializeOwned,
    Res: Serialize,
    Fut: Future<Output = Result<Res>>,
{
    let request = serde_json::from_value(input)
        .map_err(|error| Error::invalid(format!("The GraphQL input is not allowed: {error}.")))?;
    serde_json::to_value(handler(request).await?).map_err(Error::internal)
}

async fn get_run(ctx: &Ctx, input: Value) -> Result<Value> {
    let mut answer = ask(input, |request| run::get::get(ctx.clone(), request)).await?;
    complete(ctx, &mut answer["run"]).await?;
    Ok(answer)
}

async fn search_runs(ctx: &Ctx, input: Value) -> Result<Value> {
    let mut answer = ask(input, |request| search::search(ctx.clone(), request)).await?;
    if let Some(runs) = answer.get_mut("runs").and_then(Value::as_array_mut) {
        for run in runs {
            complete(ctx, run).await?;
        }
    }
    Ok(answer)
}

/// Adds what the pages want to see with a run: its experiment and the versions registered from it.
async fn complete(ctx: &Ctx, run: &mut Value) -> Result<()> {
    let id = json!({ "experiment_id": run["info"]["experiment_id"] });
    let experiment = ask(id, |request| experiment::find::get(ctx.clone(), request)).await?;
    run["experiment"] = experiment["experiment"].clone();
    let uuid = run["info"]["run_id"].as_str().unwrap_or_default().to_owned();
    run["model_versions"] = ctx
        .read(move |sql| {
            authorize::visible(sql);
            let found = sql.all(&VERSIONS_OF_RUN, bind![&uuid], |row| {
                let version = json!({
                    "version": row.get::<i64>(1)?.to_string(),
                    "status": row.get::<String>(2)?,
                    "source": row.get::<String>(3)?,
                    "creation_timestamp": row.get::<i64>(4)?,
                });
                Ok((row.get::<i64>(0)?, version))
            })?;
            let mut versions = Vec::new();
            for (model, mut version) in found {
                if authorize::is_allowed(sql, Action::Read, model)? {
                    version["name"] = Value::String(asset::display_name(sql, model)?);
                    versions.push(version);
                }
            }
            Ok(Value::Array(versions))
        })
        .await?;
    Ok(())
}

/// The one argument of a question, with its variables filled in.
fn argument(field: &Field, variables: &Variables) -> Result<Value> {
    let Some((_, value)) = field.arguments.first() else { return Ok(json!({})) };
    let filled: ConstValue = value.node.clone().into_const_with(|name| {
        variables
            .get(&name)
            .cloned()
            .ok_or_else(|| Error::invalid(format!("The GraphQL variable ${name} has no value.")))
    })?;
    debug_assert!(!matches!(value.node, Argument::Null), "an argument is a value");
    filled.into_json().map_err(Error::internal)
}

fn fields_of(set: &Positioned<SelectionSet>) -> Result<Vec<&Field>> {
    set.node
        .items
        .iter()
        .map(|item| match &item.node {
            Selection::Field(field) => Ok(&field.node),
            _ => Err(Error::invalid("Fragments are not understood here; name the fields.")),
        })
        .collect()
}

/// Keeps what was asked for. What REST leaves out because it is empty is null here.
fn cut(value: &Value, set: &SelectionSet, name: &str, depth: usize) -> Result<Value> {
    if depth > DEPTH_MAX {
        return Err(Error::invalid(format!("The GraphQL query is nested deeper than {DEPTH_MAX} fields.")));
    }
    match value {
        Value::Array(values) => values.iter().map(|value| cut(value, set, name, depth)).collect(),
        Value::Object(fields) => {
            let mut kept = Map::new();
            for item in &set.items {
                let Selection::Field(field) = &item.node else {
                    return Err(Error::invalid("Fragments are not understood here; name the fields."));
                };
                let asked = field.node.name.node.as_str();
                let found = match fields.get(asked) {
                    Some(found) => cut(found, &field.node.selection_set.node, asked, depth + 1)?,
                    None if asked == "__typename" => Value::String(format!("Mlflow_{name}")),
                    // REST leaves empty lists out; the pages walk through them.
                    None if asked.ends_with('s') && !field.node.selection_set.node.items.is_empty() => {
                        json!([])
                    }
                    None => Value::Null,
                };
                kept.insert(field.node.response_key().node.to_string(), found);
            }
            Ok(Value::Object(kept))
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Value::String(number.to_string())),
        other => Ok(other.clone()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_to_what_was_asked_for() {
        let document =
            parse_query("query Q { a(input: {x: 1}) { b { cD e missing lists { x } } __typename } }")
                .unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let field = fields_of(&operation.node.selection_set).unwrap()[0];
        let whole = camel(json!({ "b": [{ "c_d": 5, "e": 1.5, "f": "left out" }], "g": 1 }));
        let kept = cut(&whole, &field.selection_set.node, "a", 0).unwrap();
        assert_eq!(
            kept,
            json!({ "b": [{ "cD": "5", "e": 1.5, "missing": null, "lists": [] }], "__typename": "Mlflow_a" })
        );
        assert_eq!(argument(field, &Variables::default()).unwrap(), json!({ "x": 1 }));
    }
}
