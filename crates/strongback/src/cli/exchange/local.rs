//! Files of a source: where an artifact root is, and what lies below it on this machine.
//!
//! What must stay true: a link is never followed, so that nothing outside of a root comes along; a root that clients reach by
//! themselves, such as a bucket, stays where it is.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Component, Path, PathBuf},
};

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

/// The file by which a directory is known as a model.
pub(super) const MLMODEL: &str = "MLmodel";
/// Directories below each other that are walked.
const DEPTH: usize = 64;

/// Where files of a source may be on this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Roots {
    /// Whether paths of the source are paths of this machine: not those that a server far away names.
    pub is_local: bool,
    /// Where the server there kept the files of `mlflow-artifacts:` roots.
    pub artifacts: Option<PathBuf>,
    /// What relative paths of the source are below.
    pub base: PathBuf,
    /// The folder `mlruns` that is read: its runs are there, whatever place their addresses name.
    pub folder: Option<PathBuf>,
}

/// Whether an artifact root is in a store that clients reach by themselves.
pub(super) fn is_elsewhere(uri: &str) -> bool {
    !matches!(scheme(uri), None | Some("file" | "mlflow-artifacts"))
}

/// The scheme of an address; none of a path. One letter is a drive of Windows, and a path.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let is_scheme =
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

/// The place of many roots that a root lies in, `<place>/<run>/artifacts`; above it, where it is called by an experiment's number.
pub(super) fn place_of(root: &str) -> &str {
    let above = |path: &str| -> usize { path.trim_end_matches('/').rfind('/').unwrap_or(0) };
    let mut place = &root[..above(root)];
    place = &place[..above(place)];
    if place.ends_with("/models") {
        place = &place[..above(place)];
    }
    let number = &place[above(place)..].trim_start_matches('/');
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { &place[..above(place)] } else { place }
}

impl Roots {
    /// The directory of an artifact root of a run or a logged model, if it is on this machine. It is called `<id>/artifacts`, where it
    /// lies in truth too: else a source that names `/etc`, or has a link there, would bring that along.
    pub(super) fn directory(&self, uri: &str, id: &str) -> Option<PathBuf> {
        let tail = Path::new(id).join("artifacts");
        let candidates =
            [self.named(uri).filter(|_| self.is_local), self.in_folder(uri)].into_iter().flatten();
        let plain = candidates.filter(|path| !path.components().any(|part| part == Component::ParentDir));
        let real = plain.filter(|path| path.ends_with(&tail)).filter_map(|path| path.canonicalize().ok());
        real.into_iter().find(|path| path.ends_with(&tail) && path.is_dir())
    }

    /// The directory of a version that has its files for itself, if it is on this machine. It may be called anything, and therefore has
    /// the file that models have; neither is behind a link.
    pub(super) fn model_directory(&self, uri: &str) -> Option<PathBuf> {
        let path = self.named(uri).filter(|_| self.is_local)?;
        let is_plain = !path.components().any(|part| part == Component::ParentDir);
        let is = |path: &Path, what: fn(&fs::FileType) -> bool| {
            fs::symlink_metadata(path).is_ok_and(|found| what(&found.file_type()))
        };
        let is_model =
            is_plain && is(&path, fs::FileType::is_dir) && is(&path.join(MLMODEL), fs::FileType::is_file);
        is_model.then(|| path.canonicalize().ok()).flatten()
    }

    /// Whether there is any directory at an address on this machine.
    pub(super) fn is_directory(&self, uri: &str) -> bool {
        self.is_local && self.named(uri).is_some_and(|path| path.is_dir())
    }

    /// Whether nobody can say if there are files at a root, since the place that it is in is not on this machine.
    pub(super) fn is_out_of_reach(&self, uri: &str) -> bool {
        match scheme(uri) {
            Some("mlflow-artifacts") => self.artifacts.is_none(),
            None | Some("file") if !uri.is_empty() => {
                let is_known = self.is_local && self.named(uri).is_some_and(|path| self.has_place(&path));
                let is_in_folder =
                    self.in_folder(uri).is_some_and(|path| path.parent().is_some_and(Path::is_dir));
                !is_known && !is_in_folder
            }
            _ => false,
        }
    }

    /// Whether the place of a root is on this machine: the experiment's, be it `<root>/<number>` or one of its own, or the whole root, of
    /// which the one beside a database is made with its first file.
    fn has_place(&self, root: &Path) -> bool {
        let mut above = root.ancestors().skip(2).skip_while(|path| path.ends_with("models"));
        let Some(home) = above.next() else { return false };
        let number = home.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let whole = above.next().filter(|_| is_number);
        let is_beside =
            |whole: &Path| !self.base.as_os_str().is_empty() && whole.parent() == Some(&self.base);
        home.is_dir() || whole.is_some_and(|whole| whole.is_dir() || is_beside(whole))
    }

    /// Whether a root is on the disk of a server far away, which lists a place that it does not have as an empty one.
    pub(super) fn is_on_its_disk(&self, uri: &str) -> bool {
        !self.is_local && !uri.is_empty() && matches!(scheme(uri), None | Some("file"))
    }

    /// Where an address says that it is.
    fn named(&self, uri: &str) -> Option<PathBuf> {
        match scheme(uri) {
            None => Some(self.base.join(uri)),
            Some("file") => {
                let path = uri.strip_prefix("file:")?;
                let path =
                    path.strip_prefix("//").map_or(path, |rest| rest.find('/').map_or("", |at| &rest[at..]));
                Some(self.base.join(percent_decode_str(path).decode_utf8().ok()?.as_ref()))
            }
            Some("mlflow-artifacts") => {
                let path = uri.strip_prefix("mlflow-artifacts:")?;
                let path =
                    path.strip_prefix("//").map_or(path, |rest| rest.find('/').map_or("", |at| &rest[at..]));
                let path = path.trim_matches('/');
                let climbs = path.split('/').any(|part| matches!(part, ".." | "."));
                (!climbs).then(|| Some(self.artifacts.as_ref()?.join(path))).flatten()
            }
            Some(_) => None,
        }
    }

    /// The same root in the folder that is read, which may have been moved since.
    fn in_folder(&self, uri: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let parts: Vec<&str> = uri.trim_end_matches('/').rsplit('/').take(4).collect();
        let path = match parts.as_slice() {
            ["artifacts", model, "models", experiment] => format!("{experiment}/models/{model}/artifacts"),
            ["artifacts", run, experiment, ..] => format!("{experiment}/{run}/artifacts"),
            _ => return None,
        };
        (!path.contains("..")).then(|| folder.join(path))
    }
}

/// What lies below a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Paths below it with `/` between their parts, and sizes, in order.
    pub files: Vec<(String, u64)>,
    /// How many are neither files nor directories, links too.
    pub left: usize,
    /// Files and directories whose name or depth no path here has, each with why.
    pub unfit: Vec<String>,
}

/// What lies below a directory. No link is followed.
pub(super) fn walk(root: &Path) -> Result<Walked> {
    let mut walked = Walked::default();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((dir, prefix, depth)) = open.pop() {
        let unreadable =
            |error: std::io::Error| Error::invalid(format!("{} cannot be read: {error}.", dir.display()));
        for entry in fs::read_dir(&dir).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            if !kind.is_dir() && !kind.is_file() {
                walked.left += 1;
                continue;
            }
            let name = entry.file_name();
            let why = match name.to_str() {
                None => "its name is not UTF-8 text",
                Some(_) if depth == DEPTH => "it lies below too many directories",
                Some(name) => {
                    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
                    match kind.is_dir() {
                        true => open.push((entry.path(), path, depth + 1)),
                        false => walked.files.push((path, entry.metadata().map_err(unreadable)?.len())),
                    }
                    continue;
                }
            };
            walked.unfit.push(format!("{}: {why}", entry.path().display()));
        }
    }
    walked.files.sort_unstable();
    walked.unfit.sort_unstable();
    Ok(walked)
}

/// Opens a file below a root, which must not be a link.
pub(super) fn open(root: &Path, path: &str) -> Result<File> {
    let whole = root.join(path);
    let unreadable =
        |error: std::io::Error| Error::invalid(format!("{} cannot be read: {error}.", whole.display()));
    let kind = fs::symlink_metadata(&whole).map_err(unreadable)?.file_type();
    if !kind.is_file() {
        return Err(Error::invalid(format!("{} is no file any more.", whole.display())));
    }
    File::open(&whole).map_err(unreadable)
}

/// A file without a name, which is gone with its handle.
pub(super) fn scratch() -> Result<File> {
    let path = std::env::temp_dir().join(format!("strongback-{}", uuid::Uuid::new_v4().simple()));
    let unwritable =
        |error: std::io::Error| Error::invalid(format!("{} cannot be written: {error}.", path.display()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(unwritable)?;
    fs::remove_file(&path).map_err(unwritable)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn roots_are_found_and_nothing_climbs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let whole = dir.path().join(path);
            fs::create_dir_all(&whole).unwrap();
            whole
        };
        let (proxied, plain) = (at("mlartifacts/1/r/artifacts"), at("my runs/1/r/artifacts"));
        let moved = at("mlruns/1/r/artifacts");
        let real = |path: &PathBuf| path.canonicalize().unwrap();
        let roots = Roots {
            is_local: true,
            artifacts: Some(dir.path().join("mlartifacts")),
            base: dir.path().to_owned(),
            folder: Some(dir.path().join("mlruns")),
        };
        let found = |uri: &str| roots.directory(uri, "r");
        assert_eq!(found("mlflow-artifacts:/1/r/artifacts"), Some(real(&proxied)));
        assert_eq!(found("mlflow-artifacts://host:5000/1/r/artifacts"), Some(real(&proxied)));
        assert_eq!(
            found("./my runs/1/r/artifacts").map(|path| path.canonicalize().unwrap()),
            Some(plain.clone())
        );
        assert_eq!(
            found(&format!("file://{}/my%20runs/1/r/artifacts", dir.path().display())),
            Some(real(&plain))
        );
        assert_eq!(found("/gone/mlruns/1/r/artifacts"), Some(real(&moved)));
        let bare = Roots { folder: None, ..roots };
        for none in [
            "mlflow-artifacts:/../mlruns/1/r/artifacts",
            "s3://bucket/1/r/artifacts",
            "/gone/1/x",
            "/etc",
            "",
        ] {
            assert_eq!(bare.directory(none, "r"), None, "{none}");
        }
        fs::create_dir_all(dir.path().join("mlruns/1/linked")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("mlruns/1/linked/artifacts")).unwrap();
        assert_eq!(
            bare.directory(&format!("{}/mlruns/1/linked/artifacts", dir.path().display()), "linked"),
            None
        );
        assert!(
            bare.is_out_of_reach("/gone/far/1/r/artifacts") && !bare.is_out_of_reach("s3://b/1/r/artifacts")
        );
        // Somebody else's paths say nothing of this machine, and a folder's runs may have been moved with it, or lie elsewhere.
        let here = format!("{}/1/never/artifacts", at("my runs").display());
        assert!(
            !bare.is_out_of_reach(&here) && Roots { is_local: false, ..bare.clone() }.is_out_of_reach(&here)
        );
        for (place, is_known) in [
            ("my runs/1/never/artifacts", true),
            ("my runs/77/never/artifacts", true),
            ("my runs/77/models/m/artifacts", true),
            ("mlruns-to-come/7/never/artifacts", true),
            ("own place, unmounted/never/artifacts", false),
            ("far/away/7/never/artifacts", false),
        ] {
            let place = dir.path().join(place).display().to_string();
            assert_eq!(bare.is_out_of_reach(&place), !is_known, "{place}");
        }
        // Where the database is far away, nobody knows what its relative paths are below.
        let nowhere = Roots { base: PathBuf::new(), ..bare.clone() };
        assert!(nowhere.is_out_of_reach("mlruns-to-come/7/never/artifacts"));
        let folder = Roots { folder: Some(dir.path().join("mlruns")), ..bare };
        assert!(!folder.is_out_of_reach("/gone/mlruns/1/r/artifacts"));
        assert!(folder.is_out_of_reach("/gone/mlruns/1/another/artifacts"));
        assert!(is_elsewhere("s3://b/x") && is_elsewhere("dbfs:/x"));
        assert!(!is_elsewhere("/x") && !is_elsewhere("file:///x") && !is_elsewhere(r"C:\runs"));
    }

    #[test]
    fn a_place_is_above_its_runs_and_experiments() {
        for (root, place) in [
            ("/srv/mlruns/7/r/artifacts", "/srv/mlruns"),
            ("file:///srv/mlruns/7/models/m/artifacts/", "file:///srv/mlruns"),
            ("/srv/own/r/artifacts", "/srv/own"),
            ("artifacts", ""),
            ("", ""),
        ] {
            assert_eq!(place_of(root), place, "{root}");
        }
    }

    #[test]
    fn a_version_has_files_where_a_model_is_and_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for (path, file) in [("model", MLMODEL), ("other", "passwd"), ("mlartifacts/versions/u/1", MLMODEL)] {
            fs::create_dir_all(at(path)).unwrap();
            fs::write(at(path).join(file), "").unwrap();
        }
        fs::create_dir_all(at("linked")).unwrap();
        std::os::unix::fs::symlink(at("model").join(MLMODEL), at("linked").join(MLMODEL)).unwrap();
        std::os::unix::fs::symlink(at("model"), at("link")).unwrap();
        let roots = Roots {
            is_local: true,
            artifacts: Some(at("mlartifacts")),
            base: dir.path().to_owned(),
            folder: None,
        };
        let found = |uri: &str| roots.model_directory(uri);
        let real = |path: &str| at(path).canonicalize().ok();
        assert_eq!(found(&format!("file://{}/model", dir.path().display())), real("model"));
        assert_eq!(found(&format!("{}/model", dir.path().display())), real("model"));
        assert_eq!(found("mlflow-artifacts:/versions/u/1"), real("mlartifacts/versions/u/1"));
        for none in [
            "/etc",
            "other",
            "link",
            "linked",
            "other/../model",
            "mlflow-artifacts:/../model",
            "s3://b/model",
            "",
        ] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(Roots { is_local: false, ..roots }.model_directory("model"), None);
    }

    #[test]
    fn links_are_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "text").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("a/passwd")).unwrap();
        let deep = ["d"; DEPTH].join("/");
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        fs::write(dir.path().join(&deep).join("file"), "").unwrap();
        fs::write(dir.path().join("a").join(OsStr::from_bytes(b"caf\xe9.txt")), "").unwrap();
        let walked = walk(dir.path()).unwrap();
        assert_eq!((walked.files, walked.left), (vec![("a/b/file".to_owned(), 4)], 2));
        let [name, depth] = walked.unfit.as_slice() else { panic!("{:?}", walked.unfit) };
        assert!(name.contains("caf") && name.ends_with("is not UTF-8 text"), "{name}");
        assert!(depth.ends_with("d/file: it lies below too many directories"), "{depth}");
        open(dir.path(), "a/passwd").unwrap_err();
    }
}
