//! The page at `/`: what is here, the loop, recent runs, models with aliases, what to type next. Drawn on the server.

use std::sync::LazyLock;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Method, Request, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::{
    answers::{Overview, overview},
    cli::time,
    context::{Ctx, now_ms},
    error::Result,
    router::{Limits, PathParams, Policy, Route},
};

const STYLE: &str = include_str!("home.css");
/// The mlflow client prints links such as `/#/experiments/1`: where MLflow's pages are served, they open there.
const FORWARD: &str = "if (location.hash.startsWith('#/')) location.replace('/mlflow/' + location.hash);";

/// Nothing but this page's own style and the one script above may run or load.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let script = BASE64_STANDARD.encode(Sha256::digest(FORWARD));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw(Method::GET, "/", Policy::Visible, Limits::SMALL, "What is here", page)
            .giving_content("text/html"),
        Route::json(
            Method::GET,
            "/api/1.0/overview",
            Policy::Visible,
            Limits::SMALL,
            "What is here: counts, newest runs, models with aliases, newest events",
            |ctx: Ctx, _: crate::router::openapi::Nothing| async move { collect(&ctx).await },
        ),
    ]
}

async fn collect(ctx: &Ctx) -> Result<Overview> {
    ctx.read(|sql| {
        // Each line is checked by itself; the counts say nothing about anything in particular.
        crate::catalog::authorize::visible(sql);
        overview(sql)
    })
    .await
}

async fn page(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let host =
        request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:5000");
    let overview = collect(&ctx).await?;
    let markup = draw(&overview, host, !ctx.app.pages.is_empty(), &ctx.caller().name);
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, markup.into_string()).into_response())
}

fn draw(overview: &Overview, host: &str, mlflow: bool, caller: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Strongback" }
                style { (PreEscaped(STYLE)) }
                @if mlflow { script { (PreEscaped(FORWARD)) } }
            }
            body {
                header {
                    h1 { "Strongback" }
                    p { (env!("CARGO_PKG_VERSION")) " · you are " strong { (caller) } }
                    nav {
                        @if mlflow { a href="/mlflow/" { "MLflow pages" } }
                        a href="/api/openapi.json" { "OpenAPI" }
                        a href="/metrics" { "Metrics" }
                        a href="/ready" { "Ready" }
                    }
                }
                (counts(overview))
                (the_loop())
                main {
                    (models(overview))
                    (runs(overview, mlflow))
                    @if !overview.events.is_empty() { (events(overview)) }
                    (next(host, overview))
                }
            }
        }
    }
}

fn counts(overview: &Overview) -> Markup {
    let counts = &overview.counts;
    html! {
        ul.counts {
            @for (number, noun) in [(counts.experiments, "experiments"), (counts.runs, "runs"), (counts.models, "models"), (counts.versions, "versions")] {
                li { strong { (number) } " " (noun) }
            }
        }
    }
}

fn the_loop() -> Markup {
    let steps = [
        ("log runs", "params, metrics, data, files"),
        ("register", "catalog.schema.model, version by version"),
        ("alias", "@champion, every move kept"),
        ("load and score", "models:/name@champion"),
        ("ask", "lineage, history, audit log"),
    ];
    html! {
        ol.loop {
            @for (name, what) in steps { li { strong { (name) } span { (what) } } }
        }
    }
}

fn models(overview: &Overview) -> Markup {
    html! {
        section #models {
            h2 { "Models" }
            @if overview.models.is_empty() {
                p.none { "None yet. Pass " code { "registered_model_name=\"catalog.schema.model\"" } " to log_model." }
            } @else {
                table {
                    thead { tr { th { "Model" } th { "Newest" } th { "Aliases" } th { "Changed (UTC)" } } }
                    tbody {
                        @for model in &overview.models {
                            tr {
                                td { (model.name) }
                                td { @match model.newest_version { Some(version) => { "v" (version) }, None => { "–" } } }
                                td { @for (alias, version) in &model.aliases { span.alias { "@" (alias) " → v" (version) } " " } }
                                td { (time(model.updated_at)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn runs(overview: &Overview, mlflow: bool) -> Markup {
    html! {
        section #runs {
            h2 { "Recent runs" }
            @if overview.runs.is_empty() {
                p.none { "None yet. See below for what to type." }
            } @else {
                table {
                    thead { tr { th { "Run" } th { "Experiment" } th { "Status" } th { "Metrics" } th { "Started" } } }
                    tbody {
                        @for run in &overview.runs {
                            tr {
                                td {
                                    @if mlflow { a href={ "/mlflow/#/runs/" (run.run_id) } { (run.name) } } @else { (run.name) }
                                    " " code title=(run.run_id) { (run.run_id.get(..8).unwrap_or_default()) }
                                }
                                td { (run.experiment) }
                                td { span class={ "status " (run.status.to_lowercase()) } { (run.status.to_lowercase()) } }
                                td.metrics { @for (key, value) in &run.metrics { span { (key) " " b { (figure(*value)) } } " " } }
                                td { (ago(run.start_time)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn events(overview: &Overview) -> Markup {
    html! {
        section #events {
            h2 { "What happened" }
            table {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "On" } } }
                tbody {
                    @for event in &overview.events {
                        tr {
                            td { (ago(event.at)) }
                            td { (event.principal) }
                            td { (event.action) }
                            td { (event.asset.as_deref().unwrap_or_default()) " " @if let Some(subject) = &event.subject { code { (subject.get(..12).unwrap_or(subject)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn next(host: &str, overview: &Overview) -> Markup {
    let model = overview.models.first().map_or("prod.risk.fraud_classifier", |model| model.name.as_str());
    let alias = overview
        .models
        .first()
        .and_then(|model| model.aliases.first())
        .map_or("champion", |(alias, _)| alias.as_str());
    html! {
        section #next {
            h2 { "What to type next" }
            pre {
                "export MLFLOW_TRACKING_URI=http://" (host) "\n"
                "python train.py                                  # your code, unchanged\n"
                "strongback runs best --metric auc\n"
                "strongback history " (model) "@" (alias) "\n"
                "strongback lineage " (model) "\n"
                "strongback audit-log verify"
            }
        }
    }
}

/// A value as people read metrics: four significant digits.
fn figure(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e6) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

fn ago(at: i64) -> String {
    let seconds = (now_ms() - at).max(0) / 1000;
    match seconds {
        0..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        _ => time(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{Counts, ModelLine};

    #[test]
    fn what_a_client_wrote_cannot_become_markup() {
        let hostile = "<script>alert(1)</script>\"'";
        let overview = Overview {
            counts: Counts { experiments: 0, runs: 0, models: 1, versions: 0 },
            runs: Vec::new(),
            models: vec![ModelLine {
                name: hostile.into(),
                newest_version: None,
                aliases: vec![(hostile.into(), 1)],
                updated_at: 0,
            }],
            events: Vec::new(),
        };
        let page = draw(&overview, hostile, false, hostile).into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.len() < 20_000);
    }
}
