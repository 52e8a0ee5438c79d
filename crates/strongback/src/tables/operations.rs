//! What an operation on a table intends, as it is stored before anything is done, and its outcome.

use lake::{
    TableId,
    commit::Mode,
    decode::{Report, Source},
    table::Committed,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use syntax::names::fold_case;
use uuid::Uuid;

use super::{
    managed::{Managed, Totals},
    store,
};
use crate::{
    bind,
    catalog::asset,
    db::Sql,
    error::{Code, Error, Result},
    events::{Event, EventKind, operation},
    objects::ObjectId,
};

/// An empty table comes to be.
pub(super) const CREATE: &str = "table.create";
/// A file lands in a table.
pub(super) const IMPORT: &str = "table.import";
/// Rows from inside the server take the place of others.
pub(super) const WRITE: &str = "table.write";
/// Rows from inside the server land behind others.
pub(super) const ROWS: &str = "table.rows";
/// A table gets columns.
pub(super) const COLUMNS: &str = "table.columns";
/// Small files are joined.
pub(super) const COMPACT: &str = "table.compact";
/// Files that only old versions need are removed.
pub(super) const VACUUM: &str = "table.vacuum";

/// A table that exists, as it was when an operation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub asset: i64,
    pub table: Uuid,
    pub version: u64,
}

impl Place {
    pub(super) fn of(table: &Managed) -> Self {
        Self { asset: table.asset.id, table: table.table.0, version: table.newest.version }
    }

    pub(super) fn id(self) -> TableId {
        TableId(self.table)
    }
}

/// A table that comes to be with an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewTable {
    pub schema: i64,
    pub leaf: String,
    pub table: Uuid,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    New(NewTable),
    Existing(Place),
}

impl Target {
    pub(super) fn id(&self) -> TableId {
        match self {
            Self::New(new) => TableId(new.table),
            Self::Existing(place) => place.id(),
        }
    }

    /// By what a writer holds it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::New(new) => format!("{} {}", new.schema, fold_case(&new.leaf)),
            Self::Existing(place) => place.id().to_string(),
        }
    }

    /// The version after which the commit with the rows is. A new table's first version has none.
    pub(super) fn after(&self) -> u64 {
        match self {
            Self::New(_) => 0,
            Self::Existing(place) => place.version,
        }
    }

    pub(super) fn asset(&self) -> Option<i64> {
        match self {
            Self::New(_) => None,
            Self::Existing(place) => Some(place.asset),
        }
    }
}

/// The intent to let a file land.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Landing {
    pub target: Target,
    pub batch_id: String,
    /// SHA-256 of the file, hexadecimal.
    pub digest: String,
    /// Where the file waits.
    pub object: String,
    /// How it is read; its path is where the object lies.
    pub source: Source,
    pub mode: Mode,
    pub quarantine: Option<Place>,
    /// Description of a new table.
    pub comment: String,
    /// Milliseconds since the epoch.
    pub at: i64,
}

impl Landing {
    pub(super) fn object(&self) -> Result<ObjectId> {
        self.object.parse()
    }

    /// What the engine is asked to do.
    pub(super) fn import(&self, operation: Uuid, source: Source) -> lake::import::Import {
        lake::import::Import {
            table: self.target.id(),
            is_new: matches!(self.target, Target::New(_)),
            source,
            mode: self.mode,
            mark: self.mark(operation),
            after: Some(self.target.after()),
            quarantine: self.quarantine.map(|place| lake::import::Quarantine {
                table: place.id(),
                after: Some(place.version),
                batch: self.batch_id.clone(),
                at_micros: self.at.saturating_mul(1_000),
            }),
        }
    }

    pub(super) fn mark(&self, operation: Uuid) -> lake::table::Mark {
        let notes = vec![("strongback.batch".to_owned(), self.batch_id.clone())];
        lake::table::Mark { operation, notes }
    }
}

/// The intent to let rows from inside the server land.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inside {
    pub place: Place,
    pub batch_id: String,
    /// Of what the rows are made of, hexadecimal.
    pub digest: String,
}

/// The intent to change a table's files, or what columns it has, and none of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upkeep {
    pub place: Place,
    /// Of a vacuum: what is kept.
    pub keep: Option<lake::vacuum::Keep>,
}

/// Records an intent. The event belongs into the same change.
pub(super) fn begin(
    tx: &mut Sql<'_>,
    kind: &str,
    intent: &impl Serialize,
    asset_id: Option<i64>,
) -> Result<(Uuid, Event)> {
    let intent = serde_json::to_value(intent).map_err(Error::internal)?;
    let (id, event) = operation::begin(tx, kind, &intent)?;
    Ok((
        id,
        match asset_id {
            Some(asset) => event.asset(asset, 0),
            None => event,
        },
    ))
}

/// Ends an operation, or says that somebody else ended it.
pub(super) fn close(tx: &mut Sql<'_>, id: Uuid) -> Result<()> {
    if operation::close(tx, id)? {
        return Ok(());
    }
    Err(Error::new(
        Code::ResourceConflict,
        "The operation was ended by somebody else at the same moment. Read the table before you repeat the call.",
    ))
}

/// Ends an operation that had no effect. `None` if it was not open any more.
pub(super) fn revert(tx: &mut Sql<'_>, id: Uuid, asset_id: Option<i64>, why: &str) -> Result<Option<Event>> {
    if !operation::close(tx, id)? {
        return Ok(None);
    }
    let event = Event::new(EventKind::OperationRevert).operation(id).detail(json!({ "why": why }));
    Ok(Some(match asset_id {
        Some(asset) => event.asset(asset, 0),
        None => event,
    }))
}

/// What a version row says besides its numbers.
pub(super) struct Version<'a> {
    pub kind: &'static str,
    pub operation: Option<Uuid>,
    /// The batch, and the digest of what was sent.
    pub batch: Option<(&'a str, &'a str)>,
    pub report: String,
    pub by: i64,
}

/// Records a commit as a version, and makes it the newest. The row of the table's asset is locked by this. Answers the
/// asset's revision.
pub(super) fn record(
    tx: &mut Sql<'_>,
    asset_id: i64,
    rows_added: u64,
    totals: Totals,
    version: &Version<'_>,
) -> Result<i64> {
    let operation = version.operation.map(|id| id.to_string());
    let (batch, digest) = version.batch.unzip();
    let rows = totals.rows.map(|rows| rows as i64);
    // When it became readable, and not when somebody began to send it; after the version before it, whatever the clock says.
    let newest = tx.first(&store::VERSION_NEWEST_AT, bind![asset_id], |row| row.get::<i64>(0))?;
    let at = crate::time::now_ms().max(newest.unwrap_or(i64::MIN));
    tx.execute(
        &store::VERSION_INSERT,
        bind![
            asset_id,
            totals.version as i64,
            version.kind,
            operation.as_deref(),
            batch,
            digest,
            rows_added as i64,
            rows,
            totals.bytes as i64,
            totals.files as i64,
            &version.report,
            at,
            version.by
        ],
    )?;
    tx.execute(&store::TABLE_SET_VERSION, bind![asset_id, totals.version as i64])?;
    // What is computed from this table may want to know.
    tx.ring();
    asset::touch(tx, asset_id)
}

impl Totals {
    /// Those of an empty table.
    pub(super) const NOTHING: Self = Self { version: 0, rows: Some(0), bytes: 0, files: 0 };

    /// After a commit that added rows, or put them in the place of all others.
    pub(super) fn and(self, done: &Committed, mode: Mode) -> Self {
        let before = if mode == Mode::Overwrite { Self::NOTHING } else { self };
        Self {
            version: done.version,
            rows: before.rows.map(|rows| rows + done.rows_added),
            bytes: before.bytes + done.bytes_added,
            files: before.files + done.files_added,
        }
    }

    /// As the table itself tells them.
    pub(super) fn of(state: &lake::table::State) -> Self {
        Self { version: state.version, rows: state.rows, bytes: state.bytes, files: state.files }
    }
}

/// What a report is stored as.
pub(super) fn report_text(report: &Report) -> Result<String> {
    serde_json::to_string(report).map_err(Error::internal)
}
