//! Alerts and drift on the page at `/`: what is on the wrong side of its limit, and how figures have gone, window by window.

use maud::{Markup, html};

use super::{
    chart::chart,
    format::{ago, figure},
    home::Frame,
};
use crate::monitoring::{AlertLine, DriftLine, MonitorLine, Overview};

/// Alerts that are drawn.
const ALERTS: usize = 8;

/// The alerts that stand.
pub(super) fn alerts(overview: &Overview, frame: &Frame) -> Markup {
    html! {
        section #alerts {
            h2 { "Alerts" }
            ul.list { @for alert in overview.alerts.iter().take(ALERTS) { (alert_line(alert, frame)) } }
            @if overview.alerts.len() > ALERTS {
                p.none { "and more: " code { "strongback alert list" } }
            }
        }
    }
}

fn alert_line(alert: &AlertLine, frame: &Frame) -> Markup {
    html! {
        li title=(alert.alert_id) {
            p {
                span {
                    span class={ "status " (alert.severity) } { (alert.severity) } " "
                    strong { (alert.metric) @if !alert.column.is_empty() { " of " (alert.column) } }
                    " " (figure(alert.value)) span.quiet { ", limit " (figure(alert.limit)) }
                }
                (ago(alert.opened_at, frame.now))
            }
            span.quiet {
                (alert.monitor) " · " (alert.windows) @if alert.windows == 1 { " window" } @else { " windows" }
                " · " (alert.owner) @if alert.state == "acknowledged" { " has taken it up" }
            }
        }
    }
}

/// Each monitor with its series.
pub(super) fn drift(overview: &Overview) -> Markup {
    html! {
        section #drift {
            h2 { "Drift" }
            @for monitor in &overview.monitors { (monitor_part(monitor)) }
        }
    }
}

fn monitor_part(monitor: &MonitorLine) -> Markup {
    html! {
        h3 { (monitor.name) " " span.quiet { "against " (monitor.baseline) } }
        @if monitor.series.is_empty() {
            p.none {
                @match &monitor.computed_to {
                    Some(to) => { "No figure yet; windows are computed to " (to) "." },
                    None => { "No window is complete yet." },
                }
            }
        } @else {
            ul.charts {
                @for series in &monitor.series {
                    li.crossed[series.is_crossed] {
                        span.key { (series.key) }
                        (chart(&said(series), &series.values, series.limit))
                        b { (figure(series.values.last().copied().unwrap_or(f64::NAN))) }
                    }
                }
            }
            @if monitor.more > 0 { p.none { "and " (monitor.more) " more below these" } }
        }
    }
}

/// What a chart says to who does not see it.
fn said(series: &DriftLine) -> String {
    let newest = series.values.iter().rfind(|value| value.is_finite()).copied().unwrap_or(f64::NAN);
    let windows = series.values.iter().filter(|value| value.is_finite()).count();
    let limit = series.limit.map(|limit| format!(", limit {}", figure(limit))).unwrap_or_default();
    format!("{}: {} in the newest of {windows} windows{limit}", series.key, figure(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, values: &[f64], limit: Option<f64>) -> DriftLine {
        DriftLine { key: key.into(), values: values.to_vec(), limit, is_crossed: false }
    }

    #[test]
    fn a_chart_says_what_it_shows() {
        let series = line("psi/V1", &[0.0, f64::NAN, 0.4], Some(0.2));
        assert_eq!(said(&series), "psi/V1: 0.4 in the newest of 2 windows, limit 0.2");
        assert_eq!(said(&line("a", &[1.0], None)), "a: 1 in the newest of 1 windows");
    }

    #[test]
    fn names_cannot_become_markup_and_many_monitors_stay_small() {
        let hostile = "<script>alert(1)</script>\"'";
        let monitor = |_| MonitorLine {
            name: hostile.into(),
            baseline: hostile.into(),
            computed_to: None,
            series: (0..8).map(|_| line(hostile, &[0.123_456_789; 48], Some(0.2))).collect(),
            more: 1_000,
        };
        let alert = |_| AlertLine {
            alert_id: hostile.into(),
            monitor: hostile.into(),
            metric: hostile.into(),
            column: hostile.into(),
            state: "open",
            severity: "high".into(),
            owner: hostile.into(),
            value: 1.0,
            limit: 0.2,
            windows: 1,
            opened_at: 0,
        };
        let overview =
            Overview { alerts: (0..20).map(alert).collect(), monitors: (0..6).map(monitor).collect() };
        let drawn = drift(&overview).into_string();
        assert!(!drawn.contains("<script"), "{drawn}");
        assert!(drawn.len() < 80_000, "{}", drawn.len());
    }
}
