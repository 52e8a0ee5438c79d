//! Operational endpoints: is it alive, is it ready, which version, how is it doing.

use std::sync::OnceLock;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, header};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{
    context::Ctx,
    db::{Origin, Sql},
    error::{Error, Result},
    router::{Limits, PathParams, Policy, Route},
};

crate::statements! {
    /// The least that a metadata store must answer.
    READY = "SELECT COUNT(*) FROM schema_version";
}

/// MLflow's own version number, which its clients parse to learn what the server can do.
pub(crate) const SPEAKS_LIKE: &str = "3.17.2";

/// Routes of this file.
pub fn routes() -> Vec<Route> {
    let public = Policy::Public;
    vec![
        Route::raw(Method::GET, "/health", public, Limits::SMALL, "Alive", |_, _, _| async {
            Ok("OK".into_response())
        }),
        Route::raw(
            Method::GET,
            "/version",
            public,
            Limits::SMALL,
            "The MLflow version whose interface this is",
            |_, _, _| async { Ok(SPEAKS_LIKE.into_response()) },
        ),
        Route::raw(
            Method::GET,
            "/ready",
            public,
            Limits::SMALL,
            "Whether metadata and objects can be used",
            ready,
        ),
        Route::raw(
            Method::GET,
            "/metrics",
            Policy::Authenticated,
            Limits::SMALL,
            "Figures in Prometheus' text format",
            figures,
        ),
    ]
}

async fn ready(ctx: Ctx, _: PathParams, _: Request<Body>) -> Result<Response> {
    let metadata = ctx
        .app
        .db
        .read(&Origin::system(), |sql: &mut Sql<'_>| sql.one(&READY, crate::bind![], |row| row.get::<i64>(0)))
        .await
        .map(|_| ());
    let objects = ctx.app.objects.probe().await;
    let say = |outcome: &Result<()>| match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.message().to_owned(),
    };
    let body = serde_json::json!({ "metadata": say(&metadata), "objects": say(&objects) });
    let status =
        if metadata.is_ok() && objects.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, axum::Json(body)).into_response())
}

async fn figures(ctx: Ctx, _: PathParams, _: Request<Body>) -> Result<Response> {
    let handle = recorder().ok_or_else(|| Error::internal("the metrics recorder could not be installed"))?;
    metrics::gauge!("strongback_writes_queued").set(ctx.app.db.queued() as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, handle.render()).into_response())
}

/// Installs the recorder of metrics, once a process.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
            PrometheusBuilder::new().set_buckets(&seconds).ok()?.install_recorder().ok()
        })
        .as_ref()
}
