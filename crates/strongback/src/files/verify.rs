//! Whether the bytes of files are still those that were stored: disks lose some, and people change what lies on them.
//!
//! It reads the store and the disk, or the object store, itself, also beside a running server, and changes nothing. An object that several files name is
//! read once.

use std::{fs, io, io::Read as _, path::Path};

use futures::TryStreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::store;
use crate::{
    bind,
    db::{self, Location, Sql},
    error::{Error, Result},
    objects::{self, BLOCK_BYTES, ObjectId, Remote},
};

/// Objects whose rows are read at a time.
const PAGE: i64 = 1_000;
/// Damaged files that a report names.
const NAMED_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Report {
    /// Objects that were read.
    pub objects: u64,
    /// Bytes of those that are what was stored.
    pub bytes: u64,
    /// Objects that are not what was stored.
    pub wrong: u64,
    /// The first of them, by a file that names each.
    pub damaged: Vec<Damage>,
}

/// A file whose bytes are not those that were stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Damage {
    /// What it belongs to, e.g. `exp/7/run/<run id>`.
    pub area: String,
    /// Its path there.
    pub path: String,
    /// Name of the object on the disk.
    pub object: String,
    /// What is wrong.
    pub problem: String,
}

/// An object as its row describes it.
struct Stored {
    area: String,
    path: String,
    object: String,
    size: u64,
    sha256: Vec<u8>,
}

/// Reads every object of a data directory and compares it with what was stored. `progress` is told of each, and how many bytes it
/// had.
pub fn verify(location: &Location, data_dir: &Path, mut progress: impl FnMut(&Report)) -> Result<Report> {
    let place = Place::of(data_dir)?;
    let (mut report, mut after) = (Report::default(), String::new());
    loop {
        let page = db::inspect(location, |sql| page(sql, &after))?;
        let Some(last) = page.last() else { return Ok(report) };
        after.clone_from(&last.object);
        for stored in page {
            let id: ObjectId = stored.object.parse()?;
            report.objects += 1;
            if let Some(problem) = place.problem_of(id, &stored)?
                // What a server let go meanwhile is nobody's.
                && db::inspect(location, |sql| is_named(sql, &stored))?
            {
                report.wrong += 1;
                if report.damaged.len() < NAMED_MAX {
                    let Stored { area, path, object, .. } = stored;
                    report.damaged.push(Damage { area, path, object, problem });
                }
            } else {
                report.bytes += stored.size;
            }
            progress(&report);
        }
    }
}

/// The next objects, each with the first file that names it.
fn page(sql: &mut Sql<'_>, after: &str) -> Result<Vec<Stored>> {
    let mut found = sql.all(&store::FILES_BY_OBJECT, bind![after, PAGE], |row| {
        let size: i64 = row.get(3)?;
        Ok(Stored {
            area: row.get(0)?,
            path: row.get(1)?,
            object: row.get(2)?,
            size: u64::try_from(size).map_err(Error::internal)?,
            sha256: row.get(4)?,
        })
    })?;
    found.dedup_by(|next, kept| next.object == kept.object);
    Ok(found)
}

fn is_named(sql: &mut Sql<'_>, stored: &Stored) -> Result<bool> {
    let names = serde_json::to_string(&[&stored.object]).map_err(Error::internal)?;
    Ok(sql.first(&store::OBJECTS_NAMED, bind![&names], |_| Ok(()))?.is_some())
}

/// Where the objects are.
enum Place<'d> {
    Disk(&'d Path),
    Remote(Remote, tokio::runtime::Runtime),
}

impl<'d> Place<'d> {
    /// That of a data directory. Where nothing can be looked at, nothing is damaged either.
    fn of(data_dir: &'d Path) -> Result<Self> {
        if let Some(remote) = objects::remote_of(data_dir)? {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Error::internal)?;
            runtime.block_on(remote.look())?;
            return Ok(Self::Remote(remote, runtime));
        }
        let root = objects::root(data_dir);
        fs::read_dir(&root).map_err(|error| {
            Error::unavailable(format!(
                "{} cannot be looked at: {error}. Name the data directory with --data-dir.",
                root.display()
            ))
            .because(error)
        })?;
        Ok(Self::Disk(data_dir))
    }

    /// What is wrong with an object, if anything is.
    fn problem_of(&self, id: ObjectId, stored: &Stored) -> Result<Option<String>> {
        let found = match self {
            Self::Remote(remote, runtime) => runtime.block_on(remote_digest(remote, id))?,
            Self::Disk(data_dir) => {
                let place = objects::place_on_disk(data_dir, id);
                match digest(&place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        let message = format!("{} may not be read: {error}.", place.display());
                        return Err(Error::unavailable(message).because(error));
                    }
                    Err(error) => return Ok(Some(format!("its object cannot be read: {error}"))),
                    Ok(found) => Some(found),
                }
            }
        };
        Ok(match found {
            None => Some("its object is gone".to_owned()),
            Some((size, _)) if size != stored.size => {
                Some(format!("it has {size} bytes, and {} were stored", stored.size))
            }
            Some((_, sha256)) if sha256[..] != stored.sha256[..] => Some(format!(
                "its bytes are others: sha-256 {}, and {} was stored",
                hex::encode(sha256),
                hex::encode(&stored.sha256)
            )),
            Some(_) => None,
        })
    }
}

/// Size and digest of what is in the object store.
async fn remote_digest(remote: &Remote, id: ObjectId) -> Result<Option<(u64, [u8; 32])>> {
    let Some(mut stream) = remote.read_whole(id).await? else { return Ok(None) };
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(block) = stream.try_next().await? {
        hash.update(&block);
        size += block.len() as u64;
    }
    Ok(Some((size, hash.finalize().into())))
}

/// Size and digest of what is there.
fn digest(place: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = fs::File::open(place)?;
    let (mut hash, mut size, mut block) = (Sha256::new(), 0, vec![0; BLOCK_BYTES]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok((size, hash.finalize().into())),
            read => {
                hash.update(&block[..read]);
                size += read as u64;
            }
        }
    }
}
