//! Scoring over HTTP, in the protocol of MLflow's scoring server.
//!
//! What must stay true: a request meets the metadata store only where its caller was not let in a moment ago; the rows go from
//! the body into typed columns and from there into the model; the answer leaves once the log has the request.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use super::{
    body::{self, Asked, check_client_request_id},
    endpoints::find,
    live::{Deployed, Live},
    log::{self, Served},
    runtime::{ROWS_HERE, Scores, beside_requests},
    signature::Form,
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Error, Result},
    files::http::param,
    router::{Limits, PathParams, Policy, Route, body::read_content},
    time,
};

/// Bytes of a scoring request at most. What it takes is limited by `scoring_seconds`, and by how long an endpoint is waited for.
const LIMITS: Limits = Limits { body: Some(32 << 20), time: std::time::Duration::from_mins(25) };
/// Bytes of a body above which reading it leaves the thread that answers requests.
const BYTES_HERE: usize = 64 << 10;
/// The version of MLflow whose protocol this is, for clients that ask.
const PROTOCOL: &str = "3.17.2";

pub(super) fn routes() -> Vec<Route> {
    let score = |path| {
        Route::raw(Method::POST, path, Policy::Asset(Action::Execute), LIMITS, "Score rows", invoke)
            .taking_bytes()
            .giving_content("application/json")
            .remembering()
    };
    let look = |path, summary| {
        Route::raw(Method::GET, path, Policy::Asset(Action::Execute), Limits::SMALL, summary, ping)
            .giving_content("application/json")
    };
    vec![
        score("/serving-endpoints/{name}/invocations"),
        score("/endpoints/{name}/invocations"),
        look("/endpoints/{name}/ping", "Whether an endpoint answers"),
        look("/endpoints/{name}/health", "Whether an endpoint answers"),
        Route::raw(
            Method::GET,
            "/endpoints/{name}/version",
            Policy::Asset(Action::Execute),
            Limits::SMALL,
            "The version of the scoring protocol",
            version,
        )
        .giving_content("application/json"),
    ]
}

/// The endpoint that a path names, for a caller who may execute it.
async fn admitted(ctx: &Ctx, params: &PathParams) -> Result<Arc<Live>> {
    let name = param(params, "name");
    if let Some(live) = ctx.app.serving.find(name) {
        live.admit(ctx).await?;
        return Ok(live);
    }
    // By its three levels, or made by somebody else a moment ago.
    let wanted = name.to_owned();
    let found = ctx.read(move |sql| find(sql, &wanted, Action::Execute)).await?;
    Ok(ctx.app.serving.adopt(found.asset.id, &found.name))
}

async fn invoke(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let began = Instant::now();
    let live = admitted(&ctx, &params).await?;
    let outcome = serve(&ctx, &live, params, request, began).await;
    match &outcome {
        Ok(answer) if answer.status().is_success() => {
            live.traffic.answered(ctx.origin.request_id, time::now_ms(), began.elapsed());
        }
        _ => live.traffic.failed(),
    }
    outcome
}

async fn serve(
    ctx: &Ctx,
    live: &Live,
    params: PathParams,
    request: Request<Body>,
    began: Instant,
) -> Result<Response> {
    let content = match Content::of(request.headers()) {
        Ok(content) => content,
        Err(why) => return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response()),
    };
    let said = said_id(request.headers())?;
    // Held to the end: what is made of a large body takes room for as long as it is scored.
    let input = read_content(ctx, params, request).await?;
    let deployed = live.ready().await?;
    score(ctx, &deployed, content, &input.body, said, began).await
}

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Json,
    Csv,
}

impl Content {
    /// What the headers say, or the words of the reference's refusal.
    fn of(headers: &HeaderMap) -> Result<Self, String> {
        let said =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = said.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !name.trim().eq_ignore_ascii_case("charset") {
                return Err(format!("Unrecognized content type parameters: {name}."));
            }
            if !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
                return Err("The scoring server only supports UTF-8".into());
            }
        }
        match kind.as_str() {
            "application/json" => Ok(Self::Json),
            "text/csv" => Ok(Self::Csv),
            _ => Err(format!(
                "This predictor only supports the following content types: Types: ['text/csv', 'application/json']. Got '{said}'."
            )),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
        }
    }
}

/// The id that a caller gave in a header.
fn said_id(headers: &HeaderMap) -> Result<Option<String>> {
    let said = headers.get("x-client-request-id").or_else(|| headers.get("x-request-id"));
    let Some(said) = said else { return Ok(None) };
    let text = said.to_str().map_err(|_| Error::invalid("The header x-request-id is no plain text."))?;
    Ok(Some(check_client_request_id(text.to_owned())?).filter(|text| !text.is_empty()))
}

async fn score(
    ctx: &Ctx,
    deployed: &Deployed,
    content: Content,
    bytes: &[u8],
    said: Option<String>,
    began: Instant,
) -> Result<Response> {
    let scorer = &deployed.scorer;
    let schema = deployed.lookup.request_schema().unwrap_or(scorer.schema());
    let read = || match content {
        Content::Json => body::read_json(schema, bytes),
        Content::Csv => body::read_csv(schema, bytes),
    };
    let asked = if bytes.len() > BYTES_HERE { beside_requests(read)? } else { read()? };
    let Asked { frame, params, client_request_id, mut event_times, event_time } = asked;
    let client_request_id = client_request_id.or(said);
    let rows = frame.rows;
    let fill = || deployed.lookup.fill(frame, &event_times);
    let (frame, read) = if rows > ROWS_HERE { beside_requests(fill)? } else { fill()? };
    let scores = if scorer.schema().form == Form::Free {
        let text = std::str::from_utf8(bytes).map_err(|_| {
            Error::new(Code::BadRequest, "Ensure that input is a valid UTF-8 encoded string.")
        })?;
        scorer.score_free(text, content.name()).await?
    } else {
        scorer.score_frame(&frame, params.as_deref()).await?
    };
    if let Some(moment) = event_time {
        event_times = vec![moment; scores.value.len()];
    }
    let text = answer(&scores);
    let echoed = client_request_id.clone();
    let served = Served {
        request_id: ctx.origin.request_id,
        client_request_id,
        event_times_micros: event_times,
        inputs: &frame,
        read,
        scores: &scores,
        began,
    };
    log::keep(deployed, served).await?;
    let mut response = ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    let headers = response.headers_mut();
    for (name, value) in
        [("x-client-request-id", echoed), ("x-model-version", Some(scorer.version().version.to_string()))]
    {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

fn answer(scores: &Scores) -> String {
    let outputs = scores.outputs.get();
    if scores.is_bare { outputs.to_owned() } else { format!("{{\"predictions\": {outputs}}}") }
}

async fn ping(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let live = admitted(&ctx, &params).await?;
    live.ready().await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], "\n").into_response())
}

async fn version(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    admitted(&ctx, &params).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], PROTOCOL).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart_as_the_reference_does() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            Content::of(&headers)
        };
        assert_eq!(of("application/json"), Ok(Content::Json));
        assert_eq!(of("application/json; charset=UTF-8"), Ok(Content::Json));
        assert_eq!(of("Text/CSV;charset=\"utf-8\""), Ok(Content::Csv));
        for refused in ["text/plain", "application/json; charset=latin1", "application/json; q=1"] {
            assert!(of(refused).is_err(), "{refused}");
        }
        assert!(Content::of(&HeaderMap::new()).is_err());
    }
}
