//! Alerts and drift on the page at `/`: what is on the wrong side of its limit, and how figures have gone, window by window.
//!
//! A chart is an inline SVG: a line of the values, a broken one at the limit, and a text that says both for who does not see it.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{
    format::{ago, figure},
    home::Frame,
};
use crate::monitoring::{AlertLine, DriftLine, MonitorLine, Overview};

/// Size of a chart, in its own units.
const SIZE: (f64, f64) = (120.0, 28.0);
/// Between the border of a chart and what is drawn.
const MARGIN: f64 = 2.0;

/// The alerts that stand.
pub(super) fn alerts(overview: &Overview, frame: &Frame) -> Markup {
    html! {
        section #alerts {
            h2 { "Alerts" }
            ul.list { @for alert in &overview.alerts { (alert_line(alert, frame)) } }
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
                        (chart(series))
                        b { (figure(series.values.last().copied().unwrap_or(f64::NAN))) }
                    }
                }
            }
            @if monitor.more > 0 { p.none { "and " (monitor.more) " more below these" } }
        }
    }
}

/// Points of a line through values, from left to right, scaled between two bounds.
fn points(values: &[f64], (low, high): (f64, f64)) -> String {
    let step = (SIZE.0 - 2.0 * MARGIN) / (values.len().max(2) - 1) as f64;
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (MARGIN + step * at as f64, height(*value, (low, high)));
        let _ = write!(text, "{}{x:.1},{y:.1}", if at == 0 { "" } else { " " });
    }
    text
}

/// How far from above a value is drawn.
fn height(value: f64, (low, high): (f64, f64)) -> f64 {
    let share = if high > low { (value - low) / (high - low) } else { 0.0 };
    SIZE.1 - MARGIN - share * (SIZE.1 - 2.0 * MARGIN)
}

fn chart(series: &DriftLine) -> Markup {
    let values: Vec<f64> = series.values.iter().copied().filter(|value| value.is_finite()).collect();
    let all = values.iter().copied().chain(series.limit).chain([0.0]);
    let bounds = all.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let newest = values.last().copied().unwrap_or(f64::NAN);
    let windows = values.len();
    let mut said = format!("{}: {} in the newest of {windows} windows", series.key, figure(newest));
    if let Some(limit) = series.limit {
        let _ = write!(said, ", limit {}", figure(limit));
    }
    let (width, tall) = SIZE;
    let last = (windows > 0).then(|| {
        (MARGIN + (width - 2.0 * MARGIN) * if windows > 1 { 1.0 } else { 0.0 }, height(newest, bounds))
    });
    html! {
        svg.chart role="img" aria-label=(said) viewBox={ "0 0 " (width) " " (tall) } preserveAspectRatio="none" {
            title { (said) }
            @if let Some(limit) = series.limit {
                @let y = format!("{:.1}", height(limit, bounds));
                line.limit x1="0" x2=(width) y1=(y) y2=(y) {}
            }
            polyline points=(points(&values, bounds)) {}
            @if let Some((x, y)) = last { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="1.8" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, values: &[f64], limit: Option<f64>) -> DriftLine {
        DriftLine { key: key.into(), values: values.to_vec(), limit, is_crossed: false }
    }

    #[test]
    fn a_chart_says_what_it_shows_and_stays_within_its_border() {
        let drawn = chart(&line("psi/V1", &[0.0, 0.1, 0.4], Some(0.2))).into_string();
        assert!(
            drawn.contains("aria-label=\"psi/V1: 0.4 in the newest of 3 windows, limit 0.2\""),
            "{drawn}"
        );
        assert!(drawn.contains("points=\"2.0,26.0 60.0,20.0 118.0,2.0\""), "{drawn}");
        assert!(drawn.contains("y1=\"14.0\""), "{drawn}");
        // One window, none, and values that do not move.
        assert!(chart(&line("a", &[1.0], None)).into_string().contains("points=\"2.0,2.0\""));
        assert!(!chart(&line("a", &[], None)).into_string().contains("circle"));
        assert!(chart(&line("a", &[0.0, 0.0], None)).into_string().contains("2.0,26.0 118.0,26.0"));
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
