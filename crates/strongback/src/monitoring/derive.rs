//! Figures of a window, derived from sketches of it and of the baseline.

use std::collections::BTreeMap;

use stats::{
    Confidence, StatsError,
    drift::{Bins, ColumnDrift, benjamini_hochberg, chi_squared, column_drift},
    sketch::ColumnSketch,
};
use syntax::monitors::{Metric, Monitor};

use super::{
    figure::{Figure, Status},
    span::Span,
};

/// What a window's sketches are compared with.
pub(super) struct Against<'a> {
    /// Sketches of the baseline, by column in lower case.
    pub baseline: &'a BTreeMap<String, ColumnSketch>,
    /// How it is called.
    pub reference: &'a str,
}

/// What is known of one column.
struct Compared {
    drift: ColumnDrift,
    reference_n: u64,
    p_value: Option<f64>,
}

/// The rows of a window, and where they are too few, that no more is told.
pub(super) fn volume(definition: &Monitor, span: Span, rows: u64) -> (Figure, bool) {
    let none = |status, note: &str| Figure { n: rows, ..Figure::none(span, "rows", "", status, note) };
    match rows {
        0 => (none(Status::Empty, "no row is in this window"), false),
        few if few < definition.minimum_rows => {
            let note = format!("{few} rows, at least {} are wanted", definition.minimum_rows);
            (none(Status::Small, &note), false)
        }
        _ => (Figure { value: Some(rows as f64), ..none(Status::Ok, "") }, true),
    }
}

/// All figures of a window's columns, with their p-values among each other. `columns` are the window's sketches by the name
/// that the watched table has.
pub(super) fn columns(
    definition: &Monitor,
    span: Span,
    against: &Against<'_>,
    columns: &[(String, ColumnSketch)],
) -> Vec<Figure> {
    let compared: Vec<(&str, Result<Compared, StatsError>)> = columns
        .iter()
        .filter_map(|(name, sketch)| {
            let reference = against.baseline.get(&name.to_lowercase())?;
            Some((name.as_str(), compare(reference, sketch, definition.bins)))
        })
        .collect();
    let p_values: Vec<f64> =
        compared.iter().filter_map(|(_, one)| one.as_ref().ok().and_then(|one| one.p_value)).collect();
    // Refused are rates and values that a checked definition and these tests cannot have.
    let mut adjusted = benjamini_hochberg(&p_values, definition.false_discovery_rate)
        .unwrap_or_default()
        .into_iter()
        .map(|found| found.adjusted);
    let mut figures = Vec::new();
    for (name, outcome) in &compared {
        let of_column = match outcome {
            Ok(one) if one.p_value.is_some() => adjusted.next(),
            _ => None,
        };
        for metric in &definition.metrics {
            let figure = match outcome {
                Ok(one) => Figure {
                    p_value: one.p_value.filter(|_| is_tested(*metric)),
                    adjusted: of_column.filter(|_| is_tested(*metric)),
                    reference_n: Some(one.reference_n),
                    ..of_metric(span, *metric, name, one)
                },
                Err(error) => Figure::none(span, metric.name(), name, Status::Undefined, &error.to_string()),
            };
            figures.push(Figure { reference: against.reference.to_owned(), ..figure });
        }
    }
    figures
}

/// Whether the test of a column says something about this figure of it.
pub(super) fn is_tested(metric: Metric) -> bool {
    matches!(metric, Metric::Psi | Metric::JensenShannon | Metric::KolmogorovSmirnov | Metric::Wasserstein)
}

/// Compares two sketches. The p-value is that of chi-squared over the bins as long as nothing was forgotten; of larger
/// samples of numbers it is Kolmogorov and Smirnov's, which allows for what was; large ones of categories have none.
fn compare(reference: &ColumnSketch, current: &ColumnSketch, bins: usize) -> Result<Compared, StatsError> {
    let bins = Bins::of(reference, bins)?;
    let drift = column_drift(reference, current, &bins, Confidence::P95)?;
    let counted = chi_squared(&bins.count(reference)?, &bins.count(current)?, Confidence::P95).ok();
    let p_value = counted
        .map(|test| test.p_value)
        .or_else(|| drift.kolmogorov_smirnov.as_ref().map(|test| test.p_value));
    Ok(Compared { reference_n: reference.rows() - reference.missing(), drift, p_value })
}

fn of_metric(span: Span, metric: Metric, column: &str, compared: &Compared) -> Figure {
    let drift = &compared.drift;
    let estimate = match metric {
        Metric::Psi => Some(&drift.population_stability.estimate),
        Metric::JensenShannon => Some(&drift.jensen_shannon.estimate),
        Metric::KolmogorovSmirnov => drift.kolmogorov_smirnov.as_ref().map(|test| &test.distance),
        Metric::Wasserstein => drift.wasserstein.as_ref().map(|moved| &moved.distance),
        Metric::Missing => Some(&drift.missing),
        _ => None,
    };
    let Some(estimate) = estimate else {
        let note = "the column is not one of numbers";
        return Figure::none(span, metric.name(), column, Status::Undefined, note);
    };
    let by_chance = match metric {
        Metric::Psi => Some(drift.population_stability.by_chance),
        Metric::JensenShannon => Some(drift.jensen_shannon.by_chance),
        _ => None,
    };
    Figure { by_chance, ..Figure::of(span, metric.name(), column, estimate) }
}

/// The stability index of one column against one other: of predictions, and of labels.
pub(super) fn stability(
    span: Span,
    metric: Metric,
    column: &str,
    (reference, called): (&ColumnSketch, &str),
    current: &ColumnSketch,
    bins: usize,
) -> Figure {
    let figure = match compare(reference, current, bins) {
        Ok(one) => Figure {
            by_chance: Some(one.drift.population_stability.by_chance),
            reference_n: Some(one.reference_n),
            p_value: one.p_value,
            ..Figure::of(span, metric.name(), column, &one.drift.population_stability.estimate)
        },
        Err(error) => Figure::none(span, metric.name(), column, Status::Undefined, &error.to_string()),
    };
    Figure { reference: called.to_owned(), ..figure }
}
