//! Files of an export: each is fetched, compared with its digest, and only then there.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};
use syntax::paths::ArtifactPath;

use super::{
    super::batch::{insist, question},
    Export, PROXIED,
};
use crate::{
    cli::{client::segment, progress::Unfinished},
    error::{Error, Result},
    exchange::{FilesOf, FilesRequest, FilesResponse, ItemKind, StoredFile},
};

impl Export<'_> {
    /// Writes the files of runs or logged models.
    pub(super) fn files_of(&mut self, kind: ItemKind, ids: Vec<String>) -> Result<()> {
        if self.files.is_none() || ids.is_empty() {
            return Ok(());
        }
        let request = FilesRequest { kind, ids };
        let answer: FilesResponse = question(self.client, "/api/1.0/exchange/files", &request)?;
        for FilesOf { id, artifact_uri, files, refused } in answer.owners {
            self.report.files.refused.extend(refused.map(|why| format!("of {id}: {why}")));
            self.store_all(&id, &artifact_uri, &files)?;
        }
        Ok(())
    }

    pub(super) fn store_all(&mut self, owner: &str, address: &str, files: &[StoredFile]) -> Result<()> {
        let Some(dir) = self.files.clone() else { return Ok(()) };
        let Some(root) = address.strip_prefix(PROXIED) else {
            self.report.files.elsewhere += 1;
            return Ok(());
        };
        let root = ArtifactPath::parse(root.trim_start_matches('/'))?;
        for file in files {
            self.report.files.there += 1;
            self.report.files.bytes += file.size;
            let stored = ArtifactPath::parse(&file.path)
                .and_then(|path| ArtifactPath::parse(&format!("{root}/{path}")))
                .map_err(Error::from)
                .and_then(|path| self.store(&dir, &path, file));
            match stored {
                Ok(is_new) => {
                    self.report.files.stored += usize::from(is_new);
                    // One that only would be written is not there.
                    self.report.files.equal += usize::from(self.writes || !is_new);
                }
                Err(error) => {
                    self.report.files.refused.push(format!("{} of {owner}: {}", file.path, error.message()));
                }
            }
        }
        Ok(())
    }

    /// Writes one file where it is not yet. It appears in whole, once its digest is the one that is known here.
    fn store(&self, dir: &Path, path: &ArtifactPath, file: &StoredFile) -> Result<bool> {
        let target = dir.join(path.as_str());
        let shown = target.display();
        let unwritable = |error: io::Error| Error::invalid(format!("{shown} cannot be written: {error}."));
        match fs::symlink_metadata(&target) {
            Ok(found) if !found.is_file() => {
                return Err(Error::invalid(format!("{shown} is there and is no file.")));
            }
            Ok(found) if found.len() == file.size && sha256(&target).map_err(unwritable)? == file.sha256 => {
                return Ok(false);
            }
            Ok(_) if !self.replaces => {
                return Err(Error::invalid(format!(
                    "{shown} is there and differs; --replace writes over it."
                )));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(error)),
        }
        if !self.writes {
            return Ok(true);
        }
        let parent = target.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(unwritable)?;
        let segments: Vec<_> = path.as_str().split('/').map(segment).collect();
        let address = format!("/api/2.0/mlflow-artifacts/artifacts/{}", segments.join("/"));
        let part = parent.join(format!(".strongback-{}.part", uuid::Uuid::new_v4().simple()));
        let _unfinished = Unfinished::new(&part);
        File::create_new(&part).map_err(unwritable).and_then(|mut whole| {
            insist(|| {
                whole.set_len(0).map_err(unwritable)?;
                io::Seek::rewind(&mut whole).map_err(unwritable)?;
                self.client.download(&address, &[], &mut whole)
            })?;
            whole.sync_data().map_err(unwritable)?;
            if sha256(&part).map_err(unwritable)? != file.sha256 {
                return Err(Error::unavailable("What came is not what the server says that it has."));
            }
            fs::rename(&part, &target).map_err(unwritable)?;
            Ok(true)
        })
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}
