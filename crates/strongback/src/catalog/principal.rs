//! Users, groups and service principals, and the tokens by which they prove themselves.

use std::sync::Arc;

use super::store;
use crate::{
    auth::Caller,
    bind,
    db::{Row, Sql},
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
/// The group of those who may run the commands of others: `strongback runner`.
pub const RUNNERS: i64 = 5;

/// The caller behind a token's hash, unless the token expired before `now` or was revoked.
pub fn by_token(sql: &mut Sql<'_>, hash: &[u8; 32], now: i64) -> Result<Option<Arc<Caller>>> {
    let found = sql.first(&store::CREDENTIAL_PRINCIPAL, bind![&hash[..], now], named)?;
    found.map(|named| as_caller(sql, named)).transpose()
}

/// A principal as a caller, unless it has no token that is valid at `now`.
pub fn with_token(sql: &mut Sql<'_>, id: i64, now: i64) -> Result<Option<Arc<Caller>>> {
    let found = sql.first(&store::CREDENTIAL_ANY, bind![id, now], named)?;
    found.map(|named| as_caller(sql, named)).transpose()
}

/// A principal as a caller, whatever tokens it has.
pub fn by_id(sql: &mut Sql<'_>, id: i64) -> Result<Arc<Caller>> {
    let name = name_of(sql, id)?;
    as_caller(sql, (id, name))
}

/// A principal as a caller, with the groups that it belongs to now; `None` if there is none with this id.
pub fn find_by_id(sql: &mut Sql<'_>, id: i64) -> Result<Option<Arc<Caller>>> {
    let name = sql.first(&store::PRINCIPAL_NAME, bind![id], |row| row.get::<String>(0))?;
    name.map(|name| as_caller(sql, (id, name))).transpose()
}

fn named(row: &Row<'_>) -> Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn as_caller(sql: &mut Sql<'_>, (id, name): (i64, String)) -> Result<Arc<Caller>> {
    Ok(Arc::new(Caller { id, name, groups: groups_of(sql, id)? }))
}

/// Ids of all groups that a principal belongs to, ascending.
pub fn groups_of(sql: &mut Sql<'_>, id: i64) -> Result<Vec<i64>> {
    let mut groups = sql.all(&store::MEMBERSHIP_CLOSURE, bind![id], |row| row.get::<i64>(0))?;
    groups.push(USERS);
    groups.sort_unstable();
    groups.dedup();
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

impl PrincipalKind {
    /// From how it is stored and sent.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "user" => Ok(Self::User),
            "service_principal" => Ok(Self::ServicePrincipal),
            "group" => Ok(Self::Group),
            other => Err(Error::invalid(format!(
                "Invalid value {other:?} for parameter 'kind' supplied: it is user, service_principal or group."
            ))),
        }
    }
}

/// A principal as it is stored.
#[derive(Debug, Clone)]
pub struct Principal {
    /// `principal.id`
    pub id: i64,
    /// What kind.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: String,
    /// Milliseconds since the epoch; 0 for the built-in ones.
    pub created_at: i64,
}

impl Principal {
    /// Whether it came with the store: its memberships are fixed, and it has no tokens.
    pub fn is_built_in(&self) -> bool {
        self.id <= RUNNERS
    }
}

fn read(row: &Row<'_>) -> Result<Principal> {
    let kind: String = row.get(1)?;
    Ok(Principal {
        id: row.get(0)?,
        kind: PrincipalKind::parse(&kind)?,
        name: row.get(2)?,
        created_at: row.get(3)?,
    })
}

/// A principal that must exist.
pub fn get(sql: &mut Sql<'_>, name: &str) -> Result<Principal> {
    require(sql, name)?;
    sql.one(&store::PRINCIPAL_GET, bind![name], read)
}

/// At most `limit` principals whose names come after `after`, by name.
pub fn page(sql: &mut Sql<'_>, after: &str, limit: i64) -> Result<Vec<Principal>> {
    sql.all(&store::PRINCIPAL_PAGE, bind![after, limit], read)
}

/// Names of the direct members of a group.
pub fn members(sql: &mut Sql<'_>, group: i64) -> Result<Vec<String>> {
    sql.all(&store::MEMBERSHIP_MEMBERS, bind![group], |row| row.get(0))
}

/// Whether somebody is a direct member of a group.
pub fn is_member(sql: &mut Sql<'_>, group: i64, member: i64) -> Result<bool> {
    Ok(sql.first(&store::MEMBERSHIP_GET, bind![group, member], |row| row.get::<i64>(0))?.is_some())
}

/// Adds a direct member to a group. Whether that is allowed and new is the caller's question.
pub fn member_add(tx: &mut Sql<'_>, group: i64, member: i64) -> Result<()> {
    tx.execute(&store::MEMBERSHIP_INSERT, bind![group, member]).map(|_| ())
}

/// Takes a direct member out of a group.
pub fn member_remove(tx: &mut Sql<'_>, group: i64, member: i64) -> Result<()> {
    tx.execute(&store::MEMBERSHIP_DELETE, bind![group, member]).map(|_| ())
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
    let id = tx.one(&store::PRINCIPAL_NEXT, bind![], |row| row.get(0))?;
    tx.execute(&store::PRINCIPAL_INSERT, bind![id, kind.name(), name, now])?;
    Ok(id)
}
