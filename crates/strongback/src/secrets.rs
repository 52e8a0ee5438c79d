//! Secrets that the server needs in the clear later, sealed with a key that lies beside the store and not in it.
//!
//! Sealed is a format byte, 24 random bytes, and the secret under XChaCha20-Poly1305 with what it is for as associated data: a
//! secret that is put in another's place does not open. What must stay true: the key is on disk, whole, before anything is
//! sealed with it; it lies in the data directory, to which the store belongs, so that the database alone tells no secret; a
//! secret is in no log and in no answer.

use std::{fmt, fs, io, path::Path};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::{
    auth::Secret,
    error::{Code, Error, Result},
    events::key,
};

/// The key's file, beside the signing key: 64 hexadecimal digits.
pub const FILE: &str = "secrets.key";
/// Format of what is sealed.
const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// The key of a data directory.
pub struct Sealer(XChaCha20Poly1305);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// Of a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Loads the key of a data directory, or makes it. A crash in between leaves no key or a whole one.
    pub fn load(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(key::DIRECTORY).join(FILE);
        let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let path = path.display();
            let what = format!(
                "The key {path}, with which secrets are sealed, cannot be used. Bring it back from a backup. If it is lost, remove \
                 the file: a new one is made, and the secrets of webhooks have to be set again."
            );
            Error::new(Code::InvalidState, what).because(cause)
        };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut key = [0; 32];
                hex::decode_to_slice(text.trim(), &mut key).map_err(|error| unusable(error.into()))?;
                Ok(Self::new(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let text = format!("{}\n", hex::encode(key));
                key::keep(data_dir, FILE, text.as_bytes()).map_err(|error| unusable(error.into()))?;
                Ok(Self::new(key))
            }
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// Seals a secret for one purpose.
    pub fn seal(&self, purpose: &str, secret: &Secret) -> Result<Vec<u8>> {
        self.seal_with(rand::random(), purpose, secret)
    }

    fn seal_with(&self, nonce: [u8; NONCE], purpose: &str, secret: &Secret) -> Result<Vec<u8>> {
        let payload = Payload { msg: secret.reveal().as_bytes(), aad: purpose.as_bytes() };
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| Error::internal("a secret could not be sealed"))?;
        Ok([&[FORMAT][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for this purpose with this key; none for anything else.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Secret> {
        let (format, rest) = sealed.split_first()?;
        if *format != FORMAT || rest.len() < NONCE {
            return None;
        }
        let (nonce, sealed) = rest.split_at(NONCE);
        let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
        let bytes = self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        String::from_utf8(bytes).ok().map(Secret::from_text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn a_key_is_made_once_is_its_owners_alone_and_is_named_when_it_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = Sealer::load(dir.path()).unwrap().seal("a", &secret("hush")).unwrap();
        assert_eq!(Sealer::load(dir.path()).unwrap().open("a", &sealed).unwrap().reveal(), "hush");
        let path = dir.path().join(key::DIRECTORY).join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for broken in ["", "00", &"zz".repeat(32)] {
            fs::write(&path, broken).unwrap();
            let error = Sealer::load(dir.path()).unwrap_err();
            assert!(error.message().contains(FILE), "{error}");
        }
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_with_its_key_alone() {
        let sealer = Sealer::new([7; 32]);
        let sealed = sealer.seal("one", &secret("größe")).unwrap();
        assert_eq!(sealer.open("one", &sealed).unwrap().reveal(), "größe");
        assert_ne!(sealer.seal("one", &secret("größe")).unwrap(), sealed, "never twice the same");
        assert!(!sealed.windows(3).any(|part| part == "gr".as_bytes() || part == b"\xc3\xb6\xc3"));
        assert!(sealer.open("other", &sealed).is_none());
        assert!(Sealer::new([8; 32]).open("one", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open("one", &changed).is_none(), "byte {at}");
            assert!(sealer.open("one", &sealed[..at]).is_none(), "{at} bytes");
        }
    }

    /// What earlier versions stored opens for ever.
    #[test]
    fn the_stored_form_stays() {
        let sealer = Sealer::new([7; 32]);
        let sealed = sealer.seal_with([9; NONCE], "webhook", &secret("hush")).unwrap();
        assert_eq!(hex::encode(&sealed), FIXED);
        assert_eq!(sealer.open("webhook", &hex::decode(FIXED).unwrap()).unwrap().reveal(), "hush");
    }

    const FIXED: &str =
        "01090909090909090909090909090909090909090909090909d60791e2fa67a60fb0c8a2e3f55060caa57c26e9";
}
