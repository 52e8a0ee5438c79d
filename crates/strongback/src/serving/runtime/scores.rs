//! What a model answered, for the caller and for the log.
//!
//! `outputs` is the text that goes to the caller; `value` and `label` are the same answer in the form in which every model's
//! can be compared: the probability of the positive class, or of the label where there are more than two, or the value of a
//! regression.

use std::fmt::Write as _;

use ort::{session::SessionOutputs, value::DynValue};
use serde_json::value::RawValue;

use super::{onnx::floats, report::Answer};
use crate::{
    error::{Error, Result},
    serving::signature::Form,
};

/// Answers to some rows.
#[derive(Debug, Clone)]
pub struct Scores {
    /// A figure a row; NaN where the model gave none.
    pub value: Vec<f64>,
    /// Of classifiers: the label of each row.
    pub label: Option<Vec<String>>,
    /// What stands behind `predictions`.
    pub outputs: Box<RawValue>,
    /// Whether `outputs` is the whole answer, as that of a chat is.
    pub is_bare: bool,
}

/// Labels of an output.
enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    fn of(value: &DynValue) -> Option<Self> {
        if let Ok((_, found)) = value.try_extract_tensor::<i64>() {
            return Some(Self::Ints(found.to_vec()));
        }
        if let Ok((_, found)) = value.try_extract_tensor::<i32>() {
            return Some(Self::Ints(found.iter().map(|label| i64::from(*label)).collect()));
        }
        value.try_extract_strings().ok().map(|(_, found)| Self::Texts(found))
    }

    fn texts(&self) -> Vec<String> {
        match self {
            Self::Ints(labels) => labels.iter().map(ToString::to_string).collect(),
            Self::Texts(labels) => labels.clone(),
        }
    }

    fn json(&self) -> Result<String> {
        match self {
            Self::Ints(labels) => serde_json::to_string(labels),
            Self::Texts(labels) => serde_json::to_string(labels),
        }
        .map_err(Error::internal)
    }
}

/// Makes scores of outputs.
pub(super) struct Builder;

impl Builder {
    /// Of a converted model, which answers as the original does.
    pub fn of_converted(
        outputs: &SessionOutputs<'_>,
        rows: usize,
        answer: Answer,
        tie: Option<f32>,
        classes: &[String],
    ) -> Result<Scores> {
        if answer == Answer::Value {
            let (_, value) = outputs.values().find_map(|value| floats(&value)).ok_or_else(odd)?;
            check(value.len() == rows)?;
            let text = list(&value);
            return scores(value, None, text);
        }
        let mut labels = None;
        let mut chances = None;
        for value in outputs.values() {
            match floats(&value) {
                Some(found) if chances.is_none() => chances = Some(found),
                Some(_) => {}
                None => labels = labels.or_else(|| Labels::of(&value)),
            }
        }
        let (Some(mut labels), Some((shape, chances))) = (labels, chances) else { return Err(odd()) };
        let width = shape.get(1).and_then(|width| usize::try_from(*width).ok()).unwrap_or(1).max(1);
        check(chances.len() == rows * width)?;
        if let Some(tie) = tie {
            labels = first_of_the_highest(&labels, &chances, width, f64::from(tie), classes)?;
        }
        let positive: Vec<f64> = chances
            .chunks_exact(width)
            .map(
                |row| if width == 2 { row[1] } else { row.iter().copied().fold(f64::NEG_INFINITY, f64::max) },
            )
            .collect();
        let text = match answer {
            Answer::Label => labels.json()?,
            Answer::Positive | Answer::Value => list(&positive),
            Answer::Probabilities => {
                let rows: Vec<String> = chances.chunks_exact(width).map(list).collect();
                format!("[{}]", rows.join(","))
            }
        };
        scores(positive, Some(labels.texts()), text)
    }

    /// Of a model whose outputs are the answer: a row an object, or an object of lists where a tensor came in.
    pub fn of_outputs(outputs: &SessionOutputs<'_>, rows: usize, form: Form) -> Result<Scores> {
        let mut columns: Vec<(&str, Vec<String>)> = Vec::new();
        let (mut value, mut label) = (None, None);
        for (name, output) in outputs {
            if let Some((shape, found)) = floats(&output) {
                let width = found.len().checked_div(rows).unwrap_or(1).max(1);
                check(found.len() == rows * width)?;
                let is_flat = shape.len() <= 1 || (width == 1 && form != Form::Tensor);
                columns.push((name, found.chunks_exact(width).map(|row| cell(row, is_flat)).collect()));
                let figure = |row: &[f64]| if width == 2 { row[1] } else { row[0] };
                value = value.or_else(|| Some(found.chunks_exact(width).map(figure).collect()));
            } else if let Some(labels) = Labels::of(&output) {
                let texts = labels.texts();
                check(texts.len() == rows)?;
                let quoted = match &labels {
                    Labels::Ints(_) => texts.clone(),
                    Labels::Texts(_) => {
                        texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect()
                    }
                };
                columns.push((name, quoted));
                label = label.or(Some(texts));
            } else {
                return Err(odd());
            }
        }
        let keys: Vec<String> =
            columns.iter().map(|(name, _)| serde_json::Value::from(*name).to_string()).collect();
        let mut text = String::new();
        if form == Form::Tensor {
            let parts: Vec<String> = keys
                .iter()
                .zip(&columns)
                .map(|(key, (_, cells))| format!("{key}:[{}]", cells.join(",")))
                .collect();
            write!(text, "{{{}}}", parts.join(",")).map_err(Error::internal)?;
        } else {
            let row = |at: usize| {
                let parts: Vec<String> = keys
                    .iter()
                    .zip(&columns)
                    .map(|(key, (_, cells))| format!("{key}:{}", cells[at]))
                    .collect();
                format!("{{{}}}", parts.join(","))
            };
            let all: Vec<String> = (0..rows).map(row).collect();
            write!(text, "[{}]", all.join(",")).map_err(Error::internal)?;
        }
        let value = value.unwrap_or_else(|| vec![f64::NAN; rows]);
        scores(value, label, text)
    }
}

fn scores(value: Vec<f64>, label: Option<Vec<String>>, text: String) -> Result<Scores> {
    let outputs = RawValue::from_string(text).map_err(Error::internal)?;
    Ok(Scores { value, label, outputs, is_bare: false })
}

/// The label of each row as the first class whose probability is as high as the highest, but for `tie`.
fn first_of_the_highest(
    labels: &Labels,
    chances: &[f64],
    width: usize,
    tie: f64,
    classes: &[String],
) -> Result<Labels> {
    let mut texts = Vec::with_capacity(chances.len() / width);
    for row in chances.chunks_exact(width) {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = row.iter().position(|chance| *chance >= most - tie).unwrap_or(0);
        texts.push(classes.get(first).ok_or_else(odd)?.clone());
    }
    Ok(match labels {
        Labels::Texts(_) => Labels::Texts(texts),
        Labels::Ints(_) => {
            Labels::Ints(texts.iter().map(|text| text.parse().map_err(|_| odd())).collect::<Result<_>>()?)
        }
    })
}

/// A number as JSON; it has no NaN.
fn number(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn list(values: &[f64]) -> String {
    let all: Vec<String> = values.iter().map(|value| number(*value)).collect();
    format!("[{}]", all.join(","))
}

fn cell(row: &[f64], is_flat: bool) -> String {
    match row {
        [only] if is_flat => number(*only),
        row => list(row),
    }
}

fn check(is_so: bool) -> Result<()> {
    if is_so { Ok(()) } else { Err(odd()) }
}

fn odd() -> Error {
    Error::new(
        crate::error::Code::InvalidState,
        "The model's outputs have not one answer a row, or a type that is no number and no text.",
    )
    // The model's fault, not the caller's.
    .with_status(500)
}
