//! The files of a version on this machine, for whatever loads them.
//!
//! They are copies: a model's process never gets hold of the objects themselves. What must stay true: a directory with the name
//! of a digest holds exactly the files that the digest is of; it appears whole or not at all.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::SystemTime,
};

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::{
    context::{App, Ctx},
    error::{Error, Result},
    files::{self, File, Place},
};

/// Marks what this process makes, so that another one that finds it knows that nobody finishes it.
static OWN: LazyLock<String> = LazyLock::new(|| format!("{:04x}", rand::random::<u16>()));

/// What the names of unfinished directories of this process begin with, after their kind.
pub(in crate::serving) fn own_tag() -> &'static str {
    &OWN
}

/// Where the models of an application lie.
pub(super) fn models_dir(app: &App) -> PathBuf {
    app.config.data_dir.value.join("serving").join("models")
}

/// Where a model and what is made of it lie.
pub(super) fn dir_of(app: &App, digest: &str) -> PathBuf {
    models_dir(app).join(digest.rsplit(':').next().unwrap_or(digest))
}

/// Brings the files of a version here; answers their directory.
pub(super) async fn bring(ctx: &Ctx, place: Place, digest: &str) -> Result<PathBuf> {
    let dir = dir_of(&ctx.app, digest);
    let whole = dir.join("files");
    if whole.exists() {
        // Asked for now: what nobody asks for is removed after a while.
        if let Err(error) = fs::File::open(&dir).and_then(|dir| dir.set_modified(SystemTime::now())) {
            tracing::warn!(dir = %dir.display(), %error, "the age of a model's files cannot be set");
        }
        return Ok(whole);
    }
    let found = Ctx::system(&ctx.app)
        .read(move |sql| {
            crate::catalog::authorize(sql, crate::catalog::Action::Read, place.asset)?;
            files::all(sql, &place.area)
        })
        .await?;
    let partial = dir.join(format!("partial-{}{:08x}", own_tag(), rand::random::<u32>()));
    make_dir(&partial)?;
    let renamed = match bring_all(ctx, &found, &partial).await {
        Ok(()) => {
            let (from, to) = (partial.clone(), whole.clone());
            let finished = tokio::task::spawn_blocking(move || finish(&from, &to, &dir));
            finished.await.map_err(Error::internal)?.map_err(Error::unwritten(&partial))
        }
        Err(error) => Err(error),
    };
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
        let mut written = tokio::fs::File::create(&path).await.map_err(Error::unwritten(dir))?;
        let mut digest = Sha256::new();
        while let Some(block) = stream.try_next().await.map_err(Error::internal)? {
            digest.update(&block);
            written.write_all(&block).await.map_err(Error::unwritten(dir))?;
        }
        written.flush().await.map_err(Error::unwritten(dir))?;
        written.sync_all().await.map_err(Error::unwritten(dir))?;
        if digest.finalize().as_slice() != file.sha256.as_slice() {
            return Err(Error::internal(format!(
                "the bytes of {} are not those that were stored",
                file.path
            )));
        }
    }
    Ok(())
}

/// Gives what was brought its name, once all of it is on disk: a power cut leaves it whole or not at all.
fn finish(partial: &Path, whole: &Path, dir: &Path) -> std::io::Result<()> {
    sync_all(partial)?;
    match fs::rename(partial, whole) {
        // Somebody else brought the same files meanwhile.
        Err(_) if whole.exists() => fs::remove_dir_all(partial)?,
        other => other?,
    }
    fs::File::open(dir)?.sync_all()
}

fn sync_all(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        }
    }
    fs::File::open(dir)?.sync_all()
}

/// Makes a directory for this user alone.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::unwritten(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_bring_the_same_files_one_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("files");
        for name in ["partial-1", "partial-2"] {
            let partial = dir.path().join(name);
            fs::create_dir_all(partial.join("below")).unwrap();
            fs::write(partial.join("below/MLmodel"), name).unwrap();
            finish(&partial, &whole, dir.path()).unwrap();
        }
        assert_eq!(fs::read_to_string(whole.join("below/MLmodel")).unwrap(), "partial-1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }
}
