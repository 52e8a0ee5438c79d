//! Params of logged models: written once.

use std::collections::HashMap;

use http::Method;
use serde_json::json;

use super::{lock_living, wire::ParamsRequest};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::EventKind,
    router::{Limits, Policy, Route, wire::Empty},
    tracking::{limits, wire::KeyValue},
};

/// Params of one request.
const PARAMS: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/logged-models/{model_id}/params",
        Policy::Asset(Action::Edit),
        Limits::LARGE,
        "Log params of a logged model",
        log,
    )]
}

/// Checks the params of a request.
pub(super) fn checked(params: &[KeyValue]) -> Result<Vec<(String, String)>> {
    if params.len() > PARAMS {
        return Err(Error::invalid(format!(
            "A batch logging request can contain at most {PARAMS} params. Got {} params. Please split up params across \
             multiple requests and try again.",
            params.len()
        )));
    }
    let checked = |(at, param): (usize, &KeyValue)| {
        let key = limits::key(&format!("params[{at}].key"), param.key.as_deref())?;
        let path = format!("params[{at}].value");
        Ok((key.to_owned(), limits::text(&path, param.value(), limits::LOGGED_MODEL_VALUE_CHARS)?.to_owned()))
    };
    let checked: Vec<(String, String)> = params.iter().enumerate().map(checked).collect::<Result<_>>()?;
    let mut known: HashMap<&str, &str> = HashMap::new();
    for (key, value) in &checked {
        match known.insert(key, value) {
            Some(before) if before != value => {
                return Err(Error::invalid(format!(
                    "Invalid value for parameter 'params' supplied: the param '{key}' is given twice, with different values."
                )));
            }
            _ => {}
        }
    }
    Ok(checked)
}

async fn log(ctx: Ctx, request: ParamsRequest) -> Result<Empty> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    let params = checked(&request.params)?;
    ctx.write(move |tx| {
        let mut model = lock_living(tx, &id)?;
        let mut added = 0;
        for (key, value) in &params {
            match model.document.params.get(key) {
                Some(stored) if stored == value => {}
                Some(stored) => {
                    return Err(Error::invalid(format!(
                        "Changing param values is not allowed. Param with key='{key}' was already logged with \
                         value='{}' for logged model ID='{id}'. Attempted logging new value '{}'.",
                        limits::cut(stored, 500),
                        limits::cut(value, 500)
                    )));
                }
                None => {
                    model.document.params.insert(key.clone(), value.clone());
                    added += 1;
                }
            }
        }
        if added == 0 {
            return Ok(Change::Nothing(Empty {}));
        }
        model.save(tx)?;
        let event = model.event(EventKind::LoggedModelParams).detail(json!({ "params": added }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
