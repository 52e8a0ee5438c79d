//! Where the objects of a store lie, once they lie in an object store: said in the data directory, and said there.
//!
//! What must stay true:
//! - a store that has files keeps them where they are: a setting that names another place is refused;
//! - a place belongs to one data directory: whoever comes second is refused, since each would sweep away what the other has.
//!   A data directory that a backup was brought back into comes second, until somebody says that it takes the place over.

use std::{fs, io, path::Path};

use bucket::Address;
use serde::{Deserialize, Serialize};

use super::disk::sync_dir;
use crate::error::{Code, Error, Result};

/// The file in the data directory.
pub const FILE: &str = "artifacts.json";

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The address.
    pub url: String,
    /// What this data directory is called there; `None` if it has not taken the place.
    pub holder: Option<String>,
    /// When it was taken over from another data directory, milliseconds since the epoch. What lay there before is never swept: it may be
    /// newer than the backup that this directory came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_at: Option<i64>,
    /// Whether this is the first time, so that nothing lies there yet.
    #[serde(skip)]
    pub is_new: bool,
}

impl Record {
    /// A place that a data directory is about to take.
    pub fn new(address: &Address) -> Self {
        let holder = Some(hex::encode(rand::random::<[u8; 16]>()));
        Self { url: address.to_string(), holder, adopted_at: None, is_new: true }
    }

    /// The address.
    pub fn address(&self) -> Result<Address> {
        self.url.parse().map_err(Error::internal)
    }

    /// Keeps it in a data directory. A crash leaves it whole or not at all.
    pub fn keep(&self, data_dir: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(Error::internal)?;
        let (making, file) = (data_dir.join(format!("{FILE}.making")), data_dir.join(FILE));
        let write = || -> io::Result<()> {
            fs::write(&making, text)?;
            fs::File::open(&making)?.sync_all()?;
            fs::rename(&making, file)?;
            sync_dir(data_dir)
        };
        write().map_err(Error::unwritten(data_dir))
    }

    /// Takes it back.
    pub fn forget(data_dir: &Path) -> Result<()> {
        match fs::remove_file(data_dir.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::unwritten(data_dir)(error)),
            _ => Ok(()),
        }
    }
}

/// What a data directory says.
pub fn read(data_dir: &Path) -> Result<Option<Record>> {
    match fs::read(data_dir.join(FILE)) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(data_dir, error.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(data_dir, error.into())),
    }
}

fn unreadable(data_dir: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let message = format!(
        "{} cannot be read, which says where the artifacts lie. Bring it back from a copy, or write it anew as \
         {{\"url\": \"s3://…\"}} and take the place over: strongback artifacts adopt.",
        data_dir.join(FILE).display()
    );
    Error::new(Code::InvalidState, message).because(error)
}

/// Where the objects of a data directory are to be: where they are, or where a setting says, as long as there are none.
pub fn resolve(
    data_dir: &Path,
    setting: Option<&Address>,
    has_files: impl FnOnce() -> Result<bool>,
) -> Result<Option<Record>> {
    let known = read(data_dir)?;
    let Some(wanted) = setting else { return Ok(known) };
    let found = match &known {
        Some(record) if record.url == wanted.to_string() => return Ok(known),
        Some(record) => record.url.clone(),
        None => super::root(data_dir).display().to_string(),
    };
    if has_files()? {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "This store has its artifacts in {found}, and the setting artifacts_url names {wanted}. Leave the setting out. \
                 To move them, copy them there with the server stopped, each under the same two last parts of its name, and \
                 then: strongback artifacts adopt --artifacts-url {wanted}"
            ),
        ));
    }
    Ok(Some(Record::new(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_has_files_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let address = |text: &str| text.parse::<Address>().unwrap();
        let (one, other) = (address("s3://one/x"), address("s3://other"));
        let resolve =
            |setting: Option<&Address>, has_files: bool| resolve(dir.path(), setting, || Ok(has_files));
        assert_eq!(resolve(None, true).unwrap(), None);
        let error = resolve(Some(&one), true).unwrap_err();
        assert!(
            error.message().contains("objects, and the setting artifacts_url names s3://one/x."),
            "{error}"
        );
        let record = resolve(Some(&one), false).unwrap().unwrap();
        assert!(record.is_new && record.url == "s3://one/x");
        record.keep(dir.path()).unwrap();
        let known = Record { is_new: false, ..record };
        assert_eq!(resolve(Some(&one), true).unwrap(), Some(known.clone()));
        assert_eq!(resolve(None, true).unwrap(), Some(known));
        let error = resolve(Some(&other), true).unwrap_err();
        assert!(error.message().contains("artifacts in s3://one/x, "), "{error}");
        assert!(resolve(Some(&other), false).unwrap().unwrap().is_new);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(resolve(None, false).unwrap_err().message().contains("artifacts.json cannot be read"));
    }
}
