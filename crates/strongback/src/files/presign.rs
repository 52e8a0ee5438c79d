//! Addresses of an object store at which a file can be read past this server.
//!
//! What must stay true: who may not read the file gets none; one works for a short while, since the store asks nobody whether
//! its bearer still may. Nothing is stored this way: the digest of a file is that of bytes which this server saw.

use std::time::Duration;

use syntax::paths::ArtifactPath;

use super::{File, Guard, get};
use crate::{
    context::Ctx,
    error::{Error, Result},
};

/// How long an address works at most, and if nobody says.
const VALID: Duration = Duration::from_mins(15);
/// What MLflow takes for a time, in seconds.
const ASKED_MAX: i64 = 604_800;

/// A file, and where the store has it.
pub struct Presigned {
    /// The file.
    pub file: File,
    /// The address; `None` where files lie on this machine, or such addresses are not wanted.
    pub url: Option<url::Url>,
}

/// The file at a path, for a caller who may read it, and its address in the object store. It works for so many seconds, or a
/// quarter of an hour, whichever is less.
pub async fn presign(
    ctx: &Ctx,
    guard: &Guard,
    path: &ArtifactPath,
    seconds: Option<i64>,
) -> Result<Presigned> {
    let valid = match seconds {
        None => VALID,
        Some(seconds @ 1..=ASKED_MAX) => VALID.min(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => {
            return Err(Error::invalid(format!(
                "Invalid value {seconds} for parameter 'expiration' supplied: it is 1 to {ASKED_MAX} seconds."
            )));
        }
    };
    let (guard, path) = (guard.clone(), path.clone());
    let file = ctx
        .read(move |sql| {
            let place = guard(sql)?;
            get(sql, &place.area, &path)
        })
        .await?;
    if !ctx.app.config.artifacts_presign.value {
        return Ok(Presigned { file, url: None });
    }
    let signed = ctx.app.objects.signed_get(file.object, valid).await;
    // Credentials that may read need not be able to sign: then the bytes come from here.
    let url = signed.unwrap_or_else(|error| {
        tracing::warn!(?error, "the object store's address of a file cannot be signed");
        None
    });
    Ok(Presigned { file, url })
}
