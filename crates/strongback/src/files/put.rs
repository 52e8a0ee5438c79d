//! A file in one piece: intent, bytes, outcome.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use syntax::paths::ArtifactPath;
use uuid::Uuid;

use super::{
    Existing, FILE_BYTES_MAX, File, Guard, Place, below, find, hold::hold, operations, read, store, unnamed,
};
use crate::{
    auth, bind,
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind, operation},
    objects::{Claim, ObjectId, Written},
};

/// Stores a file. Durable when it answers.
pub async fn put(
    ctx: &Ctx,
    guard: &Guard,
    path: &ArtifactPath,
    existing: Existing,
    body: BoxStream<'_, Result<Bytes>>,
) -> Result<File> {
    let id = intend(ctx, guard, path, existing).await?;
    let objects = &ctx.app.objects;
    let claim = objects.claim(ObjectId::of_operation(id));
    let kept = match objects.write(&claim, FILE_BYTES_MAX, body).await {
        Ok(written) => keep(ctx, guard, path, existing, (id, claim, written)).await,
        Err(error) => Err(error),
    };
    match kept {
        Ok((file, garbage)) => {
            objects.remove(garbage).await;
            Ok(file)
        }
        Err(error) => {
            give_up(ctx, id, path, &error).await;
            Err(error)
        }
    }
}

async fn intend(ctx: &Ctx, guard: &Guard, path: &ArtifactPath, existing: Existing) -> Result<Uuid> {
    let (guard, path) = (guard.clone(), path.clone());
    ctx.write(move |tx| {
        let place = guard(tx)?;
        check_free(tx, &place.area, &path, existing)?;
        let (id, event) = operations::begin(tx, operations::PUT, &place, &path, (existing, None))?;
        Ok(Change::Made(id, event))
    })
    .await
}

type Kept = (File, Vec<ObjectId>);

/// Commits the outcome, for a caller who may still do this now that the bytes are there. The claim goes into the write, since only its end says that the row names the object.
async fn keep(
    ctx: &Ctx,
    guard: &Guard,
    path: &ArtifactPath,
    existing: Existing,
    (id, claim, written): (Uuid, Claim, Written),
) -> Result<Kept> {
    let (guard, path) = (guard.clone(), path.clone());
    ctx.write(move |tx| {
        auth::renew(tx)?;
        let place = hold(tx, &guard, &path)?;
        operation::open(tx, id, operations::PUT)?;
        check_free(tx, &place.area, &path, existing)?;
        let kept = row_put(tx, &place, &path, existing, (claim.id(), &written))?;
        operation::close(tx, id)?;
        let event = put_event(&place, &kept.0, id);
        Ok(Change::Made(kept, event))
    })
    .await
}

/// Writes the row, and answers the file with what it replaced, if nothing else names that.
pub(super) fn row_put(
    tx: &mut Sql<'_>,
    place: &Place,
    path: &ArtifactPath,
    existing: Existing,
    (object, written): (ObjectId, &Written),
) -> Result<Kept> {
    let before = tx.first(&store::FILE_LOCK, bind![&place.area, path.as_str()], read)?;
    let (now, by) = (tx.now(), tx.caller().id);
    let (size, sha256) = (written.size as i64, &written.sha256[..]);
    let (name, is_carried) = (object.to_string(), existing == Existing::Carried);
    let carried = i64::from(is_carried);
    tx.execute(&store::FILE_PUT, bind![&place.area, path.as_str(), &name, size, sha256, now, by, carried])?;
    let replaced: Vec<ObjectId> =
        before.map(|file| file.object).filter(|old| *old != object).into_iter().collect();
    let garbage = unnamed(tx, &replaced)?;
    let file = File {
        path: path.as_str().to_owned(),
        object,
        size: written.size,
        sha256: sha256.to_vec(),
        created_at: now,
        is_carried,
    };
    Ok((file, garbage))
}

/// What is said about a file that is there.
pub(super) fn put_event(place: &Place, file: &File, id: Uuid) -> Event {
    Event::new(EventKind::ArtifactPut)
        .asset(place.asset, 0)
        .subject(place.subject.as_str())
        .operation(id)
        .detail(json!({ "path": file.path, "size": file.size, "sha256": hex::encode(&file.sha256) }))
}

/// Refuses a file where a directory is, below a file, or where one is that is to stay. Who means to store it holds the
/// path.
pub(super) fn check_free(
    tx: &mut Sql<'_>,
    area: &str,
    path: &ArtifactPath,
    existing: Existing,
) -> Result<()> {
    if path.is_root() {
        return Err(Error::invalid("Invalid path '': it is the root; name a file."));
    }
    let stays = |file: &File| match existing {
        Existing::Replaced => false,
        Existing::Carried => !file.is_carried,
        Existing::Kept => true,
    };
    if existing != Existing::Replaced && find(tx, area, path)?.as_ref().is_some_and(stays) {
        return Err(Error::new(Code::AlreadyExists, format!("The file '{path}' exists already.")));
    }
    let (low, high) = below(path);
    if tx.first(&store::FILES_BELOW, bind![area, &low, &high, 1], |_| Ok(()))?.is_some() {
        return Err(Error::invalid(format!("Invalid path '{path}': it is a directory; name a file.")));
    }
    let above: Vec<ArtifactPath> =
        std::iter::successors(path.parent(), ArtifactPath::parent).take_while(|dir| !dir.is_root()).collect();
    if above.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = above.iter().map(ArtifactPath::as_str).collect();
    let names = serde_json::to_string(&names).map_err(Error::internal)?;
    match tx.first(&store::FILES_AMONG, bind![area, &names], |row| row.get::<String>(0))? {
        Some(file) => {
            Err(Error::invalid(format!("Invalid path '{path}': '{file}' is a file, not a directory.")))
        }
        None => Ok(()),
    }
}

/// Takes the intent back. If that fails as well, the next start or the daily round does it.
async fn give_up(ctx: &Ctx, id: Uuid, path: &ArtifactPath, error: &Error) {
    let system = Ctx::system(&ctx.app);
    let why = format!("{}: {}", error.code().name(), error.message());
    if let Err(error) = super::recover::revert(&system, id, &why).await {
        tracing::warn!(%path, ?error, "an upload that failed could not be reverted yet");
    }
}
