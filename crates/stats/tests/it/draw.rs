//! Samples for tests, from a seed.

use stats::{random::Stream, special::normal};

/// Draws one after the other.
pub struct Draw {
    stream: Stream,
    counter: u64,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, 0xD7A3), counter: 0 }
    }

    pub fn unit(&mut self) -> f64 {
        self.counter += 1;
        self.stream.unit(self.counter)
    }

    pub fn normal(&mut self) -> f64 {
        normal::quantile(self.unit().max(1e-300))
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }

    /// `n` standard normal numbers, scaled and moved.
    pub fn normals(&mut self, n: usize, mean: f64, deviation: f64) -> Vec<f64> {
        (0..n).map(|_| mean + deviation * self.normal()).collect()
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for at in (1..values.len()).rev() {
            values.swap(at, self.below(at + 1));
        }
    }

    /// Labels with a share of positives, and scores that tell them apart by `distance` standard deviations.
    pub fn scored(&mut self, n: usize, positives: f64, distance: f64) -> (Vec<bool>, Vec<f64>) {
        (0..n)
            .map(|_| {
                let label = self.chance(positives);
                (label, normal::cdf(self.normal() + if label { distance } else { 0.0 }))
            })
            .unzip()
    }
}

/// Equal up to a relative error, or an absolute one below 1.
#[track_caller]
pub fn assert_close(actual: f64, expected: f64, error: f64, what: &str) {
    let scale = expected.abs().max(if expected.abs() < 1e-6 { 1e-300 } else { 1.0 });
    assert!((actual - expected).abs() <= error * scale, "{what}: {actual} is not {expected}");
}
