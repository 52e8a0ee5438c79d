//! Which way a metric gets better, read off its name.
//!
//! What must stay true: a name says so or nothing is said. What a metric is measured on and how it was summed up (`val_auc`,
//! `test/rmse`, `latency_p99_ms`) does not count; any other word that is not known makes the whole name unknown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way a metric gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Its name does not say.
    Unknown,
}

/// Words by which names say so, one after the other. Figures beside a word (`f1`, `r2`, `rouge1`) belong to it; such as
/// stand alone count nothing.
const HIGHER: &[&str] = &[
    "acc",
    "accuracy",
    "auc",
    "auc pr",
    "auc roc",
    "auprc",
    "auroc",
    "average precision",
    "ap",
    "balanced accuracy",
    "bleu",
    "cohen kappa",
    "cohen kappa score",
    "dice",
    "exact match",
    "explained variance",
    "explained variance score",
    "f1",
    "f1 score",
    "f1score",
    "fbeta",
    "fbeta score",
    "gini",
    "hit rate",
    "hit ratio",
    "iou",
    "jaccard",
    "jaccard score",
    "kappa",
    "map",
    "matthews corrcoef",
    "mcc",
    "mean average precision",
    "miou",
    "mrr",
    "ndcg",
    "npv",
    "ppv",
    "pr auc",
    "precision",
    "precision score",
    "r2",
    "r2 score",
    "recall",
    "recall score",
    "roc auc",
    "roc auc score",
    "rouge1",
    "rouge2",
    "rougel",
    "sensitivity",
    "silhouette",
    "silhouette score",
    "specificity",
    "throughput",
    "tnr",
    "top accuracy",
    "top k accuracy",
    "tpr",
    "true negative rate",
    "true positive rate",
];

/// The same of errors, losses and waits.
const LOWER: &[&str] = &[
    "absolute error",
    "bce",
    "binary cross entropy",
    "brier",
    "brier score",
    "brier score loss",
    "calibration error",
    "cer",
    "cross entropy",
    "cross entropy loss",
    "deviance",
    "ece",
    "error",
    "error rate",
    "eer",
    "expected calibration error",
    "fnr",
    "fpr",
    "false negative rate",
    "false positive rate",
    "hamming loss",
    "hinge loss",
    "huber loss",
    "latency",
    "log loss",
    "logloss",
    "loss",
    "mae",
    "mape",
    "max error",
    "mean absolute error",
    "mean absolute percentage error",
    "mean squared error",
    "mean squared log error",
    "medae",
    "median absolute error",
    "mse",
    "msle",
    "nll",
    "negative log likelihood",
    "perplexity",
    "pinball loss",
    "quantile loss",
    "response time",
    "rmse",
    "rmsle",
    "root mean squared error",
    "root mean squared log error",
    "smape",
    "squared error",
    "wape",
    "wer",
    "word error rate",
    "zero one loss",
];

/// Words that say what was measured on, how it was summed up or in which unit, at either end of a name.
const BESIDE: &[&str] = &[
    "avg",
    "average",
    "batch",
    "best",
    "cv",
    "dev",
    "epoch",
    "eval",
    "evaluation",
    "final",
    "holdout",
    "last",
    "macro",
    "max",
    "mean",
    "median",
    "micro",
    "min",
    "ms",
    "oof",
    "p50",
    "p90",
    "p95",
    "p99",
    "p999",
    "s",
    "samples",
    "sec",
    "seconds",
    "step",
    "test",
    "testing",
    "train",
    "training",
    "us",
    "val",
    "valid",
    "validation",
    "weighted",
];

impl Direction {
    /// What the name of a metric says.
    pub(super) fn of(key: &str) -> Self {
        let words = words(key);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.retain(|word| !is_figure(word));
        loop {
            match said(&words) {
                Self::Unknown => {}
                found => return found,
            }
            // scikit-learn turns the signs of losses round, so that more is better.
            if let Some((&("neg" | "negative"), loss)) = words.split_first()
                && said(loss) == Self::Lower
            {
                return Self::Higher;
            }
            // One at a time, from the front first: `mean` belongs to `mean squared error`.
            match (words.first(), words.last()) {
                (Some(first), _) if BESIDE.contains(first) => drop(words.remove(0)),
                (_, Some(last)) if BESIDE.contains(last) => drop(words.pop()),
                _ => return Self::Unknown,
            }
        }
    }
}

fn said(words: &[&str]) -> Direction {
    let name = words.join(" ");
    match (HIGHER.contains(&name.as_str()), LOWER.contains(&name.as_str())) {
        (true, _) => Direction::Higher,
        (_, true) => Direction::Lower,
        _ => Direction::Unknown,
    }
}

fn is_figure(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of a name in small letters: apart by what is neither letter nor figure, and where a capital follows a small letter.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in key.chars() {
        let begins = letter.is_ascii_uppercase() && was_small;
        if !letter.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        was_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    // An F score has any weight of recall: f2, f0.5.
    for word in &mut words {
        if word.strip_prefix('f').is_some_and(|weight| !weight.is_empty() && is_figure(weight)) {
            "f1".clone_into(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_so_or_nothing_is_said() {
        let check = |keys: &str, expected: Direction| {
            for key in keys.split(' ') {
                assert_eq!(Direction::of(key), expected, "{key}");
            }
        };
        let keys = "accuracy val_auc test/roc_auc f1 f0.5 F1_Score f1_macro val_f1_weighted eval.r2 R2 training_r2_score \
             valAccuracy precision@10 top_5_accuracy neg_mean_squared_error neg_log_loss mean_average_precision \
             test_balanced_accuracy best_val_acc throughput";
        check(keys, Direction::Higher);
        let keys = "loss train_loss val_loss_epoch validation-rmse RMSE mean_absolute_error test_mae logLoss log_loss \
             latency_p99_ms p95_latency error error_rate training_mean_squared_error min_loss perplexity \
             calibration_error brier";
        check(keys, Direction::Lower);
        let keys = "42 _ score training_score learning_rate loss_weight error_count accuracy_std std_accuracy lr \
             auc_threshold epochs mean latency_budget recall_fraud negative precision_bits verlust psi \
             metrics/mAP50-95";
        check(keys, Direction::Unknown);
        check("", Direction::Unknown);
    }

    /// What gates call their figures has the direction that gates judge them by.
    #[test]
    fn the_figures_of_gates_have_their_own_direction() {
        for name in syntax::gates::metrics() {
            let is_higher =
                match (name.parse::<stats::classify::Metric>(), name.parse::<stats::regress::Metric>()) {
                    (Ok(metric), _) => metric.greater_is_better(),
                    (_, Ok(metric)) => metric.greater_is_better(),
                    _ => panic!("{name} is no figure"),
                };
            let expected = if is_higher { Direction::Higher } else { Direction::Lower };
            assert_eq!(Direction::of(name), expected, "{name}");
        }
    }
}
