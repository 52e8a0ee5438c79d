//! Which labels a monitor counts.
//!
//! What must stay true: whoever may only make tables in a schema does not decide how well the models of others predict. Labels
//! that lie under the name beside the watched one count where whose they are may change what they belong to, or where who declared
//! the monitor may change them; others only where the declaration names their table.

use syntax::names::FullName;

use super::{
    monitor::{self, Monitor},
    tables::Names,
};
use crate::{
    catalog::{Action, authorize::is_allowed_as, principal},
    db::Sql,
    error::Result,
    tables::managed::{self, Managed, show},
};

/// What is there under the name of the labels.
pub(super) enum Labels {
    /// They count.
    Counted(Box<Managed>),
    /// They do not, and why.
    Foreign(String),
    /// There are none yet, or none are declared.
    Nothing,
}

impl Labels {
    /// Version of those that count.
    pub(super) fn version(&self) -> Option<u64> {
        match self {
            Self::Counted(found) => Some(found.newest.version),
            Self::Foreign(_) | Self::Nothing => None,
        }
    }
}

/// The labels of a monitor. It authorises nothing.
pub(super) fn find(sql: &mut Sql<'_>, monitor: &Monitor, names: &Names) -> Result<Labels> {
    let Some(declared) = &monitor.definition.labels else { return Ok(Labels::Nothing) };
    let managed::Found::Managed(found) = managed::find(sql, &names.labels)? else {
        return Ok(Labels::Nothing);
    };
    if declared.table.is_some() || is_trusted(sql, monitor, &names.watched, &found)? {
        return Ok(Labels::Counted(found));
    }
    let (labels, watched) = (show(&names.labels), show(&names.watched));
    let owner = principal::name_of(sql, found.asset.owner_id)?;
    Ok(Labels::Foreign(format!(
        "the labels in '{labels}' do not count: {owner}, whose table it is, may not change '{watched}'. Delete the table, or let \
         the monitor name it: labels: {{ table: {labels} }}"
    )))
}

fn is_trusted(sql: &mut Sql<'_>, monitor: &Monitor, watched: &FullName, labels: &Managed) -> Result<bool> {
    if let Some(declarer) = principal::find_by_id(sql, monitor.declared_by)?
        && is_allowed_as(sql, &declarer, Action::Edit, labels.asset.id)?
    {
        return Ok(true);
    }
    let subject = monitor::subject(sql, watched)?.unwrap_or(monitor.watched_id);
    match principal::find_by_id(sql, labels.asset.owner_id)? {
        Some(owner) => is_allowed_as(sql, &owner, Action::Edit, subject),
        None => Ok(false),
    }
}
