//! Means of rows with Student's interval, and means of bounded losses.

use crate::{
    estimate::{Confidence, Estimate, Method},
    proportion::wilson,
    sketch::Moments,
    special::student,
};

/// The mean of values with Student's t interval. One value alone has no finite bounds.
pub(crate) fn estimate(values: impl IntoIterator<Item = f64>, confidence: Confidence) -> Estimate {
    of_moments(&values.into_iter().collect(), confidence)
}

pub(crate) fn of_moments(moments: &Moments, confidence: Confidence) -> Estimate {
    let (n, mean) = (moments.count(), moments.mean().unwrap_or(0.0));
    let reach = match moments.standard_error() {
        Some(error) => error * student::upper_quantile(confidence.tail(), n as f64 - 1.0),
        None => f64::INFINITY,
    };
    Estimate::new(mean, (mean - reach, mean + reach), confidence, n, Method::Student)
}

/// What equal losses differ by at most, relative to their size, because they were computed in different ways.
const ROUNDING: f64 = 1e-12;

/// The mean of losses between 0 and `worst`. Where all are equal, as when every prediction was right, Student's
/// interval would claim certainty; Wilson's does not, and holds for any loss with these bounds.
pub(crate) fn of_losses(
    losses: impl IntoIterator<Item = f64>,
    worst: f64,
    confidence: Confidence,
) -> Estimate {
    let moments: Moments = losses.into_iter().collect();
    let least = moments.mean().unwrap_or(0.0) * ROUNDING;
    if moments.standard_error().is_some_and(|error| error > least) {
        let estimate = of_moments(&moments, confidence);
        return Estimate { low: estimate.low.max(0.0), high: estimate.high.min(worst), ..estimate };
    }
    let (n, mean) = (moments.count(), moments.mean().unwrap_or(0.0));
    let (low, high) = wilson(mean / worst, n as f64, confidence.z());
    Estimate::new(mean, (low * worst, high * worst), confidence, n, Method::Wilson)
}

/// A figure that cannot be below 0, from its standard error: limits symmetric in its logarithm.
pub(crate) fn on_log_scale(value: f64, standard_error: f64, z: f64) -> (f64, f64) {
    if standard_error.is_infinite() {
        return (0.0, f64::INFINITY);
    }
    match value > 0.0 {
        true => {
            let reach = (z * standard_error / value).exp();
            (value / reach, value * reach)
        }
        false => (0.0, 0.0),
    }
}

/// Limits for a distance, which is 0 only where nothing differs, from its plug-in value.
///
/// Chance alone makes samples differ, so the value is too great on average: by at least the first of `bias`, which
/// both limits take off, and by at most the second, which the lower one takes off.
pub(crate) fn of_distance(value: f64, bias: (f64, f64), deviation: f64, z: f64, most: f64) -> (f64, f64) {
    let low = (value - bias.1 - z * deviation).clamp(0.0, most);
    (low, (value - bias.0 + z * deviation).clamp(0.0, most))
}
