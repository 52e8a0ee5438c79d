//! The key that signs checkpoints: one a data directory, and the store remembers whose.
//!
//! What must stay true: a key that was ever used is on disk, whole, before it signs; the store belongs to one data
//! directory at a time, since the objects that it names lie there. Another directory is refused, until somebody takes
//! the store over, which is an event of its own ([`adopt`]).

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use sha2::{Digest, Sha256};

use super::{Event, EventKind, slots, store};
use crate::{
    bind,
    db::Sql,
    error::{Code, Error, Result},
};

/// Its directory below the data directory.
pub const DIRECTORY: &str = "keys";
const FILE: &str = "checkpoint.pem";

/// The public key as it is shown and compared: hexadecimal.
pub fn public(key: &SigningKey) -> String {
    hex::encode(key.verifying_key().to_bytes())
}

/// By what name the data directory holds leases.
pub fn name(key: &SigningKey) -> String {
    hex::encode(&key.verifying_key().to_bytes()[..8])
}

/// Bytes of a challenge.
pub const CHALLENGE: usize = 32;

/// What only a process with the key of a data directory can answer to a challenge, which is new each time and written in
/// hexadecimal; `None` for what is no challenge. It is a digest and no signature: what the key signs are checkpoints, which
/// begin as JSON, and addresses, which begin with their domain.
pub fn prove(key: &SigningKey, challenge: &str) -> Option<String> {
    let mut bytes = [0; CHALLENGE];
    hex::decode_to_slice(challenge, &mut bytes).ok()?;
    let mut digest = Sha256::new_with_prefix(b"strongback: has this data directory\0");
    digest.update(key.to_bytes());
    digest.update(bytes);
    Some(hex::encode(digest.finalize()))
}

/// Loads the signing key of a data directory, or makes it. A crash in between leaves no key or a whole one.
pub fn load(data_dir: &Path) -> Result<SigningKey> {
    if let Some(key) = read(data_dir)? {
        return Ok(key);
    }
    let key = SigningKey::from_bytes(&rand::random());
    let unusable = |error| unusable(data_dir, error);
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| unusable(Box::new(error)))?;
    keep(data_dir, FILE, pem.as_bytes()).map_err(|error| unusable(Box::new(error)))?;
    Ok(key)
}

/// The signing key of a data directory, if it has one yet.
pub fn read(data_dir: &Path) -> Result<Option<SigningKey>> {
    match fs::read_to_string(path(data_dir)) {
        Ok(pem) => {
            SigningKey::from_pkcs8_pem(&pem).map(Some).map_err(|error| unusable(data_dir, Box::new(error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(data_dir, Box::new(error))),
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY).join(FILE)
}

fn unusable(data_dir: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(
        Code::InvalidState,
        format!(
            "The signing key {} cannot be used. Bring it back from a backup; without it this data directory signs no more \
             checkpoints.",
            path(data_dir).display()
        ),
    )
    .because(error)
}

/// Keeps a key's file for its owner alone: written under another name, synced, renamed, and the directories synced that name it.
pub(crate) fn keep(data_dir: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let dir = data_dir.join(DIRECTORY);
    fs::create_dir_all(&dir)?;
    // What a crash left is overwritten.
    let making = dir.join(".making");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&making)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&making, dir.join(name))?;
    fs::File::open(&dir)?.sync_all()?;
    fs::File::open(data_dir)?.sync_all()
}

/// Makes the store that of a key, when it belongs to none yet.
pub fn begin(tx: &mut Sql<'_>, public: &str) -> Result<()> {
    let now = tx.now();
    tx.execute(&store::KEY_INSERT, bind![1, public, now]).map(|_| ())
}

/// Refuses a data directory to which the store does not belong.
pub fn require(sql: &mut Sql<'_>, public: &str) -> Result<()> {
    match newest(sql)? {
        Some((_, known)) if known == public => Ok(()),
        Some((_, known)) => Err(Error::new(
            Code::InvalidState,
            format!(
                "The metadata store belongs to another data directory: the one with the signing key {}…, and this one has \
                 {}…. The artifacts that the store names lie there. Start with that directory (--data-dir), or restore its \
                 backup. If it is lost for good: strongback audit-log adopt-key makes this one its successor.",
                short(&known),
                short(public)
            ),
        )),
        None => Err(Error::internal("the store does not say whose key signs")),
    }
}

/// Makes this data directory the one that the store belongs to. `None` if it is so already.
pub fn adopt(tx: &mut Sql<'_>, public: &str, holder: &str) -> Result<Option<Event>> {
    // A store that belongs to nobody yet becomes that of whoever starts on it first.
    let Some((n, known)) = newest(tx)?.filter(|(_, known)| known != public) else { return Ok(None) };
    if slots::is_held_by_another(tx, holder)? {
        return Err(Error::new(
            Code::InvalidState,
            "A server of the other data directory writes to this store. Stop it first; if it was killed, wait half a minute.",
        ));
    }
    let now = tx.now();
    tx.execute(&store::KEY_INSERT, bind![n + 1, public, now])?;
    let detail = serde_json::json!({ "from": known, "to": public });
    Ok(Some(Event::new(EventKind::SigningKeyAdopt).detail(detail)))
}

fn newest(sql: &mut Sql<'_>) -> Result<Option<(i64, String)>> {
    sql.first(&store::KEY_NEWEST, bind![], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn short(public: &str) -> &str {
    public.get(..12).unwrap_or(public)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = load(dir.path()).unwrap();
        assert_eq!(load(dir.path()).unwrap().to_bytes(), made.to_bytes());
        let path = dir.path().join(DIRECTORY).join(FILE);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_crash_while_the_key_is_made_leaves_a_directory_that_starts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(DIRECTORY)).unwrap();
        // What the process had written when it died.
        fs::write(dir.path().join(DIRECTORY).join(".making"), "-----BEGIN PRIV").unwrap();
        assert!(load(dir.path()).is_ok());
    }

    #[test]
    fn a_challenge_is_answered_by_its_key_alone_and_never_twice_the_same() {
        let [one, other] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let [first, second] = ["00", "01"].map(|byte| byte.repeat(CHALLENGE));
        let proof = prove(&one, &first).unwrap();
        assert_eq!(prove(&one, &first).unwrap(), proof);
        assert_ne!(prove(&one, &second).unwrap(), proof);
        assert_ne!(prove(&other, &first).unwrap(), proof);
        for wrong in ["", "00", "zz", &"00".repeat(CHALLENGE + 1)] {
            assert_eq!(prove(&one, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reading_makes_no_key() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_broken_key_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path()).unwrap();
        let path = dir.path().join(DIRECTORY).join(FILE);
        fs::write(&path, "").unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(error.message().contains("checkpoint.pem"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
