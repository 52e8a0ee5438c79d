//! What the clients send: runs of 10 metrics, 10 params and 4 tags, and batches of points. Both sides get the same
//! bytes, from the same seeds.
//!
//! Invariant: run `n` is a function of `n` alone, so that the answer to a search is known without asking anybody.

use serde_json::{Value, json};
use testkit::random::Random;

pub const API: &str = "/api/2.0/mlflow";
pub const ARTIFACTS_API: &str = "/api/2.0/mlflow-artifacts";
/// 2024-01-01 in milliseconds.
pub const EPOCH_MS: u64 = 1_704_067_200_000;
pub const MODELS: [&str; 5] = ["logistic", "forest", "xgboost", "lightgbm", "mlp"];
pub const POINTS_PER_BATCH: u32 = 1_000;
const KEYS_PER_BATCH: u32 = 10;

/// One complete run.
#[derive(Debug, Clone)]
pub struct Run {
    number: u64,
    pub val_auc: f64,
    /// 1 − `val_auc`: ordering by one and filtering by the other disagree as much as two metrics can.
    pub val_loss: f64,
    pub model: &'static str,
    others: [f64; 8],
}

impl Run {
    pub fn new(number: u64) -> Self {
        let mut random = Random::new(number.wrapping_mul(0x5851_F42D_4C95_7F2D));
        let val_auc = random.unit();
        Self {
            number,
            val_auc,
            val_loss: 1.0 - val_auc,
            model: MODELS[random.below(MODELS.len() as u64) as usize],
            others: std::array::from_fn(|_| random.unit()),
        }
    }

    pub fn name(&self) -> String {
        format!("run-{}", self.number)
    }

    /// When it began, in epoch milliseconds.
    pub fn start_time(&self) -> u64 {
        EPOCH_MS + self.number * 1_000
    }

    /// The body of the log-batch: 10 metrics, 10 params, 4 tags.
    pub fn batch(&self, run_id: &str) -> Value {
        let names = ["train_auc", "train_loss", "precision", "recall", "f1", "accuracy", "brier", "seconds"];
        let timestamp = self.start_time() + 500;
        let metric =
            |key: &str, value: f64| json!({"key": key, "value": value, "timestamp": timestamp, "step": 0});
        let mut metrics = vec![metric("val_auc", self.val_auc), metric("val_loss", self.val_loss)];
        metrics.extend(names.iter().zip(self.others).map(|(name, value)| metric(name, value)));
        let pair = |key: &str, value: String| json!({"key": key, "value": value});
        let n = self.number;
        let params = [
            pair("model", self.model.to_string()),
            pair("learning_rate", format!("{}", self.others[0] / 10.0)),
            pair("max_depth", (n % 12 + 1).to_string()),
            pair("n_estimators", ((n % 20 + 1) * 50).to_string()),
            pair("subsample", format!("{:.2}", self.others[1])),
            pair("l2", format!("{:.6}", self.others[2])),
            pair("batch_size", (32 << (n % 5)).to_string()),
            pair("seed", n.to_string()),
            pair("features", "amount,hour,v1..v28".to_string()),
            pair("class_weight", ["balanced", "none"][(n % 2) as usize].to_string()),
        ];
        let tags = [
            pair("team", ["risk-ml", "growth", "credit"][(n % 3) as usize].to_string()),
            pair("dataset_version", format!("2024-Q{}-v{}", n % 4 + 1, n % 7)),
            pair("stage", "tuning".to_string()),
            pair("host", format!("node-{}", n % 16)),
        ];
        json!({"run_id": run_id, "metrics": metrics, "params": params, "tags": tags})
    }
}

/// 1,000 points of 10 keys, 100 steps each, from `first_step` on: losses as a 32-bit training loop prints them.
pub fn points_of_ten_keys(random: &mut Random, first_step: u32) -> Vec<Value> {
    let steps = POINTS_PER_BATCH / KEYS_PER_BATCH;
    let point = |key: u32, step: u32, value: f64| json!({"key": format!("loss_{key}"), "value": value, "timestamp": EPOCH_MS + u64::from(step) * 100, "step": step});
    (0..POINTS_PER_BATCH)
        .map(|index| {
            point(index % KEYS_PER_BATCH, first_step + index / KEYS_PER_BATCH % steps, random.unit())
        })
        .collect()
}

/// `count` points of the one key `loss`, from `first_step` on.
pub fn points_of_one_key(random: &mut Random, first_step: u32, count: u32) -> Vec<Value> {
    (first_step..first_step + count)
        .map(|step| json!({"key": "loss", "value": random.unit(), "timestamp": EPOCH_MS + u64::from(step), "step": step}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{POINTS_PER_BATCH, Random, Run, points_of_ten_keys};
    use std::collections::BTreeSet;

    #[test]
    fn a_run_has_the_size_its_definition_says() {
        let batch = Run::new(7).batch("r");
        let sizes = ["metrics", "params", "tags"].map(|part| batch[part].as_array().unwrap().len());
        assert_eq!(sizes, [10, 10, 4]);
        assert_eq!(Run::new(7).batch("r"), batch, "the same number gives the same run");
    }

    #[test]
    fn the_points_of_a_batch_are_all_different() {
        let points = points_of_ten_keys(&mut Random::new(1), 300);
        let places: BTreeSet<_> =
            points.iter().map(|each| (each["key"].to_string(), each["step"].as_u64())).collect();
        assert_eq!(places.len(), POINTS_PER_BATCH as usize);
        assert!(places.iter().all(|(_, step)| (300..400).contains(&step.unwrap())));
        assert!(points.iter().all(|each| {
            let value = each["value"].as_f64().unwrap();
            f64::from(value as f32) == value
        }));
    }
}
