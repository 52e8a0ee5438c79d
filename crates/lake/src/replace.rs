//! Replacing rows: new rows take the place of those that have their identity, in one commit.
//!
//! Only the files that may hold such rows are written anew. A caller who replaces mostly what is newest says which moment is
//! *settled*: rows up to it and rows after it go into files of their own, so that the next call writes the later ones anew and
//! leaves the others as they are. Small files are joined on the way once there are many of them.
//!
//! What must stay true: a commit holds every row that the version before had and that no new row replaces; one identity has one
//! row, where that held before.

use std::{collections::HashSet, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{concat_batches, filter_record_batch, take_record_batch},
    datatypes::{Schema, TimestampMicrosecondType},
    row::{RowConverter, SortField},
};
use deltalake::{
    DeltaTable,
    kernel::{
        Action, Add, MetadataExt as _, StructType, engine::arrow_conversion::TryIntoKernel as _,
        transaction::CommitBuilder,
    },
    protocol::{DeltaOperation, SaveMode},
};
use serde_json::Value as Json;

use crate::{
    commit::writer,
    engine::{Lake, Task},
    error::{Error, Result},
    feed::{self, Part},
    root::TableId,
    table::{Committed, Mark, State, account, schema_of, state_at},
};

/// Bytes below which a file is small.
const SMALL_BYTES: i64 = 4 << 20;
/// Small files that may lie beside each other before they are joined.
const SMALL_FILES_MAX: usize = 24;
/// How much later than its statistics say a file's last row may be, in microseconds: some writers cut to milliseconds.
const STATISTICS_MICROS: i64 = 1_000;

/// Which rows may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All: the new rows stand alone, and may have other columns.
    All,
    /// Those from a moment on, in microseconds since 1970; no new row lies before it.
    From(i64),
}

/// What is to be replaced by what.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The table.
    pub table: TableId,
    /// Whose commit it is.
    pub mark: Mark,
    /// The new rows, with all columns of the table.
    pub rows: RecordBatch,
    /// The columns whose values are a row's identity, that of the time among them.
    pub identity: Vec<String>,
    /// Column of the time.
    pub time: String,
    /// Which rows may be replaced.
    pub scope: Scope,
    /// Rows up to this moment are not expected to be replaced soon, in microseconds since 1970.
    pub settled_micros: i64,
}

impl Lake {
    /// Replaces rows. Answers the commit, whose rows are the new ones alone, and the table since.
    pub fn replace(&self, replacement: Replacement) -> Task<(Committed, State)> {
        let lake = self.clone();
        self.run(async move { run(&lake, replacement).await })
    }
}

async fn run(lake: &Lake, asked: Replacement) -> Result<(Committed, State)> {
    let table = lake.root().open(asked.table, None).await?;
    let stored = schema_of(&table)?;
    let schema = asked.rows.schema();
    let is_same = stored.fields().len() == schema.fields().len()
        && stored
            .fields()
            .iter()
            .zip(schema.fields())
            .all(|(one, other)| one.name() == other.name() && one.data_type() == other.data_type());
    if !is_same && asked.scope != Scope::All {
        return Err(Error::internal("rows of other columns replace a part of a table"));
    }
    let files = touched(&table, &asked)?;
    let mut rows = asked.rows.clone();
    if let Scope::From(_) = asked.scope
        && !files.is_empty()
    {
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let part = Part::Files(feed::Files::of(files.clone()));
        let before = {
            let _turn = lake.query_turn().await?;
            feed::read(lake, &table, &columns.into(), part, lake.memory_bytes()).await?
        };
        let kept = kept(&before, &asked)?;
        rows = concat_batches(&schema, [&feed::conform(&kept, &schema)?, &rows]).map_err(Error::internal)?;
    }
    let mut actions = written(&table, &schema, &rows, &asked).await?;
    actions.extend(files.iter().map(|file| Action::Remove(removed(file))));
    let snapshot = table.snapshot()?;
    if !is_same {
        let fields: StructType = schema.as_ref().try_into_kernel().map_err(Error::internal)?;
        actions.push(Action::Metadata(
            snapshot.metadata().clone().with_schema(&fields).map_err(Error::internal)?,
        ));
    }
    let mut done = account(0, &actions);
    let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
    // What somebody committed meanwhile was not looked at.
    let committed = CommitBuilder::from(asked.mark.properties().with_max_retries(0))
        .with_actions(actions)
        .build(Some(snapshot), table.log_store(), operation)
        .await?;
    done.version = committed.version();
    done.rows_added = asked.rows.num_rows() as u64;
    Ok((done, state_at(&committed.snapshot())?))
}

/// The files that go: all, or those that may hold what is replaced, and the small ones where there are many.
fn touched(table: &DeltaTable, asked: &Replacement) -> Result<Vec<Add>> {
    #[expect(deprecated, reason = "a commit removes files by the actions that added them, all of them")]
    let all: Vec<Add> = table.snapshot()?.log_data().iter().map(|file| file.add_action()).collect();
    let Scope::From(from) = asked.scope else { return Ok(all) };
    let has_many_small = all.iter().filter(|file| file.size < SMALL_BYTES).count() > SMALL_FILES_MAX;
    Ok(all
        .into_iter()
        .filter(|file| {
            let is_after =
                last_of(file, &asked.time).is_none_or(|last| last.saturating_add(STATISTICS_MICROS) >= from);
            is_after || (has_many_small && file.size < SMALL_BYTES)
        })
        .collect())
}

/// The last moment of a file in microseconds, by its statistics.
fn last_of(file: &Add, time: &str) -> Option<i64> {
    let statistics: Json = serde_json::from_str(file.stats.as_deref()?).ok()?;
    let last = statistics["maxValues"][time].as_str()?;
    chrono::DateTime::parse_from_rfc3339(last).ok().map(|moment| moment.timestamp_micros())
}

fn removed(file: &Add) -> deltalake::kernel::Remove {
    deltalake::kernel::Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone()),
        size: Some(file.size),
        deletion_vector: file.deletion_vector.clone(),
        tags: None,
        base_row_id: file.base_row_id,
        default_row_commit_version: file.default_row_commit_version,
    }
}

/// The rows that no new row replaces.
fn kept(before: &RecordBatch, asked: &Replacement) -> Result<RecordBatch> {
    let columns = |batch: &RecordBatch| -> Result<Vec<ArrayRef>> {
        let found = asked.identity.iter().map(|name| batch.column_by_name(name).cloned());
        found.collect::<Option<_>>().ok_or_else(|| Error::internal("a column of the identity is absent"))
    };
    let (old, new) = (columns(before)?, columns(&asked.rows)?);
    let sorted = new.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(sorted).map_err(Error::internal)?;
    let new = converter.convert_columns(&new).map_err(Error::internal)?;
    let old = converter.convert_columns(&old).map_err(Error::internal)?;
    let replaced: HashSet<&[u8]> = new.iter().map(|row| row.data()).collect();
    let stays: BooleanArray = old.iter().map(|row| Some(!replaced.contains(row.data()))).collect();
    filter_record_batch(before, &stays).map_err(Error::internal)
}

/// Writes rows, by time: what is settled, and what is not.
async fn written(
    table: &DeltaTable,
    schema: &Arc<Schema>,
    rows: &RecordBatch,
    asked: &Replacement,
) -> Result<Vec<Action>> {
    let times = rows.column_by_name(&asked.time).and_then(|times| {
        times.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.values().clone())
    });
    let times = times.ok_or_else(|| Error::internal("the time of rows is no instant"))?;
    let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).map_err(Error::internal)?).collect();
    // Stable: rows of one moment stay in the order in which they came.
    order.sort_by_key(|row| times[*row as usize]);
    let settled = order.partition_point(|row| times[*row as usize] <= asked.settled_micros);
    let mut actions = Vec::new();
    for part in [&order[..settled], &order[settled..]] {
        if part.is_empty() {
            continue;
        }
        let part = take_record_batch(rows, &UInt32Array::from(part.to_vec())).map_err(Error::internal)?;
        let mut writer = writer(table, Arc::clone(schema))?;
        writer.write(&part).await?;
        actions.extend(writer.close().await?.into_iter().map(Action::Add));
    }
    Ok(actions)
}
