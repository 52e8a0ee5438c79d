//! Endpoints on the page at `/`: what each serves, how much and how quickly, and its newest requests.

use maud::{Markup, html};

use super::{
    chart::chart,
    format::{ago, figure},
    home::Frame,
    why,
};
use crate::serving::{EndpointLine, Overview, Readiness};

/// Requests of an endpoint that are linked.
const NEWEST: usize = 3;

/// The endpoints, and the way to ask about a request.
pub(super) fn endpoints(overview: &Overview, frame: &Frame) -> Markup {
    html! {
        section #endpoints {
            h2 { "Endpoints" }
            ul.list { @for line in &overview.endpoints { (endpoint(line, frame)) } }
            @if overview.more > 0 { p.none { "and " (overview.more) " more: " code { "strongback endpoint list" } } }
            (why::form("./", None))
        }
    }
}

fn endpoint(line: &EndpointLine, frame: &Frame) -> Markup {
    let (class, words) = match line.state {
        Readiness::Ready => ("finished", "ready"),
        Readiness::NotReady => ("running", "loading"),
        Readiness::Failed => ("failed", "cannot answer"),
    };
    html! {
        li {
            p {
                span { strong { (line.name) } " " span class={ "status " (class) } { (words) } }
                span.quiet {
                    (line.model) " v" (line.version) @if let Some(alias) = &line.alias { " @" (alias) }
                    @if let Some(runtime) = line.runtime { " · " (runtime.name()) }
                }
            }
            @if let Some(reason) = &line.reason { span.quiet { (reason) } }
            (traffic(line, frame))
        }
    }
}

fn traffic(line: &EndpointLine, frame: &Frame) -> Markup {
    let traffic = &line.traffic;
    let time = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{} ms", figure(ms)));
    let span = if traffic.seconds >= 90.0 {
        format!("{:.0} min", traffic.seconds / 60.0)
    } else {
        format!("{:.0} s", traffic.seconds)
    };
    html! {
        @if traffic.requests == 0 {
            span.quiet { "Not asked in the last " (span) "." }
        } @else {
            div.traffic {
                (chart(&format!("requests a second, over {span}"), &traffic.series, None))
                span { b { (figure(traffic.per_second)) } " a second" }
                span { "p50 " b { (time(traffic.p50_ms)) } }
                span { "p99 " b { (time(traffic.p99_ms)) } }
                @if traffic.errors > 0 { span.high { b { (traffic.errors) } " refused or failed" } }
            }
        }
        @if !traffic.newest.is_empty() {
            span.quiet {
                "Why? "
                @for (at, request) in traffic.newest.iter().take(NEWEST).enumerate() {
                    @if at > 0 { ", " }
                    a href=(why::link(&request.request_id)) title=(request.request_id) { (ago(request.at, frame.now)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::traffic::{Newest, TrafficInfo};

    #[test]
    fn names_cannot_become_markup_and_many_endpoints_stay_small() {
        let hostile = "<script>alert(1)</script>\"'";
        let line = |_| EndpointLine {
            name: hostile.into(),
            state: Readiness::Failed,
            reason: Some(hostile.into()),
            model: hostile.into(),
            version: 1,
            alias: Some(hostile.into()),
            runtime: None,
            traffic: TrafficInfo {
                seconds: 300.0,
                requests: 3,
                errors: 1,
                per_second: 0.01,
                p50_ms: Some(1.0),
                p99_ms: None,
                series: vec![0.123_456_789; 30],
                newest: vec![Newest { request_id: hostile.into(), at: 0, latency_ms: 1.0 }; 5],
            },
        };
        let frame = Frame {
            url: String::new(),
            mlflow: false,
            caller: String::new(),
            tokens: false,
            data_dir: None,
            now: 0,
        };
        let overview = Overview { endpoints: (0..12).map(line).collect(), more: 3 };
        let drawn = endpoints(&overview, &frame).into_string();
        assert!(!drawn.contains("<script"), "{drawn}");
        assert!(drawn.contains("cannot answer") && drawn.contains("and 3 more"), "{drawn}");
        assert!(drawn.len() < 40_000, "{}", drawn.len());
    }
}
