//! Users, groups and service principals, and the tokens by which they prove themselves.

use std::sync::Arc;

use super::store;
use crate::{
    auth::{Caller, Secret},
    bind,
    db::Sql,
    error::{Error, Result},
};

/// The server itself.
pub const SYSTEM: i64 = 1;
/// The unauthenticated caller on loopback.
pub const LOCAL: i64 = 2;
/// The group of administrators: owner of the metastore.
pub const ADMINS: i64 = 3;
/// The group that everybody belongs to.
pub const USERS: i64 = 4;

/// Groups within groups are followed to this depth.
const DEPTH: usize = 16;

/// The caller behind a token's hash, unless it expired or was revoked.
pub fn by_token(sql: &mut Sql<'_>, hash: &[u8; 32]) -> Result<Option<Arc<Caller>>> {
    let now = sql.now();
    let found = sql.first(&store::CREDENTIAL_PRINCIPAL, bind![&hash[..], now], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    found.map(|(id, name)| Ok(Arc::new(Caller { id, name, groups: groups_of(sql, id)? }))).transpose()
}

/// Ids of all groups that a principal belongs to, ascending.
pub fn groups_of(sql: &mut Sql<'_>, id: i64) -> Result<Vec<i64>> {
    let mut groups = vec![USERS];
    let mut edge = vec![id];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for member in edge {
            for group in sql.all(&store::MEMBERSHIP_GROUPS, bind![member], |row| row.get::<i64>(0))? {
                if !groups.contains(&group) {
                    groups.push(group);
                    next.push(group);
                }
            }
        }
        if next.is_empty() {
            break;
        }
        edge = next;
    }
    groups.sort_unstable();
    Ok(groups)
}

/// What kind of principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A person, by e-mail or name.
    User,
    /// A program.
    ServicePrincipal,
    /// A group of principals.
    Group,
}

impl PrincipalKind {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServicePrincipal => "service_principal",
            Self::Group => "group",
        }
    }
}

/// Id of a principal by name.
pub fn find(sql: &mut Sql<'_>, name: &str) -> Result<Option<i64>> {
    if name.contains('\0') {
        return Ok(None);
    }
    sql.first(&store::PRINCIPAL_ID, bind![name], |row| row.get(0))
}

/// Id of a principal that must exist.
pub fn require(sql: &mut Sql<'_>, name: &str) -> Result<i64> {
    find(sql, name)?.ok_or_else(|| {
        Error::missing(format!(
            "The principal {name:?} does not exist. Create it with: strongback principal create {name}"
        ))
    })
}

/// Name of a principal; its number in words when it was erased.
pub fn name_of(sql: &mut Sql<'_>, id: i64) -> Result<String> {
    let found = sql.first(&store::PRINCIPAL_NAME, bind![id], |row| row.get(0))?;
    Ok(found.unwrap_or_else(|| format!("principal {id}")))
}

/// Creates a principal. The name must be free.
pub fn create(tx: &mut Sql<'_>, kind: PrincipalKind, name: &str) -> Result<i64> {
    if name.trim().is_empty() || name.len() > 255 || name.chars().any(char::is_control) || name.contains(':')
    {
        return Err(Error::invalid(format!(
            "The principal name {name:?} is not allowed: it needs 1 to 255 characters without ':' and control characters."
        )));
    }
    if find(tx, name)?.is_some() {
        return Err(Error::exists(format!("The principal {name:?} exists already.")));
    }
    let now = tx.now();
    tx.one(&store::PRINCIPAL_INSERT, bind![kind.name(), name, now], |row| row.get(0))
}

/// Stores a token for a principal and answers the token's id. `expires_at` in milliseconds since the epoch.
pub fn token_create(
    tx: &mut Sql<'_>,
    principal: i64,
    token: &Secret,
    comment: &str,
    expires_at: Option<i64>,
) -> Result<uuid::Uuid> {
    let id = uuid::Uuid::now_v7();
    let now = tx.now();
    tx.execute(
        &store::CREDENTIAL_INSERT,
        bind![&token.hash()[..], &id.to_string(), principal, comment, now, expires_at],
    )?;
    Ok(id)
}
