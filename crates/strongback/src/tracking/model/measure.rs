//! Metrics of logged models, which arrive as points of a run's batch.

use super::{LoggedModel, Metric, lock_living};
use crate::{
    db::Sql,
    error::Result,
    tracking::{document::Point, limits, wire::MetricIn},
};

/// A point that says which model was measured, and on what.
#[derive(Debug, Clone)]
pub struct Measurement {
    key: String,
    point: Point,
    model_id: String,
    dataset_name: String,
    dataset_digest: String,
}

impl Measurement {
    /// Of a point that names a model.
    pub fn new(key: &str, point: Point, model_id: &str, given: &MetricIn) -> Self {
        Self {
            key: key.to_owned(),
            point,
            model_id: model_id.to_owned(),
            dataset_name: given.dataset_name.clone().unwrap_or_default(),
            dataset_digest: given.dataset_digest.clone().unwrap_or_default(),
        }
    }

    /// Checks the texts; `place` is put before the names of fields.
    pub fn check(&self, place: &str) -> Result<()> {
        limits::run_id(&format!("{place}model_id"), Some(&self.model_id))?;
        limits::text(&format!("{place}dataset_name"), &self.dataset_name, 500)?;
        limits::text(&format!("{place}dataset_digest"), &self.dataset_digest, 36)?;
        Ok(())
    }

    fn is_of(&self, metric: &Metric, run_id: &str) -> bool {
        metric.key == self.key
            && metric.run_id == run_id
            && metric.dataset_name == self.dataset_name
            && metric.dataset_digest == self.dataset_digest
    }
}

/// The models that points name, kept from others; an unknown one is refused before anything is written.
pub fn lock_measured(tx: &mut Sql<'_>, measurements: &[Measurement]) -> Result<Vec<LoggedModel>> {
    let mut ids: Vec<&str> = measurements.iter().map(|measurement| measurement.model_id.as_str()).collect();
    // In one order for everybody, so that two batches cannot wait for each other.
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| lock_living(tx, id)).collect()
}

/// Notes the newest points in the models; answers how many points were news.
pub fn measure(
    tx: &mut Sql<'_>,
    models: Vec<LoggedModel>,
    run_id: &str,
    points: &[Measurement],
) -> Result<usize> {
    let mut news = 0;
    for mut model in models {
        let before = news;
        for measurement in points.iter().filter(|measurement| measurement.model_id == model.uuid) {
            news += usize::from(note(&mut model.document.metrics, run_id, measurement));
        }
        if news > before {
            model.save(tx)?;
        }
    }
    Ok(news)
}

fn note(metrics: &mut Vec<Metric>, run_id: &str, measurement: &Measurement) -> bool {
    let point = measurement.point;
    let Some(stored) = metrics.iter_mut().find(|metric| measurement.is_of(metric, run_id)) else {
        metrics.push(Metric {
            key: measurement.key.clone(),
            value: finite(point),
            timestamp_ms: point.timestamp_ms,
            step: point.step,
            run_id: run_id.to_owned(),
            dataset_name: measurement.dataset_name.clone(),
            dataset_digest: measurement.dataset_digest.clone(),
        });
        return true;
    };
    let newest = Point::new(stored.timestamp_ms, stored.step, stored.number());
    // MLflow orders a model's metrics by time first, a run's by step first.
    if point <= newest {
        return false;
    }
    (stored.value, stored.timestamp_ms, stored.step) = (finite(point), point.timestamp_ms, point.step);
    true
}

fn finite(point: Point) -> Option<f64> {
    Some(point.value.get()).filter(|value| !value.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_point_of_each_data_set_stays() {
        let measurement = |step, value, dataset: &str| {
            let given = MetricIn { dataset_name: Some(dataset.to_owned()), ..MetricIn::default() };
            Measurement::new("auc", Point::new(1, step, value), "m-1", &given)
        };
        let mut metrics = Vec::new();
        assert!(note(&mut metrics, "r", &measurement(2, 0.5, "a")));
        assert!(!note(&mut metrics, "r", &measurement(1, 0.9, "a")));
        assert!(!note(&mut metrics, "r", &measurement(2, 0.5, "a")));
        assert!(note(&mut metrics, "r", &measurement(3, f64::NAN, "a")));
        assert!(note(&mut metrics, "r", &measurement(0, 0.1, "b")));
        let kept: Vec<_> = metrics.iter().map(|metric| (metric.step, metric.value)).collect();
        assert_eq!(kept, [(3, None), (0, Some(0.1))]);
    }
}
