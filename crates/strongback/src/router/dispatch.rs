//! The way of every request: guard, authentication, limits, handler, response, one log line, one measurement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{RawPathParams, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Limited;

use super::{Handler, PathParams, Policy, Route, Takes, body, guard, rest::Rest};
use crate::{
    auth::{self, Caller, Proof},
    catalog::authorize,
    context::{App, Ctx},
    db::Origin,
    error::{Code, Error, Result},
    time,
    ui::refusal,
};

/// How long a body may take before its sender's credential is looked at once more.
const SLOW_BODY: Duration = Duration::from_secs(3);

/// Runs one request through its route.
pub(super) async fn run(
    app: Arc<App>,
    route: Arc<Route>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
) -> Response {
    let started = Instant::now();
    let request_id = uuid::Uuid::now_v7();
    let method = request.method().clone();
    let page = refusal::Page::wanted(&request);
    let (request, rest) = Rest::lend(request);
    let answer = std::panic::AssertUnwindSafe(answer(&app, &route, request_id, params, request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(Error::internal("a handler panicked")));
    let elapsed = started.elapsed();
    rest.read().await;
    let status = match &answer {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.status(),
    };
    let labels =
        [("route", route.path.to_string()), ("method", method.to_string()), ("status", status.to_string())];
    metrics::histogram!("strongback_request_seconds", &labels).record(elapsed.as_secs_f64());
    let mut response = finish(answer, request_id, page, |error| match error {
        Some(error) if error.is_ours() => tracing::error!(
            %request_id, %method, path = %route.path, status, ms = elapsed.as_millis() as u64, %error,
            cause = error.cause_chain(), "request failed"
        ),
        Some(error) => tracing::debug!(
            %request_id, %method, path = %route.path, status, ms = elapsed.as_millis() as u64, %error, "request refused"
        ),
        None => tracing::debug!(
            %request_id, %method, path = %route.path, status, ms = elapsed.as_millis() as u64, "request"
        ),
    });
    if let Some(since) = route.deprecated
        && let Ok(since) = HeaderValue::from_str(&format!("@{since}"))
    {
        response.headers_mut().insert("deprecation", since);
    }
    response
}

/// Answers a request that has no route, under the same guard.
pub(super) async fn refuse(
    app: Arc<App>,
    request: Request<Body>,
    why: fn(&Request<Body>) -> Error,
) -> Response {
    let error = guard::check(&app.config, &request).err().unwrap_or_else(|| why(&request));
    let page = refusal::Page::wanted(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    Rest::of(request).read().await;
    finish(Err(error), uuid::Uuid::now_v7(), page, |error| {
        tracing::debug!(%method, path, error = error.map(tracing::field::display), "no route");
    })
}

fn finish(
    answer: Result<Response>,
    request_id: uuid::Uuid,
    page: Option<refusal::Page>,
    log: impl FnOnce(Option<&Error>),
) -> Response {
    log(answer.as_ref().err());
    let mut response = answer.unwrap_or_else(|error| match page {
        Some(page) => page.draw(error),
        None => error.into_response(),
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert("x-request-id", id);
    }
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn answer(
    app: &Arc<App>,
    route: &Route,
    request_id: uuid::Uuid,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request<Body>,
) -> Result<Response> {
    guard::check(&app.config, &request)?;
    let params: PathParams = params
        .map_err(|error| Error::invalid(format!("The path cannot be read: {error}.")))?
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Neither database stores a NUL, and no name or path has one.
    if let Some((name, _)) = params.iter().find(|(_, value)| value.contains('\0')) {
        return Err(Error::invalid(format!(
            "Invalid value for parameter '{name}' supplied: it contains a NUL character. Remove it."
        )));
    }
    let (caller, proof) = admit(app, route, request.headers()).await?;
    let mut ctx =
        Ctx { app: Arc::clone(app), origin: Origin { caller, proof, request_id, now: time::now_ms() } };
    let mut limit = route.limits.time;
    request.extensions_mut().insert(route.limits);
    let (work, _place) = match &route.handler {
        Handler::Raw(handler) => {
            let request = match route.limits.body {
                Some(most) => request.map(|body| Body::new(Limited::new(body, most))),
                None => request,
            };
            if route.shape.body == Takes::Json {
                limit += body::TIME_MAX;
            }
            (handler(ctx, params, request), None)
        }
        Handler::Typed(handler) => {
            refuse_form(&request)?;
            let (head, body) = request.into_parts();
            let asked = Instant::now();
            let mut input = body::gather(&ctx, params, &head, body).await?;
            if asked.elapsed() > SLOW_BODY {
                (ctx.origin.caller, ctx.origin.proof) = admit(app, route, &head.headers).await?;
            }
            let place = input.take_place();
            let work = handler(ctx, input);
            // What was made of a body has its place too, but not for hours.
            (work, place.filter(|_| !route.limits.is_long()))
        }
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let why =
            format!("The request took longer than its limit of {} s and was given up.", limit.as_secs());
        // A write that was begun is ended all the same, and a request may make several.
        Err(if route.is_mutation() {
            Error::outcome_unknown(why)
        } else {
            Error::new(Code::DeadlineExceeded, why)
        })
    })
}

/// Who sends these headers, if the route is for them.
async fn admit(app: &App, route: &Route, headers: &HeaderMap) -> Result<(Arc<Caller>, Proof)> {
    let (caller, proof) = match route.policy {
        Policy::Public => (Caller::nobody(), Proof::Nothing),
        _ if route.is_remembering => {
            app.remembered.authenticate(&app.db, app.config.auth_mode(), headers).await?
        }
        _ => auth::authenticate(&app.db, app.config.auth_mode(), headers).await?,
    };
    if route.policy == Policy::Admin && !caller.is_admin() {
        return Err(Error::denied(format!(
            "{} may not do this: it is for administrators (members of the group admins).",
            caller.name
        )));
    }
    if route.policy == Policy::Runner && !caller.is_runner() {
        return Err(authorize::not_a_runner(&caller));
    }
    Ok((caller, proof))
}

/// A plain form can send a POST without a body whose fields stand in the query; it cannot say that it sends JSON.
fn refuse_form(request: &Request<Body>) -> Result<()> {
    let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
    if request.method() == http::Method::POST && has_query && !guard::is_json(request.headers()) {
        return Err(body::not_json());
    }
    Ok(())
}
