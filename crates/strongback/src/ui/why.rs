//! The page at `/why/REQUEST_ID`: what an answer rested on, as `strongback why` tells it.

use axum::{
    body::Body,
    response::{IntoResponse, Redirect, Response},
};
use http::{Method, Request};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{format::shell, home};
use crate::{
    answers::{self, GatePart, InputPart, RowPart, RunPart, Why, WhyRequest},
    catalog::Action,
    context::Ctx,
    error::Result,
    files::http::{param, read_query},
    router::{Limits, PathParams, Policy, Route},
    time,
};

/// Rows of a request that are drawn.
const ROWS: usize = 10;
/// The way from the page of a request to the one at `/`.
const FRONT: &str = "../";
/// Bytes of an answer's page stay below this however long the texts are that were scored.
const VALUE_CHARS: usize = 200;

pub(super) fn routes() -> Vec<Route> {
    let get = |path, summary| {
        Route::raw(Method::GET, path, Policy::Asset(Action::Read), Limits::SMALL, summary, page)
            .giving_content("text/html")
    };
    vec![
        get("/why/{request_id}", "Why a request got its answer, as a page"),
        Route::raw(
            Method::GET,
            "/why",
            Policy::Authenticated,
            Limits::SMALL,
            "Asks for a request's id, or goes to its page",
            ask,
        )
        .giving_content("text/html"),
    ]
}

/// Where a request is explained, seen from the pages at `/` and at `/why`.
pub(super) fn link(request_id: &str) -> String {
    /// What an id has besides letters and digits.
    const PLAIN: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-');
    format!("why/{}", percent_encoding::utf8_percent_encode(request_id, PLAIN))
}

/// Where a person types a request's id, on a page from which `front` leads to the one at `/`.
pub(super) fn form(front: &str, request_id: Option<&str>) -> Markup {
    html! {
        form.why action={ (front) "why" } method="get" {
            label { "Why did a request get its answer? "
                input name="request_id" placeholder="its x-request-id" required value=[request_id] size="36" autocomplete="off" spellcheck="false";
            }
            " " button { "Ask" }
        }
    }
}

/// What the form sends.
#[derive(Debug, Deserialize, JsonSchema)]
struct AskRequest {
    request_id: Option<String>,
}

async fn ask(_: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: AskRequest = read_query(request.uri().query())?;
    let Some(id) = asked.request_id.filter(|id| !id.trim().is_empty()) else {
        let body = html! { main #main { section { h2 { "Why?" } (form("./", None)) } } };
        return Ok(home::send(home::layout("./", "Why? – Strongback", "", &html! {}, &body)));
    };
    Ok(Redirect::to(&link(id.trim())).into_response())
}

async fn page(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let request_id = param(&params, "request_id").to_owned();
    let found = answers::why(ctx, WhyRequest { request_id }).await?;
    Ok(home::send(draw(&found)))
}

fn draw(why: &Why) -> Markup {
    let id = &why.request_id;
    let body = html! {
        main.walk #main {
            section {
                h2 { "Why this answer?" }
                p.quiet {
                    "Request " (id)
                    @if let Some(client) = &why.client_request_id { " (" (cut(client)) ")" }
                    ", served " (time::utc(why.served_at_micros / 1_000)) " UTC in "
                    (format!("{:.1} ms", why.latency_us as f64 / 1e3))
                    @if why.is_waiting { ", still in the log" }
                }
            }
            @for row in why.rows.iter().take(ROWS) { (answer(row, why.rows.len() > 1)) }
            @if why.is_cut || why.rows.len() > ROWS { p.none { "and more rows" } }
            (endpoint(why))
            @if let Some(run) = &why.run { (trained(run)) }
            (judged(why))
            (moved(why))
            @if !why.hidden.is_empty() { p.none { "You may not read: " (why.hidden.join(", ")) "." } }
            section { h2 { "The same in a shell" } pre { "strongback why " (shell(id)) } }
            (form(FRONT, Some(id)))
        }
    };
    home::layout(FRONT, "Why? – Strongback", "", &html! { p { a href=(FRONT) { "What is here" } } }, &body)
}

fn answer(row: &RowPart, has_others: bool) -> Markup {
    // What was looked up first: it is what a person cannot know.
    let looked_up = row.inputs.iter().filter(|input| input.from.is_some());
    let inputs = looked_up.chain(row.inputs.iter().filter(|input| input.from.is_none()));
    html! {
        section.answer {
            h2 {
                @if has_others { "Row " (row.row) ": " }
                @match row.prediction { Some(score) => { (format!("{score:.6}")) }, None => { "No number" } }
                @if let Some(label) = &row.prediction_label { span.quiet { "label " (cut(label)) } }
            }
            table {
                thead { tr { th scope="col" { "Input" } th scope="col" { "Value" } th scope="col" { "From" } } }
                tbody { @for one in inputs { (input(one)) } }
            }
        }
    }
}

fn input(input: &InputPart) -> Markup {
    let value = match &input.value {
        Json::String(text) => cut(text),
        Json::Null => "missing".to_owned(),
        other => cut(&other.to_string()),
    };
    html! {
        tr {
            td.name { (input.name) }
            td { (value) }
            td {
                @match &input.from {
                    Some(from) => { (from.words()) },
                    None => { span.quiet { "the request" } },
                }
            }
        }
    }
}

fn endpoint(why: &Why) -> Markup {
    let part = &why.endpoint;
    html! {
        section {
            h2 { "Served by" }
            dl {
                dt { "endpoint" }
                dd {
                    (part.shown()) ", configuration " (part.config)
                    @if let Some(alias) = &part.alias { ", which follows @" (alias) }
                    @if let Some(since) = part.since { span.quiet { " since " (time::utc(since)) " UTC" } }
                }
                @if let Some(model) = &why.model {
                    dt { "model" }
                    dd {
                        (model.name) " version " (model.version)
                        span.quiet { " registered by " (model.registered_by) " at " (time::utc(model.registered_at)) " UTC" }
                    }
                    @if let Some(digest) = &model.digest { dt { "files" } dd { code { (digest) } } }
                }
            }
        }
    }
}

fn trained(run: &RunPart) -> Markup {
    let pairs = |label: &str, pairs: &[(String, String)]| {
        html! {
            @if !pairs.is_empty() {
                dt { (label) }
                dd { @for (name, value) in pairs { span.pair { span.quiet { (cut(name)) } " " (cut(value)) } " " } }
            }
        }
    };
    let metrics: Vec<(String, String)> =
        run.metrics.iter().map(|(name, value)| (name.clone(), super::format::figure(*value))).collect();
    html! {
        section {
            h2 { "Trained by" }
            dl {
                dt { "run" }
                dd {
                    (cut(&run.name)) " " code { (run.run_id) }
                    span.quiet {
                        @if !run.user.is_empty() { " by " (run.user) }
                        @if run.started_at > 0 { " at " (time::utc(run.started_at)) " UTC" }
                    }
                }
                (pairs("code", &run.code))
                (pairs("data", &run.data))
                (pairs("parameters", &run.params))
                (pairs("metrics", &metrics))
            }
        }
    }
}

fn judged(why: &Why) -> Markup {
    html! {
        section {
            h2 { "Judged by" }
            @match &why.gate {
                Some(report) => (gate(report)),
                None if why.model.is_some() => p.none { "It was not judged before it was served." },
                None => p.none { "Not known to you." },
            }
        }
    }
}

fn gate(report: &GatePart) -> Markup {
    html! {
        p {
            strong { (report.verdict.replace('_', " ")) } " for @" (report.alias)
            @if let Some(champion) = report.champion { " against version " (champion) }
            span.quiet { " at " (time::utc(report.made_at)) " UTC, report " (report.report_id) }
        }
        table.judged {
            thead { tr { th scope="col" { "Check" } th scope="col" { "Outcome" } th scope="col" { "What that means" } } }
            tbody {
                @for (name, outcome, sentence) in &report.checks {
                    tr { td.name { (name) } td { (outcome) } td { (sentence) } }
                }
            }
        }
    }
}

fn moved(why: &Why) -> Markup {
    let version = |version: Option<i64>| version.map_or("nothing".to_owned(), |n| format!("version {n}"));
    html! {
        @if let (Some(step), Some(alias)) = (&why.alias_move, &why.endpoint.alias) {
            section {
                h2 { "Put there by" }
                p {
                    strong { (step.by) } " moved @" (alias) " from " (version(step.from_version)) " to "
                    (version(step.to_version)) span.quiet { " at " (time::utc(step.at)) " UTC" }
                    @if !step.reason.is_empty() { ": " (cut(&step.reason)) }
                }
            }
        }
    }
}

/// Text as far as it is shown.
fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(VALUE_CHARS).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example(text: &str) -> Why {
        let why = json!({
            "request_id": "0198c9de-7c1d-7e2a-9a7e-3c0a52b7f1aa", "client_request_id": text,
            "served_at_micros": 0, "event_time_micros": 0, "latency_us": 1_100, "is_waiting": true,
            "endpoint": { "name": text, "config": 2, "since": 0, "alias": text },
            "rows": [{ "row": 0, "prediction": 0.25, "prediction_label": text, "inputs": [
                { "name": text, "value": text },
                { "name": "mean", "value": 1.5, "from": { "table": text, "definition": 1, "version": 38 } },
            ]}],
            "model": { "name": text, "version": 1, "digest": text, "registered_at": 0, "registered_by": text },
            "run": {
                "run_id": text, "name": text, "user": text, "started_at": 0, "params": [[text, text]],
                "metrics": [[text, 0.5]], "code": [["commit", text]], "data": [[text, text]],
            },
            "gate": {
                "report_id": text, "verdict": "could_not_judge", "alias": text, "champion": 1, "made_at": 0,
                "run_id": text, "checks": [[text, "pass", text]],
            },
            "hidden": [text],
        });
        serde_json::from_value(why).unwrap()
    }

    #[test]
    fn what_a_client_wrote_cannot_become_markup_or_a_long_page() {
        let drawn = draw(&example("<script>alert(1)</script>\"'")).into_string();
        assert!(!drawn.contains("<script>alert"), "{drawn}");
        let long = draw(&example(&"x".repeat(100_000))).into_string();
        // Names come from the catalog, which limits them; the rest is cut.
        assert!(cut(&"x".repeat(100_000)).chars().count() == VALUE_CHARS + 1);
        assert!(long.contains('…'));
    }

    #[test]
    fn a_run_without_user_and_start_says_neither() {
        let drawn = |user: &str, at: i64| {
            let mut why = example("x");
            let run = why.run.as_mut().unwrap();
            (run.user, run.started_at) = (user.to_owned(), at);
            trained(run).into_string()
        };
        let neither = drawn("", 0);
        assert!(!neither.contains("1970") && !neither.contains(" by "), "{neither}");
        assert!(drawn("ana", 0).contains(" by ana") && !drawn("ana", 0).contains("1970"));
        assert!(drawn("ana", 1_790_000_000_000).contains(" at 2026-"));
    }

    #[test]
    fn what_was_looked_up_comes_first_with_its_version() {
        let drawn = draw(&example("brought")).into_string();
        let (looked_up, brought) = (drawn.find("version 38").unwrap(), drawn.find("the request<").unwrap());
        assert!(looked_up < brought, "{drawn}");
        assert!(drawn.contains("could not judge") && drawn.contains("still in the log"), "{drawn}");
        assert_eq!(link("a-/../b?c"), "why/a-%2F%2E%2E%2Fb%3Fc");
    }
}
