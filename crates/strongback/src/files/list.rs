//! Directories, read off the paths of files.

use syntax::paths::ArtifactPath;

use super::{File, below, manifest, past, read, store};
use crate::{bind, db::Sql, error::Result};

/// Entries that one listing answers at most.
pub const ENTRIES_MAX: usize = 100_000;

/// Rows that are read at a time.
const ROWS: i64 = 512;

/// What lies directly in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Last part of its path.
    pub name: String,
    /// Bytes; `None` for a directory.
    pub size: Option<u64>,
    /// When the file was put there, milliseconds since the epoch; of a directory, when its first file was.
    pub modified_at: i64,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.size.is_none()
    }
}

/// Whether anything lies below a path.
pub fn is_directory(sql: &mut Sql<'_>, area: &str, dir: &ArtifactPath) -> Result<bool> {
    let (low, high) = below(dir);
    Ok(sql.first(&store::FILES_BELOW, bind![area, &low, &high, 1], |_| Ok(()))?.is_some())
}

/// Every file of an area, by path; refused where there are more than a manifest lists.
pub fn all(sql: &mut Sql<'_>, area: &str) -> Result<Vec<File>> {
    let (low, high) = below(&ArtifactPath::root());
    let most = manifest::MANIFEST_FILES_MAX as i64 + 1;
    let found = sql.all(&store::FILES_BELOW, bind![area, &low, &high, most], read)?;
    manifest::check_count(found.len())?;
    Ok(found)
}

/// At most `limit` entries of a directory, in the order of their paths' bytes, after the entry named `after`. Answers
/// also whether there are more. What is no directory has no entries.
///
/// Costs reads in proportion to its entries: a directory below it is stepped over, however many files it holds.
pub fn list(
    sql: &mut Sql<'_>,
    area: &str,
    dir: &ArtifactPath,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Entry>, bool)> {
    let (low, high) = below(dir);
    let mut from = match after {
        // A directory `name` is stepped over with all below it; a file `name` has nothing below it.
        Some(name) if is_directory(sql, area, &dir.join(&ArtifactPath::parse(name)?)?)? => {
            past(&format!("{low}{name}"))
        }
        Some(name) => next(&format!("{low}{name}")),
        None => low.clone(),
    };
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let rows = sql.all(&store::FILES_BELOW, bind![area, &from, &high, ROWS], read)?;
        let is_last = (rows.len() as i64) < ROWS;
        for file in &rows {
            let rest = &file.path[low.len()..];
            let (name, size) = match rest.split_once('/') {
                Some((name, _)) => (name, None),
                None => (rest, Some(file.size)),
            };
            // Behind the row in either case, so that the next look finds others.
            from = if size.is_none() { past(&format!("{low}{name}")) } else { next(&file.path) };
            if size.is_none() && entries.last().is_some_and(|last| last.is_dir() && last.name == name) {
                continue;
            }
            if entries.len() == limit {
                return Ok((entries, true));
            }
            entries.push(Entry { name: name.to_owned(), size, modified_at: file.created_at });
        }
        if is_last {
            return Ok((entries, false));
        }
    }
}

/// The first place in the order of paths behind this one. No path has a control character.
fn next(path: &str) -> String {
    format!("{path}\u{1}")
}
