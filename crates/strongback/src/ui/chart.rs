//! Small charts: an inline SVG with a line of the values, a broken one at the limit, and a text that says both for who does not
//! see them.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Size of a chart, in its own units.
const SIZE: (f64, f64) = (120.0, 28.0);
/// Between the border of a chart and what is drawn.
const MARGIN: f64 = 2.0;

/// Values from left to right, between zero and the greatest of them and the limit; what is not finite is left out.
pub(super) fn chart(said: &str, values: &[f64], limit: Option<f64>) -> Markup {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let all = values.iter().copied().chain(limit).chain([0.0]);
    let bounds = all.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let (width, tall) = SIZE;
    let last = values.last().map(|newest| {
        (MARGIN + (width - 2.0 * MARGIN) * if values.len() > 1 { 1.0 } else { 0.0 }, height(*newest, bounds))
    });
    html! {
        svg.chart role="img" aria-label=(said) viewBox={ "0 0 " (width) " " (tall) } preserveAspectRatio="none" {
            title { (said) }
            @if let Some(limit) = limit {
                @let y = format!("{:.1}", height(limit, bounds));
                line.limit x1="0" x2=(width) y1=(y) y2=(y) {}
            }
            polyline points=(points(&values, bounds)) {}
            @if let Some((x, y)) = last { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="1.8" {} }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_stays_within_its_border() {
        let drawn = chart("what it shows", &[0.0, 0.1, 0.4], Some(0.2)).into_string();
        assert!(drawn.contains("aria-label=\"what it shows\""), "{drawn}");
        assert!(drawn.contains("points=\"2.0,26.0 60.0,20.0 118.0,2.0\""), "{drawn}");
        assert!(drawn.contains("y1=\"14.0\""), "{drawn}");
        // One value, none, and values that do not move.
        assert!(chart("", &[1.0], None).into_string().contains("points=\"2.0,2.0\""));
        assert!(!chart("", &[], None).into_string().contains("circle"));
        assert!(chart("", &[0.0, 0.0], None).into_string().contains("2.0,26.0 118.0,26.0"));
    }
}
