//! Kinds of assets, where a name alone does not say which one is meant.

use clap::ValueEnum;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AssetKind {
    /// The first level.
    Catalog,
    /// The second level.
    Schema,
    /// A declared table.
    Table,
    /// An MLflow experiment.
    Experiment,
    /// A registered model.
    Model,
    /// A declared command.
    Command,
    /// Rows that a model is trained on.
    #[value(name = "training_set")]
    TrainingSet,
    /// Where a model answers requests.
    Endpoint,
    /// What watches an endpoint or a table.
    Monitor,
}

impl AssetKind {
    /// As the server writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Experiment => "experiment",
            Self::Model => "model",
            Self::Command => "command",
            Self::TrainingSet => "training_set",
            Self::Endpoint => "endpoint",
            Self::Monitor => "monitor",
        }
    }
}
