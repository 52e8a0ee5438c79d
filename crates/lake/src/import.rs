//! Importing a file: its rows become a version of a table, its bad rows are named, or go into a table of their own.
//!
//! What must stay true:
//! - a file is imported whole or not at all; bad rows stop it unless there is a place for them;
//! - the same file under the same operation gives the same commits: what a crash left half-done is finished by calling
//!   it again with the file ([`Lake::import`] first looks for what is committed already);
//! - memory grows with the length of a row and not with the number of rows.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, SchemaRef},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    commit::{Mode, Writing},
    decode::{self, BadRow, Report, Sink, Source},
    engine::{Lake, Task},
    error::{Error, Result},
    meter,
    root::{Root, TableId},
    schema::Declared,
    table::{Committed, Mark, create, find_commit, schema_of},
};

/// Batches on their way from the decoder to the writer.
const WAITING_BATCHES: usize = 2;
/// Bad rows that are written at a time.
const BAD_ROWS: usize = 1024;

/// What to import, and where to.
#[derive(Debug, Clone)]
pub struct Import {
    /// The table.
    pub table: TableId,
    /// Whether it is made for this file.
    pub is_new: bool,
    /// The file.
    pub source: Source,
    /// What becomes of the rows that are there.
    pub mode: Mode,
    /// Whose commits these are.
    pub mark: Mark,
    /// The newest version when the operation began; its own commits are looked for after it. None where the table is new.
    pub after: Option<u64>,
    /// A table for bad rows, with the columns of [`quarantine_columns`].
    pub quarantine: Option<Quarantine>,
}

impl Import {
    /// The version after which the commit with the rows is. The one before it makes the table, where that is new.
    fn after(&self) -> Option<u64> {
        if self.is_new { Some(0) } else { self.after }
    }
}

/// Where bad rows go.
#[derive(Debug, Clone)]
pub struct Quarantine {
    /// The table.
    pub table: TableId,
    /// Its newest version when the operation began.
    pub after: Option<u64>,
    /// What the rows say about where they come from.
    pub batch: String,
    /// When that was, in microseconds since the epoch.
    pub at_micros: i64,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// What the file held.
    pub report: Report,
    /// The commit; none where bad rows stopped it.
    pub committed: Option<Committed>,
    /// The commit of the bad rows, if there were any and a place for them.
    pub quarantined: Option<Committed>,
}

/// The columns of a table for bad rows.
pub fn quarantine_columns() -> Vec<Declared> {
    let column = |name: &str, kind: &str| Declared {
        name: name.to_owned(),
        type_text: kind.to_owned(),
        nullable: true,
    };
    vec![
        column("batch_id", "string"),
        column("line", "long"),
        column("column", "string"),
        column("value", "string"),
        column("reason", "string"),
        column("row", "string"),
        column("imported_at", "timestamp"),
    ]
}

impl Lake {
    /// Says what a file holds, for a table that is there or for a new one, and writes nothing.
    pub fn inspect(&self, table: Option<TableId>, source: Source) -> Task<Report> {
        let (lake, root) = (self.clone(), self.root().clone());
        self.run(async move {
            let _turn = lake.import_turn().await?;
            let known = match table {
                Some(id) => Some(schema_of(&root.open(id, None).await?)?),
                None => None,
            };
            blocking(move || {
                let (schema, notes) = schema_for(&source, known)?;
                Ok(noted(decode::decode(&source, &schema, &mut Nowhere)?, &notes))
            })
            .await
        })
    }

    /// Imports a file. Called again with the same operation it finishes what was begun and answers the same.
    pub fn import(&self, import: Import) -> Task<Imported> {
        let (lake, root) = (self.clone(), self.root().clone());
        self.run(async move {
            let _turn = lake.import_turn().await?;
            run(&root, import).await
        })
    }
}

async fn run(root: &Root, import: Import) -> Result<Imported> {
    let log_store = root.log_store(import.table)?;
    let operation = import.mark.operation;
    let is_made = !import.is_new || find_commit(&log_store, operation, None).await?.is_some();
    let already = if is_made { find_commit(&log_store, operation, import.after()).await? } else { None };
    let known = if is_made { Some(schema_of(&root.open(import.table, None).await?)?) } else { None };
    let source = import.source.clone();
    let (schema, notes) = blocking(move || schema_for(&source, known)).await?;
    let mut bad_rows = match &import.quarantine {
        Some(quarantine) => Some(Quarantining::begin(root, quarantine, &import.mark).await?),
        None => None,
    };
    if !is_made {
        create(root, import.table, &schema, &import.mark).await?;
    }
    let mut writing = if already.is_some() { None } else { Some(Writing::begin(root, import.table).await?) };
    let report = pour(&import.source, &schema, &mut writing, &mut bad_rows).await;
    let report = match report {
        Ok(report) if report.bad_rows == 0 || bad_rows.is_some() => report,
        stopped => {
            if let Some(writing) = writing {
                writing.abort().await?;
            }
            if let Some(bad_rows) = bad_rows {
                bad_rows.abort().await?;
            }
            let report = noted(stopped?, &notes);
            return Ok(Imported { report, committed: None, quarantined: None });
        }
    };
    let committed = match writing {
        Some(writing) => Some(writing.commit(import.mode, &import.mark).await?),
        None => already,
    };
    let quarantined = match bad_rows {
        Some(bad_rows) => bad_rows.commit(report.bad_rows, &import.mark).await?,
        None => None,
    };
    Ok(Imported { report: noted(report, &notes), committed, quarantined })
}

type Notes = HashMap<String, String>;

fn schema_for(source: &Source, known: Option<SchemaRef>) -> Result<(SchemaRef, Notes)> {
    if let Some(schema) = known {
        decode::check_declared(&source.declared, &schema)?;
        return Ok((schema, Notes::new()));
    }
    let found = decode::find_schema(source)?;
    Ok((found.schema, found.notes))
}

fn noted(mut report: Report, notes: &Notes) -> Report {
    for column in &mut report.columns {
        if let Some(note) = notes.get(&column.column.name) {
            column.note.clone_from(note);
        }
    }
    report
}

/// Decodes on a thread of its own, and writes what comes.
async fn pour(
    source: &Source,
    schema: &SchemaRef,
    rows: &mut Option<Writing>,
    bad_rows: &mut Option<Quarantining>,
) -> Result<Report> {
    let (sender, mut decoded) = mpsc::channel(WAITING_BATCHES);
    let (source, schema) = (source.clone(), schema.clone());
    let decoding = meter::spawn_blocking(move || decode::decode(&source, &schema, &mut Channel { sender }));
    let mut is_stopped = false;
    while let Some(next) = decoded.recv().await {
        match next {
            Decoded::Rows(batch) if !is_stopped => {
                if let Some(writing) = rows {
                    writing.write(&batch).await?;
                }
            }
            Decoded::Rows(_) => {}
            Decoded::Bad(row) => match bad_rows {
                Some(bad_rows) => bad_rows.take(row).await?,
                // Nothing will be committed: the rest is read for the report alone.
                None => is_stopped = true,
            },
        }
    }
    joined(decoding.await)
}

enum Decoded {
    Rows(RecordBatch),
    Bad(BadRow),
}

struct Channel {
    sender: mpsc::Sender<Decoded>,
}

impl Channel {
    fn send(&self, decoded: Decoded) -> Result<()> {
        let gone = |_| Error::new(crate::error::Kind::Cancelled, "The import was called off.");
        self.sender.blocking_send(decoded).map_err(gone)
    }
}

impl Sink for Channel {
    fn rows(&mut self, batch: RecordBatch) -> Result<()> {
        self.send(Decoded::Rows(batch))
    }

    fn bad_row(&mut self, row: BadRow) -> Result<()> {
        self.send(Decoded::Bad(row))
    }
}

/// Where rows go that are only counted.
struct Nowhere;

impl Sink for Nowhere {
    fn rows(&mut self, _: RecordBatch) -> Result<()> {
        Ok(())
    }

    fn bad_row(&mut self, _: BadRow) -> Result<()> {
        Ok(())
    }
}

/// Whether a table has the columns of one for bad rows, in their order.
fn check_quarantine(schema: &SchemaRef) -> Result<()> {
    let wanted = crate::schema::of_declared(&quarantine_columns())?;
    let same = |(one, other): (&Arc<Field>, &Arc<Field>)| {
        one.name() == other.name() && one.data_type() == other.data_type() && one.is_nullable()
    };
    if schema.fields().len() == wanted.fields().len() && schema.fields().iter().zip(wanted.fields()).all(same)
    {
        return Ok(());
    }
    Err(Error::invalid(
        "The table for bad rows has other columns than such a table has. Name another one; one that does not exist is made.",
    ))
}

/// Bad rows on their way into their table.
struct Quarantining {
    writing: Option<Writing>,
    already: Option<Committed>,
    place: Quarantine,
    waiting: Vec<BadRow>,
}

impl Quarantining {
    async fn begin(root: &Root, place: &Quarantine, mark: &Mark) -> Result<Self> {
        let already = find_commit(&root.log_store(place.table)?, mark.operation, place.after).await?;
        let writing = match already {
            Some(_) => None,
            None => Some(Writing::begin(root, place.table).await?),
        };
        // Before a row is written anywhere.
        if let Some(writing) = &writing {
            check_quarantine(writing.schema())?;
        }
        Ok(Self { writing, already, place: place.clone(), waiting: Vec::new() })
    }

    async fn take(&mut self, row: BadRow) -> Result<()> {
        self.waiting.push(row);
        if self.waiting.len() >= BAD_ROWS { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let Some(writing) = self.writing.as_mut().filter(|_| !rows.is_empty()) else { return Ok(()) };
        let text = |of: fn(&BadRow) -> &String| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
        };
        let batch: StringArray = rows.iter().map(|_| Some(&self.place.batch)).collect();
        let lines: Int64Array = rows.iter().map(|row| i64::try_from(row.line).ok()).collect();
        let at = TimestampMicrosecondArray::from(vec![self.place.at_micros; rows.len()]).with_timezone("UTC");
        let columns = vec![
            Arc::new(batch) as ArrayRef,
            Arc::new(lines),
            text(|row| &row.column),
            text(|row| &row.value),
            text(|row| &row.reason),
            text(|row| &row.row),
            Arc::new(at),
        ];
        let batch = RecordBatch::try_new(writing.schema().clone(), columns).map_err(Error::internal)?;
        writing.write(&batch).await
    }

    async fn abort(self) -> Result<()> {
        match self.writing {
            Some(writing) => writing.abort().await,
            None => Ok(()),
        }
    }

    async fn commit(mut self, bad_rows: u64, mark: &Mark) -> Result<Option<Committed>> {
        if bad_rows == 0 {
            self.abort().await?;
            return Ok(None);
        }
        self.flush().await?;
        match self.writing {
            Some(writing) => Ok(Some(writing.commit(Mode::Append, mark).await?)),
            None => Ok(self.already),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(meter::spawn_blocking(work).await)
}

/// The outcome of decoding on another thread. Decoders are other people's, and files come from anywhere: a panic is a damaged
/// file.
fn joined<T>(outcome: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match outcome {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => {
            Err(Error::invalid("The file is damaged in a way that its decoder does not know.").because(error))
        }
        Err(error) => Err(Error::internal(error)),
    }
}
