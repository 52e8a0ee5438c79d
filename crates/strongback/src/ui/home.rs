//! The page at `/`: what is here, the loop, endpoints, runs, models, gates, drift, what to type next. Drawn on the server,
//! in one answer: no framework, nothing loaded from anywhere.

use std::sync::LazyLock;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Method, Request, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{drift, endpoints, gates, sections};
use crate::{
    answers::{Overview, overview},
    auth::Mode,
    context::Ctx,
    error::Result,
    files::http::base_url,
    router::{Limits, PathParams, Policy, Route},
    time,
};

const STYLE: &str = include_str!("home.css");
/// The mlflow client prints links such as `/#/experiments/1`: where MLflow's pages are served, they open there.
const FORWARD: &str = "if (location.hash.startsWith('#/')) location.replace('mlflow/' + location.hash);";
/// Where they are not, a note says how to get them.
const EXPLAIN: &str = "if (location.hash.startsWith('#/')) document.documentElement.classList.add('linked');";

/// Nothing but this page's own style and the scripts above may run or load.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let [forward, explain] = [FORWARD, EXPLAIN].map(|script| BASE64_STANDARD.encode(Sha256::digest(script)));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{forward}' 'sha256-{explain}'; \
         img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// A back seen from the side, in one path; inline, so that no browser asks for /favicon.ico.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M5 2h6M4 6h6M4 10h6M5 14h6' stroke='%232563eb' stroke-width='2.4' stroke-linecap='round'/%3E%3C/svg%3E";

/// What the page knows besides the overview.
pub(super) struct Frame {
    /// Where a client on the reader's machine reaches this server, e.g. `http://127.0.0.1:5000`.
    pub url: String,
    /// Whether MLflow's pages are served.
    pub mlflow: bool,
    /// Who is reading.
    pub caller: String,
    /// Whether clients need a token.
    pub tokens: bool,
    /// The data directory, where it is not the default and the reader is an administrator.
    pub data_dir: Option<String>,
    /// Now, in milliseconds since the epoch.
    pub now: i64,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw(Method::GET, "/", Policy::Visible, Limits::SMALL, "What is here", page)
            .giving_content("text/html"),
        Route::json(
            Method::GET,
            "/api/1.0/overview",
            Policy::Visible,
            Limits::SMALL,
            "What is here: counts, newest runs, models with aliases, endpoints, gates, drift, alerts, newest events",
            |ctx: Ctx, _: crate::router::openapi::Nothing| async move { overview(&ctx).await },
        ),
    ]
}

async fn page(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let overview = overview(&ctx).await?;
    let settings = &ctx.app.config;
    let data_dir = (ctx.caller().is_admin() && settings.data_dir.source != crate::config::Source::Default)
        .then(|| std::path::absolute(&settings.data_dir.value).ok())
        .flatten();
    let frame = Frame {
        url: base_url(&request),
        mlflow: !ctx.app.pages.is_empty(),
        caller: ctx.caller().name.clone(),
        tokens: settings.auth_mode() == Mode::Tokens,
        data_dir: data_dir.map(|dir| dir.display().to_string()),
        now: time::now_ms(),
    };
    Ok(send(draw(&overview, &frame)))
}

/// The way from the page at this path to the page at `/`, as a browser resolves it: whatever path a proxy has put in front of both
/// falls away.
pub(super) fn front(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        levels => "../".repeat(levels - 1),
    }
}

/// A page of ours as a response: never stored, for it shows what its reader may see.
pub(super) fn send(page: Markup) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, page.into_string()).into_response()
}

/// The frame around every page of ours, from which `front` leads to the one at `/`.
pub(super) fn layout(front: &str, title: &str, script: &str, header: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
                @if !script.is_empty() { script { (PreEscaped(script)) } }
            }
            body {
                a.skip href="#main" { "Skip to what is here" }
                header { h1 { a href=(front) { "Strongback" } } (header) }
                (body)
            }
        }
    }
}

fn draw(overview: &Overview, frame: &Frame) -> Markup {
    let header = html! {
        p { (env!("CARGO_PKG_VERSION")) " · you are " strong { (frame.caller) } }
        nav aria-label="Pages" {
            @if frame.mlflow { a href=(sections::MLFLOW_EXPERIMENTS) { "MLflow" } }
            a href="api/openapi.json" { "OpenAPI" }
            a href="metrics" { "Metrics" }
            a href="ready" { "Health" }
        }
    };
    let is_watched = !overview.monitoring.monitors.is_empty() || !overview.serving.endpoints.is_empty();
    let is_empty = overview.runs.is_empty() && overview.models.is_empty() && !is_watched;
    let body = html! {
        @if !frame.mlflow { (sections::no_pages()) }
        @if let Some(counts) = &overview.counts { (sections::counts(counts)) }
        (sections::the_loop())
        main #main {
            @if is_empty {
                (sections::start(frame))
            } @else {
                div.columns {
                    div {
                        @if !overview.serving.endpoints.is_empty() { (endpoints::endpoints(&overview.serving, frame)) }
                        (sections::runs(overview, frame))
                        @if !overview.monitoring.monitors.is_empty() { (drift::drift(&overview.monitoring)) }
                    }
                    div {
                        @if !overview.monitoring.alerts.is_empty() { (drift::alerts(&overview.monitoring, frame)) }
                        (sections::models(overview, frame))
                        @if !overview.gates.is_empty() { (gates::gates(&overview.gates, frame)) }
                        @if !overview.events.is_empty() { (sections::events(overview, frame)) }
                    }
                }
                (sections::next(overview, frame))
            }
        }
    };
    layout("./", "Strongback", if frame.mlflow { FORWARD } else { EXPLAIN }, &header, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{Counts, ModelLine};

    #[test]
    fn what_a_client_wrote_cannot_become_markup() {
        let hostile = "<script>alert(1)</script>\"'";
        let overview = Overview {
            counts: Some(Counts { experiments: 0, runs: 0, models: 1, versions: 0 }),
            runs: Vec::new(),
            models: vec![ModelLine {
                name: hostile.into(),
                newest_version: None,
                aliases: vec![(hostile.into(), 1)],
                updated_at: 0,
            }],
            events: Vec::new(),
            serving: crate::serving::Overview::default(),
            gates: Vec::new(),
            monitoring: crate::monitoring::Overview::default(),
        };
        for mlflow in [false, true] {
            let frame = Frame {
                url: hostile.into(),
                mlflow,
                caller: hostile.into(),
                tokens: true,
                data_dir: Some(hostile.into()),
                now: 0,
            };
            let page = draw(&overview, &frame).into_string();
            // The one script is ours, and what it may be is pinned by its hash.
            assert_eq!(page.matches("<script").count(), 1, "{page}");
            assert!(!page.contains("alert(1)</script>"), "{page}");
            assert!(page.len() < 20_000);
        }
    }
}
