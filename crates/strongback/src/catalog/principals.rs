//! Principals and the members of groups, for administrators.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    authorize_admin,
    principal::{self, Principal, PrincipalKind},
};
use crate::{
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, flag},
    },
};

/// Principals a page when nothing is asked for.
const PAGE: i64 = 200;
/// Principals a page at most.
const PAGE_MAX: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/1.0/principals";
    const MEMBERS: &str = "/api/1.0/groups/{group}/members";
    const MEMBER: &str = "/api/1.0/groups/{group}/members/{member}";
    let admin = Policy::Admin;
    vec![
        Route::json(Method::POST, ALL, admin, Limits::SMALL, "Create a principal", create),
        Route::json(Method::GET, ALL, admin, Limits::SMALL, "List principals", list),
        Route::json(Method::GET, MEMBERS, admin, Limits::SMALL, "List the members of a group", members),
        Route::json(Method::POST, MEMBERS, admin, Limits::SMALL, "Add a member to a group", member_add),
        Route::json(
            Method::DELETE,
            MEMBER,
            admin,
            Limits::SMALL,
            "Take a member out of a group",
            member_remove,
        ),
    ]
}

/// A principal as it leaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalInfo {
    /// Its name.
    pub name: String,
    /// `user`, `service_principal` or `group`.
    pub kind: String,
    /// Names of all groups that it belongs to, also through other groups.
    pub groups: Vec<String>,
    /// Milliseconds since the epoch; 0 for the built-in ones.
    pub created_at: i64,
}

impl PrincipalInfo {
    fn new(sql: &mut Sql<'_>, principal: Principal) -> Result<Self> {
        let mut groups = Vec::new();
        for group in principal::groups_of(sql, principal.id)? {
            groups.push(principal::name_of(sql, group)?);
        }
        Ok(Self {
            name: principal.name,
            kind: principal.kind.name().to_owned(),
            groups,
            created_at: principal.created_at,
        })
    }
}

/// What to create.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// An e-mail or a name.
    pub name: String,
    /// `user` (the default), `service_principal` or `group`.
    pub kind: Option<String>,
    /// Whether it becomes a member of `admins`.
    #[serde(default, deserialize_with = "flag")]
    pub admin: bool,
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<PrincipalInfo> {
    principal_create(&ctx, request).await
}

/// Creates a principal, by REST and by the command line.
pub async fn principal_create(ctx: &Ctx, request: CreateRequest) -> Result<PrincipalInfo> {
    let kind = PrincipalKind::parse(request.kind.as_deref().unwrap_or("user"))?;
    ctx.write(move |tx| {
        authorize_admin(tx, "create principals")?;
        let id = principal::create(tx, kind, &request.name)?;
        if request.admin {
            principal::member_add(tx, principal::ADMINS, id)?;
        }
        let made = principal::get(tx, &request.name)?;
        let event = Event::new(EventKind::PrincipalCreate)
            .subject(id.to_string())
            .detail(json!({ "name": made.name, "kind": kind.name(), "admin": request.admin }));
        Ok(Change::Made(PrincipalInfo::new(tx, made)?, event))
    })
    .await
}

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// At most so many; 200 by default.
    pub max_results: Option<Int64>,
    /// Name of the last one on the page before.
    pub page_token: Option<String>,
}

/// A page of principals.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub principals: Vec<PrincipalInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let limit = match request.max_results.map_or(0, |n| n.0) {
        0 => PAGE,
        n if n > 0 => n.min(PAGE_MAX),
        n => {
            return Err(Error::invalid(format!(
                "Invalid value {n} for parameter 'max_results' supplied: it is 0 or more."
            )));
        }
    };
    let after = request.page_token.unwrap_or_default();
    if after.contains('\0') {
        return Err(Error::invalid(
            "The 'page_token' is not one that this server gave. Begin the list again without it.",
        ));
    }
    ctx.read(move |sql| {
        authorize_admin(sql, "list principals")?;
        let mut found = principal::page(sql, &after, limit + 1)?;
        let is_more = found.len() as i64 > limit;
        found.truncate(limit as usize);
        let next_page_token = if is_more { found.last().map(|last| last.name.clone()) } else { None };
        let principals =
            found.into_iter().map(|principal| PrincipalInfo::new(sql, principal)).collect::<Result<_>>()?;
        Ok(ListResponse { principals, next_page_token })
    })
    .await
}

/// Which group.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MembersRequest {
    /// Its name.
    pub group: String,
}

/// Members of a group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MembersResponse {
    /// Names of the direct members.
    pub members: Vec<String>,
}

async fn members(ctx: Ctx, request: MembersRequest) -> Result<MembersResponse> {
    ctx.read(move |sql| {
        authorize_admin(sql, "list the members of groups")?;
        let group = require_group(sql, &request.group)?;
        Ok(MembersResponse { members: principal::members(sql, group.id)? })
    })
    .await
}

/// Who goes into or out of which group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct MemberRequest {
    /// Name of the group.
    pub group: String,
    /// Name of the principal.
    pub member: String,
}

async fn member_add(ctx: Ctx, request: MemberRequest) -> Result<Empty> {
    group_member_add(&ctx, request).await
}

/// Adds a member to a group, by REST and by the command line. Fine when it is one already.
pub async fn group_member_add(ctx: &Ctx, request: MemberRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        authorize_admin(tx, "change the members of groups")?;
        let group = changeable_group(tx, &request.group)?;
        let member = principal::get(tx, &request.member)?;
        if principal::is_member(tx, group.id, member.id)? {
            return Ok(Change::Nothing(Empty {}));
        }
        if member.id == group.id || principal::groups_of(tx, group.id)?.contains(&member.id) {
            return Err(Error::invalid(format!(
                "The group '{}' belongs to '{}' already: adding one to the other would make a circle.",
                group.name, member.name
            )));
        }
        if member.is_built_in() {
            return Err(Error::invalid(format!("'{}' is built in; its groups are fixed.", member.name)));
        }
        principal::member_add(tx, group.id, member.id)?;
        Ok(Change::Made(Empty {}, member_event(EventKind::GroupMemberAdd, &group, &member)))
    })
    .await
}

async fn member_remove(ctx: Ctx, request: MemberRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        authorize_admin(tx, "change the members of groups")?;
        let group = changeable_group(tx, &request.group)?;
        let member = principal::get(tx, &request.member)?;
        if !principal::is_member(tx, group.id, member.id)? {
            return Err(Error::missing(format!(
                "'{}' is no member of the group '{}'.",
                member.name, group.name
            )));
        }
        if member.is_built_in() {
            return Err(Error::invalid(format!("'{}' is built in; its groups are fixed.", member.name)));
        }
        principal::member_remove(tx, group.id, member.id)?;
        Ok(Change::Made(Empty {}, member_event(EventKind::GroupMemberRemove, &group, &member)))
    })
    .await
}

fn require_group(sql: &mut Sql<'_>, name: &str) -> Result<Principal> {
    let group = principal::get(sql, name)?;
    if group.kind != PrincipalKind::Group {
        return Err(Error::invalid(format!("'{name}' is a {}, not a group.", group.kind.name())));
    }
    Ok(group)
}

fn changeable_group(sql: &mut Sql<'_>, name: &str) -> Result<Principal> {
    let group = require_group(sql, name)?;
    if group.id == principal::USERS {
        return Err(Error::invalid(
            "Everybody belongs to the group 'users'; its members are not listed or changed.",
        ));
    }
    Ok(group)
}

fn member_event(kind: EventKind, group: &Principal, member: &Principal) -> Event {
    Event::new(kind)
        .subject(format!("{}/{}", group.id, member.id))
        .detail(json!({ "group": group.name, "member": member.name }))
}
