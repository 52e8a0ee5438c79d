//! Tokens: a principal's own, as databricks-sdk asks for them, and those that an administrator makes for others.
//!
//! A token is shown once, in the answer that made it. What is stored is its hash; what is in an event is its id.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    authorize::{authorize_admin, authorize_self},
    principal::{self, Principal, PrincipalKind},
    securable::check_text,
    store,
};
use crate::{
    auth::Secret,
    bind,
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        openapi::Nothing,
        wire::{Empty, Int64},
    },
};

/// Living tokens that one principal may have.
const TOKENS_MAX: i64 = 600;
/// Longest comment, in characters.
const COMMENT_CHARS_MAX: usize = 1_000;
/// Longest life, in seconds: ten years. A token without an end is asked for by leaving its lifetime out.
const LIFETIME_S_MAX: i64 = 3650 * 24 * 3600;

pub(super) fn routes() -> Vec<Route> {
    let (own, admin) = (Policy::Authenticated, Policy::Admin);
    let small = Limits::SMALL;
    vec![
        Route::json(
            Method::POST,
            "/api/2.0/token/create",
            own,
            small,
            "Create a token of your own",
            create_own,
        ),
        Route::json(Method::GET, "/api/2.0/token/list", own, small, "List your own tokens", list_own),
        Route::json(Method::POST, "/api/2.0/token/delete", own, small, "Revoke a token", revoke),
        Route::json(Method::POST, "/api/1.0/tokens", admin, small, "Create a token for a principal", create),
        Route::json(Method::GET, "/api/1.0/tokens", admin, small, "List tokens", list),
    ]
}

/// A token without its secret. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TokenInfo {
    /// Its id, by which it is revoked.
    pub token_id: String,
    /// Whose it is.
    pub principal: String,
    /// What it is for.
    pub comment: String,
    /// When it was made.
    pub creation_time: i64,
    /// When it ends; -1 for never.
    pub expiry_time: i64,
}

fn read(row: &Row<'_>) -> Result<TokenInfo> {
    Ok(TokenInfo {
        token_id: row.get(0)?,
        principal: row.get(1)?,
        comment: row.get(2)?,
        creation_time: row.get(3)?,
        expiry_time: row.get::<Option<i64>>(4)?.unwrap_or(-1),
    })
}

/// What to create. Without `principal` it is the caller's own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Whose it becomes; only administrators name somebody else.
    pub principal: Option<String>,
    /// What it is for.
    pub comment: Option<String>,
    /// How long it lives; for ever when absent.
    pub lifetime_seconds: Option<Int64>,
}

/// A new token.
#[derive(Serialize, JsonSchema)]
pub struct CreateResponse {
    /// The secret. It is shown here and never again.
    pub token_value: String,
    /// All else about it.
    pub token_info: TokenInfo,
}

async fn create_own(ctx: Ctx, request: CreateRequest) -> Result<CreateResponse> {
    // Whoever means somebody else must not get a token of their own to hand on.
    if let Some(other) = request.principal.as_deref().filter(|name| *name != ctx.caller().name) {
        return Err(Error::invalid(format!(
            "Invalid value '{other}' for parameter 'principal' supplied: this makes tokens of the caller's own. \
             Administrators make those of others by POST /api/1.0/tokens."
        )));
    }
    token_create(&ctx, CreateRequest { principal: None, ..request }).await
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<CreateResponse> {
    if request.principal.as_deref().is_none_or(str::is_empty) {
        return Err(Error::required("principal"));
    }
    token_create(&ctx, request).await
}

/// Creates a token, by REST and by the command line.
pub async fn token_create(ctx: &Ctx, request: CreateRequest) -> Result<CreateResponse> {
    let comment = request.comment.clone().unwrap_or_default();
    check_text("comment", &comment, COMMENT_CHARS_MAX)?;
    let lifetime_s = request.lifetime_seconds.map(|lifetime| lifetime.0);
    if let Some(seconds) = lifetime_s.filter(|seconds| !(1..=LIFETIME_S_MAX).contains(seconds)) {
        return Err(Error::invalid(format!(
            "Invalid value {seconds} for parameter 'lifetime_seconds' supplied: it is 1 to {LIFETIME_S_MAX}; leave it out for a token that does not end."
        )));
    }
    let secret = Secret::new_token();
    let token_id = uuid::Uuid::now_v7().to_string();
    let hash = secret.hash();
    let token_info = ctx
        .write(move |tx| {
            match &request.principal {
                Some(_) => authorize_admin(tx, "create tokens for others")?,
                None => authorize_self(tx, "create a token")?,
            }
            let own = tx.caller().name.clone();
            let whose = principal::get(tx, request.principal.as_deref().unwrap_or(&own))?;
            let now = tx.now();
            let expires_at = lifetime_s.map(|seconds| now + seconds * 1000);
            insert(tx, &whose, &hash, &token_id, &comment, expires_at)?;
            let detail = json!({ "principal": whose.name, "comment": comment, "expires_at": expires_at });
            let event = Event::new(EventKind::TokenCreate).subject(&token_id).detail(detail);
            let info = TokenInfo {
                token_id: token_id.clone(),
                principal: whose.name,
                comment: comment.clone(),
                creation_time: now,
                expiry_time: expires_at.unwrap_or(-1),
            };
            Ok(Change::Made(info, event))
        })
        .await?;
    Ok(CreateResponse { token_value: secret.reveal().to_owned(), token_info })
}

/// Stores a token of a user or a service principal.
fn insert(
    tx: &mut Sql<'_>,
    whose: &Principal,
    hash: &[u8; 32],
    token_id: &str,
    comment: &str,
    expires_at: Option<i64>,
) -> Result<()> {
    if whose.is_built_in() || whose.kind == PrincipalKind::Group {
        return Err(Error::invalid(format!(
            "'{}' cannot have tokens: a token belongs to a user or a service principal. Create one with: \
             strongback principal create NAME, then: strongback token create --principal NAME",
            whose.name
        )));
    }
    let now = tx.now();
    let living: i64 = tx.one(&store::CREDENTIAL_COUNT, bind![whose.id, now], |row| row.get(0))?;
    if living >= TOKENS_MAX {
        return Err(Error::invalid(format!(
            "'{}' has {living} tokens; the limit is {TOKENS_MAX}. Revoke one first.",
            whose.name
        )));
    }
    tx.execute(&store::CREDENTIAL_INSERT, bind![&hash[..], token_id, whose.id, comment, now, expires_at])?;
    Ok(())
}

/// Makes a secret the token of a principal until a moment (milliseconds since the epoch), for work that the server lets
/// somebody do on its behalf; answers the token's id. The caller has decided that, and has an event that names the id.
pub fn issue(
    tx: &mut Sql<'_>,
    principal: &str,
    secret: &Secret,
    comment: &str,
    expires_at: i64,
) -> Result<String> {
    let whose = principal::get(tx, principal)?;
    let id = uuid::Uuid::now_v7().to_string();
    insert(tx, &whose, &secret.hash(), &id, comment, Some(expires_at))?;
    Ok(id)
}

/// Ends a token that [`issue`] made, without a trace beside the event of the caller.
pub fn remove(tx: &mut Sql<'_>, id: &str) -> Result<()> {
    tx.execute(&store::CREDENTIAL_REMOVE, bind![id]).map(|_| ())
}

/// Tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// Oldest first.
    pub token_infos: Vec<TokenInfo>,
}

async fn list_own(ctx: Ctx, _: Nothing) -> Result<ListResponse> {
    ctx.read(|sql| {
        authorize_self(sql, "list tokens")?;
        let own = sql.caller().id;
        Ok(ListResponse { token_infos: sql.all(&store::CREDENTIAL_LIST, bind![own], read)? })
    })
    .await
}

/// Whose tokens.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// A principal's; everybody's when absent.
    pub principal: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    ctx.read(move |sql| {
        authorize_admin(sql, "list the tokens of others")?;
        let token_infos = match &request.principal {
            Some(name) => {
                let id = principal::require(sql, name)?;
                sql.all(&store::CREDENTIAL_LIST, bind![id], read)?
            }
            None => sql.all(&store::CREDENTIAL_LIST_ALL, bind![], read)?,
        };
        Ok(ListResponse { token_infos })
    })
    .await
}

/// What to revoke.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RevokeRequest {
    /// Its id.
    pub token_id: String,
}

async fn revoke(ctx: Ctx, request: RevokeRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        authorize_self(tx, "revoke tokens")?;
        let caller = tx.caller().clone();
        let owner = token_owner(tx, &request.token_id)?;
        // Somebody else's token is as unknown as one that does not exist.
        if !owner.is_some_and(|owner| owner == caller.id || caller.is_admin()) {
            return Err(Error::missing(format!(
                "There is no living token with the id '{}'.",
                request.token_id
            )));
        }
        let now = tx.now();
        tx.execute(&store::CREDENTIAL_REVOKE, bind![&request.token_id, now])?;
        Ok(Change::Made(Empty {}, Event::new(EventKind::TokenRevoke).subject(&request.token_id)))
    })
    .await
}

fn token_owner(tx: &mut Sql<'_>, id: &str) -> Result<Option<i64>> {
    if id.contains('\0') {
        return Ok(None);
    }
    tx.first(&store::CREDENTIAL_OWNER, bind![id], |row| row.get(0))
}
