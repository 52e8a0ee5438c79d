//! Operational endpoints: is it alive, is it ready, which version, how is it doing.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    context::{App, Ctx},
    error::{Error, Result},
    events::key,
    router::{Limits, PathParams, Policy, Route},
};

/// MLflow's own version number, which its clients parse to learn what the server can do.
pub(crate) const SPEAKS_LIKE: &str = "3.17.2";

/// The header of a challenge to `/health`.
pub(crate) const CHALLENGE: &str = "x-strongback-challenge";
/// The header of the answer to it.
pub(crate) const PROOF: &str = "x-strongback-proof";

const TEXT: &str = "text/plain";

/// Routes of this file.
pub fn routes() -> Vec<Route> {
    let public = Policy::Public;
    vec![
        Route::raw(Method::GET, "/health", public, Limits::SMALL, "Alive", health).giving_content(TEXT),
        Route::raw(
            Method::GET,
            "/version",
            public,
            Limits::SMALL,
            "The MLflow version whose interface this is",
            |_, _, _| async { Ok(SPEAKS_LIKE.into_response()) },
        )
        .giving_content(TEXT),
        Route::raw(
            Method::GET,
            "/ready",
            public,
            Limits::SMALL,
            "Whether metadata and objects can be used",
            ready,
        )
        .giving_content("application/json"),
        Route::raw(
            Method::GET,
            "/metrics",
            Policy::Authenticated,
            Limits::SMALL,
            "Figures in Prometheus' text format",
            figures,
        )
        .giving_content(TEXT),
    ]
}

/// What `/ready` found last.
#[derive(Default)]
pub struct Readiness(tokio::sync::Mutex<Option<(Instant, Found)>>);

#[derive(Clone)]
struct Found {
    metadata: Result<()>,
    objects: Result<()>,
}

impl Readiness {
    /// How long one look serves everybody who asks: the endpoint is public, and a look makes a write.
    const FRESH: Duration = Duration::from_secs(1);
    /// How long a look may take before the store counts as away.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Looks, or answers what was found a moment ago. Who asks at the same time waits for one look.
    async fn look(&self, app: &App) -> Found {
        let mut last = self.0.lock().await;
        if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < Self::FRESH) {
            return found.clone();
        }
        let slow = || Error::unavailable(format!("No answer within {} s.", Self::PATIENCE.as_secs()));
        let (metadata, objects) = tokio::join!(
            tokio::time::timeout(Self::PATIENCE, app.db.probe()),
            tokio::time::timeout(Self::PATIENCE, app.objects.probe()),
        );
        let found = Found {
            metadata: metadata.unwrap_or_else(|_| Err(slow())),
            objects: objects.unwrap_or_else(|_| Err(slow())),
        };
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

/// Alive. Who sends a challenge along learns whether this is the server of a data directory whose key they can read, before
/// they trust it with a token.
async fn health(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let mut response = "OK".into_response();
    if let Some(challenge) = request.headers().get(CHALLENGE) {
        let proof = challenge.to_str().ok().and_then(|text| key::prove(&ctx.app.signing_key, text));
        let proof = proof.ok_or_else(|| {
            Error::invalid(format!(
                "The header {CHALLENGE} is not allowed: it is {} random bytes in hexadecimal.",
                key::CHALLENGE
            ))
        })?;
        response.headers_mut().insert(PROOF, HeaderValue::from_str(&proof).map_err(Error::internal)?);
    }
    Ok(response)
}

async fn ready(ctx: Ctx, _: PathParams, _: Request<Body>) -> Result<Response> {
    let found = ctx.app.readiness.look(&ctx.app).await;
    let say = |outcome: &Result<()>| match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.message().to_owned(),
    };
    let body = serde_json::json!({ "metadata": say(&found.metadata), "objects": say(&found.objects) });
    let is_ready = found.metadata.is_ok() && found.objects.is_ok();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, axum::Json(body)).into_response())
}

async fn figures(ctx: Ctx, _: PathParams, _: Request<Body>) -> Result<Response> {
    let handle = recorder().ok_or_else(|| Error::internal("the metrics recorder could not be installed"))?;
    metrics::gauge!("strongback_writes_queued").set(ctx.app.db.queued() as f64);
    metrics::counter!("strongback_reads_total").absolute(ctx.app.db.reads_begun());
    metrics::gauge!("strongback_reads_waiting").set(ctx.app.db.reads_waiting() as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, handle.render()).into_response())
}

/// Installs the recorder of metrics, once a process.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
            let writes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
            let group_size = Matcher::Full("strongback_commit_group_size".into());
            PrometheusBuilder::new()
                .set_buckets(&seconds)
                .and_then(|builder| builder.set_buckets_for_metric(group_size, &writes))
                .ok()?
                .install_recorder()
                .ok()
        })
        .as_ref()
}

/// Sorts measurements into their buckets now and then. Until then each of them is kept, so that a server which nobody
/// asks for its figures would keep all.
pub async fn tidy_figures(mut stopped: tokio::sync::watch::Receiver<bool>) {
    const EVERY: Duration = Duration::from_secs(5);
    while tokio::time::timeout(EVERY, stopped.changed()).await.is_err() {
        if let Some(handle) = recorder() {
            handle.run_upkeep();
        }
    }
}
