//! Who is calling: from the headers of a request to a [`Caller`].
//!
//! A request brings a bearer token, or basic authentication whose password is a token (which is how the mlflow client
//! sends user and password). Tokens are random, shown once, and stored as their SHA-256. Where the server listens on
//! loopback only and authentication is off, the caller is the named principal `local`, whatever headers come; that
//! makes a client configured with some token work on a laptop.
//!
//! What must stay true: a request without a valid credential never becomes a caller when authentication is on; secrets
//! are never logged; comparing a secret takes the same time whether it is right or wrong (the look-up is by hash); what
//! takes long asks again before it commits ([`renew`]).

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{
    catalog::principal,
    db::{Db, Sql},
    error::{Code, Error, Result},
    time,
};

/// Prefix of every token, so that secret scanners find one that leaked.
pub const TOKEN_PREFIX: &str = "sbt_";

/// The principal behind a request, with the groups that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `principal.id`
    pub id: i64,
    /// The principal's name.
    pub name: String,
    /// Ids of all groups, directly and through other groups. Ascending.
    pub groups: Vec<i64>,
}

impl Caller {
    /// The server acting on its own behalf.
    pub fn system() -> Arc<Self> {
        static SYSTEM: LazyLock<Arc<Caller>> =
            LazyLock::new(|| Arc::new(Caller::built_in(principal::SYSTEM, "system")));
        Arc::clone(&SYSTEM)
    }

    /// The unauthenticated caller on loopback.
    pub fn local() -> Arc<Self> {
        static LOCAL: LazyLock<Arc<Caller>> =
            LazyLock::new(|| Arc::new(Caller::built_in(principal::LOCAL, "local")));
        Arc::clone(&LOCAL)
    }

    /// Nobody: for routes that need no credential.
    pub fn nobody() -> Arc<Self> {
        static NOBODY: LazyLock<Arc<Caller>> =
            LazyLock::new(|| Arc::new(Caller { id: 0, name: "nobody".into(), groups: Vec::new() }));
        Arc::clone(&NOBODY)
    }

    fn built_in(id: i64, name: &str) -> Self {
        Self { id, name: name.into(), groups: vec![principal::ADMINS, principal::USERS] }
    }

    /// Whether the caller is an administrator of the metastore.
    pub fn is_admin(&self) -> bool {
        self.is(principal::ADMINS)
    }

    /// Whether the caller may run the commands of others.
    pub fn is_runner(&self) -> bool {
        self.is_admin() || self.is(principal::RUNNERS)
    }

    /// Whether the caller is this principal or belongs to this group.
    pub fn is(&self, principal: i64) -> bool {
        self.id == principal || self.groups.binary_search(&principal).is_ok()
    }
}

/// By what a caller is known, so that it can be asked again when a long request comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing that could be taken away: the server itself, or a request that needs no credential.
    Nothing,
    /// A token, by its hash.
    Token([u8; 32]),
    /// A signed address, which stands for a principal that has a valid token.
    Address,
    /// A job, which acts as its principal as long as there is one.
    Job,
}

/// A secret text that is never shown by accident.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new token: 256 random bits.
    pub fn new_token() -> Self {
        Self(format!("{TOKEN_PREFIX}{}", hex::encode(rand::random::<[u8; 32]>())))
    }

    /// A secret that somebody brought.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that shows it to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and looked up.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody is `local`. Only on loopback.
    Open,
    /// A token is needed.
    Tokens,
}

/// Finds the caller of a request, and by what it is known.
pub async fn authenticate(db: &Db, mode: Mode, headers: &HeaderMap) -> Result<(Arc<Caller>, Proof)> {
    if mode == Mode::Open {
        return Ok((Caller::local(), Proof::Nothing));
    }
    let (claimed, token) = credential(headers)?;
    let hash = token.hash();
    let origin = crate::db::Origin::system();
    let caller = db.read(&origin, move |sql| by_token(sql, &hash)).await?;
    check_claim(claimed, &caller)?;
    Ok((caller, Proof::Token(hash)))
}

fn check_claim(claimed: Option<String>, caller: &Caller) -> Result<()> {
    match claimed {
        Some(name) if name != caller.name && name != "token" => {
            Err(unauthenticated(format!("The token does not belong to the user {name:?} that came with it.")))
        }
        _ => Ok(()),
    }
}

/// Tokens that were found valid a moment ago, by their hash, for routes whose requests are too many to ask the store each
/// time. A token that is revoked, and a group that is left, count for [`Remembered::FOR`] longer there. Tokens that are not
/// valid are not remembered.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<TokenHash, (Arc<Caller>, Instant)>>);

/// SHA-256 of a token.
type TokenHash = [u8; 32];

impl Remembered {
    /// How long a credential is remembered.
    pub const FOR: Duration = Duration::from_millis(450);
    /// How many are.
    const MOST: usize = 10_000;

    /// As [`authenticate`].
    pub async fn authenticate(
        &self,
        db: &Db,
        mode: Mode,
        headers: &HeaderMap,
    ) -> Result<(Arc<Caller>, Proof)> {
        if mode == Mode::Open {
            return Ok((Caller::local(), Proof::Nothing));
        }
        let (claimed, token) = credential(headers)?;
        let hash = token.hash();
        let now = Instant::now();
        let known =
            self.0.lock().get(&hash).filter(|(_, until)| *until > now).map(|(caller, _)| Arc::clone(caller));
        if let Some(caller) = known {
            check_claim(claimed, &caller)?;
            return Ok((caller, Proof::Token(hash)));
        }
        let (caller, proof) = authenticate(db, mode, headers).await?;
        let mut known = self.0.lock();
        if known.len() >= Self::MOST {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() < Self::MOST {
            known.insert(hash, (Arc::clone(&caller), now + Self::FOR));
        }
        Ok((caller, proof))
    }
}

/// Puts the caller of a transaction in its place anew: whether its credential is valid still, and which groups it
/// belongs to now. For the end of what may take hours, before the caller is authorised once more.
pub fn renew(tx: &mut Sql<'_>) -> Result<()> {
    let caller = match tx.proof() {
        Proof::Nothing => return Ok(()),
        Proof::Token(hash) => by_token(tx, &hash)?,
        Proof::Address => by_address(tx, tx.caller().id)?,
        Proof::Job => principal::find_by_id(tx, tx.caller().id)?
            .ok_or_else(|| Error::denied("The principal that this job runs as does not exist any more."))?,
    };
    tx.renew_caller(caller);
    Ok(())
}

fn by_token(sql: &mut Sql<'_>, hash: &[u8; 32]) -> Result<Arc<Caller>> {
    let found = principal::by_token(sql, hash, time::now_ms())?;
    found.ok_or_else(|| {
        unauthenticated("The token is not known, has expired or was revoked. Ask an administrator for a new one (strongback token create).")
    })
}

/// The principal that a signed address stands for. The address goes where no credential does, and no longer than its
/// principal has one.
pub fn by_address(sql: &mut Sql<'_>, principal: i64) -> Result<Arc<Caller>> {
    let found = principal::with_token(sql, principal, time::now_ms())?;
    found.ok_or_else(|| {
        Error::denied("The principal that asked for this address has no valid token any more. Ask for a new address with a valid one.")
    })
}

/// The user that basic authentication claims, and the token.
fn credential(headers: &HeaderMap) -> Result<(Option<String>, Secret)> {
    const REMEDY: &str = "Set MLFLOW_TRACKING_TOKEN (or DATABRICKS_TOKEN) to a token, or MLFLOW_TRACKING_USERNAME and \
                          MLFLOW_TRACKING_PASSWORD to a principal and its token.";
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(unauthenticated(format!("This server needs a token. {REMEDY}")));
    };
    let unreadable = || unauthenticated(format!("The Authorization header cannot be read. {REMEDY}"));
    let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unreadable)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok((None, Secret(rest.trim().to_owned())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let decoded = BASE64_STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(unreadable)?;
    Ok((Some(user.to_owned()), Secret(password.to_owned())))
}

fn unauthenticated(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn bearer_and_basic_bring_the_same_token() {
        let (user, token) = credential(&headers("Bearer sbt_1")).unwrap();
        assert_eq!((user, token.reveal()), (None, "sbt_1"));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("ana@example.com:sbt_1"));
        let (user, token) = credential(&headers(&basic)).unwrap();
        assert_eq!((user.as_deref(), token.reveal()), (Some("ana@example.com"), "sbt_1"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for value in ["Bearer", "Digest abc", "Basic !!!", "Basic YWJj"] {
            let error = credential(&headers(value)).unwrap_err();
            assert_eq!(error.code(), Code::Unauthenticated, "{value}");
            assert!(!error.message().contains("YWJj"));
        }
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", Secret::new_token()), "Secret(…)");
    }
}
