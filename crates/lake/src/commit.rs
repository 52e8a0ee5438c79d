//! Writing: rows become files, and the files become a version in one commit.
//!
//! What must stay true: the files of a commit are durable before its log entry is, and a commit that fails leaves
//! files that no version names, which a vacuum removes.

use std::num::NonZeroU64;

use datafusion::{arrow::datatypes::SchemaRef, arrow::record_batch::RecordBatch};
use deltalake::{
    DeltaTable,
    kernel::{Action, transaction::CommitBuilder},
    operations::write::writer::{DeltaWriter, WriterConfig},
    parquet::{
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
    protocol::{DeltaOperation, SaveMode},
    table::config::TablePropertiesExt as _,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Lake, Task},
    error::Result,
    root::{Root, TableId},
    table::{Committed, Mark, account, schema_of},
};

/// Bytes above which a file is ended and the next begun.
const FILE_BYTES: NonZeroU64 = NonZeroU64::new(128 << 20).expect("it is not zero");

/// Rows that are encoded together: they are in memory until the group is full.
const GROUP_ROWS: usize = 128 << 10;
/// Rows of a page: whoever looks for one row unpacks a page of each column.
const PAGE_ROWS: usize = 4_096;

/// What becomes of the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They stay.
    #[default]
    Append,
    /// The new ones take their place; older versions still have them.
    Overwrite,
}

/// Rows on their way into a table.
pub(crate) struct Writing {
    table: DeltaTable,
    schema: SchemaRef,
    writer: DeltaWriter,
    rows: u64,
}

impl Writing {
    /// Begins to write to the newest version of a table.
    pub(crate) async fn begin(root: &Root, id: TableId) -> Result<Self> {
        let table = root.open(id, None).await?;
        let schema = schema_of(&table)?;
        let writer = writer(&table, schema.clone())?;
        Ok(Self { table, schema, writer, rows: 0 })
    }

    /// The columns that rows must have, in this order.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes rows.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(batch).await?)
    }

    /// Gives up; what was written is named by no version.
    pub(crate) async fn abort(self) -> Result<()> {
        Ok(self.writer.abort().await?)
    }

    /// Makes a version of what was written.
    pub(crate) async fn commit(self, mode: Mode, mark: &Mark) -> Result<Committed> {
        let mut actions: Vec<Action> = self.writer.close().await?.into_iter().map(Action::Add).collect();
        let snapshot = self.table.snapshot()?;
        let save_mode = match mode {
            Mode::Append => SaveMode::Append,
            Mode::Overwrite => {
                let old = snapshot.log_data();
                actions.extend(old.iter().map(|file| Action::Remove(file.remove_action(true))));
                SaveMode::Overwrite
            }
        };
        let mut done = account(0, &actions);
        let operation = DeltaOperation::Write { mode: save_mode, partition_by: None, predicate: None };
        let properties = match mode {
            Mode::Append => mark.properties(),
            // Rows that somebody committed meanwhile would stay beside those that stand for all.
            Mode::Overwrite => mark.properties().with_max_retries(0),
        };
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), self.table.log_store(), operation)
            .await?;
        done.version = committed.version();
        done.rows_added = self.rows;
        Ok(done)
    }
}

/// How files of tables are encoded.
fn encoding() -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .build()
}

/// Writes files of a table, with these columns.
pub(crate) fn writer(table: &DeltaTable, schema: SchemaRef) -> Result<DeltaWriter> {
    let indexed = table.snapshot()?.table_config().num_indexed_cols();
    let config =
        WriterConfig::new(schema, Vec::new(), Some(encoding()), Some(FILE_BYTES), None, indexed, None);
    Ok(DeltaWriter::new(table.object_store(), config))
}

impl Lake {
    /// Joins the small files of a table into large ones: a new version with the same rows.
    pub fn compact(&self, id: TableId, mark: Mark) -> Task<Option<Committed>> {
        let root = self.root().clone();
        self.run(async move {
            let table = root.open(id, None).await?;
            let before = table.version();
            let optimize = table.optimize().with_writer_properties(encoding());
            let (table, metrics) = optimize.with_commit_properties(mark.properties()).await?;
            let version = table.version();
            Ok(version.filter(|_| version != before).map(|version| Committed {
                version,
                files_added: metrics.num_files_added,
                files_removed: metrics.num_files_removed,
                ..Committed::default()
            }))
        })
    }
}
