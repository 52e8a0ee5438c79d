//! Figures of a window, derived from sketches of it and of the baseline.

use std::collections::BTreeMap;

use stats::{
    Confidence, Estimate, StatsError,
    drift::{
        Bins, Distribution, Divergence, Histogram, benjamini_hochberg, chi_squared, jensen_shannon,
        kolmogorov_smirnov, population_stability, wasserstein,
    },
    proportion::{Share, difference},
    sketch::ColumnSketch,
    special::gamma::chi_squared_survival,
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

/// A figure, or why there is none.
type Outcome<T> = Result<T, StatsError>;

/// What is known of one column, each figure by itself: what needs values that are not there says so, and the others stand.
struct Compared {
    population_stability: Outcome<Divergence>,
    jensen_shannon: Outcome<Divergence>,
    /// Kolmogorov and Smirnov's distance, and Wasserstein's; of numbers alone.
    distances: Option<(Outcome<Estimate>, Outcome<Estimate>)>,
    missing: Outcome<Estimate>,
    /// Rows of the window without a value.
    missing_rows: u64,
    /// Rows of the reference with one.
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
    let compared: Vec<(&str, Compared)> = columns
        .iter()
        .filter_map(|(name, sketch)| {
            let reference = against.baseline.get(&name.to_lowercase())?;
            Some((name.as_str(), compare(reference, sketch, definition.bins)))
        })
        .collect();
    let p_values: Vec<f64> = compared.iter().filter_map(|(_, one)| one.p_value).collect();
    // Refused are rates and values that a checked definition and these tests cannot have.
    let mut adjusted = benjamini_hochberg(&p_values, definition.false_discovery_rate)
        .unwrap_or_default()
        .into_iter()
        .map(|found| found.adjusted);
    let mut figures = Vec::new();
    for (name, one) in &compared {
        let of_column = one.p_value.and_then(|_| adjusted.next());
        for metric in &definition.metrics {
            figures.push(Figure {
                p_value: one.p_value.filter(|_| is_tested(*metric)),
                adjusted: of_column.filter(|_| is_tested(*metric)),
                reference_n: Some(one.reference_n),
                reference: against.reference.to_owned(),
                ..of_metric(span, *metric, name, one)
            });
        }
    }
    figures
}

/// Whether the test of two samples says something about this figure of them. Of the others the interval says it.
pub(super) fn is_tested(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Psi
            | Metric::JensenShannon
            | Metric::KolmogorovSmirnov
            | Metric::Wasserstein
            | Metric::PredictionShift
            | Metric::LabelDrift
    )
}

/// Compares two sketches. The p-value is that of chi-squared over the bins, that of missing values among them, as long as
/// nothing was forgotten; of larger samples of numbers it is that of Kolmogorov and Smirnov's test of the values together with
/// the test of how many are missing. Large samples of categories have none, unless no value is left at all.
fn compare(reference: &ColumnSketch, current: &ColumnSketch, bins: usize) -> Compared {
    const SURE: Confidence = Confidence::P95;
    let share =
        |column: &ColumnSketch| Share::new("share of missing values", column.missing(), column.rows());
    let missing = share(current).and_then(|own| Ok(difference(own, share(reference)?, SURE)));
    let counts = Bins::of(reference, bins).and_then(|bins| counted(&bins, reference, current));
    let (mut distances, mut by_values) = (None, None);
    if let (ColumnSketch::Numeric(own), ColumnSketch::Numeric(other)) = (reference, current) {
        let (own, other) = (Distribution::from(own), Distribution::from(other));
        let apart = kolmogorov_smirnov(&own, &other, SURE);
        by_values = apart.as_ref().ok().map(|test| test.p_value);
        let moved = wasserstein(&own, &other, SURE);
        distances = Some((apart.map(|test| test.distance), moved.map(|moved| moved.distance)));
    }
    let both = |of: fn(&Histogram, &Histogram, Confidence) -> Outcome<Divergence>| {
        counts.as_ref().map_err(Clone::clone).and_then(|(own, other)| of(own, other, SURE))
    };
    let by_bins = counts.as_ref().ok().and_then(|(own, other)| chi_squared(own, other, SURE).ok());
    let has_values = current.missing() < current.rows();
    Compared {
        population_stability: both(population_stability),
        jensen_shannon: both(jensen_shannon),
        distances,
        missing,
        missing_rows: current.missing(),
        reference_n: reference.rows() - reference.missing(),
        p_value: by_bins.map(|test| test.p_value).or_else(|| match (by_values, lost(reference, current)) {
            // Two tests of one column: either may find something, so each has half of the error that is allowed.
            (Some(values), Some(missing)) => Some((2.0 * values.min(missing)).min(1.0)),
            (None, missing) if !has_values => missing,
            (values, _) => values,
        }),
    }
}

/// Rows of both sides by bin. Where the window has no value at all, its missing ones are rows of a bin like any other: that is
/// the greatest shift there is, and not the absence of a figure.
fn counted(bins: &Bins, reference: &ColumnSketch, current: &ColumnSketch) -> Outcome<(Histogram, Histogram)> {
    let (own, other) = (bins.count(reference)?, bins.count(current)?);
    if other.n() > 0 {
        return Ok((own, other));
    }
    let whole = |mut histogram: Histogram| {
        histogram.counts.push(histogram.missing);
        Histogram { missing: 0, ..histogram }
    };
    Ok((whole(own), whole(other)))
}

/// The chance of shares of missing values as far apart as these if nothing had changed: chi-squared of the table of two by two
/// with Yates' correction (1934), which is the test of two proportions. `None` where no value is missing on either side.
fn lost(reference: &ColumnSketch, current: &ColumnSketch) -> Option<f64> {
    let counts = |column: &ColumnSketch| {
        let missing = column.missing();
        (missing as f64, column.rows().saturating_sub(missing) as f64)
    };
    let ((gone, there), (gone_before, there_before)) = (counts(current), counts(reference));
    let (rows, rows_before, all_gone) = (gone + there, gone_before + there_before, gone + gone_before);
    if rows == 0.0 || rows_before == 0.0 || all_gone == 0.0 {
        return None;
    }
    let margins = rows * rows_before * all_gone * (there + there_before);
    if margins == 0.0 {
        return Some(1.0);
    }
    let both = rows + rows_before;
    let off = ((gone * there_before - there * gone_before).abs() - both / 2.0).max(0.0);
    Some(chi_squared_survival(both * off * off / margins, 1.0))
}

fn of_metric(span: Span, metric: Metric, column: &str, compared: &Compared) -> Figure {
    let none = |note: &str| Figure::none(span, metric.name(), column, Status::Undefined, note);
    let distance = |outcome: Option<&Outcome<Estimate>>| match outcome {
        Some(outcome) => Figure::of_outcome(span, metric.name(), column, outcome.clone()),
        None => none("the column is not one of numbers"),
    };
    let divergence = |outcome: &Outcome<Divergence>| match outcome {
        Ok(found) => Figure {
            by_chance: Some(found.by_chance),
            missing: compared.missing_rows,
            ..Figure::of(span, metric.name(), column, &found.estimate)
        },
        Err(error) => none(&error.to_string()),
    };
    match metric {
        Metric::JensenShannon => divergence(&compared.jensen_shannon),
        Metric::KolmogorovSmirnov => distance(compared.distances.as_ref().map(|found| &found.0)),
        Metric::Wasserstein => distance(compared.distances.as_ref().map(|found| &found.1)),
        Metric::Missing => distance(Some(&compared.missing)),
        // Of columns, predictions and labels alike.
        _ => divergence(&compared.population_stability),
    }
}

/// The stability index of one column against one other: of predictions, and of labels. Each is tested by itself, and so its
/// p-value needs no other.
pub(super) fn stability(
    span: Span,
    metric: Metric,
    column: &str,
    (reference, called): (&ColumnSketch, &str),
    current: &ColumnSketch,
    bins: usize,
) -> Figure {
    let found = compare(reference, current, bins);
    Figure {
        reference_n: Some(found.reference_n),
        p_value: found.p_value,
        adjusted: found.p_value,
        reference: called.to_owned(),
        ..of_metric(span, metric, column, &found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rows` numbers from 0 to 99, of which the first are missing.
    fn numbers(rows: u32, missing: u32) -> ColumnSketch {
        let value = |row: u32| (row >= missing).then(|| f64::from(row * 37 % 100));
        ColumnSketch::Numeric((0..rows).map(value).collect())
    }

    #[test]
    fn a_column_that_lost_its_values_has_drifted() {
        // Of a few rows, and of as many as a sketch forgets some of.
        for rows in [200, 20_000] {
            let reference = numbers(rows, 0);
            let null = compare(&reference, &numbers(rows, rows), 10);
            let index = null.population_stability.as_ref().unwrap();
            assert!(index.estimate.value > 5.0, "{index:?}");
            assert!(null.p_value.unwrap() < 1e-6, "{:?}", null.p_value);
            assert_eq!(null.missing.unwrap().value, 1.0);
            let (apart, moved) = null.distances.unwrap();
            assert!(apart.is_err() && moved.is_err(), "no distance without a value");

            let mostly = compare(&reference, &numbers(rows, rows / 10 * 9), 10);
            assert!(mostly.population_stability.unwrap().estimate.value > 1.0);
            assert!(mostly.p_value.unwrap() < 1e-6, "{:?}", mostly.p_value);
            assert!((mostly.missing.unwrap().value - 0.9).abs() < 1e-12);
            let same = compare(&reference, &numbers(rows, 0), 10);
            assert!(same.p_value.unwrap() > 0.9, "{:?}", same.p_value);
        }
    }

    #[test]
    fn what_is_missing_is_told_also_where_the_reference_has_no_value() {
        let found = compare(&numbers(200, 200), &numbers(200, 50), 10);
        assert_eq!(found.missing.unwrap().value, -0.75);
        assert!(found.population_stability.is_err());
    }

    #[test]
    fn a_few_missing_values_are_chance() {
        assert_eq!(lost(&numbers(1_000, 0), &numbers(100, 0)), None);
        // Fisher's exact test has 0.09 and 0.00057 for these.
        assert!(lost(&numbers(1_000, 0), &numbers(100, 1)).unwrap() > 0.05);
        assert!(lost(&numbers(1_000, 0), &numbers(25, 2)).unwrap() < 0.01);
        assert_eq!(lost(&numbers(10, 10), &numbers(5, 5)), Some(1.0));
    }
}
