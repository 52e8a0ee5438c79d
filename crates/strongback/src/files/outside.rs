//! Files that lie outside: listed and given out as those that are kept here.

use axum::response::Response;
use bucket::Kind;
use futures::{StreamExt as _, TryStreamExt as _};
use http::request::Parts;
use syntax::paths::ArtifactPath;

use super::{
    ENTRIES_MAX, Entry,
    answer::{Facts, respond},
    missing,
};
use crate::{
    error::{Code, Error, Result},
    objects::{Spot, Whole},
};

/// How often a file is looked up again that was replaced between finding and reading it.
const ATTEMPTS: usize = 3;

/// Answers GET and HEAD for a file that lies outside. Where somebody replaces it meanwhile, the body breaks off.
pub async fn serve_outside(spot: &Spot, path: &ArtifactPath, head: &Parts) -> Result<Response> {
    let (bucket, key) = spot.at(path.as_str());
    for _ in 0..ATTEMPTS {
        let found = bucket.find(&key).await.map_err(failed)?.ok_or_else(|| missing(path))?;
        let etag = found.etag.filter(|tag| tag.starts_with('"'));
        let made = || format!("\"{}-{}\"", found.size, found.modified_at);
        let facts = Facts {
            size: found.size,
            etag: etag.clone().unwrap_or_else(made),
            changed_at: found.modified_at,
        };
        let read = async |range| match bucket.read_same(&key, range, etag.as_deref()).await {
            Ok(Some(bytes)) => Ok(Whole::Bytes(bytes.map_err(std::io::Error::other).boxed())),
            Ok(None) => Ok(Whole::Gone),
            Err(error) if matches!(error.kind(), Kind::Changed | Kind::Short) => Ok(Whole::Gone),
            Err(error) => Err(failed(error)),
        };
        if let Some(response) = respond(&facts, path, head, read).await? {
            return Ok(response);
        }
    }
    Err(missing(path))
}

/// What a bucket that clients fill has to say to who reads it here.
fn failed(error: bucket::Error) -> Error {
    match error.kind() {
        Kind::Denied => Error::unavailable(
            "The bucket in which clients keep these files refuses this server: its credentials are wrong, or may not read and list \
             there. The server's log has its answer.",
        )
        .because(error),
        Kind::Odd => Error::new(Code::InvalidState, error.to_string()).because(error),
        _ => error.into(),
    }
}

/// What lies directly in a directory outside, in no order.
pub async fn list_outside(spot: &Spot, dir: &ArtifactPath) -> Result<Vec<Entry>> {
    let (bucket, key) = spot.at(dir.as_str());
    let found = bucket.list_at_most(&key, ENTRIES_MAX).await.map_err(failed)?;
    let (directories, objects) = found.ok_or_else(|| too_many_entries(dir))?;
    let files = objects.into_iter().map(|object| Entry {
        name: object.name,
        size: Some(object.size),
        modified_at: object.modified_at,
    });
    let directories = directories.into_iter().map(|name| Entry { name, size: None, modified_at: 0 });
    Ok(files.chain(directories).collect())
}

/// The error for a directory that is too large to be put in one order with what is here or there.
pub fn too_many_entries(dir: &ArtifactPath) -> Error {
    Error::new(
        Code::InvalidState,
        format!(
            "The directory '{dir}' has more than {ENTRIES_MAX} entries here or in the bucket of its client. List it with the tools of \
             that store."
        ),
    )
}
