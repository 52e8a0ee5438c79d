//! The files of an import: those within reach are read there, stored here where they are not yet, and compared.

use std::{collections::HashMap, fs::File, io::Seek as _, path::PathBuf};

use sha2::{Digest, Sha256};

use super::{
    super::{
        batch::{insist, question},
        local::{self, MLMODEL, Walked},
        source::{Held, Source},
    },
    ASK, Import,
};
use crate::{
    cli::{client::segment, progress::Progress},
    error::{Error, Result},
    exchange::{FilesRequest, FilesResponse, ItemKind, StoredFile},
};

/// Who has files.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) kind: ItemKind,
    /// Its id here.
    pub(super) id: String,
    /// Its id there.
    pub(super) from: String,
    pub(super) artifact_uri: String,
}

/// A place on the disk of a server that is asked.
#[derive(Debug, Default)]
pub(super) struct OnItsDisk {
    /// Whether anything there has files.
    is_there: bool,
    /// How many there have none.
    empty: usize,
}

impl Owner {
    fn held(&self) -> Held<'_> {
        Held { kind: self.kind, id: &self.from, artifact_uri: &self.artifact_uri }
    }
}

/// The files that somebody has there: in a directory of this machine, or to be had from the source.
struct FilesThere<'o> {
    owner: &'o Owner,
    root: Option<PathBuf>,
    files: Vec<(String, u64)>,
}

impl FilesThere<'_> {
    /// One of them, to be read from its beginning.
    fn open(&self, source: &mut dyn Source, path: &str) -> Result<File> {
        match &self.root {
            Some(root) => local::open(root, path),
            None => {
                let mut file = local::scratch()?;
                source.fetch(&self.owner.held(), path, &mut file)?;
                file.rewind().map_err(Error::internal)?;
                Ok(file)
            }
        }
    }
}

impl Import<'_> {
    /// Stores the files that are within reach and not here yet. Answers whose there are, by their ids there.
    pub(super) fn files(&mut self, source: &mut dyn Source, owners: &[Owner]) -> Result<Vec<String>> {
        let mut with_files = Vec::new();
        let mut progress = Progress::new("files of runs and models", owners.len());
        for part in owners.chunks(ASK) {
            let mut found = Vec::new();
            for owner in part {
                found.extend(self.found(source, owner)?);
            }
            with_files.extend(found.iter().map(|there| there.owner.from.clone()));
            for kind in [ItemKind::Run, ItemKind::LoggedModel, ItemKind::Version] {
                let of_kind: Vec<&FilesThere<'_>> =
                    found.iter().filter(|there| there.owner.kind == kind).collect();
                let ids: Vec<String> = of_kind.iter().map(|there| there.owner.id.clone()).collect();
                if ids.is_empty() {
                    continue;
                }
                let before = self.stored(kind, &ids)?;
                let mut digests = HashMap::new();
                for there in of_kind {
                    self.store(source, there, before.get(&there.owner.id), &mut digests)?;
                }
                let now = self.stored(kind, &ids)?;
                self.compare(&digests, &now);
            }
            progress.add(part.len());
        }
        Ok(with_files)
    }

    /// Counts what a server's disk has no files of, where no file at all was in the same place: then it may not have the place, and
    /// tells an empty one.
    pub(super) fn count_unseen_places(&mut self) {
        let unseen = self.disks.values().filter(|place| !place.is_there);
        self.report.files.out_of_reach += unseen.map(|place| place.empty).sum::<usize>();
    }

    /// The files that somebody has there, if any are within reach.
    fn found<'o>(&mut self, source: &mut dyn Source, owner: &'o Owner) -> Result<Option<FilesThere<'o>>> {
        let is_version = owner.kind == ItemKind::Version;
        let root = match is_version {
            true => self.roots.model_directory(&owner.artifact_uri),
            false => self.roots.directory(&owner.artifact_uri, &owner.from),
        };
        let there = match root {
            Some(root) => local::walk(&root).map(|Walked { files, left, unfit }| {
                self.report.files.left += left;
                self.report.files.refused.extend(unfit);
                (Some(root), files)
            }),
            None => source.files(&owner.held()).map(|files| {
                let (uri, is_empty) = (&owner.artifact_uri, files.as_ref().is_none_or(Vec::is_empty));
                if self.roots.is_on_its_disk(uri) {
                    let place = self.disks.entry(local::place_of(uri).to_owned()).or_default();
                    place.empty += usize::from(is_empty);
                    place.is_there |= !is_empty;
                } else if files.is_none() && self.roots.is_out_of_reach(uri) {
                    self.report.files.out_of_reach += 1;
                }
                (None, files.unwrap_or_default())
            }),
        };
        let (root, files) = match there {
            Ok(there) => there,
            Err(error) if source.is_gone() => return Err(error),
            Err(error) => {
                self.report.files.refused.push(format!("of {}: {}", owner.id, error.message()));
                return Ok(None);
            }
        };
        // Whatever else a version names as its place may be anything.
        let is_model = files.iter().any(|(path, _)| path == MLMODEL);
        let is_something = !files.is_empty() || self.roots.is_directory(&owner.artifact_uri);
        if is_version && !is_model && is_something {
            let place = &owner.artifact_uri;
            self.report.files.refused.push(format!("of {}: there is no {MLMODEL} file at {place}", owner.id));
            return Ok(None);
        }
        Ok((!files.is_empty()).then_some(FilesThere { owner, root, files }))
    }

    /// The files that are here, by owner and path. Whose cannot be listed is named.
    fn stored(
        &mut self,
        kind: ItemKind,
        ids: &[String],
    ) -> Result<HashMap<String, HashMap<String, StoredFile>>> {
        let request = FilesRequest { kind, ids: ids.to_vec() };
        let answer: FilesResponse = question(self.client, "/api/1.0/exchange/files", &request)?;
        for owner in &answer.owners {
            let why = owner.refused.as_ref().map(|why| format!("of {}: {why}", owner.id));
            let refused = &mut self.report.files.refused;
            refused.extend(why.filter(|why| !refused.contains(why)));
        }
        let by_path =
            |files: Vec<StoredFile>| files.into_iter().map(|file| (file.path.clone(), file)).collect();
        Ok(answer.owners.into_iter().map(|owner| (owner.id, by_path(owner.files))).collect())
    }

    /// Stores what is not here as it is there, and notes the digest that each file has there.
    fn store(
        &mut self,
        source: &mut dyn Source,
        there: &FilesThere<'_>,
        before: Option<&HashMap<String, StoredFile>>,
        digests: &mut HashMap<(String, String), String>,
    ) -> Result<()> {
        let owner = there.owner;
        for (path, size) in &there.files {
            self.report.files.there += 1;
            self.report.files.bytes += size;
            let unreadable = |error: std::io::Error| {
                Error::invalid(format!("{path} of {} cannot be read: {error}.", owner.artifact_uri))
            };
            let mut hasher = Sha256::new();
            let read = there.open(source, path).and_then(|mut file| {
                std::io::copy(&mut file, &mut hasher).map_err(unreadable)?;
                Ok(file)
            });
            let file = match read {
                Ok(file) => file,
                Err(error) if source.is_gone() => return Err(error),
                Err(error) => {
                    self.report.files.refused.push(format!("{path} of {}: {}", owner.id, error.message()));
                    continue;
                }
            };
            let sha256 = hex::encode(hasher.finalize());
            digests.insert((owner.id.clone(), path.clone()), sha256.clone());
            match before.and_then(|before| before.get(path)) {
                Some(here) if here.sha256 == sha256 => continue,
                Some(here) if !here.is_carried => {
                    self.report.files.different.push(format!("{path} of {}", owner.id));
                    continue;
                }
                _ => {}
            }
            let segments: Vec<_> = path.split('/').map(segment).collect();
            let (kind, id) = (owner.kind.name(), segment(&owner.id));
            let address = format!("/api/1.0/exchange/files/{kind}/{id}/{}", segments.join("/"));
            let sent = insist(|| {
                let mut whole = file.try_clone().map_err(unreadable)?;
                whole.rewind().map_err(unreadable)?;
                self.client.upload::<serde_json::Value>(&address, &[], whole, |_| {})
            });
            match sent {
                Ok(_) => self.report.files.stored += 1,
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => {
                    self.report.files.refused.push(format!("{path} of {}: {}", owner.id, error.message()));
                }
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        digests: &HashMap<(String, String), String>,
        here: &HashMap<String, HashMap<String, StoredFile>>,
    ) {
        for ((owner, path), sha256) in digests {
            let stored = here.get(owner).and_then(|files| files.get(path));
            if stored.is_some_and(|stored| stored.sha256 == *sha256) {
                self.report.files.equal += 1;
            }
        }
    }
}
