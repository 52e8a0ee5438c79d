//! How a model is run, and on what that stands: the report of its conversion.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    /// ONNX Runtime in this process.
    Onnx,
    /// A Python process beside it.
    Python,
}

impl RuntimeKind {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "ONNX",
            Self::Python => "Python",
        }
    }
}

/// What a converted model's original answers, in terms of the converted one's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The class.
    Label,
    /// The probability of the second of two classes.
    Positive,
    /// The probabilities of all classes.
    Probabilities,
    /// The value of a regression.
    Value,
}

/// How a version is run and why so.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What runs it.
    pub verdict: RuntimeKind,
    /// Why it stays with Python, or that it was ONNX from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rows on which both forms were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How many of them are the model's input example; the others were generated over the domain of its inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_rows: Option<u64>,
    /// Largest absolute difference of a probability or a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_abs_diff: Option<f64>,
    /// Rows in which the labels differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_that_differ: Option<u64>,
    /// Largest difference that is allowed; of values beyond 1 it is relative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// What the original answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Probabilities as near as this are a tie, of which the first class is the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie: Option<f64>,
    /// The classes, in the order of the probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Json>>,
    /// What becomes of missing values: `never` allowed, `refused`, `equal` in both forms, or `optional`, which is equal where the
    /// signature allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Whether the inputs go in as one `matrix` or as `columns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// Versions of what converted and compared.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub versions: Map<String, Json>,
    /// Whether what kept it from being converted says nothing about the model, so that it is tried again.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    pub is_passing: bool,
    /// SHA-256 of the converted model, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnx_sha256: Option<String>,
}

impl Report {
    /// Without a conversion.
    pub fn without(verdict: RuntimeKind, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: Some(reason.into()),
            rows: None,
            example_rows: None,
            max_abs_diff: None,
            labels_that_differ: None,
            tolerance: None,
            answer: None,
            tie: None,
            classes: None,
            missing: None,
            inputs: None,
            versions: Map::new(),
            is_passing: false,
            onnx_sha256: None,
        }
    }

    /// The classes as texts.
    pub fn class_names(&self) -> Vec<String> {
        let text = |class: &Json| class.as_str().map_or_else(|| class.to_string(), str::to_owned);
        self.classes.iter().flatten().map(text).collect()
    }
}
