//! Inputs that a request does not bring and a feature table has.
//!
//! What must stay true: what is looked up was published before the request came, and the answer says from which version of
//! which table it was, so that the request can be explained.

use super::{frame::Frame, runtime::ScoredVersion, signature::Schema};
use crate::{context::Ctx, error::Result};

/// The tables that a version's inputs come from.
#[derive(Debug, Default)]
pub enum Lookup {
    /// All inputs are the request's.
    #[default]
    Nothing,
}

impl Lookup {
    /// What a version needs that its requests need not bring.
    #[expect(clippy::unused_async, reason = "tables are found in the metadata store")]
    pub async fn open(_ctx: &Ctx, _version: &ScoredVersion, _schema: &Schema) -> Result<Self> {
        Ok(Self::Nothing)
    }

    /// What a request is read with: the model's inputs, of which those that are looked up may be absent, and the keys to look
    /// them up by. `None` where that is the model's own schema.
    pub fn request_schema(&self) -> Option<&Schema> {
        match self {
            Self::Nothing => None,
        }
    }

    /// Turns rows as they were sent into rows as the model takes them, as of these moments (microseconds since the epoch, one a
    /// row). Answers the tables that were read: table (`asset.id`), definition, version of its rows.
    pub fn fill(&self, frame: Frame, _at_micros: &[i64]) -> Result<(Frame, Vec<(i64, i64, u64)>)> {
        match self {
            Self::Nothing => Ok((frame, Vec::new())),
        }
    }
}
