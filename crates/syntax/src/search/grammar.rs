//! What sets the five grammars apart: entity words, attributes, and which operators and values each subject takes.

use super::ast::{Attribute, Operator, Subject};

/// Which entity is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// `runs/search`.
    Runs,
    /// `experiments/search`.
    Experiments,
    /// `registered-models/search`.
    RegisteredModels,
    /// `model-versions/search`.
    ModelVersions,
    /// `logged-models/search`.
    LoggedModels,
}

/// The word before the dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    Attribute,
    Metric,
    Param,
    Tag,
    Dataset,
}

/// Which values a subject is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Any number.
    Number,
    /// A number without fraction.
    Integer,
    /// The same, also in quotes.
    QuotableInteger,
    /// Quoted text, or a list of such.
    Text,
    /// Quoted text that reads as a number.
    IntegerText,
    /// Quoted text, or a bare word or number.
    LooseText,
}

use Attribute as A;
use Operator as O;

const NUMBER: &[O] = &[O::Eq, O::Ne, O::Lt, O::Le, O::Gt, O::Ge, O::IsNull, O::IsNotNull];
const TEXT: &[O] = &[O::Eq, O::Ne, O::Like, O::ILike, O::In, O::NotIn, O::IsNull, O::IsNotNull];
const IDENTIFIER: &[O] = &[O::Eq, O::Ne, O::In, O::NotIn, O::IsNull, O::IsNotNull];

/// Names of attributes, canonical ones first: printing takes the first name of an attribute.
type Names = &'static [(&'static str, A)];

const RUN_ATTRIBUTES: Names = &[
    ("run_id", A::RunId),
    ("run_name", A::RunName),
    ("user_id", A::UserId),
    ("status", A::Status),
    ("start_time", A::StartTime),
    ("end_time", A::EndTime),
    ("artifact_uri", A::ArtifactUri),
    ("experiment_id", A::ExperimentId),
    ("lifecycle_stage", A::LifecycleStage),
    ("created", A::StartTime),
    ("Created", A::StartTime),
    ("run name", A::RunName),
    ("Run name", A::RunName),
    ("Run Name", A::RunName),
];
const EXPERIMENT_ATTRIBUTES: Names = &[
    ("name", A::Name),
    ("experiment_id", A::ExperimentId),
    ("creation_time", A::CreationTime),
    ("last_update_time", A::LastUpdateTime),
];
const REGISTERED_MODEL_ATTRIBUTES: Names = &[
    ("name", A::Name),
    ("description", A::Description),
    ("creation_timestamp", A::CreationTime),
    ("last_updated_timestamp", A::LastUpdateTime),
];
const MODEL_VERSION_ATTRIBUTES: Names = &[
    ("name", A::Name),
    ("run_id", A::RunId),
    ("source_path", A::SourcePath),
    ("version_number", A::VersionNumber),
    ("description", A::Description),
    ("creation_timestamp", A::CreationTime),
    ("last_updated_timestamp", A::LastUpdateTime),
];
const LOGGED_MODEL_ATTRIBUTES: Names = &[
    ("name", A::Name),
    ("model_id", A::ModelId),
    ("model_type", A::ModelType),
    ("status", A::Status),
    ("source_run_id", A::SourceRunId),
    ("experiment_id", A::ExperimentId),
    ("status_message", A::StatusMessage),
    ("creation_timestamp", A::CreationTime),
    ("last_updated_timestamp", A::LastUpdateTime),
    ("creation_time", A::CreationTime),
    ("creation_timestamp_ms", A::CreationTime),
    ("last_updated_timestamp_ms", A::LastUpdateTime),
];

/// Orders of registered models know one name more: MLflow orders them by their last change under both timestamp names.
const REGISTERED_MODEL_ORDERS: Names = &[
    ("name", A::Name),
    ("timestamp", A::LastUpdateTime),
    ("last_updated_timestamp", A::LastUpdateTime),
    ("creation_timestamp", A::CreationTime),
    ("description", A::Description),
];

impl Grammar {
    /// All five, for tests and tables.
    pub const ALL: [Grammar; 5] = [
        Grammar::Runs,
        Grammar::Experiments,
        Grammar::RegisteredModels,
        Grammar::ModelVersions,
        Grammar::LoggedModels,
    ];

    /// The canonical name of an attribute as this grammar writes it.
    pub fn attribute_name(self, attribute: Attribute) -> &'static str {
        let searched = [self.attributes(), self.order_attributes()];
        let named = searched.into_iter().flatten().find(|(_, known)| *known == attribute);
        named.map_or("unknown", |(name, _)| name)
    }

    /// Whether this subject holds numbers, so that [`super::Fields::number`] is asked for it and not
    /// [`super::Fields::text`].
    pub fn is_numeric(self, subject: &Subject) -> bool {
        self.operators(subject).contains(&O::Lt)
    }

    /// Attributes that filters know.
    pub(super) fn attributes(self) -> Names {
        match self {
            Grammar::Runs => RUN_ATTRIBUTES,
            Grammar::Experiments => EXPERIMENT_ATTRIBUTES,
            Grammar::RegisteredModels => REGISTERED_MODEL_ATTRIBUTES,
            Grammar::ModelVersions => MODEL_VERSION_ATTRIBUTES,
            Grammar::LoggedModels => LOGGED_MODEL_ATTRIBUTES,
        }
    }

    /// Attributes that orders know.
    pub(super) fn order_attributes(self) -> Names {
        match self {
            Grammar::RegisteredModels => REGISTERED_MODEL_ORDERS,
            _ => self.attributes(),
        }
    }

    /// The entity that a word before the dot names here.
    pub(super) fn entity(self, word: &str) -> Option<Entity> {
        match (self, word) {
            (Grammar::Runs, "attribute" | "attributes" | "attr" | "run")
            | (Grammar::Experiments | Grammar::RegisteredModels | Grammar::ModelVersions, "attribute")
            | (Grammar::LoggedModels, "attributes") => Some(Entity::Attribute),
            (Grammar::Runs, "metric" | "metrics") | (Grammar::LoggedModels, "metrics") => {
                Some(Entity::Metric)
            }
            (Grammar::Runs, "param" | "params" | "parameter" | "parameters")
            | (Grammar::LoggedModels, "params") => Some(Entity::Param),
            (
                Grammar::Runs | Grammar::Experiments | Grammar::RegisteredModels | Grammar::ModelVersions,
                "tag" | "tags",
            )
            | (Grammar::LoggedModels, "tags") => Some(Entity::Tag),
            (Grammar::Runs, "dataset" | "datasets") => Some(Entity::Dataset),
            _ => None,
        }
    }

    /// The entity words, as an error lists them.
    pub(super) fn entity_words(self) -> &'static str {
        match self {
            Grammar::Runs => "'metric', 'parameter', 'tag', 'attribute', 'dataset'",
            Grammar::Experiments | Grammar::RegisteredModels | Grammar::ModelVersions => {
                "'attribute', 'tag', 'tags'"
            }
            Grammar::LoggedModels => "'attributes', 'metrics', 'params', 'tags'",
        }
    }

    /// Operators that this subject takes here.
    pub(super) fn operators(self, subject: &Subject) -> &'static [O] {
        match (self, subject) {
            (_, Subject::Metric(_) | Subject::Aggregate(_)) => NUMBER,
            (_, Subject::Attribute(attribute)) if attribute.is_number() => NUMBER,
            (Grammar::Runs | Grammar::Experiments, Subject::Attribute(A::ExperimentId)) => IDENTIFIER,
            _ => TEXT,
        }
    }

    /// Which values this subject is compared with here.
    pub(super) fn value_kind(self, subject: &Subject) -> ValueKind {
        match (self, subject) {
            (_, Subject::Metric(_) | Subject::Aggregate(_)) => ValueKind::Number,
            (Grammar::Experiments, Subject::Attribute(A::CreationTime | A::LastUpdateTime)) => {
                ValueKind::Integer
            }
            (Grammar::ModelVersions, Subject::Attribute(A::VersionNumber)) => ValueKind::QuotableInteger,
            (_, Subject::Attribute(attribute)) if attribute.is_number() => ValueKind::Number,
            (Grammar::Runs | Grammar::Experiments, Subject::Attribute(A::ExperimentId)) => {
                ValueKind::IntegerText
            }
            (Grammar::LoggedModels, _) => ValueKind::LooseText,
            _ => ValueKind::Text,
        }
    }

    /// The attributes that take lists, as an error lists them.
    pub(super) fn list_attributes(self) -> String {
        let taking = self.attributes().iter().filter(|(_, attribute)| !attribute.is_number());
        quoted_list(taking.map(|(name, _)| *name))
    }
}

/// `'a', 'b'`
pub(super) fn quoted_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}

/// Reads a number as filters write it: decimal digits with an optional minus, point and exponent. Too large a number
/// is infinite, as in MLflow.
pub(super) fn read_number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let plain = unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let has_digit = mantissa.contains(|c: char| c.is_ascii_digit());
    if plain && has_digit { text.parse().ok() } else { None }
}

/// Reads a number without fraction and exponent, unless it is too large to be finite.
pub(super) fn read_integer(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    if plain { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}
