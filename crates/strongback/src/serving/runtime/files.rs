//! The files of a version on this machine, for whatever loads them.
//!
//! They are copies: a model's process never gets hold of the objects themselves. What must stay true: a directory with the name
//! of a digest holds exactly the files that the digest is of; it appears whole or not at all.

use std::{
    fs::{self, DirBuilder},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::{
    context::Ctx,
    error::{Code, Error, Result},
    files::{self, File, Place},
};

/// Where models and what is made of them lie.
pub(super) fn dir_of(ctx: &Ctx, digest: &str) -> PathBuf {
    let name = digest.rsplit(':').next().unwrap_or(digest);
    ctx.app.config.data_dir.value.join("serving").join("models").join(name)
}

/// Brings the files of a version here; answers their directory.
pub(super) async fn bring(ctx: &Ctx, place: Place, digest: &str) -> Result<PathBuf> {
    let whole = dir_of(ctx, digest).join("files");
    if whole.exists() {
        return Ok(whole);
    }
    let found = Ctx::system(&ctx.app)
        .read(move |sql| {
            crate::catalog::authorize(sql, crate::catalog::Action::Read, place.asset)?;
            files::all(sql, &place.area)
        })
        .await?;
    let partial = dir_of(ctx, digest).join(format!("partial-{:08x}", rand::random::<u32>()));
    make_dir(&partial)?;
    let brought = bring_all(ctx, &found, &partial).await;
    let renamed = brought.and_then(|()| match fs::rename(&partial, &whole) {
        Err(_) if whole.exists() => Ok(()),
        other => other.map_err(|error| full(&error)),
    });
    if let Err(error) = renamed {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    Ok(whole)
}

async fn bring_all(ctx: &Ctx, found: &[File], dir: &Path) -> Result<()> {
    for file in found {
        // Paths of artifacts are relative and have no `..`, which `ArtifactPath` saw to when they were stored.
        let path = dir.join(&file.path);
        if let Some(above) = path.parent() {
            make_dir(above)?;
        }
        let gone = || Error::internal(format!("the object of {} is gone", file.path));
        let mut stream = ctx.app.objects.read(file.object, 0..file.size).await?.ok_or_else(gone)?;
        let mut written = fs::File::create(&path).map_err(|error| full(&error))?;
        let mut digest = Sha256::new();
        while let Some(block) = stream.try_next().await.map_err(Error::internal)? {
            digest.update(&block);
            written.write_all(&block).map_err(|error| full(&error))?;
        }
        if digest.finalize().as_slice() != file.sha256.as_slice() {
            return Err(Error::internal(format!(
                "the bytes of {} are not those that were stored",
                file.path
            )));
        }
    }
    Ok(())
}

/// Makes a directory for this user alone.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| full(&error))
}

fn full(error: &std::io::Error) -> Error {
    Error::new(
        Code::TemporarilyUnavailable,
        format!("The files of the model cannot be written into the data directory: {error}."),
    )
}
