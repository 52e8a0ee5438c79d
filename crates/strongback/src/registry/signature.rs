//! The signature of a version: what the `MLmodel` file among its files says about inputs, outputs and parameters.
//!
//! It is read when the version becomes ready, outside of any transaction, and stored with it. What must stay true: the
//! file is a client's, so that its size is bounded, it is parsed off the server's own threads, and however odd it is, the
//! version is registered; the oddity is kept in place of the signature, for whoever asks.

use futures::TryStreamExt;
use serde_json::{Map, Value as Json, json};
use syntax::{
    mlmodel::{MLMODEL_BYTES_MAX, read_signature},
    paths::ArtifactPath,
};

use crate::{
    context::Ctx,
    db::Sql,
    error::{Code, Error, Result},
    files::{self, File, Place},
    objects::ObjectId,
};

/// The file that tells the signature.
const MLMODEL: &str = "MLmodel";
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// What is known about a version's inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// `inputs`, `outputs` and `params` in MLflow's form, as far as there are any.
    Known(Map<String, Json>),
    /// Why it could not be read.
    Unreadable(String),
}

impl Signature {
    /// As it is stored.
    pub(super) fn to_json(&self) -> String {
        match self {
            Self::Known(parts) => json!({ "known": parts }).to_string(),
            Self::Unreadable(why) => json!({ "unreadable": why }).to_string(),
        }
    }

    /// From how it is stored.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        match serde_json::from_str(text).map_err(Error::internal)? {
            Json::Object(mut stored) => match (stored.remove("known"), stored.remove("unreadable")) {
                (Some(Json::Object(parts)), None) => Ok(Self::Known(parts)),
                (None, Some(Json::String(why))) => Ok(Self::Unreadable(why)),
                _ => Err(Error::internal("a stored signature has another form")),
            },
            _ => Err(Error::internal("a stored signature is no object")),
        }
    }
}

/// What was read before a version is made of the file.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The object that was the MLmodel file; none if there was none.
    pub mlmodel: Option<ObjectId>,
    /// What it says.
    pub signature: Option<Signature>,
}

/// The MLmodel file in a directory.
pub(super) fn find(sql: &mut Sql<'_>, place: &Place, dir: &ArtifactPath) -> Result<Option<File>> {
    files::find(sql, &place.area, &dir.join(&ArtifactPath::parse(MLMODEL)?)?)
}

/// The signature that the file tells which `look` finds. What is refused here is refused again, and then told, where the
/// version is changed.
pub(super) async fn read(
    ctx: &Ctx,
    look: impl FnOnce(&mut Sql<'_>) -> Result<Option<File>> + Send + 'static,
) -> Result<Told> {
    match ctx.read(look).await {
        Ok(Some(file)) => Ok(Told { mlmodel: Some(file.object), signature: told(ctx, &file).await? }),
        Err(error) if error.is_ours() => Err(error),
        _ => Ok(Told::default()),
    }
}

async fn told(ctx: &Ctx, file: &File) -> Result<Option<Signature>> {
    let parsed = match bytes(ctx, file).await? {
        Ok(bytes) => tokio::task::spawn_blocking(move || parse(&bytes)).await,
        Err(why) => Ok(Err(why)),
    };
    Ok(match parsed {
        Ok(Ok(found)) => found.map(Signature::Known),
        Ok(Err(why)) => Some(unreadable(file, &why)),
        Err(_) => Some(unreadable(file, "the MLmodel file cannot be parsed")),
    })
}

fn unreadable(file: &File, why: &str) -> Signature {
    tracing::info!(object = %file.object, why, "a version is registered without its signature");
    Signature::Unreadable(why.chars().take(REASON_CHARS_MAX).collect())
}

/// The file, or why it cannot be read. A store that is away for a while is no reason to register without a signature.
async fn bytes(ctx: &Ctx, file: &File) -> Result<Result<Vec<u8>, String>> {
    if file.size > MLMODEL_BYTES_MAX as u64 {
        return Ok(Err(format!("the MLmodel file is larger than {MLMODEL_BYTES_MAX} bytes")));
    }
    let gone = || Ok(Err("the MLmodel file could not be read".to_owned()));
    let stream = match ctx.app.objects.read(file.object, 0..file.size).await {
        Ok(Some(stream)) => stream,
        Err(error) if error.code() == Code::TemporarilyUnavailable => return Err(error),
        _ => return gone(),
    };
    let blocks: Result<Vec<bytes::Bytes>, _> = stream.try_collect().await;
    blocks.map_or_else(|_| gone(), |blocks| Ok(Ok(blocks.concat())))
}

fn parse(bytes: &[u8]) -> Result<Option<Map<String, Json>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the MLmodel file is not UTF-8 text".to_owned())?;
    Ok(read_signature(text).map_err(|error| error.to_string())?.map(|signature| signature.parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let parts = json!({ "inputs": [{ "type": "long" }] });
        let Json::Object(parts) = parts else { unreachable!() };
        for signature in [Signature::Known(parts), Signature::Unreadable("it's odd".into())] {
            assert_eq!(Signature::from_json(&signature.to_json()).unwrap(), signature);
        }
        assert!(Signature::from_json("{}").is_err());
    }
}
