//! Kinds of items, and what items are known by.

use std::io::{BufWriter, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes of a digest: enough that two contents do not meet by chance.
const DIGEST_BYTES: usize = 16;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// An experiment, by its id.
    Experiment,
    /// A run, by its id.
    Run,
    /// A logged model, by its id.
    LoggedModel,
    /// A registered model, by its name.
    Model,
    /// A version of a registered model, by `name/number`.
    Version,
}

impl ItemKind {
    /// All of them, in the order in which they are taken.
    pub const ALL: [Self; 5] = [Self::Experiment, Self::Run, Self::LoggedModel, Self::Model, Self::Version];

    /// As it is stored, and written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Run => "run",
            Self::LoggedModel => "logged_model",
            Self::Model => "model",
            Self::Version => "version",
        }
    }

    /// The field of an item that holds its id.
    pub(super) fn id_field(self) -> &'static str {
        match self {
            Self::Experiment => "experiment_id",
            Self::Run => "run_id",
            Self::LoggedModel => "model_id",
            Self::Model | Self::Version => "name",
        }
    }
}

/// From its name, so that what is no text is told from what is no name.
impl<'de> Deserialize<'de> for ItemKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| de::Error::custom("it is one of experiment, run, logged_model, model, version"))
    }
}

/// The digest of a settled item: of its JSON, whose fields and keys have one order. In hexadecimal digits. The JSON of a run with many
/// points is long, and never held.
pub fn digest<T: Serialize>(item: &T) -> Result<String> {
    const PIECE: usize = 1 << 16;
    let mut hasher = Sha256::new();
    let mut json = BufWriter::with_capacity(PIECE, &mut hasher);
    serde_json::to_writer(&mut json, item).map_err(Error::internal)?;
    json.flush().map_err(Error::internal)?;
    drop(json);
    Ok(hex::encode(&hasher.finalize()[..DIGEST_BYTES]))
}
