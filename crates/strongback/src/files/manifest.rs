//! What an area holds, said in one digest.

use sha2::{Digest, Sha256};
use syntax::paths::ArtifactPath;

use super::{File, below, hold, read, store};
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
};

/// Files that one manifest lists at most.
pub const MANIFEST_FILES_MAX: usize = 100_000;

/// All files of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `files1:` and 64 small hex digits: SHA-256 over the manifest's text.
    ///
    /// The text is UTF-8. Its first line is `strongback files 1`. A line for each file follows, in ascending order of the
    /// bytes of its path: the SHA-256 of the file's bytes in 64 small hex digits, a space, its size in bytes as a decimal
    /// number, a space, its path relative to the area's root. Every line, the last one too, ends with one line feed.
    /// Paths hold no control characters ([`ArtifactPath`]), so no two sets of files have the same text.
    pub digest: String,
    /// How many.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Manifest {
    /// Of some files, in ascending order of the bytes of their paths.
    fn of(files: &[File]) -> Self {
        let mut hash = Sha256::new();
        hash.update("strongback files 1\n");
        for file in files {
            hash.update(format!("{} {} {}\n", hex::encode(&file.sha256), file.size, file.path));
        }
        Self {
            digest: format!("files1:{}", hex::encode(hash.finalize())),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size).sum(),
        }
    }
}

/// What an area holds, kept from changing until the transaction ends. That nothing changes it later is for the guards of
/// the area to see to, which others ask only when this transaction has ended.
pub fn seal(tx: &mut Sql<'_>, area: &str) -> Result<Manifest> {
    let root = ArtifactPath::root();
    hold::keep(tx, area, &root)?;
    let (low, high) = below(&root);
    let most = MANIFEST_FILES_MAX as i64 + 1;
    let found = tx.all(&store::FILES_BELOW, bind![area, &low, &high, most], read)?;
    check_count(found.len())?;
    Ok(Manifest::of(&found))
}

/// What lies below a directory of an area now, by paths below that directory.
pub fn manifest(sql: &mut Sql<'_>, area: &str, dir: &ArtifactPath) -> Result<Manifest> {
    let (low, high) = below(dir);
    let most = MANIFEST_FILES_MAX as i64 + 1;
    let mut found = sql.all(&store::FILES_BELOW, bind![area, &low, &high, most], read)?;
    check_count(found.len())?;
    for file in &mut found {
        file.path = file.path.split_off(low.len());
    }
    Ok(Manifest::of(&found))
}

/// Refuses more files than a manifest lists.
pub(super) fn check_count(files: usize) -> Result<()> {
    if files <= MANIFEST_FILES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "There are more than {MANIFEST_FILES_MAX} files, more than belong to one version. Name the directory of the \
         model alone, or put its files into an archive."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::ObjectId;

    fn file(path: &str, bytes: &[u8]) -> File {
        File {
            path: path.into(),
            object: ObjectId::random(),
            size: bytes.len() as u64,
            sha256: Sha256::digest(bytes).to_vec(),
            created_at: 0,
            is_carried: false,
        }
    }

    /// The digests were made with `sha256sum` over the text as it is described.
    #[test]
    fn the_digest_is_the_one_that_is_described() {
        let none = Manifest::of(&[]);
        assert_eq!(none.digest, "files1:b3f3b8ffe0cd969c4ecd0a175f5b8af6f1988552119905cda28bd1fecfbecd9e");
        let two = Manifest::of(&[file("MLmodel", b"flavors: {}\n"), file("data/model.pkl", b"")]);
        assert_eq!(two.digest, "files1:29f7f1013babdb26242566067d143457b704fd1ddd086c76de439a4b4413ee65");
        assert_eq!((two.files, two.bytes), (2, 12));
    }
}
