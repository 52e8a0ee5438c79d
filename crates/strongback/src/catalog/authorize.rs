//! The one decision: may this principal do this to that asset?
//!
//! The rules of this release, from the top:
//! 1. administrators (members of `admins`) may do everything;
//! 2. the owner of an asset, or of anything above it, may do everything with it; an owner may be a group;
//! 3. in the default schema, where plain MLflow names live, everybody may read and create; its catalog may be read;
//! 4. nobody else may do anything.
//!
//! What must stay true: a decision is made next to the read or write that it guards, within its transaction; a
//! decision leaves its mark on the transaction ([`Sql::is_authorized`]), and a change without the mark does not commit.

use std::sync::Arc;

use super::store;
use crate::{
    auth::Caller,
    bind,
    db::Sql,
    error::{Code, Error, Result},
    events::operation,
};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See it and what belongs to it.
    Read,
    /// Make something below it.
    Create,
    /// Change it or what belongs to it.
    Edit,
    /// Delete or restore it.
    Delete,
    /// Give it to another owner.
    Manage,
    /// Run it: spend a machine on what it does.
    Execute,
}

impl Action {
    /// As a message says it.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create something in",
            Self::Edit => "change",
            Self::Delete => "delete",
            Self::Manage => "give away",
            Self::Execute => "run",
        }
    }

    const ALL: [Self; 6] = [Self::Read, Self::Create, Self::Edit, Self::Delete, Self::Manage, Self::Execute];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Manage => "manage",
            Self::Execute => "execute",
        }
    }

    /// From how it is stored.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Owners from the asset upward, and where it lies.
struct Chain {
    label: String,
    owners: Vec<i64>,
    in_default_schema: bool,
    is_default_catalog: bool,
}

/// Lets the caller of `sql` pass, or refuses with a message that says who owns the asset.
pub fn authorize(sql: &mut Sql<'_>, action: Action, asset_id: i64) -> Result<()> {
    if sql.caller().is_admin() {
        sql.mark_authorized();
        return Ok(());
    }
    let chain = load(sql, asset_id)?;
    if allows(sql, &chain, action) {
        sql.mark_authorized();
        return Ok(());
    }
    let owner = match chain.owners.first() {
        Some(owner) => super::principal::name_of(sql, *owner)?,
        None => "nobody".to_owned(),
    };
    Err(Error::denied(format!(
        "{} may not {} the {}. Its owner is {owner}; ask them, or an administrator, to make you or a group of yours its owner.",
        sql.caller().name,
        action.verb(),
        chain.label,
    )))
}

/// Asks the same for somebody else, on whose behalf the caller of `sql` is about to do something. It is no authorisation of
/// the caller.
pub fn authorize_as(sql: &mut Sql<'_>, whom: &Arc<Caller>, action: Action, asset_id: i64) -> Result<()> {
    let (caller, was_authorized) = (Arc::clone(sql.caller()), sql.is_authorized());
    sql.renew_caller(Arc::clone(whom));
    let decision = authorize(sql, action, asset_id);
    sql.renew_caller(caller);
    sql.restore_authorized(was_authorized);
    decision
}

/// Whether somebody else may do it; neither answer is an authorisation of the caller.
pub fn is_allowed_as(sql: &mut Sql<'_>, whom: &Arc<Caller>, action: Action, asset_id: i64) -> Result<bool> {
    match authorize_as(sql, whom, action, asset_id) {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Code::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets administrators and runners pass.
pub fn authorize_runner(sql: &mut Sql<'_>) -> Result<()> {
    if sql.caller().is_runner() {
        sql.mark_authorized();
        return Ok(());
    }
    Err(not_a_runner(sql.caller()))
}

/// The error for somebody who may not run the commands of others.
pub fn not_a_runner(caller: &Caller) -> Error {
    Error::denied(format!(
        "{} may not run the commands of others: that is for members of the group runners, and administrators. An \
         administrator adds it with: strongback group add-member runners {}",
        caller.name, caller.name
    ))
}

/// Whether the caller may do it. For lists, which show what a caller may see and no more. A
/// yes is an authorisation; a no lets the rest of the list be answered, and allows no change.
pub fn is_allowed(sql: &mut Sql<'_>, action: Action, asset_id: i64) -> Result<bool> {
    sql.mark_filtered();
    let allowed = sql.caller().is_admin() || {
        let chain = load(sql, asset_id)?;
        allows(sql, &chain, action)
    };
    if allowed {
        sql.mark_authorized();
    }
    Ok(allowed)
}

/// Lets a principal pass that acts upon itself, as with its own tokens.
pub fn authorize_self(sql: &mut Sql<'_>, what: &str) -> Result<()> {
    if sql.caller().id == Caller::nobody().id {
        return Err(Error::denied(format!("Nobody may {what} without a credential.")));
    }
    sql.mark_authorized();
    Ok(())
}

/// Leaves the mark for an answer that is filtered line by line with [`is_allowed`], and may turn out empty.
pub fn visible(sql: &mut Sql<'_>) {
    sql.mark_filtered();
}

/// Lets the end of an operation pass that the caller began: its rights were asked when the intent was stored, and what took
/// effect since is not undone by leaving it half-recorded. The server itself ends what nobody else did. Answers on whose
/// behalf the operation is.
pub fn authorize_end(tx: &mut Sql<'_>, operation: uuid::Uuid) -> Result<i64> {
    let Some(found) = operation::lock(tx, operation)? else {
        return Err(Error::missing(format!("The operation {operation} has ended.")));
    };
    if found.principal_id != tx.caller().id {
        authorize_admin(tx, "end operations of others")?;
    }
    tx.mark_authorized();
    Ok(found.principal_id)
}

/// Lets administrators pass.
pub fn authorize_admin(sql: &mut Sql<'_>, what: &str) -> Result<()> {
    if sql.caller().is_admin() {
        sql.mark_authorized();
        return Ok(());
    }
    Err(Error::denied(format!(
        "{} may not {what}: that is for administrators (members of the group admins).",
        sql.caller().name
    )))
}

fn allows(sql: &Sql<'_>, chain: &Chain, action: Action) -> bool {
    let is_somebody = sql.caller().id != Caller::nobody().id;
    chain.owners.iter().any(|owner| sql.caller().is(*owner))
        || (is_somebody && chain.in_default_schema && matches!(action, Action::Read | Action::Create))
        || (is_somebody && chain.is_default_catalog && action == Action::Read)
}

fn load(sql: &mut Sql<'_>, asset_id: i64) -> Result<Chain> {
    let found = sql.first(&store::ASSET_CHAIN, bind![asset_id], |row| {
        let owners: Vec<i64> = (0..4)
            .map(|at| row.get::<Option<i64>>(at))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        let (kind, leaf): (String, String) = (row.get(4)?, row.get(5)?);
        let (parent, grand): (Option<String>, Option<String>) = (row.get(6)?, row.get(7)?);
        let is_default_catalog = kind == "catalog" && leaf == super::bootstrap::DEFAULT_CATALOG;
        let (schema, catalog) =
            if kind == "schema" { (Some(leaf.clone()), parent.clone()) } else { (parent, grand) };
        let in_default_schema = schema.as_deref() == Some(super::bootstrap::DEFAULT_SCHEMA)
            && catalog.as_deref() == Some(super::bootstrap::DEFAULT_CATALOG);
        Ok(Chain { label: format!("{kind} {leaf:?}"), owners, in_default_schema, is_default_catalog })
    })?;
    found.ok_or_else(|| Error::missing("What the request is about does not exist any more."))
}
