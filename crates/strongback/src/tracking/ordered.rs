//! Orders of what is searched in memory: experiments, logged models, registered models and versions.
//!
//! Of each result an order keeps the values that it looks at, which are also where a page ends. What must stay true: missing
//! values come last in both directions, NaN right before them; ids of experiments are ordered as the numbers that they are,
//! of which a float cannot hold all; a text counts with its first [`TEXT_CHARS_MAX`] characters, since it stands in a page's token,
//! which travels in an address.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use syntax::search::{Attribute, Fields, OrderBy, Subject, compare_numbers, compare_texts};

/// How much of a text an order looks at: all of every name.
pub const TEXT_CHARS_MAX: usize = 500;

/// A value in an order. JSON has no NaN, so it is told apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A float.
    Number(f64),
    /// A float that is none.
    NaN,
    /// A text.
    Text(String),
    /// Nothing.
    Missing,
    /// An id of an experiment.
    Integer(i64),
}

impl Value {
    /// Of a number that may be missing.
    pub fn number(number: Option<f64>) -> Self {
        match number {
            Some(number) if number.is_nan() => Self::NaN,
            Some(number) => Self::Number(number),
            None => Self::Missing,
        }
    }

    /// What a field of an order looks at in one result.
    pub fn of(subject: &Subject, fields: &impl Fields) -> Self {
        let is_number = match subject {
            Subject::Metric(_) | Subject::Aggregate(_) => true,
            Subject::Attribute(attribute) => attribute.is_number(),
            Subject::Param(_) | Subject::Tag(_) | Subject::Dataset(_) => false,
        };
        if is_number {
            return Self::number(fields.number(subject));
        }
        let Some(text) = fields.text(subject) else { return Self::Missing };
        let is_id = *subject == Subject::Attribute(Attribute::ExperimentId);
        match is_id.then(|| text.parse()) {
            Some(Ok(id)) => Self::Integer(id),
            _ => Self::Text(match text.char_indices().nth(TEXT_CHARS_MAX) {
                Some((end, _)) => text[..end].to_owned(),
                None => text.into_owned(),
            }),
        }
    }

    /// Which comes first in a direction.
    pub fn compare(&self, other: &Self, ascending: bool) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => compare_texts(Some(a), Some(b), ascending),
            (Self::Integer(a), Self::Integer(b)) if ascending => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => b.cmp(a),
            (Self::Missing, Self::Missing) => Ordering::Equal,
            (Self::Missing, _) => Ordering::Greater,
            (_, Self::Missing) => Ordering::Less,
            _ => compare_numbers(self.float(), other.float(), ascending),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::NaN => Some(f64::NAN),
            Self::Text(_) | Self::Missing | Self::Integer(_) => None,
        }
    }
}

/// What an order looks at in one result.
pub fn values(order: &[OrderBy], fields: &impl Fields) -> Vec<Value> {
    order.iter().map(|field| Value::of(&field.subject, fields)).collect()
}

/// Which of two results comes first, by their values; what is equal is left to others.
pub fn compare(order: &[OrderBy], a: &[Value], b: &[Value]) -> Ordering {
    let fields = order.iter().zip(a.iter().zip(b));
    let mut by = fields.map(|(field, (a, b))| a.compare(b, field.ascending));
    by.find(|by| by.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_come_last_in_both_directions() {
        let sorted = |mut values: Vec<Value>, ascending| {
            values.sort_by(|a, b| a.compare(b, ascending));
            values
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let given = || vec![Value::Missing, text("b"), text(""), text("a")];
        assert_eq!(sorted(given(), true), [text(""), text("a"), text("b"), Value::Missing]);
        assert_eq!(sorted(given(), false), [text("b"), text("a"), text(""), Value::Missing]);
        let (one, two) = (Value::Number(1.0), Value::Number(2.0));
        let given = || vec![Value::NaN, Value::Missing, two.clone(), one.clone()];
        assert_eq!(sorted(given(), true), [one.clone(), two.clone(), Value::NaN, Value::Missing]);
        assert_eq!(sorted(given(), false), [two.clone(), one.clone(), Value::NaN, Value::Missing]);
        // Two ids that are the same float.
        let ids = [900_719_925_474_099_301, 900_719_925_474_099_300].map(Value::Integer);
        assert_eq!(sorted(ids.to_vec(), true), [ids[1].clone(), ids[0].clone()]);
        assert_eq!(sorted(ids.to_vec(), false), ids);
    }
}
