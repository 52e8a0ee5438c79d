//! The files of a folder: read within bounds, and never from outside of it.
//!
//! What must stay true: a link is followed only to what is in the folder, and never down a tree; no file is read that is larger than its
//! kind may be; what cannot be read is noted for the report, and is no reason to stop.

use std::{
    collections::HashSet,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use syntax::flat_yaml::{FLAT_YAML_BYTES_MAX, FlatYaml};

use super::super::source::{UNREAD_NAMED_MAX, Unread};
use crate::error::{Error, Result};

/// Levels below a folder of values, one for each `/` in a key.
const DEPTH_MAX: usize = 128;

/// Bytes of a file that holds one value. Four a character of the longest that is taken.
const VALUE_BYTES_MAX: usize = 4 * crate::tracking::wire::CARRIED_CHARS;

/// Bytes of one line of a metric.
const LINE_BYTES_MAX: u64 = 8 << 10;

/// A folder that is read.
pub(super) struct Disk {
    root: PathBuf,
    unread: Mutex<Named>,
}

/// What could not be read.
#[derive(Default)]
struct Named {
    /// Hashes of the paths: each counts once, however often it is met.
    paths: HashSet<u64>,
    named: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    /// A folder behind a link.
    Linked,
    File,
    Other,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let unreadable = |error: io::Error| {
            Error::invalid(format!("The folder {} cannot be read: {error}.", path.display()))
        };
        let root = fs::canonicalize(path).map_err(unreadable)?;
        fs::read_dir(&root).map_err(unreadable)?;
        Ok(Self { root, unread: Mutex::default() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Notes what is wrong with a file.
    pub(super) fn name(&self, path: &Path, why: &str) {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let mut unread = self.unread.lock();
        if unread.paths.insert(hasher.finish()) && unread.named.len() < UNREAD_NAMED_MAX {
            unread.named.push(format!("{}: {why}", self.below_root(path)));
        }
    }

    /// Everything that was noted.
    pub(super) fn unread(&self) -> Unread {
        let unread = self.unread.lock();
        let mut named = unread.named.clone();
        named.sort_unstable();
        Unread { count: unread.paths.len() as u64, named }
    }

    fn below_root(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// What stands at a path, through links that stay in the folder; none if nothing does.
    fn kind(&self, path: &Path) -> Option<Kind> {
        let mut found = fs::symlink_metadata(path).ok()?;
        let is_link = found.is_symlink();
        if is_link {
            let Ok(target) = fs::canonicalize(path) else {
                self.name(path, "it is a link to nothing");
                return None;
            };
            if !target.starts_with(&self.root) {
                self.name(path, "it is a link to something outside of the folder, which is not followed");
                return None;
            }
            found = fs::symlink_metadata(target).ok()?;
        }
        Some(match found {
            found if found.is_dir() && is_link => Kind::Linked,
            found if found.is_dir() => Kind::Folder,
            found if found.is_file() => Kind::File,
            _ => Kind::Other,
        })
    }

    /// A folder in a folder, if there is one. The name may have been read from a file.
    pub(super) fn folder(&self, parent: &Path, name: &str) -> Option<PathBuf> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
            return None;
        }
        let path = parent.join(name);
        matches!(self.kind(&path), Some(Kind::Folder | Kind::Linked)).then_some(path)
    }

    /// Whether a folder has a file of this name.
    pub(super) fn has_file(&self, parent: &Path, name: &str) -> bool {
        self.kind(&parent.join(name)) == Some(Kind::File)
    }

    /// Names of the folders in a folder, in order, without hidden ones.
    pub(super) fn folders(&self, parent: &Path) -> Vec<String> {
        let mut names = Vec::new();
        self.entries(parent, |name, kind| {
            if matches!(kind, Kind::Folder | Kind::Linked) && !name.starts_with('.') {
                names.push(name);
            }
        });
        names.sort_unstable();
        names
    }

    fn entries(&self, parent: &Path, mut visit: impl FnMut(String, Kind)) {
        let entries = match fs::read_dir(parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.name(parent, &format!("it cannot be read: {error}")),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.name(parent, &format!("it cannot be read: {error}")),
            };
            // Most file systems say at once what it is; a link is looked at.
            let kind = match entry.file_type() {
                Ok(found) if found.is_dir() => Some(Kind::Folder),
                Ok(found) if found.is_file() => Some(Kind::File),
                _ => self.kind(&entry.path()),
            };
            match (entry.file_name().into_string(), kind) {
                (Ok(name), Some(kind)) => visit(name, kind),
                (Err(_), Some(_)) => self.name(&entry.path(), "its name is not UTF-8"),
                (_, None) => {}
            }
        }
    }

    /// The files below a folder of values, each by its key, which may have `/` in it.
    pub(super) fn keys(&self, parent: &Path, name: &str) -> Vec<(String, PathBuf)> {
        let mut found = Vec::new();
        if let Some(top) = self.folder(parent, name) {
            self.keys_below(&top, "", 0, &mut found);
        }
        found
    }

    fn keys_below(&self, folder: &Path, prefix: &str, depth: usize, found: &mut Vec<(String, PathBuf)>) {
        if depth > DEPTH_MAX {
            return self.name(folder, "it is nested too deep");
        }
        self.entries(folder, |name, kind| {
            let (path, key) = (folder.join(&name), format!("{prefix}{name}"));
            match kind {
                Kind::Folder => self.keys_below(&path, &format!("{key}/"), depth + 1, found),
                Kind::File => found.push((key, path)),
                // Links could lead round in circles.
                Kind::Linked => self.name(&path, "it is a link to a folder, which is not followed here"),
                Kind::Other => self.name(&path, "it is no file"),
            }
        });
    }

    /// The text of a file.
    fn text(&self, path: &Path, bytes_max: usize) -> std::result::Result<String, String> {
        match self.kind(path) {
            Some(Kind::File) => {}
            Some(_) => return Err("it is no file".to_owned()),
            None => return Err("it is not there".to_owned()),
        }
        let mut bytes = Vec::new();
        let most = bytes_max as u64 + 1;
        File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if bytes.len() > bytes_max {
            return Err(format!("it has more than {bytes_max} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// The `meta.yaml` of a folder; an error names the file.
    pub(super) fn meta(&self, folder: &Path) -> std::result::Result<FlatYaml, (PathBuf, String)> {
        let path = folder.join(super::META);
        self.text(&path, FLAT_YAML_BYTES_MAX)
            .and_then(|text| FlatYaml::read(&text).map_err(|error| error.to_string()))
            .map_err(|why| (path, why))
    }

    /// Values by key: a file each.
    pub(super) fn values(&self, parent: &Path, name: &str) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for (key, path) in self.keys(parent, name) {
            match self.text(&path, VALUE_BYTES_MAX) {
                Ok(value) => values.push((key, value)),
                Err(why) => self.name(&path, &why),
            }
        }
        values
    }

    /// Hands out the lines of a file. What is no line of its kind, `take` says with false.
    pub(super) fn lines(&self, path: &Path, mut take: impl FnMut(&str) -> bool) {
        let mut damaged = 0_u64;
        let mut read = || -> io::Result<()> {
            let mut reader = BufReader::new(File::open(path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                match std::str::from_utf8(&line).map(str::trim) {
                    Ok("") => {}
                    Ok(text) if take(text) => {}
                    _ => damaged += 1,
                }
            }
        };
        let outcome = read();
        if damaged > 0 {
            self.name(path, &format!("{damaged} of its lines are damaged, the others come"));
        }
        if let Err(error) = outcome {
            self.name(path, &format!("it cannot be read: {error}"));
        }
    }
}
