//! Signed addresses: a caller hands one to something that has no credential, such as a client that uploads parts.
//!
//! The signature is made with the server's own key and covers what may be done, to what, on whose behalf and until when.
//! What must stay true: an address stands for a principal, not for a right. When it is used, that principal is authorised
//! anew, so that a right that was taken away is gone; and where callers need a token, it must have a valid one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, SigningKey};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    auth::{self, Mode, Proof},
    catalog::principal,
    context::Ctx,
    db::{Origin, Sql},
    error::{Error, Result},
    files::http::read_query,
    router::wire::Int64,
    time,
};

/// How long an address works, milliseconds.
pub const VALID_MS: i64 = 3_600_000;

/// What an address allows.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'c> {
    /// What may be done, e.g. `get`.
    pub verb: &'c str,
    /// With what: a path, or an upload and its part. Compared byte for byte.
    pub resource: &'c str,
}

/// The query of a signed address.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Signed {
    /// On whose behalf.
    by: Int64,
    /// Until when, milliseconds since the epoch.
    expires: Int64,
    /// Over all of it, by this server's key.
    signature: String,
}

/// The query that makes an address a signed one, for the caller of `ctx`.
pub fn query(ctx: &Ctx, claim: Claim<'_>) -> String {
    let (by, expires) = (ctx.caller().id, ctx.now() + VALID_MS);
    let signature = ctx.app.signing_key.sign(message(claim, by, expires).as_bytes());
    format!("by={by}&expires={expires}&signature={}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// The context of the principal on whose behalf a signed address was made.
pub async fn on_behalf(ctx: &Ctx, claim: Claim<'_>, query: &str) -> Result<Ctx> {
    let by = verify(&ctx.app.signing_key, claim, query, time::now_ms())?;
    let is_open = ctx.app.config.auth_mode() == Mode::Open;
    let read = move |sql: &mut Sql<'_>| {
        if is_open { principal::by_id(sql, by) } else { auth::by_address(sql, by) }
    };
    let mut ctx = ctx.clone();
    ctx.origin.caller = ctx.app.db.read(&Origin::system(), read).await?;
    ctx.origin.proof = if is_open { Proof::Nothing } else { Proof::Address };
    Ok(ctx)
}

/// The signed text. No other kind of text that this key signs begins like this.
fn message(claim: Claim<'_>, by: i64, expires: i64) -> String {
    format!("strongback address 1\n{}\n{by}\n{expires}\n{}", claim.verb, claim.resource)
}

fn verify(key: &SigningKey, claim: Claim<'_>, query: &str, now: i64) -> Result<i64> {
    let read = || {
        let signed: Signed = read_query(Some(query)).ok()?;
        let (by, expires) = (signed.by.0, signed.expires.0);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signed.signature).ok()?;
        let signature = Signature::from_slice(&signature).ok()?;
        key.verify(message(claim, by, expires).as_bytes(), &signature).ok()?;
        Some((by, expires))
    };
    let (by, expires) = read().ok_or_else(|| {
        Error::denied("The address is not signed by this server for this use. Ask for a new one.")
    })?;
    if expires < now {
        let minutes = VALID_MS / 60_000;
        return Err(Error::denied(format!(
            "The address has expired: it works for {minutes} minutes. Ask for a new one."
        )));
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(key: &SigningKey, claim: Claim<'_>, by: i64, expires: i64) -> String {
        let signature = key.sign(message(claim, by, expires).as_bytes());
        format!("by={by}&expires={expires}&signature={}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    #[test]
    fn an_address_works_for_one_use_one_principal_and_a_while() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let claim = Claim { verb: "get", resource: "a/b" };
        let query = signed(&key, claim, 1000, 50);
        assert_eq!(verify(&key, claim, &query, 50).unwrap(), 1000);
        assert!(verify(&key, claim, &query, 51).unwrap_err().message().contains("expired"));
        let refused = |claim: Claim<'_>, query: &str, key: &SigningKey| {
            let error = verify(key, claim, query, 0).unwrap_err();
            assert!(error.message().contains("not signed"), "{error}");
        };
        refused(Claim { verb: "put", resource: "a/b" }, &query, &key);
        refused(Claim { verb: "get", resource: "a/c" }, &query, &key);
        refused(claim, &query.replace("by=1000", "by=2"), &key);
        refused(claim, &query.replace("expires=50", "expires=51"), &key);
        refused(claim, &query, &SigningKey::from_bytes(&[8; 32]));
        refused(claim, "", &key);
        refused(claim, "by=1&expires=2&signature=AA", &key);
    }
}
