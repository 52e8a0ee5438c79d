//! The features of one moment, folded from the rows each time. It follows the definition and shares nothing with the kernel.

use syntax::features::{Aggregate, FeatureTable};

use super::Row;

/// Of the rows of one entity.
pub(super) fn features(declared: &FeatureTable, rows: &[&Row], micros: i64) -> Vec<Option<f64>> {
    let width = declared.pane.micros();
    let now = micros.div_euclid(width);
    let mut sorted: Vec<&&Row> = rows.iter().filter(|row| row.micros.is_some()).collect();
    sorted.sort_by_key(|row| (row.micros, row.id));
    let of_pane = |index: i64| {
        sorted.iter().filter(move |row| row.micros.is_some_and(|at| at.div_euclid(width) == index))
    };
    let feature = |feature: &syntax::features::Feature| {
        let panes = (now - feature.window.micros() / width)..now;
        if feature.column.is_none() {
            return Some(panes.map(|index| of_pane(index).count()).sum::<usize>() as f64);
        }
        let value = |row: &Row| if feature.column.as_deref() == Some("fee") { row.fee } else { row.amount };
        let values: Vec<Vec<f64>> = panes
            .map(|index| of_pane(index).filter_map(|row| value(row)).collect::<Vec<f64>>())
            .filter(|values| !values.is_empty())
            .collect();
        aggregate(feature.aggregate, &values)
    };
    declared.features.iter().map(feature).collect()
}

fn aggregate(aggregate: Aggregate, panes: &[Vec<f64>]) -> Option<f64> {
    let all: Vec<f64> = panes.concat();
    let n = all.len() as f64;
    let value = match aggregate {
        Aggregate::Count => return Some(n),
        Aggregate::Sum => sum(panes)?,
        Aggregate::Mean => sum(panes)? / n,
        Aggregate::Std if all.len() < 2 => return None,
        Aggregate::Std => (squares(panes)? / (n - 1.0)).sqrt(),
        Aggregate::StdPopulation => (squares(panes)? / n).sqrt(),
        Aggregate::Min => extreme(&all, |a, b| a < b)?,
        Aggregate::Max => extreme(&all, |a, b| a > b)?,
        Aggregate::Last => *all.last()?,
    };
    Some(if value.is_nan() { f64::NAN } else { value })
}

fn sum(panes: &[Vec<f64>]) -> Option<f64> {
    let of_pane = |values: &Vec<f64>| values.iter().copied().reduce(|a, b| a + b);
    panes.iter().filter_map(of_pane).reduce(|a, b| a + b)
}

/// Welford inside, Chan across.
fn squares(panes: &[Vec<f64>]) -> Option<f64> {
    let of_pane = |values: &Vec<f64>| {
        let mut n = 1.0;
        let mut mean = values[0];
        let mut squares = 0.0 * values[0].abs();
        for value in &values[1..] {
            n += 1.0;
            let next = mean + (value - mean) / n;
            squares += (value - mean) * (value - next);
            mean = next;
        }
        (n, mean, squares)
    };
    let merged = panes.iter().map(of_pane).reduce(|(n, mean, squares), (m, other, more)| {
        let delta = other - mean;
        (n + m, mean + delta * (m / (n + m)), (squares + more) + delta * delta * (n * m / (n + m)))
    });
    merged.map(|(_, _, squares)| squares)
}

/// By an order in which −0.0 stands before 0.0 and NaN at the end.
fn extreme(values: &[f64], is_beyond: impl Fn((bool, f64, bool), (bool, f64, bool)) -> bool) -> Option<f64> {
    let rank = |value: f64| {
        (value.is_nan(), if value.is_nan() { 0.0 } else { value }, value.is_sign_positive() || value.is_nan())
    };
    values.iter().copied().reduce(|best, value| if is_beyond(rank(value), rank(best)) { value } else { best })
}
