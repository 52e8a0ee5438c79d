//! A monitor as it is stored, and how it is found.

use syntax::{
    monitors,
    names::{FullName, fold_case},
};

use super::store;
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind},
        authorize, names,
    },
    db::{Row, Sql},
    error::{Code, Error, Result},
    serving::payload::{self, Recorded},
    tables::managed::{self, Managed},
};

/// What an endpoint's payload table is called behind the endpoint's own name.
pub(super) const PAYLOAD: &str = "_payload";

/// A monitor.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// The asset; it has the name of what is watched.
    pub asset: Asset,
    /// Number of the definition.
    pub n: i64,
    /// What it is declared as.
    pub definition: monitors::Monitor,
    /// SHA-256 of the stored form.
    pub(super) sha256: Vec<u8>,
    /// When that was declared, milliseconds since the epoch.
    pub declared_at: i64,
    /// By whom, and whose rights count when it runs: `principal.id`.
    pub declared_by: i64,
    /// Of the table that is watched: `asset.id`.
    pub watched_id: i64,
    /// Of the table that it is compared with: `asset.id`.
    pub baseline_id: i64,
    /// That table's version.
    pub baseline_version: u64,
    /// Of the command that its trigger names: `asset.id`.
    pub(super) command_id: Option<i64>,
    /// How far it is.
    pub state: State,
}

/// How far a monitor is. Times of events in microseconds since the epoch.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The run that has the figures as metric series.
    pub run_id: Option<String>,
    /// Windows that begin before this were computed, or passed over.
    pub computed_to: Option<i64>,
    /// Event time of the newest row at the last look.
    pub newest_event: Option<i64>,
    /// Version of the watched table at the last look.
    pub looked_version: Option<u64>,
    /// Version of the labels at the last look.
    pub looked_labels: Option<u64>,
    /// When that was, milliseconds since the epoch.
    pub looked_at: i64,
    /// The window that predictions are compared with, where the baseline has none.
    pub reference_start: Option<i64>,
    /// When a command was queued last, milliseconds since the epoch.
    pub triggered_at: Option<i64>,
}

/// The monitor of an asset.
pub(super) fn load(sql: &mut Sql<'_>, asset: Asset) -> Result<Monitor> {
    let id = asset.id;
    sql.one(&store::MONITOR_GET, bind![id], |row| read(row, asset.clone()))
}

fn read(row: &Row<'_>, asset: Asset) -> Result<Monitor> {
    let version = |at| Ok::<_, Error>(row.get::<Option<i64>>(at)?.map(|version| version as u64));
    Ok(Monitor {
        asset,
        watched_id: row.get(0)?,
        n: row.get(1)?,
        definition: serde_json::from_str(&row.get::<String>(11)?).map_err(Error::internal)?,
        sha256: row.get(12)?,
        baseline_id: row.get(13)?,
        baseline_version: row.get::<i64>(14)? as u64,
        declared_at: row.get(15)?,
        declared_by: row.get(16)?,
        command_id: row.get(17)?,
        state: State {
            run_id: row.get(2)?,
            computed_to: row.get(3)?,
            newest_event: row.get(4)?,
            looked_version: version(5)?,
            looked_labels: version(6)?,
            looked_at: row.get(7)?,
            reference_start: row.get(8)?,
            triggered_at: row.get(9)?,
        },
    })
}

/// The asset of the monitor with this name; it authorises nothing.
pub(super) fn find(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<Asset>> {
    let (_, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    asset::find(sql, Some(schema.id), Kind::Monitor, &fold_case(&name.leaf))
}

/// The monitor with this name, for a caller who may do this with it.
pub fn get(sql: &mut Sql<'_>, full_name: &str, action: Action) -> Result<Monitor> {
    let name = managed::parse(full_name)?;
    let found = find(sql, &name)?.ok_or_else(|| {
        Error::missing(format!(
            "Nothing watches '{full_name}'. Declare a monitor in a file and bring it here: strongback monitor apply FILE"
        ))
    })?;
    authorize(sql, action, found.id)?;
    load(sql, found)
}

/// The living monitor of this `asset.id`, for a caller who may do this with it.
pub(super) fn by_id(sql: &mut Sql<'_>, id: i64, action: Action) -> Result<Monitor> {
    let found = asset::get(sql, id)?.ok_or_else(|| Error::missing("The monitor was deleted."))?;
    authorize(sql, action, id)?;
    load(sql, found)
}

/// How far a monitor is with what it queues, and how far windows and event time are.
pub(super) struct Far {
    /// When a command was queued last, milliseconds since the epoch.
    pub triggered_at: Option<i64>,
    /// The newest window that one was queued for.
    pub triggered_window: Option<i64>,
    pub computed_to: Option<i64>,
    pub newest_event: Option<i64>,
}

/// Keeps others from planning, judging, triggering and declaring until the transaction ends; refused where the definition is
/// another by now than the one that the caller looked with.
pub(super) fn lock(tx: &mut Sql<'_>, id: i64, definition_n: i64) -> Result<Far> {
    let found = tx.first(&store::MONITOR_LOCK, bind![id], |row| {
        let far = Far {
            triggered_at: row.get(0)?,
            triggered_window: row.get(1)?,
            computed_to: row.get(2)?,
            newest_event: row.get(3)?,
        };
        Ok((far, row.get::<i64>(4)?))
    })?;
    let (far, n) = found.ok_or_else(|| Error::missing("The monitor was deleted."))?;
    if n == definition_n {
        return Ok(far);
    }
    Err(Error::new(Code::ResourceConflict, "The monitor was declared anew meanwhile; it is looked at again."))
}

/// The asset that a watched name means: its endpoint, or else the payload table of one, or the table itself. Who may change it
/// may watch it and give it labels. It authorises nothing.
pub(super) fn subject(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<i64>> {
    if let Some(endpoint) = names::leaf(sql, name, Kind::Endpoint)? {
        return Ok(Some(endpoint.id));
    }
    for table in [beside(name, PAYLOAD), name.clone()] {
        match managed::find(sql, &table)? {
            managed::Found::Managed(found) => return Ok(Some(found.asset.id)),
            managed::Found::Declared(found) => return Ok(Some(found.id)),
            managed::Found::Nothing { .. } => {}
        }
    }
    Ok(None)
}

/// A name with something behind its last part.
pub(super) fn beside(name: &FullName, ending: &str) -> FullName {
    FullName { leaf: format!("{}{ending}", name.leaf), ..name.clone() }
}

/// The table that a watched name means: the payload table of an endpoint, or the table itself.
pub(super) fn watched(sql: &mut Sql<'_>, name: &FullName) -> Result<Managed> {
    match payload::recorded_by(sql, name)? {
        Some(Recorded::Table(table)) => return managed::by_asset(sql, table, Action::Read),
        // What an earlier endpoint of this name recorded is not what this one does.
        Some(Recorded::Nothing | Recorded::Deleted) => {
            return Err(Error::missing(format!(
                "The endpoint '{0}' has recorded no request in its table yet, and so there is nothing to watch. Send it one, then: strongback endpoint log {0} --flush",
                managed::show(name)
            )));
        }
        None => {}
    }
    if let managed::Found::Managed(found) = managed::find(sql, &beside(name, PAYLOAD))? {
        authorize(sql, Action::Read, found.asset.id)?;
        return Ok(*found);
    }
    managed::get(sql, name, Action::Read)
}
